//! `billhook secret`: makes secrets.

use crate::cli::terminal;
use crate::model::signature::{private_key, private_key_text, public_key_text};
use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::SigningKey;
use rand::TryRngCore;
use rand::rngs::OsRng;
use std::io::Read;

/// The most that is read of standard input: far more than a key.
const INPUT_BYTES_MAX: u64 = 4096;

/// What to do with secrets.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Print a new secret that signs webhooks: whsec_ and base64 of random bytes
    New {
        /// How many bytes: Standard Webhooks 1.0.0 asks for 24 to 64
        #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u8).range(24..=64))]
        bytes: u8,
        /// Make a private key instead: whsk_ and an ed25519 key, so that receivers hold nothing they could sign with
        #[arg(long, conflicts_with = "bytes")]
        v1a: bool,
    },
    /// Print the public key (whpk_...) of a private one that is read from standard input
    Public,
}

/// Runs the command.
///
/// # Errors
/// When the system has no randomness, standard input holds no private key, or standard output is closed.
pub fn run(command: Command) -> anyhow::Result<()> {
    let text = match command {
        Command::New { v1a: true, .. } => {
            let mut key = [0; 32];
            OsRng.try_fill_bytes(&mut key)?;
            private_key_text(&SigningKey::from_bytes(&key))
        }
        Command::New { bytes, v1a: false } => {
            let mut key = vec![0; bytes.into()];
            OsRng.try_fill_bytes(&mut key)?;
            format!("whsec_{}", STANDARD.encode(key))
        }
        Command::Public => {
            // Not an argument: those are seen by everybody on the machine.
            let mut text = String::new();
            std::io::stdin().take(INPUT_BYTES_MAX).read_to_string(&mut text)?;
            let key = private_key(text.trim())
                .context("standard input holds no private key: `billhook secret new --v1a` makes one")?;
            public_key_text(&key.verifying_key())
        }
    };
    Ok(terminal::print(&format!("{text}\n"))?)
}
