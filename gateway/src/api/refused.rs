//! Refused requests, and taking them after all.

use crate::api::webhook::Header;
use crate::api::{Content, text};
use crate::model::Time;
use crate::model::id::{RefusedId, WebhookId};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// What `GET /api/v1/refused` takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefusedQuery {
    /// Only of this source; `-` for requests that no source was found for, `/` for those to other paths than the
    /// gateway's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Rows of the page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// A request that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// `rfs_...`.
    #[serde(with = "text")]
    pub id: RefusedId,
    /// The source that refused it; `-` if none was found.
    pub source: String,
    /// When it arrived.
    pub at: Time,
    /// Why it was refused.
    pub cause: String,
    /// Where the sender's connection came from.
    pub remote: IpAddr,
    /// The path, as sent.
    pub path: String,
    /// The query without its secrets.
    pub query: String,
    /// The headers without those that carry secrets.
    pub headers: Vec<Header>,
    /// Where in headers and query something stood that is kept as a hash alone: `header:NAME`, `query:NAME`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hidden: Vec<String>,
    /// How many bytes of its body are kept.
    pub body_bytes: u64,
    /// Whether that is all of it: only then can it be retried.
    pub whole: bool,
}

/// A refused request with what was kept of its body. The answer of `GET /api/v1/refused/{id}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedDetail {
    /// The request.
    pub refused: Refused,
    /// Its body, or the beginning of it.
    pub body: Content,
}

/// A refused request was taken after all. The answer of `POST /api/v1/refused/{id}/retry`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readmitted {
    /// What it is now, or what the same webhook was stored as before.
    #[serde(with = "text")]
    pub webhook: WebhookId,
    /// Whether the same webhook was stored before.
    pub duplicate: bool,
}
