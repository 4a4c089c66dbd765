//! A replay: a job that sends again, redrives or reprocesses in bulk.

use crate::model::id::{EndpointId, JobId};
use crate::model::rate::Rate;
use billhook_event::Time;
use serde::{Deserialize, Serialize};

/// The most jobs that go on side by side.
pub const RUNNING_MAX: usize = 64;

/// A replay. It is stored as JSON, so that it may gain fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// What it does to what it selects.
    pub what: What,
    /// What it is done to.
    pub select: Select,
    /// What was configured when it was asked for; `None` where that does not matter.
    #[serde(default)]
    pub configured: Option<Configured>,
    /// How many it moves in a time.
    pub rate: Rate,
    /// When it was asked for. What came later is not part of it.
    pub created: Time,
    /// A hash of what the asker called it: asked for again under the same name, it is not done twice.
    pub key: Option<[u8; 16]>,
    /// Where it stands.
    pub state: JobState,
    /// The last id that was looked at; committed together with what was moved up to there.
    pub cursor: Option<[u8; 16]>,
    /// How many were looked at.
    pub looked: u64,
    /// How many were moved.
    pub moved: u64,
}

/// What a job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// Makes a new delivery of each that has ended.
    Resend,
    /// Makes a new delivery of each that is dead.
    Redrive,
    /// Puts webhooks through the pipeline again.
    Reprocess {
        /// Whether events that stay as they are are sent again too.
        resend: bool,
    },
}

/// What a job is done to: everything for which all that is set holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Select {
    /// The webhook arrived then or later.
    pub since: Option<Time>,
    /// The webhook arrived then or before.
    pub until: Option<Time>,
    /// It came through this source.
    pub source: Option<String>,
    /// The event is of this canonical type; of a webhook, one of its events.
    pub kind: Option<String>,
    /// The event was owed to this endpoint; of a webhook, one of its events.
    pub endpoint: Option<EndpointId>,
    /// The name of the state of the delivery, or of the webhook.
    pub state: Option<String>,
}

/// What an operator had configured. What came through another source cannot be read any more, and what is owed to
/// another endpoint cannot be sent: it is passed over, unless the endpoint was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configured {
    /// The names of the sources.
    pub sources: Vec<String>,
    /// The endpoints.
    pub endpoints: Vec<EndpointId>,
}

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobState {
    /// The replay pass takes it on, step by step; after a crash from the last step that was committed.
    Running,
    /// Everything was looked at. Final.
    Done {
        /// When.
        at: Time,
    },
    /// An operator ended it; what was moved stays moved. Final.
    Canceled {
        /// When.
        at: Time,
    },
}

impl Job {
    /// Whether it goes on.
    pub fn is_running(&self) -> bool {
        self.state == JobState::Running
    }

    /// Whether the webhooks of a source can be read.
    pub fn reads(&self, source: &str) -> bool {
        self.configured.as_ref().is_none_or(|configured| configured.sources.iter().any(|name| name == source))
    }

    /// Whether it moves deliveries to an endpoint.
    pub fn sends_to(&self, endpoint: EndpointId) -> bool {
        match self.select.endpoint {
            Some(asked) => asked == endpoint,
            None => {
                self.configured.as_ref().is_none_or(|configured| configured.endpoints.contains(&endpoint))
            }
        }
    }

    /// The last time of arrival that it looks at.
    pub fn until(&self) -> Time {
        self.select.until.unwrap_or(self.created).min(self.created)
    }

    /// Whether somebody who asks for `other` asks for the same.
    pub fn is_as(&self, other: &Job) -> bool {
        (self.what, &self.select, self.rate) == (other.what, &other.select, other.rate)
    }
}
