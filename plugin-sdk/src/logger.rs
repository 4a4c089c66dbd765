//! The macros of the crate `log` (`info!`, `warn!`, ...) write to the gateway's log, so that libraries which a plugin
//! uses are heard too. The field `target` says where a line comes from.

use crate::host::{self, Level};

struct Logger;

/// Takes the lines of this instance. Where a test has a logger of its own, that one stays.
pub(crate) fn install() {
    if log::set_logger(&Logger).is_ok() {
        log::set_max_level(log::LevelFilter::Trace);
    }
}

impl log::Log for Logger {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let level = match record.level() {
            log::Level::Trace => Level::Trace,
            log::Level::Debug => Level::Debug,
            log::Level::Info => Level::Info,
            log::Level::Warn => Level::Warn,
            log::Level::Error => Level::Error,
        };
        host::log(level, &record.args().to_string(), &[("target", record.target())]);
    }

    fn flush(&self) {}
}
