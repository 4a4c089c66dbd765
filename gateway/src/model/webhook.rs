//! A webhook: exactly what arrived, less what redaction removed.

use crate::model::id::WebhookId;
use billhook_event::{Time, Verified};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::time::Duration;

/// A header: name in lower case, value as bytes.
pub type Header = (String, Vec<u8>);

/// A webhook on its way into the store.
#[derive(Clone, Debug)]
pub struct NewWebhook {
    /// What it will be called.
    pub id: WebhookId,
    /// Everything but the body.
    pub head: WebhookHead,
    /// The body after redaction.
    pub body: Bytes,
    /// What makes a second arrival a duplicate; `None`: every arrival is new.
    pub key: Option<DedupeKey>,
}

/// What makes a second arrival of the same webhook a duplicate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DedupeKey {
    /// SHA-256 over the source, the rule that gave the key and the key, cut to 16 bytes.
    pub hash: [u8; 16],
    /// Until when an arrival with the same key is a duplicate.
    pub until: Time,
}

impl DedupeKey {
    /// The longest that a key is kept: half a year, longer than any provider sends again.
    pub const WINDOW_MAX: Duration = Duration::from_secs(180 * 24 * 60 * 60);
}

/// Everything of a webhook but its body.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WebhookHead {
    /// The configured source.
    pub source: String,
    /// The provider of the source at that time.
    pub provider: String,
    /// When it came.
    pub received_at: Time,
    /// When an operator had it taken, if it was refused when it came.
    pub taken_at: Option<Time>,
    /// What followed `/in/{source}` in the path, without the leading `/`.
    pub path: String,
    /// The query without its secrets, as sent.
    pub query: String,
    /// The headers without those that carry secrets.
    pub headers: Vec<Header>,
    /// The provider's event name where the source's rule found it outside the body.
    pub event_name: Option<String>,
    /// The provider's id of the request.
    pub delivery_id: Option<String>,
    /// How the sender proved itself.
    pub verified: Verified,
    /// SHA-256 of the body as it arrived, before redaction.
    pub sha256: [u8; 32],
    /// Length of the stored body in bytes.
    pub body_len: u64,
    /// Where the sender's connection came from.
    pub remote: Option<std::net::IpAddr>,
}

impl WebhookHead {
    /// Of a webhook that is nothing but its body: it has no path, query, header, name or id, and nobody proved anything.
    pub fn of(source: &str, provider: &str, received_at: Time, body: &[u8]) -> WebhookHead {
        WebhookHead {
            source: source.to_owned(),
            provider: provider.to_owned(),
            received_at,
            taken_at: None,
            path: String::new(),
            query: String::new(),
            headers: Vec::new(),
            event_name: None,
            delivery_id: None,
            verified: Verified::None,
            sha256: Sha256::digest(body).into(),
            body_len: body.len() as u64,
            remote: None,
        }
    }

    /// The first value of a header, as text; `name` in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let value = self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v)?;
        std::str::from_utf8(value).ok()
    }
}

/// What the store answered to a new webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// It is stored.
    New,
    /// Its key was seen before; nothing was stored.
    Duplicate {
        /// The webhook that came first.
        first: WebhookId,
        /// Whether the body is the same, by two bytes of its hash; `false` is a conflict, which is counted.
        same_body: bool,
    },
}

/// Where a webhook stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum WebhookState {
    /// Waits for the pipeline. The dispatch pass moves it on; after a crash it is found again.
    Undispatched {
        /// Runs that failed, and unclean ends of the process while it was in the pipeline.
        failures: u32,
        /// When it is next due.
        due: Time,
        /// Why the last run failed.
        last: Option<String>,
    },
    /// Its events and deliveries are stored.
    Dispatched {
        /// How many events it gave.
        events: u32,
        /// When.
        at: Time,
    },
    /// The pipeline gave up; only a redrive moves it on.
    Dead {
        /// Why.
        why: String,
        /// When.
        at: Time,
    },
}
