//! What a plugin says of itself: the text of its `plugin.toml`, which travels in the component.

pub use billhook_fixture::Kind;

use crate::model::source::{Place, SCHEMES};
use crate::model::webhook::DedupeKey;
use crate::plugins::text::{SHOWN_MAX, one_line};
use crate::plugins::{LoadError, component, grants};
use http::HeaderName;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, de};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// A manifest larger than this is refused.
const MANIFEST_BYTES_MAX: usize = 256 << 10;
/// A name or version longer than this is refused: every event carries them.
const WORD_BYTES_MAX: usize = 128;
/// At most this many calls are tried before a version takes the place of another.
const SMOKE_MAX: usize = 16;
/// A manifest asks for at most this many grants.
const GRANTS_MAX: usize = 64;

/// What a plugin says of itself.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Its own name, which the operator may change.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it is for, in a sentence.
    #[serde(default)]
    pub description: Option<String>,
    /// Who wrote it.
    #[serde(default)]
    pub authors: Vec<String>,
    /// Its licence, as an SPDX expression.
    #[serde(default)]
    pub license: Option<String>,
    /// What it can do; must be what it exports.
    pub kinds: Vec<Kind>,
    /// What it asks for, such as `kv:seen`.
    #[serde(default)]
    pub grants: Vec<String>,
    /// The providers whose webhooks it reads, with their facts.
    #[serde(default, rename = "provider")]
    pub providers: Vec<Provider>,
    /// What a version must be able to do before it takes the place of another.
    #[serde(default)]
    pub smoke: Vec<Smoke>,
}

/// A call that must succeed: of the normalizer with a webhook that has this body, or of the filter and map with an
/// event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Smoke {
    /// The body of a webhook.
    #[serde(default)]
    pub body: Option<String>,
    /// Its headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Its query, as sent.
    #[serde(default)]
    pub query: String,
    /// The provider's event name, if it is outside the body.
    #[serde(default)]
    pub event_name: Option<String>,
    /// The canonical type of the first draft that must come of it; any, if it is not said.
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
    /// Fields of a canonical event, as a JSON object; the others have values of no meaning.
    #[serde(default)]
    pub event: Option<String>,
}

/// Facts about a provider.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// The name that `source.provider` uses.
    pub name: String,
    /// What makes a webhook a duplicate: the first place that has a value. A header counts only where the signature
    /// covers it.
    #[serde(default)]
    pub dedupe: Vec<Place>,
    /// How long a key from the body is kept, at most [`DedupeKey::WINDOW_MAX`]. Default 1 h.
    #[serde(default = "an_hour", deserialize_with = "duration")]
    pub body_window: Duration,
    /// Where the time of the event is: equal bodies that have one are one event however far apart they come, and are kept
    /// as ids are.
    #[serde(default)]
    pub dated_by: Vec<Place>,
    /// Where the event's name is, if outside the body.
    #[serde(default)]
    pub event_name: Vec<Place>,
    /// Where the provider's id of the request is.
    #[serde(default)]
    pub delivery_id: Vec<Place>,
    /// Headers that carry secrets, beside what the authentication reads, in lower case.
    #[serde(default, deserialize_with = "header_names")]
    pub secret_headers: Vec<String>,
    /// Query parameters that carry secrets.
    #[serde(default, deserialize_with = "query_names")]
    pub secret_query: Vec<String>,
    /// Places in the body (RFC 6901) that carry secrets.
    #[serde(default, deserialize_with = "pointers")]
    pub secret_pointers: Vec<String>,
    /// Whether the provider must be answered 200 to everything that was stored or dropped on purpose.
    #[serde(default)]
    pub always_ok: bool,
    /// How the provider proves itself, as in `source.auth`, without the secret.
    #[serde(default)]
    pub auth: Option<toml::Table>,
    /// The catalogue of its events.
    #[serde(default, rename = "event")]
    pub events: Vec<Named>,
}

/// An event of a provider.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Named {
    /// The provider's own name.
    pub name: String,
    /// The canonical type it becomes.
    #[serde(rename = "type")]
    pub kind: String,
    /// A body that the provider sends, as JSON text.
    #[serde(default)]
    pub example: Option<String>,
}

fn an_hour() -> Duration {
    Duration::from_secs(60 * 60)
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text)
        .map_err(|error| de::Error::custom(format!("`{text}` is not a duration such as `1h`: {error}")))
}

