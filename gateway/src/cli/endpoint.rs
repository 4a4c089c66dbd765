//! `billhook endpoint`: where events go, whether they get there, and the operator's hand on the gate.

use crate::api::delivery::DeliveryState;
use crate::api::endpoint::{By, Endpoint, Gate, Turn};
use crate::cli::story;
use crate::cli::table::Table;
use crate::cli::terminal::{Span, Style, Tone, print, print_json};
use crate::cli::tree::Node;
use crate::client::Client;
use anyhow::bail;
use clap::Subcommand;
use std::time::Duration;

/// How often, and how long after one another, the delivery of a test event is looked at: longer than the default
/// timeout of an attempt.
const ANSWER_LOOKS: u32 = 100;
const ANSWER_WAIT: Duration = Duration::from_millis(200);

/// What to do with endpoints.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the configured endpoints, and whether deliveries pass to them
    Ls {
        /// Print JSON, one endpoint a line
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
    /// Send a test event (provider.test) to an endpoint and show what it answers
    Test {
        /// Its name
        name: String,
    },
}

#[derive(Debug, clap::Args)]
struct Turning {
    /// Its name
    name: String,
    /// Why, for those who look later
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
}

/// Runs the command.
pub async fn run(args: Args, client: &Client) -> anyhow::Result<()> {
    let endpoint = match args.command {
        Command::Ls { json } => return ls(json, client).await,
        Command::Show { name, json: true } => return print_json(&client.endpoint(&name).await?),
        Command::Show { name, json: false } => client.endpoint(&name).await?,
        Command::Test { name } => return test(&name, client).await,
        Command::Pause(Turning { name, why }) => client.pause(&name, &Turn { why }).await?,
        Command::Resume(Turning { name, why }) => client.resume(&name, &Turn { why }).await?,
        Command::Enable(Turning { name, why }) => client.enable(&name, &Turn { why }).await?,
    };
    Ok(print(&render(&endpoint, Style::detect()))?)
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
        DeliveryState::Waiting { .. } | DeliveryState::Skipped { .. } | DeliveryState::Dead { .. } => {
            bail!("{name} has not taken it; how it goes on: billhook event show {}", tested.event)
        }
    }
}

async fn ls(json: bool, client: &Client) -> anyhow::Result<()> {
    let mut table = Table::new(&["ENDPOINT", "GATE", "WAITING", "URL", ""]);
    for endpoint in client.endpoints().await?.items {
        if json {
            print_json(&endpoint)?;
            continue;
        }
        table.row([
            Span::new(Tone::Strong, endpoint.name.clone()),
            gate(&endpoint.gate),
            Span::new(Tone::Plain, waiting(&endpoint)),
            Span::new(Tone::Plain, endpoint.url.clone()),
            notice(&endpoint)
                .unwrap_or_else(|| Span::new(Tone::Plain, turned(&endpoint).unwrap_or_default())),
        ]);
    }
    if !json {
        print(&table.draw(Style::detect()))?;
    }
    Ok(())
}

/// An endpoint as text for a terminal, each line ended by `\n`.
fn render(endpoint: &Endpoint, style: Style) -> String {
    let plain = |text: String| [Span::new(Tone::Plain, text)];
    let mut root = Node::new([Span::new(Tone::Strong, endpoint.name.clone())]);
    root.push(Node::fact("url", plain(endpoint.url.clone())));
    root.push(Node::fact("id", [Span::new(Tone::Faint, endpoint.id.to_string())]));
    root.push(Node::fact("gate", [gate(&endpoint.gate)]));
    if let Gate::Trial { since, at, .. } = &endpoint.gate {
        root.push(Node::fact("since", plain(format!("{since}, the next is tried {at}"))));
    }
    root.extend(turned(endpoint).map(|text| Node::fact("turned", plain(text))));
    root.extend(notice(endpoint).map(|notice| Node::fact("notice", [notice])));
    root.push(Node::fact("waiting", plain(waiting(endpoint))));
    let next = match &endpoint.gate {
        Gate::Open | Gate::Trial { .. } => None,
        Gate::Paused => Some("resume"),
        Gate::Disabled => Some("enable"),
    };
    root.extend(next.map(|verb| {
        let text = format!("to open it: billhook endpoint {verb} {}", endpoint.name);
        Node::fact("next", [Span::new(Tone::Faint, text)])
    }));
    root.draw(style)
}

fn gate(gate: &Gate) -> Span {
    match gate {
        Gate::Open => Span::new(Tone::Good, "open"),
        Gate::Trial { .. } => Span::new(Tone::Care, "trial"),
        Gate::Paused => Span::new(Tone::Care, "paused"),
        Gate::Disabled => Span::new(Tone::Bad, "disabled"),
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
    Some(Span::new(Tone::Bad, format!("nothing but failures: it will be disabled {at}")))
}

fn waiting(endpoint: &Endpoint) -> String {
    let more = if endpoint.waiting_more { " or more" } else { "" };
    format!("{}{more}", endpoint.waiting)
}
