//! Samples in memory, for native tests.

mod event;
mod webhook;

pub(crate) use event::EventHost;
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
