//! What every plugin is, the kinds that work on stored webhooks and on events, and what a call answers with.

use crate::{Event, Webhook};
use billhook_event::{Draft, Patch};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::fmt;

/// A plugin: built once per instance from its configuration.
pub trait Plugin: Sized {
    /// The configuration, a JSON object, or [`NoConfig`]. A generated test holds it against `config.schema.json`.
    type Config: DeserializeOwned + 'static;

    /// Builds the plugin. An error is the answer to the call. [`Failure::Invalid`] counts as [`Failure::Other`] here:
    /// nothing is wrong with the input, which is tried again once the configuration is right.
    fn new(config: Self::Config) -> Result<Self, Failure>;
}

/// The configuration of a plugin that has nothing to set. Its component brings no schema, so that the gateway refuses
/// every key.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoConfig {}

/// Reads a provider's webhook. The [crate's page](crate) has a whole one.
pub trait Normalize: Plugin {
    /// Zero or more drafts, in order; the gateway stamps the rest. Equal input must give equal output.
    fn normalize(&self, webhook: &Webhook<'_>) -> Result<Vec<Draft>, Failure>;
}

/// Decides whether an event goes on.
///
/// ```
/// use billhook_plugin::{Event, Failure, Filter, NoConfig, Plugin, Verdict};
///
/// struct LiveOnly;
///
/// impl Plugin for LiveOnly {
///     type Config = NoConfig;
///     fn new(_: NoConfig) -> Result<LiveOnly, Failure> {
///         Ok(LiveOnly)
///     }
/// }
///
/// impl Filter for LiveOnly {
///     fn filter(&self, event: &Event<'_>) -> Result<Verdict, Failure> {
///         Ok(match event.typed()?.livemode {
///             Some(false) => Verdict::Drop("it is of the test mode".into()),
///             _ => Verdict::Keep,
///         })
///     }
/// }
///
/// let event = Event::from_json(r#"{"type":"invoice.paid","livemode":false}"#).unwrap();
/// assert!(matches!(LiveOnly.filter(&event), Ok(Verdict::Drop(_))));
/// ```
pub trait Filter: Plugin {
    /// Keeps or drops the event.
    fn filter(&self, event: &Event<'_>) -> Result<Verdict, Failure>;
}

/// Annotates an event.
///
/// ```
/// use billhook_plugin::{Event, Failure, Map, NoConfig, Patch, Plugin};
///
/// struct Region;
///
/// impl Plugin for Region {
///     type Config = NoConfig;
///     fn new(_: NoConfig) -> Result<Region, Failure> {
///         Ok(Region)
///     }
/// }
///
/// impl Map for Region {
///     fn map(&self, event: &Event<'_>) -> Result<Option<Patch>, Failure> {
///         let Some(region) = event.text("/metadata/region") else { return Ok(None) };
///         let annotations = serde_json::value::to_raw_value(&serde_json::json!({ "region": region }))?;
///         Ok(Some(Patch { annotations: Some(annotations), ..Patch::default() }))
///     }
/// }
///
/// let event = Event::from_json(r#"{"type":"invoice.paid","metadata":{"region":"eu"}}"#).unwrap();
/// let patch = Region.map(&event).unwrap().unwrap();
/// assert_eq!(patch.annotations.unwrap().get(), r#"{"region":"eu"}"#);
/// ```
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

/// Builds a plugin from its configuration. The input of a call is not at fault where that fails, and must not be given up
/// for it.
pub(crate) fn build<P: Plugin>(config: &[u8]) -> Result<P, Failure> {
    read_config(config).and_then(P::new).map_err(|failure| match failure {
        Failure::Invalid(why) => Failure::Other(why),
        Failure::Unavailable(_) | Failure::Other(_) => failure,
    })
}

/// Reads a plugin's configuration; what does not fit is [`Failure::Invalid`] and names the key.
pub(crate) fn read_config<C: DeserializeOwned>(json: &[u8]) -> Result<C, Failure> {
    // Following the path to the key costs more than reading, and a plugin is built for every call.
    if let Ok(config) = serde_json::from_slice(json) {
        return Ok(config);
    }
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
