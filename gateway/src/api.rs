//! What the admin API says and takes: the wire types that server and client share.
//!
//! They are only shapes: the server makes them of what the store keeps, the client and the command line read them.
//! Times are RFC 3339 in UTC, durations are whole numbers with the unit in their name, ids are text. Readers ignore
//! fields they do not know; requests with such are refused.

pub mod delivery;
pub mod endpoint;
pub mod event;
pub mod job;
pub mod page;
pub mod plugin;
pub mod problem;
pub mod redrive;
pub mod refused;
pub mod rehearsal;
pub mod text;
pub mod webhook;

use crate::api::event::EventStory;
use crate::api::webhook::{Run, Webhook};
use crate::model::Time;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

/// Everything about one webhook, read as one snapshot: what arrived, what plugins said, the events it gave, and
/// what became of each. The answer of `GET /api/v1/events/{id}` and `GET /api/v1/webhooks/{id}`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Story {
    /// When it was read, by the gateway's clock.
    pub read_at: Time,
    /// What arrived.
    pub webhook: Webhook,
    /// Its body after redaction; absent once it has aged out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Content>,
    /// The newest run of the pipeline; absent before the first that ended well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Run>,
    /// Its events, in order.
    pub events: Vec<EventStory>,
}

/// Bytes from outside: as text where they are UTF-8, else in base64 (RFC 4648, standard alphabet).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// They are UTF-8.
    Text(String),
    /// They are not.
    Base64(String),
}

impl Content {
    /// The form that loses nothing.
    pub fn of(bytes: &[u8]) -> Content {
        match std::str::from_utf8(bytes) {
            Ok(text) => Content::Text(text.to_owned()),
            Err(_) => Content::Base64(BASE64.encode(bytes)),
        }
    }
}

/// The answer of `GET /healthz` and `GET /readyz`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// `ok`, or why not: `stopping`, `full`, `stuck`, `failed`.
    pub status: String,
    /// The loops that have ended (`failed`) or do not go round (`stuck`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub loops: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_text_where_they_are_utf_8() {
        let cases: [(&[u8], &str); 3] = [
            (b"{\"a\":1}", r#"{"text":"{\"a\":1}"}"#),
            (&[0xff, 0x00], r#"{"base64":"/wA="}"#),
            (b"", r#"{"text":""}"#),
        ];
        for (bytes, json) in cases {
            assert_eq!(serde_json::to_string(&Content::of(bytes)).unwrap(), json);
        }
    }
}
