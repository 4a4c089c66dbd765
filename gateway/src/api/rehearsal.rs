//! Rehearsals: what another plugin would make of webhooks, held against what was made of them.

use crate::api::text;
use crate::model::Time;
use crate::model::id::WebhookId;
use billhook_event::PluginRef;
use serde::{Deserialize, Serialize};

/// What `POST /api/v1/rehearsals` takes as its query; its body is the component. Nothing is committed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RehearsalQuery {
    /// The plugin whose place the candidate takes, with its configuration and grants. Without it, the one of the
    /// name in the candidate's manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
    /// Only webhooks that arrived then or later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// Only webhooks that arrived then or before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    /// Only of this source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Only webhooks with an event of this canonical type.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Only webhooks with an event that was owed to this endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// `dispatched` or `dead`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Webhooks that are put through it at most: 1 to 1,000, 200 if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

/// What came of a rehearsal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rehearsal {
    /// The candidate.
    pub plugin: PluginRef,
    /// Of how many webhooks it would make the same.
    pub same: u64,
    /// Of how many it would make something else.
    pub differ: u64,
    /// For how many it fails, or a plugin after it.
    pub failed: u64,
    /// How many were passed over: their source does not use what it stands in for.
    pub elsewhere: u64,
    /// Whether there are more that were not looked at.
    pub more: bool,
    /// What changes, the most frequent first; at most 50.
    pub changes: Vec<Grouped>,
    /// The first webhooks with a difference or failure; at most 20.
    pub examples: Vec<Rehearsed>,
}

/// How the shadows of all sources have done since the start.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Shadows {
    /// By the source's name.
    pub items: Vec<Shadow>,
}

/// How the shadow of a source has done since the start, or since it has this version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shadow {
    /// The source.
    pub source: String,
    /// The shadow.
    pub plugin: PluginRef,
    /// Webhooks of which it made the same.
    pub same: u64,
    /// Webhooks of which it made something else.
    pub differ: u64,
    /// Webhooks at which it, or a plugin after it, failed.
    pub failed: u64,
    /// The last webhooks that are not the same, newest first; at most 20.
    pub latest: Vec<String>,
}

/// A change and how often it is seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Grouped {
    /// How many events.
    pub count: u64,
    /// The change; of a field its pointer alone.
    #[serde(flatten)]
    pub part: Part,
}

/// A webhook of which the candidate makes something else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rehearsed {
    /// Which.
    #[serde(with = "text")]
    pub webhook: WebhookId,
    /// Its source.
    pub source: String,
    /// When it came.
    pub received_at: Time,
    /// What is different.
    #[serde(flatten)]
    pub compared: Compared,
}

/// What another plugin makes of a webhook, held against what was made of it; its name is the field `compared`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "compared", rename_all = "snake_case")]
pub enum Compared {
    /// The same events, strategies and routes.
    Same,
    /// Others.
    Differs {
        /// The first of them.
        differences: Vec<Difference>,
        /// How many there are beyond.
        #[serde(default, skip_serializing_if = "is_zero")]
        more: u32,
    },
    /// It failed, or a plugin after it.
    Failed {
        /// Why.
        why: String,
    },
}

/// One thing that differs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// The place of the event in its webhook, from 0.
    pub event: u32,
    /// What of it.
    #[serde(flatten)]
    pub part: Part,
}

/// What of an event differs; its name is the field `what`. Absent is: not there. Values are JSON text, cut to 120
/// characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Part {
    /// The webhook gives no such event any more.
    Gone {
        /// Its canonical type.
        #[serde(rename = "type")]
        kind: String,
    },
    /// The webhook gives one event more.
    New {
        /// Its canonical type.
        #[serde(rename = "type")]
        kind: String,
    },
    /// Its canonical type.
    Type {
        /// Before.
        before: String,
        /// After.
        after: String,
    },
    /// Whether it is dropped, and why.
    Dropped {
        /// Why it was.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<String>,
        /// Why it would be.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<String>,
    },
    /// The strategy to try first.
    Strategy {
        /// Before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<String>,
        /// After.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<String>,
    },
    /// Where it goes, by the names of endpoints.
    Route {
        /// Those that would get it now.
        gained: Vec<String>,
        /// Those that would not any more.
        lost: Vec<String>,
    },
    /// The value at a JSON pointer (RFC 6901).
    Field {
        /// Where.
        pointer: String,
        /// Before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<String>,
        /// After.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<String>,
    },
}

fn is_zero(n: &u32) -> bool {
    *n == 0
}