/// Names as arrivals have them: in another spelling they would hide nothing.
fn header_names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    each(deserializer, |name| match name.parse::<HeaderName>() {
        Ok(name) => Ok(name.as_str().to_owned()),
        Err(_) => Err(format!("`{name}` is not the name of a header")),
    })
}

fn query_names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    each(deserializer, |name| match name.is_empty() {
        false => Ok(name),
        true => Err("a name in `secret_query` is empty".to_owned()),
    })
}

fn pointers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    each(deserializer, |pointer| match pointer.starts_with('/') {
        true => Ok(pointer),
        false => Err(format!("`{pointer}` is not a JSON pointer: begin it with `/`, as in `/api_key`")),
    })
}

fn each<'de, D: Deserializer<'de>>(
    deserializer: D,
    read: impl Fn(String) -> Result<String, String>,
) -> Result<Vec<String>, D::Error> {
    let written = Vec::<String>::deserialize(deserializer)?;
    written.into_iter().map(read).collect::<Result<_, _>>().map_err(de::Error::custom)
}

impl Manifest {
    /// What it says of the provider `name`, if it names it.
    pub fn provider(&self, name: &str) -> Option<&Provider> {
        self.providers.iter().find(|provider| provider.name == name)
    }

    /// The manifest in the bytes of a component, which `plugin` names in errors.
    pub fn of(plugin: &str, component: &[u8]) -> Result<Manifest, LoadError> {
        Manifest::read(plugin, component::read(plugin, component)?.manifest)
    }

    /// Reads a manifest, and holds against each other what it says.
    pub(super) fn read(plugin: &str, bytes: &[u8]) -> Result<Manifest, LoadError> {
        let wrong =
            |why: String| LoadError::Manifest { plugin: plugin.to_owned(), why: one_line(&why, SHOWN_MAX) };
        if bytes.len() > MANIFEST_BYTES_MAX {
            return Err(wrong(format!("has {} bytes, more than {MANIFEST_BYTES_MAX}", bytes.len())));
        }
        let text = std::str::from_utf8(bytes).map_err(|error| wrong(format!("is not UTF-8: {error}")))?;
        let manifest: Manifest =
            toml::from_str(text).map_err(|error| wrong(format!("is wrong: {}", told(text, &error))))?;
        manifest.check().map_err(wrong)?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), String> {
        for (key, word) in [("name", &self.name), ("version", &self.version)] {
            if word.is_empty() || one_line(word, WORD_BYTES_MAX) != *word {
                return Err(format!(
                    "has a `{key}` that is empty, longer than {WORD_BYTES_MAX} bytes or not one line"
                ));
            }
        }
        if self.kinds.is_empty() {
            return Err("names no kinds".to_owned());
        }
        if self.grants.len() > GRANTS_MAX {
            return Err(format!("asks for {} grants, more than {GRANTS_MAX}", self.grants.len()));
        }
        if let Some(problem) = self.grants.iter().find_map(|grant| grants::problem(grant)) {
            return Err(problem);
        }
        for (at, provider) in self.providers.iter().enumerate() {
            if self.providers[..at].iter().any(|before| before.name == provider.name) {
                return Err(format!("has two entries `[[provider]]` of the name `{}`", provider.name));
            }
            if provider.body_window > DedupeKey::WINDOW_MAX {
                let days = DedupeKey::WINDOW_MAX.as_secs() / (24 * 60 * 60);
                return Err(format!("has a `body_window` of provider `{}` over {days} days", provider.name));
            }
            if let Some(why) = provider.auth.as_ref().and_then(auth_problem) {
                return Err(format!("has an `auth` of provider `{}` {why}", provider.name));
            }
            if let Some(named) =
                provider.events.iter().find(|named| !billhook_event::kind::is_known(&named.kind))
            {
                let Named { name, kind, .. } = named;
                return Err(format!(
                    "maps `{name}` of provider `{}` to `{kind}`, which is no canonical type",
                    provider.name
                ));
            }
        }
        for (provider, named) in
            self.providers.iter().flat_map(|p| p.events.iter().map(move |named| (p, named)))
        {
            if let Some(Err(error)) = named.example.as_deref().map(serde_json::from_str::<IgnoredAny>) {
                let (name, provider) = (&named.name, &provider.name);
                return Err(format!(
                    "has an `example` of `{name}` of provider `{provider}` that is not JSON: {error}"
                ));
            }
        }
        if self.smoke.len() > SMOKE_MAX {
            return Err(format!("has {} entries `[[smoke]]`, more than {SMOKE_MAX}", self.smoke.len()));
        }
        for smoke in &self.smoke {
            smoke.check(&self.kinds)?;
        }
        match self.providers.first() {
            Some(provider) if !self.kinds.contains(&Kind::Normalize) => {
                Err(format!("has facts of provider `{}`, but the plugin is no normalizer", provider.name))
            }
            _ => Ok(()),
        }
    }
}

