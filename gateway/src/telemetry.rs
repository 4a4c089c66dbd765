//! What the process says about itself, on standard error: for people on a terminal, one JSON object a line elsewhere.
//!
//! Nothing is logged that a `Secret` holds: its debug form is `***`.

use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// What says nothing that we do not say better: each certificate that is refused is an error to it, and a failed attempt
/// to us. It is heard by name, as [`NOISY`] are.
const SILENT: &str = "rustls_platform_verifier=off";
/// Crates whose lower levels say nothing about webhooks. They are heard by name: `info,sled=debug`.
const NOISY: &str = "sled=warn,wasmtime=warn,cranelift_codegen=warn,regalloc2=warn,hyper=warn,hyper_util=warn,\
                     reqwest=warn,rustls=warn,h2=warn,mio=warn";

/// Which lines are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    directives: String,
}

/// The directives cannot be understood.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a level or a list of directives")]
pub struct BadDirectives(String);

impl Options {
    /// A level (`error`, `warn`, `info`, `debug`, `trace`, `off`), or directives of `tracing_subscriber::EnvFilter`
    /// such as `info,gateway::deliver=debug`.
    ///
    /// # Errors
    /// When it is neither.
    pub fn parse(written: &str) -> Result<Options, BadDirectives> {
        let directive = |text: &str| {
            // A lone word that is no level would be taken for the name of a crate, and everything else be silent.
            let level = text.rsplit_once('=').map_or(text, |(_, level)| level);
            LEVELS.contains(&level.to_ascii_lowercase().as_str())
        };
        let valid = written.split(',').all(directive) && EnvFilter::try_new(written).is_ok();
        if valid {
            Ok(Options { directives: written.to_owned() })
        } else {
            Err(BadDirectives(written.to_owned()))
        }
    }

    /// `warn`.
    pub fn warnings() -> Options {
        Options { directives: "warn".to_owned() }
    }

    fn filter(&self) -> EnvFilter {
        // Where less than warnings is asked for, our own directives would add to it.
        let quiet = ["off", "error"].contains(&self.directives.to_ascii_lowercase().as_str());
        let ours = if quiet { SILENT.to_owned() } else { format!("{SILENT},{NOISY}") };
        EnvFilter::new(format!("{ours},{}", self.directives))
    }
}

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

impl Default for Options {
    /// `info`.
    fn default() -> Options {
        Options { directives: "info".to_owned() }
    }
}

/// Starts writing. Later calls in one process change nothing.
pub fn start(options: &Options) {
    let terminal = std::io::stderr().is_terminal();
    // A line that cannot be written is lost. To tell of it on standard error, which it was for, panics.
    let lines = tracing_subscriber::fmt()
        .with_env_filter(options.filter())
        .with_writer(std::io::stderr)
        .log_internal_errors(false);
    // An error says that somebody else writes already: a test's harness, or an earlier call.
    let _ = if terminal {
        let colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        lines.with_ansi(colours).compact().try_init()
    } else {
        lines.with_ansi(false).json().try_init()
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_or_directives_are_taken_and_anything_else_is_refused() {
        for good in ["info", "DEBUG", "off", "info,gateway::deliver=debug"] {
            assert!(Options::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "inof", "gateway", "info,", "info, sled=debug", "gateway=loud", "info,[{=debug"] {
            assert!(Options::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn noisy_crates_stay_at_warnings_unless_they_are_named() {
        let filter = |written: &str| Options::parse(written).unwrap().filter().to_string();
        assert!(filter("debug").contains("sled=warn"));
        assert!(filter("debug,sled=trace").contains("sled=trace"));
        assert!(!filter("debug,sled=trace").contains("sled=warn"));
        assert_eq!(filter("error"), "rustls_platform_verifier=off,error");
        assert!(filter("warn").contains("rustls_platform_verifier=off"));
        assert!(!filter("rustls_platform_verifier=error").contains("off"));
    }
}
