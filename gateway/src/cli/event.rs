//! `billhook event`: what was made of webhooks.

use crate::api::Story;
use crate::api::event::{Event, EventQuery};
use crate::cli::listing::list;
use crate::cli::story;
use crate::cli::terminal::{self, Span, care, plain, show, strong};
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
        Command::Show { id, json } => show(&found(&id, client).await?, json, |story, style| {
            story::render(story, style, terminal::width())
        }),
    }
}

async fn ls(query: EventQuery, limit: usize, json: bool, client: &Client) -> anyhow::Result<()> {
    let page = async |after, n| client.events(&EventQuery { after, limit: Some(n), ..query.clone() }).await;
    list(["OCCURRED", "EVENT", "TYPE", "SOURCE", ""], limit, json, page, row).await
}

fn row(event: Event) -> [Span; 5] {
    let dropped = event.dropped.map(|by| format!("dropped by {}: {}", by.plugin, by.why));
    [
        plain(event.occurred_at.to_string()),
        plain(event.id.to_string()),
        strong(event.kind),
        plain(event.source),
        care(dropped.unwrap_or_default()),
    ]
}

async fn found(id: &str, client: &Client) -> anyhow::Result<Story> {
    if id.starts_with(WebhookId::PREFIX) {
        return Ok(client.webhook(id.parse()?).await?);
    }
    let id = EventId::of_webhook_id(id)
        .context("an event is shown by its `evt_` id or its webhook's `whk_` id")?;
    Ok(client.event(id).await?)
}
