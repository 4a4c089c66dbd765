//! `billhook webhook`: what arrived.

use crate::api::webhook::{Webhook, WebhookQuery, WebhookState};
use crate::cli::listing::list;
use crate::cli::story;
use crate::cli::terminal::{self, Span, Tone, plain, show};
use crate::client::Client;
use crate::model::id::WebhookId;
use clap::Subcommand;

/// What to do with webhooks.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List webhooks, newest first
    Ls {
        /// Only those that the pipeline gave up
        #[arg(long)]
        dead: bool,
        /// At most this many
        #[arg(long, default_value_t = 20)]
        limit: usize,
        /// Print JSON, one webhook per line
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
pub async fn run(command: Command, client: &Client) -> anyhow::Result<()> {
    match command {
        Command::Ls { dead, limit, json } => ls(dead, limit, json, client).await,
        Command::Show { id, json } => show(&client.webhook(id).await?, json, |story, style| {
            story::render(story, style, terminal::width())
        }),
    }
}

async fn ls(dead: bool, limit: usize, json: bool, client: &Client) -> anyhow::Result<()> {
    let state = dead.then(|| "dead".to_owned());
    let page =
        async |after, n| client.webhooks(&WebhookQuery { state: state.clone(), after, limit: Some(n) }).await;
    list(["RECEIVED", "WEBHOOK", "SOURCE", "STATE", ""], limit, json, page, row).await
}

fn row(webhook: Webhook) -> [Span; 5] {
    let (tone, state, why) = state(&webhook.state);
    [
        plain(webhook.received_at.to_string()),
        plain(webhook.id.to_string()),
        plain(webhook.source),
        Span::new(tone, state),
        plain(why),
    ]
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
