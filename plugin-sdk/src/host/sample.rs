//! Samples in memory, for native tests.

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
use billhook_event::Time;
use std::cell::Cell;

thread_local! {
    static NOW: Cell<Time> = const { Cell::new(Time::ZERO) };
}

pub(crate) fn set_now(now: Time) {
    NOW.set(now);
}

pub(super) fn now() -> Time {
    NOW.get()
}

pub(super) fn log(level: Level, message: &str, fields: &[(&str, &str)]) {
    eprintln!("{level:?} {message} {fields:?}");
}

/// Every value of a header.
fn values(headers: &[(String, Vec<u8>)], name: &str) -> Vec<Vec<u8>> {
    let same = |(key, _): &&(String, Vec<u8>)| key.eq_ignore_ascii_case(name);
    headers.iter().filter(same).map(|(_, value)| value.clone()).collect()
}
