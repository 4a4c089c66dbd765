//! The JSON Schema of a plugin's configuration. Whoever wrote the plugin chose it, and a small one can be made to take
//! all stack or all time there is; so it is read within bounds before any configuration is held against it.

use serde_json::{Map, Value};

/// A schema of more bytes is refused.
const SCHEMA_BYTES_MAX: usize = 64 << 10;
/// Values may stand in each other this deep once every reference is replaced by what it leads to.
const DEPTH_MAX: usize = 64;
/// The most values, counted the same way.
const VALUES_MAX: usize = 10_000;
/// The most regular expressions, counted the same way: each takes memory of its own.
const PATTERNS_MAX: usize = 100;
/// The drafts of JSON Schema that `$schema` may name. Older ones write `$id` otherwise.
const DRAFTS: [&str; 4] = [
    "https://json-schema.org/draft/2020-12/schema",
    "https://json-schema.org/draft/2019-09/schema",
    "http://json-schema.org/draft-07/schema",
    "http://json-schema.org/draft-06/schema",
];

/// The schema in the bytes of a component's section, or what is wrong with it.
pub(super) fn read(bytes: &[u8]) -> Result<Value, String> {
    if bytes.len() > SCHEMA_BYTES_MAX {
        return Err(format!("has {} bytes: at most {SCHEMA_BYTES_MAX}", bytes.len()));
    }
    let mut schema: Value = serde_json::from_slice(bytes).map_err(|error| format!("is not JSON: {error}"))?;
    Walk { root: &schema, values: 0, patterns: 0 }.value(&schema, 0)?;
    if let Some(root) = schema.as_object_mut() {
        // It could be the name of a schema that the validator knows, which `#` would then mean.
        root.remove("$id");
    }
    Ok(schema)
}

/// Counts what a schema comes to. It takes every object for a schema, also those that are data: too much rather than too
/// little.
struct Walk<'a> {
    root: &'a Value,
    values: usize,
    patterns: usize,
}

impl<'a> Walk<'a> {
    fn value(&mut self, value: &'a Value, depth: usize) -> Result<(), String> {
        self.values += 1;
        if depth > DEPTH_MAX || self.values > VALUES_MAX || self.patterns > PATTERNS_MAX {
            return Err(format!(
                "is too large once its references are followed: at most {VALUES_MAX} values, {DEPTH_MAX} deep, with {PATTERNS_MAX} patterns"
            ));
        }
        match value {
            Value::Object(members) => self.object(members, depth),
            Value::Array(items) => items.iter().try_for_each(|item| self.value(item, depth + 1)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
        }
    }

    fn object(&mut self, members: &'a Map<String, Value>, depth: usize) -> Result<(), String> {
        for (key, value) in members {
            match (key.as_str(), value) {
                ("$ref", Value::String(to)) => {
                    let meant = referred(self.root, to)?;
                    self.value(meant, depth + 1)?;
                }
                ("$dynamicRef" | "$recursiveRef", Value::String(_)) => {
                    return Err(format!("has a `{key}`: write `$ref`"));
                }
                ("$id" | "$schema", Value::String(_)) if depth > 0 => {
                    return Err(format!("has a `{key}` below its root: remove it"));
                }
                ("$schema", Value::String(draft)) => known(draft)?,
                ("pattern", Value::String(_)) => self.patterns += 1,
                ("patternProperties", Value::Object(patterns)) => self.patterns += patterns.len(),
                _ => {}
            }
            self.value(value, depth + 1)?;
        }
        Ok(())
    }
}

/// What a reference leads to. Spellings that a validator may understand otherwise are refused.
fn referred<'a>(root: &'a Value, to: &str) -> Result<&'a Value, String> {
    let pointer = to.strip_prefix('#').filter(|pointer| pointer.is_empty() || pointer.starts_with('/'));
    let plain = pointer.filter(|pointer| !pointer.contains('%') && !pointer.contains("~~"));
    let pointer = plain.ok_or_else(|| {
        format!(
            "refers to `{to}`: a reference must be `#` or a pointer such as `#/$defs/name`, and have no `%`"
        )
    })?;
    root.pointer(pointer).ok_or_else(|| format!("refers to `{to}`, which is not there"))
}

