//! `billhook delivery`: what is owed, was taken, or failed.

use crate::api::delivery::{Delivery, DeliveryQuery, DeliveryState};
use crate::cli::listing::list;
use crate::cli::story;
use crate::cli::terminal::{Span, Tone, plain, print, show, strong};
use crate::client::Client;
use crate::model::id::DeliveryId;
use clap::{Subcommand, builder::PossibleValuesParser};

/// What to do with deliveries.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List deliveries, newest first
    Ls {
        /// Only deliveries in this state
        #[arg(long, value_parser = PossibleValuesParser::new(["waiting", "delivered", "skipped", "dead"]))]
        state: Option<String>,
        /// Only deliveries to this endpoint
        #[arg(long, value_name = "NAME")]
        endpoint: Option<String>,
        /// At most this many
        #[arg(long, default_value_t = 20)]
        limit: usize,
        /// Print JSON, one delivery per line
        #[arg(long)]
        json: bool,
    },
    /// Send what was delivered, skipped or given up once more: a new delivery, under the same webhook-id
    Resend {
        /// dlv_...
        id: DeliveryId,
    },
    /// Show a delivery with its attempts
    Show {
        /// dlv_...
        id: DeliveryId,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Runs the command.
pub async fn run(command: Command, client: &Client) -> anyhow::Result<()> {
    match command {
        Command::Ls { state, endpoint, limit, json } => {
            ls(DeliveryQuery { state, endpoint, ..DeliveryQuery::default() }, limit, json, client).await
        }
        Command::Resend { id } => {
            let resent = client.resend(id).await?;
            let told = if resent.new { "is sent again as" } else { "waits already as" };
            Ok(print(&format!("{id} {told} {}\n", resent.delivery))?)
        }
        Command::Show { id, json } => show(&client.delivery(id).await?, json, story::render_delivery),
    }
}

async fn ls(query: DeliveryQuery, limit: usize, json: bool, client: &Client) -> anyhow::Result<()> {
    let columns = ["CREATED", "DELIVERY", "EVENT", "ENDPOINT", "STATE", "ATTEMPTS", ""];
    let page =
        async |after, n| client.deliveries(&DeliveryQuery { after, limit: Some(n), ..query.clone() }).await;
    list(columns, limit, json, page, row).await
}

fn row(delivery: Delivery) -> [Span; 7] {
    let (tone, state, note) = match &delivery.state {
        DeliveryState::Waiting { due } => (Tone::Care, "waiting", format!("due {due}")),
        DeliveryState::Delivered { at } => (Tone::Good, "delivered", format!("at {at}")),
        DeliveryState::Skipped { why, .. } => (Tone::Care, "skipped", why.clone()),
        DeliveryState::Dead { why, .. } => (Tone::Bad, "dead", why.clone()),
    };
    [
        plain(delivery.created.to_string()),
        plain(delivery.id.to_string()),
        plain(delivery.event.to_string()),
        strong(delivery.endpoint.label()),
        Span::new(tone, state),
        plain(delivery.attempts.to_string()),
        plain(note),
    ]
}
