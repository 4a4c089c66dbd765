//! Jobs: what is sent again, redriven or reprocessed in bulk.

use crate::api::text;
use crate::model::Time;
use crate::model::id::JobId;
use serde::{Deserialize, Serialize};

/// What `POST /api/v1/jobs` takes, and `POST /api/v1/jobs/count`, which only counts. Everything for which all that is
/// set holds is moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewJob {
    /// What is done.
    pub what: What,
    /// Of webhooks that arrived then or later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// Of webhooks that arrived then or before; never after the job was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    /// Of this source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Events of this canonical type; webhooks with one.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Deliveries to this endpoint; webhooks with an event that was owed to it. Its name, or its `ep_...`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Of a resend: `delivered`, `skipped` or `dead`; of a reprocess: `dispatched` or `dead`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Such as `100/s`, which it is if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<String>,
    /// Of a reprocess: whether events that stay as they are are sent again too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub resend: bool,
}

/// What a job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// Sends deliveries that have ended again.
    Resend,
    /// Sends dead deliveries again.
    Redrive,
    /// Puts webhooks through the pipeline again.
    Reprocess,
}

/// A job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// `job_...`.
    #[serde(with = "text")]
    pub id: JobId,
    /// What was asked for.
    pub asked: NewJob,
    /// When.
    pub created: Time,
    /// Where it stands.
    #[serde(flatten)]
    pub state: JobState,
    /// How many deliveries, or webhooks, it has looked at.
    pub looked: u64,
    /// How many of them it has moved.
    pub moved: u64,
}

/// Where a job stands; its name is the field `status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum JobState {
    /// It goes on.
    Running,
    /// Everything was looked at.
    Done {
        /// When.
        at: Time,
    },
    /// An operator ended it; what was moved stays moved.
    Canceled {
        /// When.
        at: Time,
    },
}

/// What `GET /api/v1/jobs` takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobQuery {
    /// The `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Rows of the page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// What a job would move. The answer of `POST /api/v1/jobs/count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// How many.
    pub count: u64,
    /// Whether it may be more: the count was ended early.
    pub more: bool,
}