fn known(draft: &str) -> Result<(), String> {
    match DRAFTS.contains(&draft.trim_end_matches('#')) {
        true => Ok(()),
        false => Err(format!("is of `{draft}`, which is none of {}", DRAFTS.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::fs;
    use std::path::Path;

    /// Schemas that stop whoever believes them, with what is said of each.
    fn hostile() -> Vec<(&'static str, Value, &'static str)> {
        let defs = |of: &dyn Fn(usize) -> Value, count: usize| {
            let defs: Map<_, _> = (0..count).map(|n| (format!("a{n}"), of(n))).collect();
            json!({ "$ref": "#/$defs/a0", "$defs": defs })
        };
        let next = |n: usize| json!({ "$ref": format!("#/$defs/a{}", n + 1) });
        let chain = |n| if n < 1_999 { next(n) } else { json!(true) };
        let doubling = |n| if n < 39 { json!({ "allOf": [next(n), next(n)] }) } else { json!(true) };
        let large = "is too large once its references are followed: at most 10000 values, 64 deep";
        let flat: Vec<_> = (0..101).map(|n| json!({ "pattern": format!("\\w{{{n}}}") })).collect();
        vec![
            ("a chain", defs(&chain, 2_000), large),
            ("doubling", defs(&doubling, 40), large),
            ("a cycle", json!({ "allOf": [{ "$ref": "#" }] }), large),
            ("a cycle through values", json!({ "properties": { "x": { "$ref": "#" } } }), large),
            ("patterns", json!({ "allOf": flat }), large),
            ("values", json!({ "enum": vec![0; 20_000] }), large),
            ("bytes", json!({ "description": "x".repeat(70_000) }), "bytes: at most 65536"),
            ("elsewhere", json!({ "$ref": "https://example.com/a" }), "refers to `https://example.com/a`"),
            ("an anchor", json!({ "$ref": "#a", "not": { "$anchor": "a" } }), "refers to `#a`"),
            ("nowhere", json!({ "$ref": "#/$defs/a" }), "refers to `#/$defs/a`, which is not there"),
            ("two spellings", json!({ "$ref": "#/~~1", "~/": true, "~~1": { "$ref": "#/~~1" } }), "`#/~~1`"),
            ("percent", json!({ "$ref": "#/%61", "%61": true, "a": { "$ref": "#/%61" } }), "no `%`"),
            ("dynamic", json!({ "not": { "$dynamicRef": "#a" } }), "has a `$dynamicRef`"),
            ("an id", json!({ "not": { "$id": "x" } }), "has a `$id` below its root"),
            ("a draft", json!({ "$schema": "http://json-schema.org/draft-04/schema#" }), "is of `http"),
        ]
    }

    #[test]
    fn a_schema_that_could_take_all_stack_or_time_is_refused() {
        for (name, schema, expected) in hostile() {
            let told = read(schema.to_string().as_bytes()).unwrap_err();
            assert!(told.contains(expected), "{name}: {told}");
        }
    }

    #[test]
    fn a_schema_of_names_that_look_like_keywords_is_read() {
        let properties = json!({ "$ref": { "type": "string" }, "$id": true, "pattern": {}, "$schema": {} });
        let schema = json!({ "$id": "https://json-schema.org/draft/2020-12/schema",
            "$schema": "https://json-schema.org/draft/2020-12/schema", "properties": properties,
            "$defs": { "a/b": { "$ref": "#/$defs/c" }, "c": {} }, "not": { "$ref": "#/$defs/a~1b" } });
        let mut expected = schema.clone();
        expected.as_object_mut().unwrap().remove("$id");
        assert_eq!(read(schema.to_string().as_bytes()), Ok(expected));
    }

    #[test]
    fn the_schemas_of_our_own_plugins_are_read() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut read_of_them = 0;
        for dir in ["plugins", "tests/fixtures", "gateway/src/cli/plugin/template"] {
            for entry in fs::read_dir(root.join(dir)).unwrap() {
                let Ok(schema) = fs::read(entry.unwrap().path().join("config.schema.json")) else { continue };
                read(&schema).unwrap_or_else(|why| panic!("{dir}: {why}"));
                read_of_them += 1;
            }
        }
        assert!(read_of_them > 10, "{read_of_them}");
    }
}
