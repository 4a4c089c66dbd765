//! The configuration: what is written, and what is refused.

use billhook_plugin::model::pattern;
use billhook_plugin::{Document, Number, Scalar};
use serde::{Deserialize, Deserializer, de};
use serde_json::value::RawValue;

/// The rules. Those of `keep` are looked at first, then those of `drop`; the first that matches decides. An event that
/// none matches is kept.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Events that are kept whatever `drop` says.
    pub keep: Vec<Rule>,
    /// Events that are dropped.
    pub drop: Vec<Rule>,
}

/// A rule. It matches an event that fits everything that it says; one that says nothing matches every event.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Rule {
    /// What the reason of a dropped event calls the rule. Default: its place, as `drop[0]`.
    pub name: Option<String>,
    /// One of these types, as endpoints subscribe to them: a canonical type, `family.*`, `*` (all but `provider.*`),
    /// `provider/NAME` by the provider's own event name or `provider/*`. Default: every type.
    pub types: Vec<Pattern>,
    /// One of these providers, by the name that a source has for it, as in `provider = "stripe"`. Default: every
    /// provider.
    #[cfg_attr(not(target_family = "wasm"), schemars(inner(regex(pattern = r"^[a-z0-9_-]+$"))))]
    pub providers: Vec<String>,
    /// Whether it is live or a test. An event whose provider does not tell is neither. Default: both, and untold.
    pub livemode: Option<bool>,
    /// All of these conditions.
    #[serde(rename = "where")]
    pub conditions: Vec<Condition>,
}

/// What a field of the event must be; all that is said must hold.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[cfg_attr(not(target_family = "wasm"), schemars(extend("minProperties" = 2)))]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// Where the field is in the event (`billhook.event/1`): a JSON pointer (RFC 6901) such as `/customer/country`.
    #[cfg_attr(not(target_family = "wasm"), schemars(regex(pattern = r"^(/([^/~]|~[01])*)+$")))]
    pub pointer: String,
    /// It is this. A number is equal to any spelling of it, as a number or as a text: 5 to 5.0 and to "5".
    #[serde(default)]
    pub equals: Option<Literal>,
    /// It is one of these.
    #[serde(default)]
    #[cfg_attr(not(target_family = "wasm"), schemars(length(min = 1)))]
    pub one_of: Option<Vec<Literal>>,
    /// Whether it is there. Null is not.
    #[serde(default)]
    pub exists: Option<bool>,
    /// It is a number, or a text that is one, below this one. Write it as a string to have it exactly.
    #[serde(default)]
    #[cfg_attr(not(target_family = "wasm"), schemars(schema_with = "decimal_schema"))]
    pub less: Option<Number>,
    /// It is a number, or a text that is one, above this one. Write it as a string to have it exactly.
    #[serde(default)]
    #[cfg_attr(not(target_family = "wasm"), schemars(schema_with = "decimal_schema"))]
    pub greater: Option<Number>,
}

/// A pattern of types.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Pattern(pub String);

/// A value to compare with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Literal {
    /// A string.
    Text(String),
    /// A number, exactly.
    Number(Number),
    /// `true` or `false`.
    Flag(bool),
}

impl<'de> Deserialize<'de> for Literal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Literal, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let odd = || de::Error::custom(format!("`{raw}` is neither a string nor a number nor a boolean"));
        let scalar = Document::parse(raw.get().as_bytes()).ok().and_then(|document| document.json().scalar());
        match scalar.ok_or_else(odd)? {
            Scalar::Text(text) => Ok(Literal::Text(text)),
            Scalar::Bool(flag) => Ok(Literal::Flag(flag)),
            Scalar::Number(text) => Number::parse(&text).map(Literal::Number).ok_or_else(odd),
            Scalar::Null => Err(odd()),
        }
    }
}

impl Config {
    /// Says what cannot be meant, with its key. The schema refuses the same when the plugin is loaded.
    pub(crate) fn check(&self) -> Result<(), String> {
        for (list, rules) in [("keep", &self.keep), ("drop", &self.drop)] {
            for (at, rule) in rules.iter().enumerate() {
                rule.check().map_err(|(key, why)| format!("config: `{list}[{at}].{key}`: {why}"))?;
            }
        }
        Ok(())
    }
}

impl Rule {
    fn check(&self) -> Result<(), (String, String)> {
        for (at, Pattern(text)) in self.types.iter().enumerate() {
            if let Some(problem) = pattern::problem(text) {
                return Err((format!("types[{at}]"), problem));
            }
        }
        for (at, provider) in self.providers.iter().enumerate() {
            if !pattern::is_provider(provider) {
                let wrong = format!("`{provider}` is no provider's name: those are of a-z, 0-9, `-` and `_`");
                return Err((format!("providers[{at}]"), wrong));
            }
        }
        for (at, condition) in self.conditions.iter().enumerate() {
            condition.check().map_err(|why| (format!("where[{at}]"), why))?;
        }
        Ok(())
    }
}

impl Condition {
    fn check(&self) -> Result<(), String> {
        let Condition { pointer, equals, one_of, exists, less, greater } = self;
        let bad_escape = pointer.split('~').skip(1).any(|rest| !rest.starts_with(['0', '1']));
        if !pointer.starts_with('/') || bad_escape {
            return Err(format!(
                "`{pointer}` is not a JSON pointer such as `/customer/country` (`~` is written `~0`)"
            ));
        }
        if one_of.as_ref().is_some_and(Vec::is_empty) {
            return Err("`one_of` is empty, so that nothing can match".to_owned());
        }
        if equals.is_none() && one_of.is_none() && exists.is_none() && less.is_none() && greater.is_none() {
            return Err(
                "says nothing of the field: add `equals`, `one_of`, `exists`, `less` or `greater`".to_owned()
            );
        }
        Ok(())
    }
}

#[cfg(not(target_family = "wasm"))]
mod schema {
    use super::{Literal, Pattern};
    use billhook_plugin::model::kind::KINDS;
    use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
    use std::borrow::Cow;
    use std::collections::BTreeSet;

    impl JsonSchema for Pattern {
        fn schema_name() -> Cow<'static, str> {
            "Pattern".into()
        }

        fn json_schema(_: &mut SchemaGenerator) -> Schema {
            let families: BTreeSet<_> = KINDS
                .iter()
                .filter_map(|kind| kind.split_once('.'))
                .map(|(family, _)| format!("{family}.*"))
                .collect();
            let mut patterns = vec!["*".to_owned()];
            patterns.extend(families);
            patterns.extend(KINDS.iter().map(|kind| (*kind).to_owned()));
            json_schema!({
                "description": "A canonical type, `family.*`, `*` (all but `provider.*`), `provider/NAME` or `provider/*`.",
                "type": "string",
                "if": { "pattern": "/" },
                "then": { "pattern": "^[a-z0-9_-]+/([*]|[^*]+)$" },
                "else": { "enum": patterns },
            })
        }
    }

    impl JsonSchema for Literal {
        fn schema_name() -> Cow<'static, str> {
            "Literal".into()
        }

        fn json_schema(_: &mut SchemaGenerator) -> Schema {
            json_schema!({
                "description": "A string, a number or a boolean.",
                "type": ["string", "number", "boolean"],
            })
        }
    }

    pub(super) fn decimal_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["number", "string", "null"], "pattern": "^-?[0-9]+([.][0-9]+)?$" })
    }
}

#[cfg(not(target_family = "wasm"))]
use schema::decimal_schema;