/// What is wrong with a preset, whose other keys are held against its scheme where a source takes them.
fn auth_problem(auth: &toml::Table) -> Option<String> {
    match auth.get("scheme").map(toml::Value::as_str) {
        Some(Some(scheme)) if SCHEMES.contains(&scheme) => None,
        Some(Some(scheme)) => {
            Some(format!("with `{scheme}`, which is no scheme: write one of {}", SCHEMES.join(", ")))
        }
        _ => Some(format!("without a `scheme`: write one of {}", SCHEMES.join(", "))),
    }
}

impl Smoke {
    fn check(&self, kinds: &[Kind]) -> Result<(), String> {
        if let Some(kind) = self.kind.as_ref().filter(|kind| !billhook_event::kind::is_known(kind)) {
            return Err(format!("has a `[[smoke]]` of type `{kind}`, which is no canonical type"));
        }
        let has = |wanted: &[Kind]| kinds.iter().any(|kind| wanted.contains(kind));
        let is_object = |text: &str| serde_json::from_str::<serde_json::Map<String, Value>>(text).is_ok();
        let wrong = match (&self.body, &self.event) {
            (Some(_), None) if !has(&[Kind::Normalize]) => "has a `body`, but the plugin is no normalizer",
            (None, Some(_)) if !has(&[Kind::Filter, Kind::Map]) => {
                "has an `event`, but the plugin is neither a filter nor a map"
            }
            (None, Some(event)) if !is_object(event) => "has an `event` that is no JSON object",
            (Some(_), None) | (None, Some(_)) => return Ok(()),
            _ => "needs a `body` for a normalizer, or an `event` for a filter or map, and not both",
        };
        Err(format!("has a `[[smoke]]` that {wrong}"))
    }
}

