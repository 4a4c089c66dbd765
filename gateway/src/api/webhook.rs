//! Webhooks, and what plugins said about them.

use crate::api::rehearsal::Compared;
use crate::api::{Content, text};
use crate::model::Time;
use crate::model::id::WebhookId;
use billhook_event::{PluginRef, Verified};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::net::IpAddr;

/// What `GET /api/v1/webhooks` takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookQuery {
    /// `dead`, or absent for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// The `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Rows of the page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// Exactly what arrived, less what redaction removed, and where it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Webhook {
    /// `whk_...`.
    #[serde(with = "text")]
    pub id: WebhookId,
    /// The configured source.
    pub source: String,
    /// The provider of the source at that time.
    pub provider: String,
    /// When it came.
    pub received_at: Time,
    /// When an operator had it taken, if it was refused when it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken_at: Option<Time>,
    /// Where the sender's connection came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<IpAddr>,
    /// What followed `/in/{source}` in the path, without the leading `/`.
    pub path: String,
    /// The query without its secrets.
    pub query: String,
    /// The headers without those that carry secrets, as they came.
    pub headers: Vec<Header>,
    /// The provider's event name, where it was found outside the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_name: Option<String>,
    /// The provider's id of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery_id: Option<String>,
    /// How the sender proved itself.
    pub verified: Verified,
    /// SHA-256 of the body as it arrived, in hex.
    pub sha256: String,
    /// Length of the stored body.
    pub body_bytes: u64,
    /// Duplicates that arrived since.
    pub duplicates: u32,
    /// Duplicates with another body.
    pub conflicts: u32,
    /// Where it stands.
    #[serde(flatten)]
    pub state: WebhookState,
}

/// A header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// In lower case.
    pub name: String,
    /// Its value.
    #[serde(flatten)]
    pub value: Content,
}

/// Where a webhook stands; its name is the field `state`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum WebhookState {
    /// Waits for the pipeline.
    Undispatched {
        /// Runs that failed.
        failures: u32,
        /// When the next is due.
        due: Time,
        /// Why the last one failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        last_failure: Option<String>,
    },
    /// Its events and deliveries are made.
    Dispatched {
        /// How many events it gave.
        events: u32,
        /// When.
        at: Time,
    },
    /// The pipeline gave up; a redrive runs it again.
    Dead {
        /// Why.
        why: String,
        /// When.
        at: Time,
    },
}

/// One run of the pipeline over a webhook.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Run {
    /// The time that plugins saw.
    pub now: Time,
    /// What plugins said, in order.
    pub notes: Vec<Note>,
    /// What the shadow of the source would have made of the webhook, if it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shadow: Option<Shadow>,
}

/// What a shadow plugin would have made of a webhook. Nothing of it is delivered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shadow {
    /// The shadow.
    pub plugin: PluginRef,
    /// What came of it.
    #[serde(flatten)]
    pub compared: Compared,
}

/// What one plugin said.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Note {
    /// The plugin.
    pub plugin: PluginRef,
    /// The index of the event it was asked about; absent for the normalizer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<u32>,
    /// What it did: `{"drafts": 1}`, `"keep"`, `{"drop": "why"}`, `{"patch": {}}`, `"nothing"` or
    /// `{"skipped": "why"}`.
    pub said: Said,
    /// How long the call took.
    pub took_us: u64,
}

/// What a plugin did.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// A normalizer gave this many drafts.
    Drafts(u32),
    /// A filter kept the event.
    Keep,
    /// A filter dropped the event.
    Drop(String),
    /// A map changed the event by this patch (`billhook.patch/1`).
    Patch(Box<RawValue>),
    /// A map had nothing to say.
    Nothing,
    /// It failed, and `on_failure = "skip"` went on without it.
    Skipped(String),
}
