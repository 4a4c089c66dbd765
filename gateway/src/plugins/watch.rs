//! What one call used and said, for the tools of plugin authors.
//!
//! Nothing is kept of a call that nobody watches.

use crate::plugins::bindings::host::billhook::plugin::log::Level;
use std::cell::RefCell;
use std::future::Future;
use std::time::Duration;

/// What one call used and said.
#[derive(Clone, Debug, Default)]
pub struct Usage {
    /// Time on the processor.
    pub cpu: Duration,
    /// Bytes of all its memories together, at most.
    pub memory: usize,
    /// Instructions of WebAssembly, as wasmtime's fuel counts them; with [`crate::plugins::Plugins::start_counting`]
    /// only. The same call gives the same number.
    pub instructions: Option<u64>,
    /// Calls of host functions.
    pub host_calls: u32,
    /// Its lines in the log, within the limits of a call.
    pub log: Vec<LogLine>,
    /// Lines of the log over the limit.
    pub log_lines_dropped: usize,
    /// The last of what it wrote to standard output.
    pub stdout: String,
    /// The last of what it wrote to standard error.
    pub stderr: String,
}

/// A line of a plugin's log, made fit to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// `trace`, `debug`, `info`, `warn` or `error`.
    pub level: &'static str,
    /// What it says.
    pub message: String,
    /// Its fields, as `name=value name=value`.
    pub fields: String,
}

tokio::task_local! {
    static WATCHED: RefCell<Usage>;
}

/// Makes a call of a plugin and tells what it used. Of several calls the figures are those of the last.
pub async fn watched<T>(call: impl Future<Output = T>) -> (T, Usage) {
    let watched = async {
        let answer = call.await;
        (answer, WATCHED.with(RefCell::take))
    };
    WATCHED.scope(RefCell::default(), watched).await
}

/// Whether somebody watches this call.
pub(super) fn is_on() -> bool {
    WATCHED.try_with(|_| ()).is_ok()
}

/// Notes something, if somebody watches.
pub(super) fn note(noting: impl FnOnce(&mut Usage)) {
    // Outside of `watched` there is nothing to note it in.
    let _ = WATCHED.try_with(|usage| noting(&mut usage.borrow_mut()));
}

/// Notes a line of the log.
pub(super) fn log(level: Level, message: &str, fields: &str) {
    let level = match level {
        Level::Trace => "trace",
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warn => "warn",
        Level::Error => "error",
    };
    note(|usage| {
        usage.log.push(LogLine { level, message: message.to_owned(), fields: fields.to_owned() });
    });
}