/// The message of a TOML error in one line, with its place.
fn told(text: &str, error: &toml::de::Error) -> String {
    match error.span() {
        Some(span) => {
            let line =
                text.as_bytes()[..span.start.min(text.len())].iter().filter(|b| **b == b'\n').count() + 1;
            format!("line {line}: {}", error.message().replace('\n', ", "))
        }
        None => error.message().replace('\n', ", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = r#"
        name = "flexpay"
        version = "0.1.0"
        kinds = ["normalize"]
        grants = []
        [[provider]]
        name = "flexpay"
        dedupe = ["header:Webhook-Id", "body"]
        body_window = "72h"
        dated_by = ["pointer:/at"]
        event_name = ["path"]
        delivery_id = ["header:webhook-id"]
        secret_headers = ["X-Token"]
        secret_query = ["key"]
        secret_pointers = ["/api_key"]
        always_ok = true
        auth = { scheme = "standard-webhooks" }
        [[provider.event]]
        name = "subscription.started"
        type = "subscription.activated"
        example = '{"event_type": "subscription.started"}'
    "#;

    #[test]
    fn a_manifest_gives_the_facts_of_its_providers() {
        let manifest = Manifest::read("p", WHOLE.as_bytes()).unwrap();
        let provider = &manifest.providers[0];
        assert_eq!(manifest.kinds, [Kind::Normalize]);
        assert_eq!(provider.dedupe, [Place::Header("webhook-id".to_owned()), Place::Body]);
        assert_eq!(provider.secret_headers, ["x-token"], "as arrivals have it");
        assert_eq!(provider.body_window, Duration::from_secs(72 * 60 * 60));
        assert_eq!(provider.dated_by, [Place::Pointer("/at".to_owned())]);
        assert_eq!(provider.auth.as_ref().unwrap()["scheme"].as_str(), Some("standard-webhooks"));
        assert_eq!(provider.events[0].kind, "subscription.activated");
        assert!(provider.always_ok);
    }

    #[test]
    fn mistakes_of_a_manifest_are_told_with_their_place() {
        let cases = [
            ("name = \"x\"", "name = \"x\"\nversion = \"1\"", "missing field `kinds`"),
            ("kinds = [\"normalize\"]", "kinds = [\"normalise\"]", "line 4: unknown variant `normalise`"),
            ("kinds = [\"normalize\"]", "kinds = []", "names no kinds"),
            ("grants = []", "grants = [\"kv:a\", \"disk:b\"]", "asks for `disk:b`, which is no grant"),
            ("kinds = [\"normalize\"]", "kinds = [\"filter\"]", "facts of provider `flexpay`"),
            ("always_ok", "allways_ok", "line 16: unknown field `allways_ok`"),
            ("\"72h\"", "\"72 bananas\"", "`72 bananas` is not a duration such as `1h`"),
            ("\"72h\"", "\"181days\"", "a `body_window` of provider `flexpay` over 180 days"),
            ("\"header:Webhook-Id\"", "\"heder:x\"", "`heder:x` is not a place"),
            ("\"header:Webhook-Id\"", "\"header:Webhook Id\"", "`header:Webhook Id` is not a place"),
            ("\"X-Token\"", "\"x token\"", "line 13: `x token` is not the name of a header"),
            ("\"key\"", "\"\"", "line 14: a name in `secret_query` is empty"),
            ("\"/api_key\"", "\"api_key\"", "line 15: `api_key` is not a JSON pointer: begin it with `/`"),
            (
                "\"standard-webhooks\"",
                "\"hmak\"",
                "an `auth` of provider `flexpay` with `hmak`, which is no scheme: write one of standard-webhooks,",
            ),
            ("{ scheme = ", "{ sceme = ", "an `auth` of provider `flexpay` without a `scheme`"),
            (
                "type = \"subscription.activated\"",
                "type = \"subscription.begun\"",
                "`subscription.begun`, which is no canonical type",
            ),
            (
                "'{\"event_type\"",
                "'{event_type",
                "an `example` of `subscription.started` of provider `flexpay` that is not JSON",
            ),
            (
                "version = \"0.1.0\"",
                "version = \"0\\u001b[31m\"",
                "has a `version` that is empty, longer than 128 bytes",
            ),
            ("name = \"flexpay\"", "name = ", "line 2"),
            ("grants = []", "\"\\u001b[31m\\n\" = 1", r"unknown field `\u{1b}[31m"),
        ];
        for (from, to, expected) in cases {
            let text = if from == "name = \"x\"" { to.to_owned() } else { WHOLE.replacen(from, to, 1) };
            let error = Manifest::read("my-plugin", text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert!(error.starts_with("plugin `my-plugin`: its manifest "), "{error}");
        }
    }

    #[test]
    fn a_smoke_test_must_be_one_that_the_plugin_can_pass() {
        let cases = [
            ("[[smoke]]\nbody = '{}'\ntype = 'invoice.paid'\nheaders = { a = 'b' }", ""),
            ("[[smoke]]", "needs a `body` for a normalizer, or an `event`"),
            ("[[smoke]]\nbody = ''\nevent = '{}'", "and not both"),
            ("[[smoke]]\nevent = '{}'", "has an `event`, but the plugin is neither a filter nor a map"),
            ("[[smoke]]\nbodi = ''", "unknown field `bodi`"),
            ("[[smoke]]\nbody = ''\ntype = 'invoice.eaten'", "`invoice.eaten`, which is no canonical type"),
            ("[[provider]]\nname = 'flexpay'", "has two entries `[[provider]]` of the name `flexpay`"),
        ];
        for (smoke, expected) in cases {
            let told = Manifest::read("p", format!("{WHOLE}\n{smoke}").as_bytes());
            let told = told.map_err(|error| error.to_string()).err().unwrap_or_default();
            assert!(told.contains(expected) && told.is_empty() == expected.is_empty(), "{smoke}: {told}");
        }
        let map = "name='m'\nversion='1'\nkinds=['map']\n[[smoke]]\n";
        let told =
            |smoke: &str| Manifest::read("p", format!("{map}{smoke}").as_bytes()).unwrap_err().to_string();
        assert!(told("body='{}'").contains("the plugin is no normalizer"));
        assert!(told("event='[]'").contains("is no JSON object"));
        assert!(told(&"event='{}'\n[[smoke]]\n".repeat(20)).contains("more than 16"));
    }
}
