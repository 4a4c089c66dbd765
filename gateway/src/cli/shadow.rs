//! `billhook shadow ls`: how often the shadows of sources make something else of webhooks.

use crate::api::rehearsal::Shadow;
use crate::cli::listing::all;
use crate::cli::terminal::{Span, Tone, faint, plain, print, strong};
use crate::client::Client;
use clap::Subcommand;

/// What to do with shadows.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the shadow of each source, counted since the gateway started or the shadow has its version
    Ls {
        /// Print JSON, one shadow per line
        #[arg(long)]
        json: bool,
    },
}

/// Runs the command.
pub async fn run(command: Command, client: &Client) -> anyhow::Result<()> {
    let Command::Ls { json } = command;
    let shadows = client.shadows().await?.items;
    if shadows.is_empty() && !json {
        return Ok(print("no shadow was asked yet: give a source one with `shadow = \"PLUGIN\"`\n")?);
    }
    let columns = ["SOURCE", "SHADOW", "VERSION", "SAME", "DIFFER", "FAILED", "LATEST THAT IS NOT"];
    all(columns, shadows, json, row)
}

fn row(shadow: Shadow) -> [Span; 7] {
    let count = |n: u64, tone| Span::new(if n == 0 { Tone::Faint } else { tone }, n.to_string());
    [
        strong(shadow.source),
        plain(shadow.plugin.name),
        plain(shadow.plugin.version),
        count(shadow.same, Tone::Good),
        count(shadow.differ, Tone::Care),
        count(shadow.failed, Tone::Bad),
        faint(shadow.latest.into_iter().next().unwrap_or_default()),
    ]
}
