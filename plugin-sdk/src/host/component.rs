//! The gateway's imports, as a component calls them.

mod event;
mod http;
mod kv;
mod outgoing;
mod request;
mod secret;
mod webhook;

pub(crate) use event::EventHost;
pub(crate) use http::HttpHost;
pub(crate) use kv::BucketHost;
pub(crate) use outgoing::OutgoingHost;
pub(crate) use request::RequestHost;
pub(crate) use secret::SecretHost;
pub(crate) use webhook::WebhookHost;

use super::Level;
use crate::bindings::imports as wit;
use crate::json::Scalar;
use billhook_event::Time;
use std::ops::Deref;

pub(super) fn now() -> Time {
    Time::from_millis(wit::clock::now())
}

pub(super) fn log(level: Level, message: &str, fields: &[(&str, &str)]) {
    let level = match level {
        Level::Trace => wit::log::Level::Trace,
        Level::Debug => wit::log::Level::Debug,
        Level::Info => wit::log::Level::Info,
        Level::Warn => wit::log::Level::Warn,
        Level::Error => wit::log::Level::Error,
    };
    let fields: Vec<_> = fields.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    wit::log::log(level, message, &fields);
}

/// A handle of the caller's, for the length of a call, or one of our own.
#[derive(Debug)]
enum Handle<'a, T> {
    Borrowed(&'a T),
    Owned(T),
}

impl<T> Deref for Handle<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        match self {
            Handle::Borrowed(handle) => handle,
            Handle::Owned(handle) => handle,
        }
    }
}

impl From<wit::types::Scalar> for Scalar {
    fn from(scalar: wit::types::Scalar) -> Scalar {
        match scalar {
            wit::types::Scalar::Null => Scalar::Null,
            wit::types::Scalar::Boolean(value) => Scalar::Bool(value),
            wit::types::Scalar::Number(text) => Scalar::Number(text),
            wit::types::Scalar::Text(text) => Scalar::Text(text),
        }
    }
}
