//! A source: a configured way in.

use crate::model::rate::Rate;
use crate::model::secret::Secret;
use ed25519_dalek::VerifyingKey;
use http::HeaderName;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A configured way in: a provider, how a sender proves itself, and the plugins after the normalizer.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its name, as in `POST /in/{name}`: 1 to 64 of `a-z`, `0-9`, `-`, `_`.
    pub name: String,
    /// The provider, which picks the normalizer and its facts.
    pub provider: String,
    /// The plugin that normalizes; `None`: the one whose manifest names the provider.
    pub normalizer: Option<String>,
    /// How a sender proves itself.
    pub auth: Auth,
    /// Where the provider's event name is, if not where the manifest says.
    pub event_type: Option<Vec<Place>>,
    /// What makes a duplicate, if not what the manifest says.
    pub dedupe: Option<Vec<Place>>,
    /// Filters and maps after the normalizer, by name, in this order.
    pub plugins: Vec<String>,
    /// The plugin whose results are recorded beside those that count, and never delivered.
    pub shadow: Option<String>,
    /// Keys that `POST /api/v1/webhooks/custom/{public_key}` takes for this source.
    pub public_keys: Vec<String>,
    /// Networks that senders must be in; empty: any.
    pub allow_from: Vec<IpNet>,
    /// How many authentic requests are taken in a time; `None`: as many as come.
    pub rate: Option<Rate>,
}

impl Source {
    /// Where it is posted to. `event_name` is where its provider's events have their name, if the source says nothing: the
    /// path may hold it, though a plugin may find it elsewhere.
    pub fn paths(&self, event_name: &[Place]) -> Vec<String> {
        let event = match &self.event_type {
            Some(own) if own[..] == [Place::Path] => "/EVENT",
            Some(own) if own.contains(&Place::Path) => "[/EVENT]",
            None if event_name.contains(&Place::Path) => "[/EVENT]",
            _ => "",
        };
        match &self.auth {
            Auth::PathKey => self.public_keys.iter().map(|key| format!("{CUSTOM_PATH}{key}")).collect(),
            _ => vec![format!("/in/{}{event}", self.name)],
        }
    }
}

/// Where a source is posted to by one of its public keys, which follows; Windback's own path.
pub const CUSTOM_PATH: &str = "/api/v1/webhooks/custom/";

/// A place in a webhook where a fact is found. Its text form is `header:NAME`, `query:NAME`, `pointer:/path`,
/// `path`, `body` or `const:VALUE`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Place {
    /// A header, by its name in lower case.
    Header(String),
    /// A value of the query.
    Query(String),
    /// A scalar in the JSON body (RFC 6901).
    Pointer(String),
    /// What follows `/in/{source}/`.
    Path,
    /// The whole body.
    Body,
    /// Always this value.
    Const(String),
}

impl TryFrom<String> for Place {
    type Error = String;

    fn try_from(text: String) -> Result<Place, String> {
        let place = match text.split_once(':') {
            Some(("header", name)) if let Ok(name) = name.parse::<HeaderName>() => {
                Place::Header(name.as_str().to_owned())
            }
            Some(("query", name)) if !name.is_empty() => Place::Query(name.to_owned()),
            Some(("pointer", path)) if path.starts_with('/') => Place::Pointer(path.to_owned()),
            Some(("const", value)) if !value.is_empty() => Place::Const(value.to_owned()),
            None if text == "path" => Place::Path,
            None if text == "body" => Place::Body,
            _ => {
                return Err(format!(
                    "`{text}` is not a place: use `header:NAME`, `query:NAME`, `pointer:/path`, `path`, `body` or \
                     `const:VALUE`"
                ));
            }
        };
        Ok(place)
    }
}

impl From<Place> for String {
    fn from(place: Place) -> String {
        match place {
            Place::Header(name) => format!("header:{name}"),
            Place::Query(name) => format!("query:{name}"),
            Place::Pointer(path) => format!("pointer:{path}"),
            Place::Path => "path".to_owned(),
            Place::Body => "body".to_owned(),
            Place::Const(value) => format!("const:{value}"),
        }
    }
}

/// What `scheme` of an `auth` may say.
pub const SCHEMES: [&str; 8] =
    ["standard-webhooks", "hmac", "basic", "header", "query", "path-key", "plugin", "none"];

