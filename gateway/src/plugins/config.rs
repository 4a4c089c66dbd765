//! The configuration of a plugin, held against the schema that it brings.

use crate::plugins::text::{SHOWN_MAX, one_line};
use crate::plugins::{LoadError, schema};
use bytes::Bytes;
use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{JsonType, PatternOptions, ValidationError, Validator};
use serde_json::{Map, Value};

/// A configuration that is larger than this as JSON is refused: every call that asks for it copies it.
const CONFIG_BYTES_MAX: usize = 1 << 20;
/// At most this many mistakes of a configuration are told.
const MISTAKES_MAX: usize = 20;
/// The bytes that a regular expression of a schema may take when it is compiled.
const PATTERN_BYTES_MAX: usize = 1 << 20;
/// Of the words that a value may be, at most this many are listed.
const CHOICES_MAX: usize = 20;
/// A value that is longer as JSON is not quoted.
const QUOTED_BYTES_MAX: usize = 64;

/// Holds a configuration against the plugin's schema and gives the JSON that the plugin sees. Null counts as `{}`;
/// without a schema only `{}` fits. Values are not told, since they may be secrets, except where one of a few words is
/// meant.
pub(super) fn check(plugin: &str, schema: Option<&[u8]>, config: &Value) -> Result<Bytes, LoadError> {
    let refuse = |mistakes: Vec<String>| LoadError::Config { plugin: plugin.to_owned(), mistakes };
    let config = match config {
        Value::Null => Value::Object(Map::new()),
        Value::Object(_) => config.clone(),
        _ => return Err(refuse(vec!["`config` must be a table".to_owned()])),
    };
    let json = Bytes::from(config.to_string());
    if json.len() > CONFIG_BYTES_MAX {
        let len = json.len();
        return Err(refuse(vec![format!(
            "`config`: {len} bytes as JSON are too many: at most {CONFIG_BYTES_MAX}"
        )]));
    }
    let mistakes = match schema {
        Some(bytes) => against(plugin, bytes, &config)?,
        None => keys(&config).map(|key| unknown("", key, &[])).take(MISTAKES_MAX).collect(),
    };
    if mistakes.is_empty() { Ok(json) } else { Err(refuse(mistakes)) }
}

/// The schema of a component, which `plugin` names in errors.
pub(super) fn schema(plugin: &str, bytes: &[u8]) -> Result<Value, LoadError> {
    schema::read(bytes).map_err(|why| wrong_schema(plugin, &why))
}

fn wrong_schema(plugin: &str, why: &str) -> LoadError {
    let why = one_line(&format!("has a configuration schema that {why}"), SHOWN_MAX);
    LoadError::Manifest { plugin: plugin.to_owned(), why }
}

fn against(plugin: &str, bytes: &[u8], config: &Value) -> Result<Vec<String>, LoadError> {
    let schema = schema(plugin, bytes)?;
    let validator = validator(&schema)
        .map_err(|error| wrong_schema(plugin, &format!("is not a JSON Schema: {error}")))?;
    let errors = validator.iter_errors(config);
    Ok(errors.flat_map(|error| mistakes(&schema, config, &error)).take(MISTAKES_MAX).collect())
}

fn validator(schema: &Value) -> Result<Validator, ValidationError<'static>> {
    let patterns =
        PatternOptions::fancy_regex().size_limit(PATTERN_BYTES_MAX).dfa_size_limit(PATTERN_BYTES_MAX);
    jsonschema::options().with_pattern_options(patterns).build(schema)
}

/// What is wrong, each with the key as it stands in the configuration file.
fn mistakes(schema: &Value, config: &Value, error: &ValidationError<'_>) -> Vec<String> {
    if let Some(meant) = meant(error) {
        return meant.iter().flat_map(|error| mistakes(schema, config, error)).collect();
    }
    let at = error.instance_path().to_string();
    let key = at.replace('/', ".");
    if let Some(unexpected) = unexpected(config.pointer(&at), error) {
        let known = known(schema, error);
        return unexpected.iter().map(|unexpected| unknown(&key, unexpected, &known)).collect();
    }
    if let Some((at, value, choices)) = choices(error) {
        return vec![told(&at.replace('/', "."), &format!("{} is none of {choices}", quoted(value)))];
    }
    vec![told(&key, &error.masked_with("the value").to_string())]
}

/// The plugin wrote the schema, and may have chosen its words to look like something else.
fn told(key: &str, why: &str) -> String {
    one_line(&format!("`config{key}`: {why}"), SHOWN_MAX)
}

fn unknown(at: &str, key: &str, known: &[String]) -> String {
    let why = match (known, at) {
        ([], "") => "it takes no configuration".to_owned(),
        ([], _) => "there is no such key".to_owned(),
        (known, _) => format!("there is no such key: there are {}", known.join(", ")),
    };
    told(&format!("{at}.{key}"), &why)
}

/// The keys that do not belong there, where that is the mistake.
fn unexpected(there: Option<&Value>, error: &ValidationError<'_>) -> Option<Vec<String>> {
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected }
        | ValidationErrorKind::UnevaluatedProperties { unexpected } => Some(unexpected.clone()),
        // What is said where no key at all belongs.
        ValidationErrorKind::FalseSchema
            if error.schema_path().to_string().ends_with("/additionalProperties") =>
        {
            Some(keys(there?).map(str::to_owned).collect())
        }
        _ => None,
    }
}

