//! `billhook secret`: makes secrets.

use crate::cli::terminal;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rand::TryRngCore;
use rand::rngs::OsRng;

/// What to do with secrets.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Print a new secret that signs webhooks: whsec_ and base64 of random bytes
    New {
        /// How many bytes: Standard Webhooks 1.0.0 asks for 24 to 64
        #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u8).range(24..=64))]
        bytes: u8,
    },
}

/// Runs the command.
///
/// # Errors
/// When the system has no randomness, or standard output is closed.
pub fn run(args: Args) -> anyhow::Result<()> {
    let Command::New { bytes } = args.command;
    let mut key = vec![0; bytes.into()];
    OsRng.try_fill_bytes(&mut key)?;
    Ok(terminal::print(&format!("whsec_{}\n", STANDARD.encode(key)))?)
}
