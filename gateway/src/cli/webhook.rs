//! `billhook webhook`: what arrived.

use crate::api::page::LIMIT_MAX;
use crate::api::webhook::{WebhookQuery, WebhookState};
use crate::cli::story;
use crate::cli::table::Table;
use crate::cli::terminal::{Span, Style, Tone, print, print_json};
use crate::client::Client;
use crate::model::id::WebhookId;
use clap::Subcommand;

/// What to do with webhooks.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List webhooks, newest first
    Ls {
        /// Only those that the pipeline gave up
        #[arg(long)]
        dead: bool,
        /// At most this many
        #[arg(long, default_value_t = 20)]
        limit: usize,
        /// Print JSON, one webhook a line
        #[arg(long)]
        json: bool,
    },
    /// Show the whole story of a webhook, even if no event came of it
    Show {
        /// whk_...
        id: WebhookId,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Runs the command.
pub async fn run(args: Args, client: &Client) -> anyhow::Result<()> {
    match args.command {
        Command::Ls { dead, limit, json } => ls(dead, limit, json, client).await,
        Command::Show { id, json } => {
            let story = client.webhook(id).await?;
            if json {
                return print_json(&story);
            }
            Ok(print(&story::render(&story, Style::detect()))?)
        }
    }
}

async fn ls(dead: bool, limit: usize, json: bool, client: &Client) -> anyhow::Result<()> {
    let mut table = Table::new(&["RECEIVED", "WEBHOOK", "SOURCE", "STATE", ""]);
    let mut query = WebhookQuery { state: dead.then(|| "dead".to_owned()), ..WebhookQuery::default() };
    let mut left = limit;
    while left > 0 {
        query.limit = Some(left.min(LIMIT_MAX));
        let page = client.webhooks(&query).await?;
        left = left.saturating_sub(page.items.len());
        for webhook in page.items {
            if json {
                print_json(&webhook)?;
                continue;
            }
            let (tone, state, why) = state(&webhook.state);
            table.row([
                Span::new(Tone::Plain, webhook.received_at.to_string()),
                Span::new(Tone::Plain, webhook.id.to_string()),
                Span::new(Tone::Plain, webhook.source),
                Span::new(tone, state),
                Span::new(Tone::Plain, why),
            ]);
        }
        query.after = page.next;
        if query.after.is_none() {
            break;
        }
    }
    if !json {
        print(&table.draw(Style::detect()))?;
    }
    Ok(())
}

fn state(state: &WebhookState) -> (Tone, &'static str, String) {
    match state {
        WebhookState::Undispatched { last_failure, .. } => {
            (Tone::Care, "undispatched", last_failure.clone().unwrap_or_default())
        }
        WebhookState::Dispatched { events, .. } => {
            (Tone::Good, "dispatched", format!("{events} event{}", if *events == 1 { "" } else { "s" }))
        }
        WebhookState::Dead { why, .. } => (Tone::Bad, "dead", why.clone()),
    }
}