/// The keys that belong where an unexpected one stands.
fn known(schema: &Value, error: &ValidationError<'_>) -> Vec<String> {
    let path = error.schema_path().to_string();
    let object = path.rsplit_once('/').and_then(|(object, _)| schema.pointer(object));
    let properties = object.and_then(|object| object.get("properties"));
    properties.into_iter().flat_map(keys).map(|key| format!("`{key}`")).collect()
}

fn keys(value: &Value) -> impl Iterator<Item = &str> {
    value.as_object().into_iter().flat_map(Map::keys).map(String::as_str)
}

fn quoted(value: &Value) -> String {
    let json = value.to_string();
    match value {
        Value::Array(_) | Value::Object(_) => "the value".to_owned(),
        _ if json.len() > QUOTED_BYTES_MAX => "the value".to_owned(),
        _ => json,
    }
}

/// What each branch has against a value that fits none of several; `null`, the other branch of an `Option`, is no branch
/// that somebody means who writes something else.
fn branches<'e>(error: &'e ValidationError<'_>) -> Vec<&'e [ValidationError<'static>]> {
    let (ValidationErrorKind::OneOfNotValid { context } | ValidationErrorKind::AnyOf { context }) =
        error.kind()
    else {
        return Vec::new();
    };
    let is_null = |error: &ValidationError<'_>| {
        matches!(error.kind(), ValidationErrorKind::Type { kind: TypeKind::Single(JsonType::Null) })
    };
    context.iter().map(Vec::as_slice).filter(|errors| !errors.iter().any(is_null)).collect()
}

/// What the branch has against a value that is meant: the only one, or the only one whose tag the value has.
fn meant<'e>(error: &'e ValidationError<'_>) -> Option<&'e [ValidationError<'static>]> {
    let branches = branches(error);
    let at = error.instance_path().to_string();
    let is_tag = |error: &ValidationError<'_>| {
        let place = error.instance_path().to_string();
        matches!(error.kind(), ValidationErrorKind::Constant { .. })
            && place.rsplit_once('/').is_some_and(|(above, _)| above == at)
    };
    match branches[..] {
        [only] => Some(only),
        _ => {
            let mut fitting = branches.iter().filter(|errors| !errors.iter().any(is_tag));
            fitting.next().filter(|_| fitting.next().is_none()).copied()
        }
    }
}

/// Where a value stands that must be one of several constants, the value, and what it may be: a schema made from an `enum`
/// of Rust says so.
fn choices<'e>(error: &'e ValidationError<'_>) -> Option<(String, &'e Value, String)> {
    let (at, value, constants) = constants(error)?;
    let shown = constants.iter().take(CHOICES_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    let shown = match constants.len().saturating_sub(CHOICES_MAX) {
        0 => shown,
        more => format!("{shown} and {more} others"),
    };
    Some((at, value, shown))
}

fn constants<'e>(error: &'e ValidationError<'_>) -> Option<(String, &'e Value, Vec<String>)> {
    let own = |constants| Some((error.instance_path().to_string(), &**error.instance(), constants));
    match error.kind() {
        ValidationErrorKind::Enum { options } => {
            own(options.as_array()?.iter().map(Value::to_string).collect())
        }
        ValidationErrorKind::Constant { expected_value } => own(vec![expected_value.to_string()]),
        // Each branch wants another one, at the same place.
        _ => {
            let each = branches(error).into_iter().map(|errors| errors.iter().find_map(constants));
            let each: Vec<_> = each.collect::<Option<_>>()?;
            let (at, value, _) = each.first()?;
            let (at, value) = (at.clone(), *value);
            each.iter()
                .all(|(other, ..)| *other == at)
                .then(|| (at, value, each.into_iter().flat_map(|(.., constants)| constants).collect()))
        }
    }
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
                "`config.offers.1`: the value is not of type \"integer\"",
            ),
            (
                Some(schema),
                r#"{"currency": "USD", "colour": "hush"}"#,
                "`config.colour`: there is no such key: there are `currency`, `offers`",
            ),
            (
                Some(none),
                r#"{"colour": "hush", "size": "hush"}"#,
                "`config.colour`: it takes no configuration; `config.size`: it takes no configuration",
            ),
            (Some(nested), r#"{"a": {"y": "hush"}}"#, "`config.a.y`: there is no such key: there are `x`"),
            (Some(nested), r#"{"b": {"y": "hush"}}"#, "`config.b.y`: there is no such key"),
            (Some(schema), "{}", "\"currency\" is a required property"),
            (Some(schema), r#""hush""#, "`config` must be a table"),
            (Some(b"{"), "{}", "is not JSON"),
            (Some(br#"{"type": "objekt"}"#), "{}", "is not a JSON Schema"),
            (Some(br##"{"$ref": "#"}"##), "{}", "a configuration schema that is too large once"),
            (None, r#"{"currency": "hush"}"#, "`config.currency`: it takes no configuration"),
            (
                Some(br#"{"required": ["\u001b[31m\u2028"]}"#),
                "{}",
                r#"`config`: "\u001b[31m\u{2028}" is a required property"#,
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
            let expected = r#"`config.offer`: "pawse" is none of "discount", "pause""#;
            assert!(told.contains(expected), "{told}");
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
            (r#"{"kind": "pawse", "days": 1}"#, r#".kind`: "pawse" is none of "discount", "pause""#),
            (r#"{"kind": "discount"}"#, r#"`: "percent" is a required property"#),
            (r#"{"kind": "pause", "days": "hush"}"#, r#".days`: the value is not of type "integer""#),
            (r#"{"kind": "pause", "hush": 1}"#, ".hush`: there is no such key: there are `days`, `kind`"),
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
