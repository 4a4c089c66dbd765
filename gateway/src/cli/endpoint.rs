//! `billhook endpoint`: where events go, whether they get there, and the operator's hand on the gate.

use crate::api::delivery::DeliveryState;
use crate::api::endpoint::{By, Endpoint, Gate, Rotate, Rotated, Signing, Turn};
use crate::cli::listing::all;
use crate::cli::story;
use crate::cli::terminal::{Span, Style, bad, care, faint, good, plain, print, show, strong};
use crate::cli::tree::Node;
use crate::client::Client;
use crate::model::rotation::OVERLAP_MAX;
use anyhow::{Context, bail};
use clap::Subcommand;
use std::fs::File;
use std::io::Read;
use std::time::Duration;

/// The most that is read of a secret that is brought along: far more than a key.
const SECRET_BYTES_MAX: u64 = 4096;
/// How often, and how long after one another, the delivery of a test event is looked at: longer than the default
/// timeout of an attempt.
const ANSWER_LOOKS: u32 = 100;
const ANSWER_WAIT: Duration = Duration::from_millis(200);

/// What to do with endpoints.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the configured endpoints, and whether deliveries pass to them
    Ls {
        /// Print JSON, one endpoint per line
        #[arg(long)]
        json: bool,
    },
    /// Show an endpoint: its gate, who turned it and why, and what waits
    Show {
        /// Its name
        name: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Hold what an endpoint is owed, without using up attempts
    Pause(Turning),
    /// Let deliveries pass again to an endpoint that was paused
    Resume(Turning),
    /// Let deliveries pass again to an endpoint that was disabled, or try one on trial now
    Enable(Turning),
    /// Give an endpoint a new secret, print what the receiver needs, and sign with the old one too for a while
    RotateSecret {
        /// Its name
        name: String,
        /// How long the secrets before sign too: up to 7 days, 0s not at all
        #[arg(long, value_name = "SPAN", default_value = "24h", value_parser = overlap)]
        overlap: Duration,
        /// Bring your own: env:NAME, file:PATH, or - for standard input
        #[arg(long, value_name = "WHERE", conflicts_with = "v1a")]
        secret: Option<String>,
        /// Make a private ed25519 key, so that the receiver holds nothing to sign with
        #[arg(long)]
        v1a: bool,
    },
    /// Send a test event (provider.test) to an endpoint and show what it answers
    Test {
        /// Its name
        name: String,
    },
}

/// Which endpoint's gate is turned, and why.
#[derive(Debug, clap::Args)]
pub struct Turning {
    /// Its name
    name: String,
    /// Why, for those who look later
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
}

/// Runs the command.
pub async fn run(command: Command, client: &Client) -> anyhow::Result<()> {
    let endpoint = match command {
        Command::Ls { json } => return ls(json, client).await,
        Command::Show { name, json } => return show(&client.endpoint(&name).await?, json, render),
        Command::Test { name } => return test(&name, client).await,
        Command::RotateSecret { name, overlap, secret, v1a } => {
            let secret = secret.as_deref().map(brought).transpose()?;
            let overlap_ms = overlap.as_millis().try_into().unwrap_or(u64::MAX);
            return rotate(&name, &Rotate { overlap_ms: Some(overlap_ms), secret, v1a }, client).await;
        }
        Command::Pause(Turning { name, why }) => client.pause(&name, &Turn { why }).await?,
        Command::Resume(Turning { name, why }) => client.resume(&name, &Turn { why }).await?,
        Command::Enable(Turning { name, why }) => client.enable(&name, &Turn { why }).await?,
    };
    show(&endpoint, false, render)
}

fn overlap(text: &str) -> Result<Duration, String> {
    let span = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    let most = || format!("the most are {}", humantime::format_duration(OVERLAP_MAX));
    if span > OVERLAP_MAX { Err(most()) } else { Ok(span) }
}

/// Rotates, and prints the new secret alone on standard output: what a receiver needs.
async fn rotate(name: &str, rotate: &Rotate, client: &Client) -> anyhow::Result<()> {
    let Rotated { secret, public_key, endpoint } = client.rotate(name, rotate).await?;
    eprint!("{}", render(&endpoint, Style::Plain));
    let told = match (&secret, &public_key) {
        (Some(secret), _) => {
            eprintln!("the receiver's secret, which is not shown again:");
            format!("{secret}\n")
        }
        (None, Some(key)) => {
            eprintln!("the receiver's public key:");
            format!("{key}\n")
        }
        (None, None) => String::new(),
    };
    Ok(print(&told)?)
}

/// The secret that is brought along. Not as an argument: those are seen by everybody on the machine.
fn brought(from: &str) -> anyhow::Result<String> {
    let text = match from.split_once(':') {
        _ if from == "-" => {
            let mut text = String::new();
            std::io::stdin().take(SECRET_BYTES_MAX).read_to_string(&mut text)?;
            text
        }
        Some(("env", name)) => {
            std::env::var(name).with_context(|| format!("cannot read the variable {name}"))?
        }
        Some(("file", path)) => {
            let mut text = String::new();
            let file = File::open(path).with_context(|| format!("cannot read {path}"))?;
            file.take(SECRET_BYTES_MAX).read_to_string(&mut text)?;
            text
        }
        _ => bail!("an argument is seen by everybody on the machine: give env:NAME, file:PATH or -"),
    };
    Ok(text.trim().to_owned())
}

