//! The configuration of a plugin, held against the schema that it brings.

use crate::plugins::misfit::{Misfit, keys, misfits, unknown};
use crate::plugins::text::{SHOWN_MAX, one_line};
use crate::plugins::{LoadError, schema};
use bytes::Bytes;
use jsonschema::{PatternOptions, ValidationError, Validator};
use serde_json::{Map, Value};

/// A configuration that is larger than this as JSON is refused: every call that asks for it copies it.
const CONFIG_BYTES_MAX: usize = 1 << 20;
/// At most this many mistakes of a configuration are told.
const MISFITS_MAX: usize = 20;
/// The bytes that a regular expression of a schema may take when it is compiled.
const PATTERN_BYTES_MAX: usize = 1 << 20;
/// Holds a configuration against the plugin's schema and gives the JSON that the plugin sees. Null counts as `{}`;
/// without a schema only `{}` fits. Values are not told, since they may be secrets, except where one of a few words is
/// meant.
pub(super) fn check(plugin: &str, schema: Option<&[u8]>, config: &Value) -> Result<Bytes, LoadError> {
    let refuse = |misfits: Vec<Misfit>| LoadError::Config { plugin: plugin.to_owned(), misfits };
    let config = match config {
        Value::Null => Value::Object(Map::new()),
        Value::Object(_) => config.clone(),
        _ => {
            return Err(refuse(vec![Misfit::of_whole("it must be a table", "write `{ key = \"value\" }`")]));
        }
    };
    let json = Bytes::from(config.to_string());
    if json.len() > CONFIG_BYTES_MAX {
        let len = json.len();
        let wrong = format!("{len} bytes as JSON are too many");
        return Err(refuse(vec![Misfit::of_whole(wrong, format!("at most {CONFIG_BYTES_MAX}"))]));
    }
    let misfits = match schema {
        Some(bytes) => against(plugin, bytes, &config)?,
        None => keys(&config).map(|key| unknown(Vec::new(), key, &[])).take(MISFITS_MAX).collect(),
    };
    if misfits.is_empty() { Ok(json) } else { Err(refuse(misfits)) }
}

/// The schema of a component, which `plugin` names in errors.
pub(super) fn schema(plugin: &str, bytes: &[u8]) -> Result<Value, LoadError> {
    schema::read(bytes).map_err(|why| wrong_schema(plugin, &why))
}

fn wrong_schema(plugin: &str, why: &str) -> LoadError {
    let why = one_line(&format!("has a configuration schema that {why}"), SHOWN_MAX);
    LoadError::Manifest { plugin: plugin.to_owned(), why }
}

fn against(plugin: &str, bytes: &[u8], config: &Value) -> Result<Vec<Misfit>, LoadError> {
    let schema = schema(plugin, bytes)?;
    let validator = validator(&schema)
        .map_err(|error| wrong_schema(plugin, &format!("is not a JSON Schema: {error}")))?;
    let errors = validator.iter_errors(config);
    Ok(errors.flat_map(|error| misfits(&schema, config, &error)).take(MISFITS_MAX).collect())
}

