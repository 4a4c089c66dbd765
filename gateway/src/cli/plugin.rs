//! `billhook plugin`: what a plugin's author types, and what an operator does with the plugins of a running gateway.
//!
//! A crate is begun (`new`), built (`build`), held against its fixtures in the gateway's own sandbox (`test`), looked at
//! while it runs (`run`), measured (`bench`), and shown as an operator will see it (`inspect`); none of that needs a
//! gateway that runs. What serves in one is listed, changed and taken back by [`running`].

mod bench;
mod build;
mod figure;
mod inspect;
mod new;
mod play;
mod run;
pub mod running;
mod subject;
mod test;

use crate::client::Client;
use clap::Subcommand;
use std::process::ExitCode;

/// What to do with plugins.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Begin a plugin: a crate that builds and passes its tests at once
    New(new::Args),
    /// Build a plugin's crate to a component
    Build(build::Args),
    /// Play every fixture in the gateway's own sandbox and hold the answers against the expected ones
    Test(test::Args),
    /// Play one fixture, and show what the call answered, logged and used
    Run(run::Args),
    /// Measure the calls of fixtures: time, processor time, instructions, memory
    Bench(bench::Args),
    /// Show what a component is and says of itself, without running it
    Inspect(inspect::Args),
    /// What a running gateway is asked
    #[command(flatten)]
    Running(running::Command),
}

impl Command {
    /// Whether a running gateway is asked.
    pub fn asks(&self) -> bool {
        matches!(self, Command::Running(_))
    }
}

/// Runs the command. The exit code is 1 if a fixture is answered otherwise than expected, or measured at a failure that it
/// does not expect.
///
/// # Errors
/// Whatever kept it from being done.
pub async fn run(
    command: Command,
    client: impl FnOnce() -> anyhow::Result<Client>,
) -> anyhow::Result<ExitCode> {
    match command {
        Command::New(args) => new::run(&args)?,
        Command::Build(args) => build::run(&args)?,
        Command::Test(args) => return test::run(&args).await,
        Command::Run(args) => run::run(&args).await?,
        Command::Bench(args) => return bench::run(&args).await,
        Command::Inspect(args) => inspect::run(&args)?,
        Command::Running(command) => running::run(command, &client()?).await?,
    }
    Ok(ExitCode::SUCCESS)
}