/// Sends a test event and waits for what its first attempt gives.
async fn test(name: &str, client: &Client) -> anyhow::Result<()> {
    let tested = client.test_endpoint(name).await?;
    let endpoint = client.endpoint(name).await?;
    if endpoint.gate != Gate::Open {
        let text = format!(
            "{} waits: the gate of {name} is not open (billhook endpoint show {name})\n",
            tested.event
        );
        return Ok(print(&text)?);
    }
    let mut story = client.delivery(tested.delivery).await?;
    for _ in 0..ANSWER_LOOKS {
        if !story.attempts.is_empty() {
            break;
        }
        tokio::time::sleep(ANSWER_WAIT).await;
        story = client.delivery(tested.delivery).await?;
    }
    print(&story::render_delivery(&story, Style::detect()))?;
    match story.delivery.state {
        DeliveryState::Delivered { .. } => Ok(()),
        DeliveryState::Waiting { .. } => {
            bail!("{name} has not taken it; how it goes on: billhook event show {}", tested.event)
        }
        DeliveryState::Skipped { why, .. } => bail!("{name} is not sent test events: {why}"),
        DeliveryState::Dead { why, .. } => bail!("{name} has not taken it, and is not asked again: {why}"),
    }
}

async fn ls(json: bool, client: &Client) -> anyhow::Result<()> {
    all(["ENDPOINT", "GATE", "WAITING", "URL", ""], client.endpoints().await?.items, json, row)
}

fn row(endpoint: Endpoint) -> [Span; 5] {
    [
        strong(endpoint.name.clone()),
        gate(&endpoint.gate),
        plain(waiting(&endpoint)),
        plain(endpoint.url.clone()),
        notice(&endpoint).unwrap_or_else(|| plain(turned(&endpoint).unwrap_or_default())),
    ]
}

/// An endpoint as text for a terminal, each line ended by `\n`.
fn render(endpoint: &Endpoint, style: Style) -> String {
    let mut root = Node::new([strong(endpoint.name.clone())]);
    root.push(Node::fact("url", [plain(endpoint.url.clone())]));
    root.push(Node::fact("id", [faint(endpoint.id.to_string())]));
    root.push(Node::fact("gate", [gate(&endpoint.gate)]));
    if let Gate::Trial { since, at, .. } = &endpoint.gate {
        root.push(Node::fact("since", [plain(format!("{since}, the next is tried {at}"))]));
    }
    root.extend(turned(endpoint).map(|text| Node::fact("turned", [plain(text)])));
    root.extend(notice(endpoint).map(|notice| Node::fact("notice", [notice])));
    endpoint.signing.iter().for_each(|signing| root.push(Node::fact("signs", [plain(signs(signing))])));
    endpoint.public_keys.iter().for_each(|key| root.push(Node::fact("public key", [plain(key.clone())])));
    root.push(Node::fact("waiting", [plain(waiting(endpoint))]));
    let next = match &endpoint.gate {
        Gate::Open | Gate::Trial { .. } => None,
        Gate::Paused => Some("resume"),
        Gate::Disabled => Some("enable"),
    };
    root.extend(next.map(|verb| {
        let text = format!("to open it: billhook endpoint {verb} {}", endpoint.name);
        Node::fact("next", [faint(text)])
    }));
    root.draw(style)
}

/// Which secret, and until when.
fn signs(signing: &Signing) -> String {
    let from = match signing.rotated_at {
        Some(at) => format!("rotated {at}"),
        None => "from the configuration".to_owned(),
    };
    let until = signing.until.map(|until| format!(", until {until}")).unwrap_or_default();
    format!("{} sha256:{}, {from}{until}", signing.version, signing.sha256)
}

fn gate(gate: &Gate) -> Span {
    match gate {
        Gate::Open => good("open"),
        Gate::Trial { .. } => care("trial"),
        Gate::Paused => care("paused"),
        Gate::Disabled => bad("disabled"),
    }
}

fn turned(endpoint: &Endpoint) -> Option<String> {
    let turned = endpoint.turned.as_ref()?;
    let by = match turned.by {
        By::Gateway => "the gateway",
        By::Operator => "an operator",
    };
    let why = turned.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    Some(format!("by {by}, {}{why}", turned.at))
}

fn notice(endpoint: &Endpoint) -> Option<Span> {
    let at = endpoint.disabled_at?;
    Some(bad(format!("nothing but failures: it will be disabled {at}")))
}

fn waiting(endpoint: &Endpoint) -> String {
    let more = if endpoint.waiting_more { " or more" } else { "" };
    format!("{}{more}", endpoint.waiting)
}
