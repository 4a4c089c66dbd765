//! `billhook serve`: runs the gateway until a signal says stop.

use crate::cli::signals::{INTERRUPT, Signals, TERMINATE};
use crate::cli::{EX_SOFTWARE, compiler};
use crate::clock::Clock;
use crate::config::Config;
use crate::config::environment::Environment;
use crate::server::{self, Listeners, descriptors};
use crate::telemetry;
use anyhow::Context;
use rustix::fs::Mode;
use rustix::process::umask;
use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;
use tracing::{error, info, warn};

/// How long what is in flight may take to end after a signal.
const STOP_WAIT: Duration = Duration::from_secs(30);

/// Runs a gateway. SIGTERM or SIGINT stops it in order, a second one at once.
///
/// # Errors
/// Mistakes of the configuration, and whatever keeps the gateway from starting or stopping in order.
pub async fn run(file: Option<&Path>) -> anyhow::Result<ExitCode> {
    let config = Config::load(file, &Environment::of_process(), &server::load::shipped())?;
    telemetry::start(&config.log);
    let ended = serve(config).await;
    if let Err(error) = &ended
        && !std::io::stderr().is_terminal()
    {
        // For those who read JSON alone: `main` tells people.
        error!(error = format!("{error:#}"), "the gateway ended by this error");
    }
    ended
}

async fn serve(config: Config) -> anyhow::Result<ExitCode> {
    descriptors::raise();
    // What is kept is nobody else's to read.
    umask(Mode::RWXG | Mode::RWXO);
    let mut signals = Signals::listen(&[INTERRUPT, TERMINATE]).context("cannot listen for signals")?;
    for line in config.summary() {
        info!("{line}");
    }

    let listeners = Listeners::bind(&config).await?;
    let starting = server::start(config, listeners, Clock::system(), compiler()?);
    let running = tokio::select! {
        running = starting => running?,
        // Nothing has been accepted yet, and what was stored before is safe: there is nothing to end in order.
        ending = signals.next() => ending.at_once(),
    };
    info!(ingest = %running.ingest_addr(), admin = %running.admin_addr(), version = env!("CARGO_PKG_VERSION"), "ready");

    let ending = tokio::select! {
        ending = signals.next() => ending,
        why = running.failed() => {
            error!(why, "the gateway cannot go on: restart it");
            return Ok(ExitCode::from(EX_SOFTWARE));
        }
    };
    info!(signal = ending.name, deadline = ?STOP_WAIT, "stopping; a second signal stops at once");
    tokio::select! {
        stopped = running.stop(STOP_WAIT) => stopped?,
        ending = signals.next() => {
            warn!(signal = ending.name, "stopped at once: what was in flight runs again after the next start");
            ending.at_once();
        }
    }
    info!("stopped");
    Ok(ExitCode::SUCCESS)
}