/// How a sender proves itself. Secrets are lists: every live one is tried, in constant time.
#[derive(Clone, Debug)]
pub enum Auth {
    /// Standard Webhooks 1.0.0, `v1` (HMAC-SHA256) and `v1a` (ed25519), under `webhook-*` or `svix-*` headers: one
    /// signature by one of the keys is enough.
    StandardWebhooks {
        /// `whsec_` and base64, or base64 alone; for `v1`.
        secrets: Vec<Secret>,
        /// For `v1a`.
        public_keys: Vec<VerifyingKey>,
        /// How far the signed time may be off, either way.
        tolerance: Duration,
    },
    /// An HMAC in a header.
    Hmac(Hmac),
    /// HTTP Basic authentication (RFC 7617).
    Basic {
        /// The user name.
        user: String,
        /// The passwords that are taken.
        secrets: Vec<Secret>,
    },
    /// A secret header with exactly one of the values.
    Header {
        /// Its name in lower case.
        name: String,
        /// The values that are taken.
        secrets: Vec<Secret>,
    },
    /// A secret value in the query.
    Query {
        /// Its name.
        name: String,
        /// The values that are taken.
        secrets: Vec<Secret>,
    },
    /// The path must hold one of the source's public keys.
    PathKey,
    /// A plugin judges.
    Plugin {
        /// Its name.
        plugin: String,
    },
    /// Anybody may send.
    None,
}

/// The parameters of an HMAC scheme: header grammar, what is signed, how, and how far off the clock may be.
#[derive(Clone, Debug)]
pub struct Hmac {
    /// The keys, in the text form that `key` says how to decode.
    pub secrets: Vec<Secret>,
    /// The header, in lower case.
    pub header: String,
    /// How the header is built.
    pub grammar: Grammar,
    /// What is signed: text with `{body}`, `{timestamp}` and `{id}`.
    pub template: String,
    /// The header that holds the time when the grammar does not, in lower case.
    pub timestamp_header: Option<String>,
    /// The header that holds the id when the template asks for one, in lower case.
    pub id_header: Option<String>,
    /// Whether the time is in seconds or milliseconds.
    pub timestamp_unit: TimestampUnit,
    /// The hash.
    pub hash: Hash,
    /// How a secret becomes a key.
    pub key: KeyEncoding,
    /// How the MAC is written.
    pub encoding: Encoding,
    /// How far the signed time may be off, either way; `None` where no time is signed.
    pub tolerance: Option<Duration>,
}

/// The names that Standard Webhooks headers begin with: the specification's, and Svix's own.
pub const FAMILIES: [&str; 2] = ["webhook", "svix"];

impl Auth {
    /// The secrets that are taken, as they are configured; of schemes with no secret, none.
    pub fn secrets(&self) -> &[Secret] {
        match self {
            Auth::StandardWebhooks { secrets, .. } | Auth::Hmac(Hmac { secrets, .. }) => secrets,
            Auth::Basic { secrets, .. } | Auth::Header { secrets, .. } | Auth::Query { secrets, .. } => {
                secrets
            }
            Auth::PathKey | Auth::Plugin { .. } | Auth::None => &[],
        }
    }

    /// Whether the scheme may ever cover the header `name`, in lower case: only then can it name a duplicate.
    pub fn may_cover(&self, name: &str) -> bool {
        match self {
            Auth::StandardWebhooks { .. } => FAMILIES.iter().any(|family| {
                name.strip_prefix(family).is_some_and(|rest| ["-id", "-timestamp"].contains(&rest))
            }),
            Auth::Hmac(scheme) => scheme.signed_headers().any(|signed| signed == name),
            // It may vouch for the id that a header has.
            Auth::Plugin { .. } => true,
            Auth::Basic { .. } | Auth::Header { .. } | Auth::Query { .. } | Auth::PathKey | Auth::None => {
                false
            }
        }
    }
}

impl Hmac {
    /// The headers that the MAC covers, in lower case.
    pub fn signed_headers(&self) -> impl Iterator<Item = &str> {
        let covered = [("{id}", &self.id_header), ("{timestamp}", &self.timestamp_header)];
        let covered = covered.into_iter().filter(|(place, _)| self.template.contains(place));
        covered.filter_map(|(_, name)| name.as_deref())
    }
}

/// How a signature header is built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grammar {
    /// The MAC alone.
    Plain,
    /// A prefix such as `sha256=` and the MAC.
    Prefix(String),
    /// `key=value` pairs, as in `t=1614265330,v1=abc`.
    Pairs {
        /// Between the pairs: `,` or `;`.
        separator: char,
        /// The key of the time.
        timestamp: Option<String>,
        /// The key of a MAC; it may stand several times.
        signature: String,
    },
    /// The time, then one or more MACs, with `,` between.
    Positional,
}

/// The unit of a signed time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TimestampUnit {
    /// Seconds.
    S,
    /// Milliseconds.
    Ms,
}

/// The hash of an HMAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hash {
    /// SHA-1, for providers that know nothing better.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

/// How a secret's text becomes a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyEncoding {
    /// Its bytes.
    Utf8,
    /// Base64-decoded.
    Base64,
    /// Hex-decoded.
    Hex,
    /// The SHA-1 of its bytes.
    Sha1,
}

/// How a MAC is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// Hex, either case.
    Hex,
    /// Base64, standard alphabet.
    Base64,
}

/// What an authentic request proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// How.
    pub verified: billhook_event::Verified,
    /// Headers that the signature covers, in lower case: only they can name a duplicate.
    pub signed_headers: Vec<String>,
    /// The id of the request that a plugin vouches for: a header that has it counts as covered.
    pub delivery_id: Option<String>,
}
