//! An attempt: one HTTP try of a delivery, and how it ended.

use billhook_event::Time;
use serde::{Deserialize, Serialize};
use std::{fmt, time::Duration};

/// One HTTP try of a delivery.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// 1 for the first of its delivery.
    pub n: u32,
    /// When it began.
    pub at: Time,
    /// How long it took.
    pub took: Duration,
    /// How it ended.
    pub outcome: Outcome,
    /// Whether it was a trial of a closed gate, which does not use up the schedule.
    pub trial: bool,
    /// The `webhook-id` that was sent.
    pub webhook_id: String,
    /// The wait that the receiver asked for.
    pub retry_after: Option<Duration>,
    /// The beginning of the answer's body, at most [`ANSWER_BYTES_MAX`] bytes.
    pub answer: Vec<u8>,
}

impl Attempt {
    /// How many bytes its answer and the reason of its outcome have.
    pub fn text_bytes(&self) -> usize {
        let why = match &self.outcome {
            Outcome::Delivered { .. } | Outcome::Failed(Failure::Status(_) | Failure::Timeout) => 0,
            Outcome::Skipped(why)
            | Outcome::Failed(
                Failure::Connect(why)
                | Failure::Resolve(why)
                | Failure::Forbidden(why)
                | Failure::Broken(why)
                | Failure::Unreadable(why)
                | Failure::Exhausted(why)
                | Failure::Plugin { why, .. },
            ) => why.len(),
        };
        self.answer.len() + why
    }
}

/// The most of an answer's body that is read and kept.
pub const ANSWER_BYTES_MAX: usize = 20_000;

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Outcome {
    /// The endpoint took it: a 2xx, or 200 where nothing else is success, whatever became of its body.
    Delivered {
        /// The status.
        status: u16,
    },
    /// It did not.
    Failed(Failure),
    /// Nothing was sent, since what there is to send would be worth nothing to the endpoint; why.
    Skipped(String),
}

/// Why an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Failure {
    /// A status that is no success; redirects are not followed.
    Status(u16),
    /// No whole answer header in time.
    Timeout,
    /// No connection.
    Connect(String),
    /// The name did not resolve.
    Resolve(String),
    /// The address policy forbids where it points.
    Forbidden(String),
    /// The connection broke or spoke nonsense.
    Broken(String),
    /// What is to be sent cannot be read back. Not the endpoint's fault: its gate does not count it.
    Unreadable(String),
    /// A plugin of the endpoint gave no answer. Not the endpoint's fault either.
    Plugin {
        /// Which, and why.
        why: String,
        /// How often in a row, this time counted.
        failures: u32,
        /// Whether it is not asked again.
        ends: bool,
    },
    /// The system gave the gateway no descriptor to connect with. Not the endpoint's fault either.
    Exhausted(String),
}

impl Failure {
    /// Whether the receiver is overloaded: 429, 502, 504 or a timeout (Standard Webhooks 1.0.0).
    pub fn is_overload(&self) -> bool {
        matches!(self, Failure::Timeout | Failure::Status(429 | 502 | 504))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Status(status) => write!(f, "HTTP {status}"),
            Failure::Timeout => f.write_str("timeout"),
            Failure::Connect(why) => write!(f, "cannot connect: {why}"),
            Failure::Resolve(why) => write!(f, "cannot resolve: {why}"),
            Failure::Forbidden(why) => write!(f, "forbidden address: {why}"),
            Failure::Broken(why) => write!(f, "broken connection: {why}"),
            Failure::Unreadable(why) => write!(f, "nothing to send: {why}"),
            Failure::Plugin { why, .. } => f.write_str(why),
            Failure::Exhausted(why) => write!(f, "the gateway cannot connect anywhere: {why}"),
        }
    }
}
