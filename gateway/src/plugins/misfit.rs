//! What is wrong with a configuration that does not fit its plugin's schema, in words that are no schema's.

use crate::model::words::{all_of, any_of, nearest};
use crate::plugins::text::{SHOWN_MAX, one_line};
use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{JsonType, ValidationError};
use serde_json::{Map, Value};
use std::fmt;

/// Of the words that a value may be, at most this many are listed.
const CHOICES_MAX: usize = 20;
/// A value that is longer as JSON is not quoted.
const QUOTED_BYTES_MAX: usize = 64;
/// What is to be done about what no other remedy is for.
const BY_SCHEMA: &str =
    "write what its schema asks for: `billhook plugin inspect` shows the schema of a component";

/// One mistake of a configuration. It tells no value, since that may be a secret, except where one of a few words is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// The keys and positions that lead to where it is.
    pub path: Vec<String>,
    /// What is wrong.
    pub wrong: String,
    /// What to do about it.
    pub remedy: String,
}

impl Misfit {
    /// One of the configuration as a whole.
    pub(super) fn of_whole(wrong: impl Into<String>, remedy: impl Into<String>) -> Misfit {
        Misfit::at(Vec::new(), wrong, remedy)
    }

    /// The plugin wrote the schema, and may have chosen its words to look like something else.
    fn at(path: Vec<String>, wrong: impl Into<String>, remedy: impl Into<String>) -> Misfit {
        let harmless = |text: String| one_line(&text, SHOWN_MAX);
        let path = path.into_iter().map(harmless).collect();
        Misfit { path, wrong: harmless(wrong.into()), remedy: harmless(remedy.into()) }
    }
}

impl fmt::Display for Misfit {
    /// ``"`config.offers.1`: what is wrong: what to do"``.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path: String = self.path.iter().map(|key| format!(".{key}")).collect();
        write!(f, "`config{path}`: {}: {}", self.wrong, self.remedy)
    }
}

/// What is wrong at a place of a configuration.
pub(super) fn misfits(schema: &Value, config: &Value, error: &ValidationError<'_>) -> Vec<Misfit> {
    if let Some(meant) = meant(error) {
        return meant.iter().flat_map(|error| misfits(schema, config, error)).collect();
    }
    let at = error.instance_path().to_string();
    let there = config.pointer(&at).unwrap_or(&Value::Null);
    if let Some(unexpected) = unexpected(there, error) {
        let known = known(schema, error);
        return unexpected.iter().map(|unexpected| unknown(segments(&at), unexpected, &known)).collect();
    }
    if let Some((at, value, choices)) = constants(error) {
        let (wrong, remedy) = no_choice(value, &choices);
        return vec![Misfit::at(segments(&at), wrong, remedy)];
    }
    if let ValidationErrorKind::Required { property: Value::String(property) } = error.kind() {
        let path = segments(&at).into_iter().chain([property.clone()]).collect();
        return vec![Misfit::at(path, "is missing", "add it")];
    }
    let (wrong, remedy) = told(schema, there, error);
    vec![Misfit::at(segments(&at), wrong, remedy)]
}

/// A key that does not belong where it is.
pub(super) fn unknown(above: Vec<String>, key: &str, known: &[&str]) -> Misfit {
    let is_at_top = above.is_empty();
    let path = above.into_iter().chain([key.to_owned()]).collect();
    match (known, nearest(key, known.iter().copied())) {
        ([], _) if is_at_top => Misfit::at(path, "it takes no configuration", "take it out"),
        ([], _) => Misfit::at(path, "there is no such key", "take it out"),
        (_, Some(near)) => Misfit::at(path, "there is no such key", format!("did you mean `{near}`?")),
        (known, None) => {
            Misfit::at(path, "there is no such key", format!("there are {}", all_of(known.iter().copied())))
        }
    }
}

/// The keys of an object.
pub(super) fn keys(value: &Value) -> impl Iterator<Item = &str> {
    value.as_object().into_iter().flat_map(Map::keys).map(String::as_str)
}

/// The keys and positions of a JSON pointer.
fn segments(pointer: &str) -> Vec<String> {
    pointer.split('/').skip(1).map(|segment| segment.replace("~1", "/").replace("~0", "~")).collect()
}