fn validator(schema: &Value) -> Result<Validator, ValidationError<'static>> {
    let patterns =
        PatternOptions::fancy_regex().size_limit(PATTERN_BYTES_MAX).dfa_size_limit(PATTERN_BYTES_MAX);
    jsonschema::options().with_pattern_options(patterns).build(schema)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_json(schema: Option<&[u8]>, config: &str) -> Result<String, String> {
        let config = serde_json::from_str(config).unwrap();
        let checked = check("p", schema, &config);
        checked.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn mistakes_of_a_configuration_name_the_key_and_hide_the_value() {
        let schema = br#"{"type": "object", "additionalProperties": false, "required": ["currency"],
            "properties": {"currency": {"type": "string"}, "offers": {"items": {"type": "integer"}}}}"#;
        assert_eq!(check_json(Some(schema), r#"{"currency": "USD"}"#).unwrap(), r#"{"currency":"USD"}"#);
        assert_eq!(check_json(None, "null").unwrap(), "{}");
        let none = br#"{"type": "object", "additionalProperties": false}"#;
        let nested = br##"{"properties": {"a": {"$ref": "#/$defs/a"}, "b": {"additionalProperties": false}},
            "$defs": {"a": {"properties": {"x": true}, "additionalProperties": false}}}"##;
        let cases = [
            (
                Some(&schema[..]),
                r#"{"currency": "USD", "offers": [1, "hush"]}"#,
                "`config.offers.1`: a string stands where a whole number belongs: write a number without",
            ),
            (
                Some(schema),
                r#"{"currency": "USD", "colour": "hush"}"#,
                "`config.colour`: there is no such key: there are `currency` and `offers`",
            ),
            (
                Some(none),
                r#"{"colour": "hush", "size": "hush"}"#,
                "`config.colour`: it takes no configuration: take it out; `config.size`: it takes no configuration",
            ),
            (
                Some(nested),
                r#"{"a": {"y": "hush"}}"#,
                "`config.a.y`: there is no such key: did you mean `x`?",
            ),
            (Some(nested), r#"{"b": {"y": "hush"}}"#, "`config.b.y`: there is no such key"),
            (Some(schema), "{}", "`config.currency`: is missing: add it"),
            (Some(schema), r#""hush""#, "`config`: it must be a table"),
            (Some(b"{"), "{}", "is not JSON"),
            (Some(br#"{"type": "objekt"}"#), "{}", "is not a JSON Schema"),
            (Some(br##"{"$ref": "#"}"##), "{}", "a configuration schema that is too large once"),
            (None, r#"{"currency": "hush"}"#, "`config.currency`: it takes no configuration"),
            (
                Some(br#"{"required": ["\u001b[31m\u2028"]}"#),
                "{}",
                r"`config.\u{1b}[31m\u{2028}`: is missing",
            ),
            (
                None,
                &format!(r#"{{"hush": "{}"}}"#, "x".repeat(1 << 20)),
                "`config`: 1048587 bytes as JSON are too many: at most 1048576",
            ),
        ];
        for (schema, config, expected) in cases {
            let error = check_json(schema, config).unwrap_err();
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains("hush"), "{error}");
        }
    }

    #[test]
    fn a_word_that_is_none_of_those_there_are_is_quoted() {
        let consts: &[u8] =
            br#"{"properties": {"offer": {"oneOf": [{"const": "discount"}, {"const": "pause"}]}}}"#;
        let words = br#"{"properties": {"offer": {"enum": ["discount", "pause"]}}}"#;
        for schema in [consts, words] {
            let told = check_json(Some(schema), r#"{"offer": "pawse"}"#).unwrap_err();
            let expected =
                "`config.offer`: \"pawse\" is none of the 2 choices that there are: did you mean `pause`?";
            assert!(told.contains(expected), "{told}");
            let told = check_json(Some(schema), r#"{"offer": "free"}"#).unwrap_err();
            assert!(
                told.contains(r#"`config.offer`: "free" is none of "discount", "pause": write one"#),
                "{told}"
            );
            let many = format!(
                r#"{{"properties": {{"offer": {{"enum": {:?}}}}}}}"#,
                (0..25).map(|n| n.to_string()).collect::<Vec<_>>()
            );
            let told = check_json(Some(many.as_bytes()), r#"{"offer": "pawse"}"#).unwrap_err();
            assert!(told.contains("and 5 others"), "{told}");
            let long = format!(r#"{{"offer": "{}"}}"#, "hush".repeat(20));
            assert!(!check_json(Some(schema), &long).unwrap_err().contains("hush"));
        }
    }

    #[test]
    fn of_an_enum_with_a_tag_the_tags_are_listed_or_the_mistake_in_the_one_that_is_meant() {
        let schema = br##"{"properties": {"offer": {"$ref": "#/$defs/offer"},
                "maybe": {"anyOf": [{"$ref": "#/$defs/offer"}, {"type": "null"}]}},
            "$defs": {"offer": {"oneOf": [
                {"type": "object", "required": ["kind", "percent"], "additionalProperties": false,
                 "properties": {"kind": {"type": "string", "const": "discount"}, "percent": {"type": "integer"}}},
                {"type": "object", "required": ["kind"], "additionalProperties": false,
                 "properties": {"kind": {"type": "string", "const": "pause"}, "days": {"type": "integer"}}}]}}}"##;
        let cases = [
            (
                r#"{"kind": "pawse", "days": 1}"#,
                r#".kind`: "pawse" is none of the 2 choices that there are: did you mean `pause`?"#,
            ),
            (r#"{"kind": "discount"}"#, ".percent`: is missing"),
            (r#"{"kind": "pause", "days": "hush"}"#, ".days`: a string stands where a whole number belongs"),
            (r#"{"kind": "pause", "hush": 1}"#, ".hush`: there is no such key: there are `days` and `kind`"),
            (r#"{"days": 1}"#, "`: the value is not valid under any of the schemas"),
        ];
        for key in ["offer", "maybe"] {
            for (value, expected) in cases {
                let told = check_json(Some(schema), &format!(r#"{{"{key}": {value}}}"#)).unwrap_err();
                let expected = format!("plugin `p`: `config.{key}{expected}");
                assert!(told.contains(&expected), "{told}");
            }
        }
    }

    #[test]
    fn a_pattern_that_takes_much_memory_is_refused() {
        let told =
            check_json(Some(br#"{"properties": {"a": {"pattern": "\\p{L}{1000}"}}}"#), "{}").unwrap_err();
        assert!(told.contains("is not a JSON Schema"), "{told}");
    }

    #[test]
    fn the_deepest_schema_there_may_be_fits_the_stack_of_a_thread() {
        let deep = (0..62).fold("true".to_owned(), |inner, _| format!(r#"{{"not":{inner}}}"#));
        let nested = std::thread::spawn(move || check_json(Some(deep.as_bytes()), "{}").is_ok());
        nested.join().unwrap();
    }
}
