//! `billhook dead-letter`: what was given up, and how to try it again.

use crate::api::delivery::DeliveryState;
use crate::api::redrive::{DeadLetter, DeadLetterQuery, Redrive, RedriveQuery, Redriven};
use crate::api::webhook::WebhookState;
use crate::cli::listing::list;
use crate::cli::terminal::{Span, bad, plain, print, strong};
use crate::client::Client;
use crate::model::id::{DeliveryId, WebhookId};
use anyhow::{Context, bail};
use clap::Subcommand;

/// What to do with dead letters.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List dead letters: webhooks that the pipeline gave up, then deliveries that no attempt got through
    Ls {
        /// At most this many
        #[arg(long, default_value_t = 50)]
        limit: usize,
        /// Print JSON, one dead letter per line
        #[arg(long)]
        json: bool,
    },
    /// Try dead letters again: webhooks run through the pipeline, deliveries get the full schedule from its start
    #[command(group = clap::ArgGroup::new("which").required(true).args(["ids", "endpoint", "all"]))]
    Redrive {
        /// dlv_... and whk_... ids
        #[arg(value_name = "ID")]
        ids: Vec<String>,
        /// Every dead delivery of this endpoint
        #[arg(long, value_name = "NAME")]
        endpoint: Option<String>,
        /// Every dead letter
        #[arg(long)]
        all: bool,
    },
}

/// Runs the command.
pub async fn run(command: Command, client: &Client) -> anyhow::Result<()> {
    match command {
        Command::Ls { limit, json } => ls(limit, json, client).await,
        Command::Redrive { ids, endpoint, all: _ } => {
            let redriven = match endpoint {
                Some(endpoint) => bulk(&Redrive::Endpoint(endpoint), client).await?,
                None if ids.is_empty() => bulk(&Redrive::All(true), client).await?,
                None => each(&ids, client).await?,
            };
            Ok(print(&told(&redriven))?)
        }
    }
}

async fn ls(limit: usize, json: bool, client: &Client) -> anyhow::Result<()> {
    let page = async |after, n| client.dead_letters(&DeadLetterQuery { after, limit: Some(n) }).await;
    list(["DIED", "ID", "FROM OR TO", "WHY"], limit, json, page, row).await
}

fn row(letter: DeadLetter) -> [Span; 4] {
    let (died, id, place) = match letter {
        DeadLetter::Webhook(webhook) => {
            let died = match &webhook.state {
                WebhookState::Dead { why, at } => Some((*at, why.clone())),
                WebhookState::Undispatched { .. } | WebhookState::Dispatched { .. } => None,
            };
            (died, webhook.id.to_string(), format!("from {}", webhook.source))
        }
        DeadLetter::Delivery(delivery) => {
            let died = match &delivery.state {
                DeliveryState::Dead { why, at } => Some((*at, why.clone())),
                DeliveryState::Waiting { .. }
                | DeliveryState::Delivered { .. }
                | DeliveryState::Skipped { .. } => None,
            };
            (died, delivery.id.to_string(), format!("to {}", delivery.endpoint.label()))
        }
    };
    let (at, why) = died.map(|(at, why)| (at.to_string(), why)).unwrap_or_default();
    [plain(at), plain(id), strong(place), bad(why)]
}

/// Asks until everything was come by. What dies again meanwhile is not redriven again.
async fn bulk(redrive: &Redrive, client: &Client) -> anyhow::Result<Redriven> {
    let mut sum = Redriven::default();
    loop {
        let redriven = client.redrive(redrive, &RedriveQuery { after: sum.next.take() }).await;
        let redriven = match sum.deliveries + sum.webhooks {
            0 => redriven?,
            _ => redriven.context(format!("after {}", told(&sum).trim_end()))?,
        };
        sum.deliveries += redriven.deliveries;
        sum.webhooks += redriven.webhooks;
        sum.next = redriven.next;
        if sum.next.is_none() {
            return Ok(sum);
        }
    }
}

/// Redrives each; one that cannot be is told at the end and does not stop the others.
async fn each(ids: &[String], client: &Client) -> anyhow::Result<Redriven> {
    let wanted = ids.iter().map(|id| one(id)).collect::<anyhow::Result<Vec<_>>>()?;
    let mut sum = Redriven::default();
    let mut failures = Vec::new();
    for redrive in &wanted {
        match client.redrive(redrive, &RedriveQuery::default()).await {
            Ok(redriven) => {
                sum.deliveries += redriven.deliveries;
                sum.webhooks += redriven.webhooks;
            }
            Err(why) => failures.push(why.to_string()),
        }
    }
    if !failures.is_empty() {
        bail!("{}; but not all:\n  {}", told(&sum).trim_end(), failures.join("\n  "));
    }
    Ok(sum)
}

fn one(id: &str) -> anyhow::Result<Redrive> {
    if id.starts_with(WebhookId::PREFIX) {
        return Ok(Redrive::Webhook(id.parse()?));
    }
    let id: DeliveryId = id.parse().context("dead letters are deliveries (`dlv_`) and webhooks (`whk_`)")?;
    Ok(Redrive::Delivery(id))
}

fn told(redriven: &Redriven) -> String {
    let count = |n: u64, one: &str, many: &str| format!("{n} {}", if n == 1 { one } else { many });
    let deliveries = count(redriven.deliveries, "delivery", "deliveries");
    match redriven.webhooks {
        0 => format!("redriven: {deliveries}\n"),
        n => format!("redriven: {deliveries}, {}\n", count(n, "webhook", "webhooks")),
    }
}
