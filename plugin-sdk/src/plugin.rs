//! The traits that a plugin implements, and what a call answers with.

use crate::{Event, Webhook};
use billhook_event::{Draft, Patch};
use serde::de::DeserializeOwned;
use std::fmt;

/// A plugin: built once per instance from its configuration.
pub trait Plugin: Sized {
    /// The configuration, a JSON object: where there is nothing to set, a struct without fields. A generated test
    /// holds it against `config.schema.json`.
    type Config: DeserializeOwned;

    /// Builds the plugin. An error is the answer to every call of this instance.
    fn new(config: Self::Config) -> Result<Self, Failure>;
}

/// Reads a provider's webhook.
pub trait Normalize: Plugin {
    /// Zero or more drafts, in order; the gateway stamps the rest. Equal input must give equal output.
    fn normalize(&self, webhook: &Webhook<'_>) -> Result<Vec<Draft>, Failure>;
}

/// Decides whether an event goes on.
pub trait Filter: Plugin {
    /// Keeps or drops the event.
    fn filter(&self, event: &Event<'_>) -> Result<Verdict, Failure>;
}

/// Annotates an event.
pub trait Map: Plugin {
    /// What to change in the event, if anything.
    fn map(&self, event: &Event<'_>) -> Result<Option<Patch>, Failure>;
}

/// What a filter says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The event goes on.
    Keep,
    /// The event ends here, for this reason; it stays in the store.
    Drop(String),
}

/// The longest message of a [`Failure`] in bytes; what is longer is cut.
pub const FAILURE_BYTES_MAX: usize = 8 * 1024;

/// Why a call gave no answer. The text goes to the operator.
///
/// It is not an `Error`, so that every `Error` can become one: with `?` any error becomes [`Failure::Other`] with
/// its causes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The input is wrong and stays wrong: dead letter now.
    Invalid(String),
    /// Something outside failed: try again later.
    Unavailable(String),
    /// Anything else: treated as a trap, and tried again.
    Other(String),
}

impl Failure {
    /// [`Failure::Invalid`] from anything that is text.
    pub fn invalid(message: impl Into<String>) -> Failure {
        Failure::Invalid(message.into())
    }

    /// [`Failure::Unavailable`] from anything that is text.
    pub fn unavailable(message: impl Into<String>) -> Failure {
        Failure::Unavailable(message.into())
    }

    /// [`Failure::Other`] from anything that is text.
    pub fn other(message: impl Into<String>) -> Failure {
        Failure::Other(message.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Invalid(why) => write!(f, "invalid: {why}"),
            Failure::Unavailable(why) => write!(f, "unavailable: {why}"),
            Failure::Other(why) => write!(f, "{why}"),
        }
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Failure {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        Failure::Other(cut(text, FAILURE_BYTES_MAX))
    }
}

/// Reads a plugin's configuration; what does not fit is [`Failure::Invalid`] and names the key.
#[cfg(any(test, target_family = "wasm"))]
pub(crate) fn read_config<C: DeserializeOwned>(json: &[u8]) -> Result<C, Failure> {
    let mut json = serde_json::Deserializer::from_slice(json);
    serde_path_to_error::deserialize(&mut json).map_err(|error| match error.path().to_string().as_str() {
        "." => Failure::Invalid(format!("config: {}", error.inner())),
        key => Failure::Invalid(format!("config: `{key}`: {}", error.inner())),
    })
}

/// At most `bytes` bytes of `text`, cut between characters.
pub(crate) fn cut(mut text: String, bytes: usize) -> String {
    text.truncate(text.floor_char_boundary(bytes));
    text
}

#[cfg(test)]
mod tests {
    use super::{FAILURE_BYTES_MAX, Failure, cut, read_config};
    use serde::Deserialize;

    #[test]
    fn a_config_error_names_the_key() {
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Config {
            #[expect(dead_code, reason = "only read by serde")]
            limits: std::collections::BTreeMap<String, u8>,
        }
        for (json, expected) in [
            (r#"{"limits":{"a":"x"}}"#, "config: `limits.a`: invalid type: string \"x\", expected u8"),
            (r#"{"limit":{}}"#, "config: `limit`: unknown field `limit`, expected `limits`"),
            (r#"{}"#, "config: missing field `limits`"),
        ] {
            match read_config::<Config>(json.as_bytes()) {
                Err(Failure::Invalid(why)) => assert!(why.starts_with(expected), "{why}"),
                other => panic!("{json}: {other:?}"),
            }
        }
    }

    #[test]
    fn an_error_becomes_other_with_its_causes() {
        #[derive(Debug)]
        struct Outer(std::num::ParseIntError);
        impl std::fmt::Display for Outer {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("the price is unreadable")
            }
        }
        impl std::error::Error for Outer {
            fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
                Some(&self.0)
            }
        }
        let failure = Failure::from(Outer("x".parse::<u8>().unwrap_err()));
        assert_eq!(failure, Failure::other("the price is unreadable: invalid digit found in string"));
    }

    #[test]
    fn long_messages_are_cut_between_characters() {
        assert_eq!(cut("aé".repeat(FAILURE_BYTES_MAX), 2), "a");
        assert_eq!(cut("short".into(), FAILURE_BYTES_MAX), "short");
    }
}
