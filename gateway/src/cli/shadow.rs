//! `billhook shadow ls`: how often the shadows of sources make something else of webhooks.

use crate::cli::table::Table;
use crate::cli::terminal::{Span, Style, Tone, print, print_json};
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
    if json {
        return shadows.iter().try_for_each(print_json);
    }
    if shadows.is_empty() {
        return Ok(print("no shadow was asked yet: give a source one with `shadow = \"PLUGIN\"`\n")?);
    }
    let mut table =
        Table::new(&["SOURCE", "SHADOW", "VERSION", "SAME", "DIFFER", "FAILED", "LATEST THAT IS NOT"]);
    for shadow in shadows {
        let count = |n: u64, tone| Span::new(if n == 0 { Tone::Faint } else { tone }, n.to_string());
        table.row([
            Span::new(Tone::Strong, shadow.source),
            Span::new(Tone::Plain, shadow.plugin.name),
            Span::new(Tone::Plain, shadow.plugin.version),
            count(shadow.same, Tone::Good),
            count(shadow.differ, Tone::Care),
            count(shadow.failed, Tone::Bad),
            Span::new(Tone::Faint, shadow.latest.into_iter().next().unwrap_or_default()),
        ]);
    }
    Ok(print(&table.draw(Style::detect()))?)
}