/// What is wrong with a value and what to do, for what is said of most.
fn told(schema: &Value, there: &Value, error: &ValidationError<'_>) -> (String, String) {
    use ValidationErrorKind as Kind;
    let bound = |is: &str, remedy: String| (is.to_owned(), remedy);
    match error.kind() {
        Kind::Type { kind } => {
            let types: Vec<JsonType> = match kind {
                TypeKind::Single(one) => vec![*one],
                TypeKind::Multiple(set) => set.iter().filter(|one| *one != JsonType::Null).collect(),
            };
            let wanted: Vec<&str> = types.iter().map(|one| described(*one).0).collect();
            let examples = types.iter().map(|one| described(*one).1).collect::<Vec<_>>().join(" or ");
            (format!("{} stands where {} belongs", kind_of(there), wanted.join(" or ")), examples)
        }
        Kind::MinProperties { limit } => {
            let free: Vec<&str> =
                known(schema, error).into_iter().filter(|key| there.get(key).is_none()).collect();
            let remedy = match free[..] {
                [] => BY_SCHEMA.to_owned(),
                _ => format!("add {}", any_of(free)),
            };
            (format!("it has {}, and needs {limit}", counted(keys(there).count(), "key")), remedy)
        }
        Kind::MaxProperties { limit } => bound("it has too many keys", format!("leave at most {limit}")),
        Kind::MinItems { limit } => bound("it has too few entries", format!("write at least {limit}")),
        Kind::MaxItems { limit } => bound("it has too many entries", format!("leave at most {limit}")),
        Kind::MinLength { limit } => bound("it is too short", format!("write at least {limit} characters")),
        Kind::MaxLength { limit } => bound("it is too long", format!("write at most {limit} characters")),
        Kind::Minimum { limit } => bound("it is too small", format!("write at least {limit}")),
        Kind::Maximum { limit } => bound("it is too large", format!("write at most {limit}")),
        Kind::ExclusiveMinimum { limit } => bound("it is too small", format!("write more than {limit}")),
        Kind::ExclusiveMaximum { limit } => bound("it is too large", format!("write less than {limit}")),
        Kind::Pattern { pattern } => {
            let says = description(schema, error).map_or_else(String::new, |says| format!(": {says}"));
            (
                "it has not the form that is asked for".to_owned(),
                format!("write what `{pattern}` matches{says}"),
            )
        }
        Kind::UniqueItems => ("it has an entry twice".to_owned(), "take one out".to_owned()),
        _ => (error.masked_with("the value").to_string(), BY_SCHEMA.to_owned()),
    }
}

/// A type in words, and how to write such a value.
fn described(of: JsonType) -> (&'static str, &'static str) {
    match of {
        JsonType::Array => ("a list", "write `[ ... ]`"),
        JsonType::Boolean => ("a truth value", "write `true` or `false`"),
        JsonType::Integer => ("a whole number", "write a number without quotes or a fraction"),
        JsonType::Null => ("nothing", "take it out"),
        JsonType::Number => ("a number", "write a number without quotes"),
        JsonType::Object => ("a table", "write `{ key = \"value\" }`"),
        JsonType::String => ("a string", "write it in quotes"),
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Number(number) if number.is_f64() => "a number with a fraction",
        Value::Number(_) => "a number",
        Value::Null => described(JsonType::Null).0,
        Value::Bool(_) => described(JsonType::Boolean).0,
        Value::String(_) => described(JsonType::String).0,
        Value::Array(_) => described(JsonType::Array).0,
        Value::Object(_) => described(JsonType::Object).0,
    }
}

fn counted(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// The keys that do not belong there, where that is the mistake.
fn unexpected(there: &Value, error: &ValidationError<'_>) -> Option<Vec<String>> {
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected }
        | ValidationErrorKind::UnevaluatedProperties { unexpected } => Some(unexpected.clone()),
        // What is said where no key at all belongs.
        ValidationErrorKind::FalseSchema
            if error.schema_path().to_string().ends_with("/additionalProperties") =>
        {
            Some(keys(there).map(str::to_owned).collect())
        }
        _ => None,
    }
}

/// The keys that belong where the mistake is.
fn known<'a>(schema: &'a Value, error: &ValidationError<'_>) -> Vec<&'a str> {
    let path = error.schema_path().to_string();
    let object = path.rsplit_once('/').and_then(|(object, _)| schema.pointer(object));
    object.and_then(|object| object.get("properties")).into_iter().flat_map(keys).collect()
}

/// What the schema says of the value itself that is wrong.
fn description<'a>(schema: &'a Value, error: &ValidationError<'_>) -> Option<&'a str> {
    let path = error.schema_path().to_string();
    let above = std::iter::successors(Some(&*path), |path| path.rsplit_once('/').map(|(above, _)| above));
    // Beyond these it is about something else.
    let own = above.take_while(|path| !["properties", "items"].iter().any(|end| path.ends_with(end)));
    own.filter_map(|path| schema.pointer(path)?.get("description")?.as_str()).next()
}

/// What to say of a value that is none of those that it may be.
fn no_choice(value: &Value, choices: &[&Value]) -> (String, String) {
    let json = value.to_string();
    let quoted = match value {
        Value::Array(_) | Value::Object(_) => "the value".to_owned(),
        _ if json.len() > QUOTED_BYTES_MAX => "the value".to_owned(),
        _ => json,
    };
    let words = choices.iter().filter_map(|choice| choice.as_str());
    let near = value.as_str().and_then(|written| nearest(written, words));
    if let Some(near) = near {
        let wrong = format!("{quoted} is none of the {} that there are", counted(choices.len(), "choice"));
        return (wrong, format!("did you mean `{near}`?"));
    }
    let shown: Vec<String> = choices.iter().take(CHOICES_MAX).map(|choice| choice.to_string()).collect();
    let more = match choices.len().saturating_sub(CHOICES_MAX) {
        0 => String::new(),
        more => format!(" and {more} others"),
    };
    (format!("{quoted} is none of {}{more}", shown.join(", ")), "write one of them".to_owned())
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
fn constants<'e>(error: &'e ValidationError<'_>) -> Option<(String, &'e Value, Vec<&'e Value>)> {
    let own = |constants| Some((error.instance_path().to_string(), &**error.instance(), constants));
    match error.kind() {
        ValidationErrorKind::Enum { options } => own(options.as_array()?.iter().collect()),
        ValidationErrorKind::Constant { expected_value } => own(vec![expected_value]),
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
