//! `billhook event`: what was made of webhooks.

use crate::api::event::{Event, EventQuery};
use crate::cli::listing::list;
use crate::cli::story;
use crate::cli::terminal::{Span, Style, Tone, print, print_json};
use crate::client::Client;
use crate::model::id::{EventId, WebhookId};
use anyhow::Context;
use clap::Subcommand;

/// What to do with events.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List events, newest first
    Ls {
        /// Only events of this canonical type, such as subscription.canceled
        #[arg(long = "type", value_name = "TYPE")]
        kind: Option<String>,
        /// Only events of this source
        #[arg(long)]
        source: Option<String>,
        /// At most this many
        #[arg(long, default_value_t = 20)]
        limit: usize,
        /// Print JSON, one event per line
        #[arg(long)]
        json: bool,
    },
    /// Show the whole story of an event: what arrived, what plugins said, every attempt to deliver it
    Show {
        /// evt_... (also the webhook-id of its deliveries) or whk_...
        id: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Runs the command.
pub async fn run(command: Command, client: &Client) -> anyhow::Result<()> {
    match command {
        Command::Ls { kind, source, limit, json } => {
            ls(EventQuery { kind, source, ..EventQuery::default() }, limit, json, client).await
        }
        Command::Show { id, json } => show(&id, json, client).await,
    }
}

async fn ls(query: EventQuery, limit: usize, json: bool, client: &Client) -> anyhow::Result<()> {
    let page = async |after, n| client.events(&EventQuery { after, limit: Some(n), ..query.clone() }).await;
    list(["OCCURRED", "EVENT", "TYPE", "SOURCE", ""], limit, json, page, row).await
}

fn row(event: Event) -> [Span; 5] {
    let dropped = event.dropped.map(|by| format!("dropped by {}: {}", by.plugin, by.why));
    [
        Span::new(Tone::Plain, event.occurred_at.to_string()),
        Span::new(Tone::Plain, event.id.to_string()),
        Span::new(Tone::Strong, event.kind),
        Span::new(Tone::Plain, event.source),
        Span::new(Tone::Care, dropped.unwrap_or_default()),
    ]
}

async fn show(id: &str, json: bool, client: &Client) -> anyhow::Result<()> {
    let story = if id.starts_with(WebhookId::PREFIX) {
        client.webhook(id.parse()?).await?
    } else {
        let id = EventId::of_webhook_id(id)
            .context("an event is shown by its `evt_` id or its webhook's `whk_` id")?;
        client.event(id).await?
    };
    if json {
        return print_json(&story);
    }
    Ok(print(&story::render(&story, Style::detect()))?)
}
