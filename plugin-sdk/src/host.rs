//! The gateway around the plugin: its clock, its log, and the handles behind [`crate::Webhook`], [`crate::Event`],
//! [`crate::Request`], [`crate::Outgoing`], [`crate::Secret`], [`crate::Bucket`] and [`crate::HttpRequest`].
//!
//! [`component`](self) is what a component calls; `sample` stands in for it in native tests.

#[cfg(target_family = "wasm")]
mod component;
#[cfg(target_family = "wasm")]
use component as backing;
#[cfg(target_family = "wasm")]
pub(crate) use component::{
    BucketHost, EventHost, HttpHost, OutgoingHost, RequestHost, SecretHost, WebhookHost,
};

#[cfg(not(target_family = "wasm"))]
mod sample;
#[cfg(not(target_family = "wasm"))]
use sample as backing;
#[cfg(not(target_family = "wasm"))]
pub(crate) use sample::{
    BucketHost, EventHost, HttpHost, OutgoingHost, RequestHost, SecretHost, WebhookHost, set_now,
};

use billhook_event::Time;

/// How loud a line of the log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Every step.
    Trace,
    /// For whoever writes the plugin.
    Debug,
    /// Worth knowing.
    Info,
    /// Odd, and handled.
    Warn,
    /// Somebody must act.
    Error,
}

/// When this run began. It does not move while a call runs, and a rerun may set it: it is the only clock.
///
/// Natively it is what a sample's `now` set on this thread, at first [`Time::ZERO`].
pub fn now() -> Time {
    backing::now()
}

/// Writes a line to the gateway's log, which keeps at most 100 lines of 8 KiB for each call. Natively: stderr.
pub fn log(level: Level, message: &str, fields: &[(&str, &str)]) {
    backing::log(level, message, fields);
}
