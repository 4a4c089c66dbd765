//! `billhook demo`: a whole gateway on free ports and throwaway data, five providers that send to it, and an
//! endpoint that verifies what comes out. Everything goes over real sockets, through the shipped plugins and the
//! admin API, as in production.

pub mod encore;
pub mod payloads;
pub mod receiver;

use crate::api::Story;
use crate::api::delivery::DeliveryState;
use crate::api::event::EventQuery;
use crate::api::webhook::WebhookQuery;
use crate::cli::signals::{Ending, HANGUP, INTERRUPT, Signals, TERMINATE};
use crate::cli::story;
use crate::cli::terminal::{self, Style, WIDTH_USUAL};
use crate::client::Client;
use crate::clock::Clock;
use crate::config::Config;
use crate::config::environment::Environment;
use crate::demo::encore::Encore;
use crate::demo::payloads::{ABOWIRE, ACTS, Act, Expect, WINDBACK_KEY, WINGBACK_HEADER, WINGSPAN};
use crate::demo::receiver::{FLAKY, Receiver, STEADY};
use crate::model::Time;
use crate::model::secret::Secret;
use crate::plugins::Compiler;
use crate::server::{self, Listeners, Running};
use anyhow::{Context, bail};
use base64::{Engine, engine::general_purpose::STANDARD};
use rustix::fs::Mode;
use rustix::process::umask;
use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;
use tempfile::TempDir;

/// How long the demo waits for its gateway to stop.
const STOP_WAIT: Duration = Duration::from_secs(10);

/// How often the demo tries to remove its data while its gateway may still write.
const REMOVALS_MAX: usize = 10;

/// How often the demo looks whether an endpoint that was down has its event, and how long it waits between.
const RECOVERY_LOOKS: usize = 100;
const RECOVERY_WAIT: Duration = Duration::from_millis(100);

/// See a whole gateway at work: five providers, real plugins, verified deliveries.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// End after the show, with an exit code other than 0 if anything expected did not happen.
    #[arg(long)]
    pub once: bool,
}

/// Runs the demo. However it ends, its data is removed.
///
/// # Errors
/// Whatever kept it from running; with `once` also whatever was expected and did not happen.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    // There are secrets in it: it is nobody else's to read.
    umask(Mode::RWXG | Mode::RWXO);
    let endings = [HANGUP, INTERRUPT, TERMINATE];
    let mut signals = Signals::listen(&endings).context("cannot listen for signals")?;
    let dir = tempfile::Builder::new().prefix("billhook-demo-").tempdir();
    let dir = dir.context("cannot create a directory for the demo's data")?;
    let stage = tokio::select! {
        stage = Stage::set(dir.path()) => stage?,
        ending = signals.next() => end_at_once(dir, ending),
    };
    let ended = tokio::select! {
        shown = stage.show(args.once) => shown.map(|()| None),
        ending = signals.next() => Ok(Some(ending)),
    };
    if !args.once && matches!(ended, Ok(None)) {
        signals.next().await;
    }
    let stopped = tokio::select! {
        stopped = stage.running.stop(STOP_WAIT) => stopped,
        ending = signals.next() => end_at_once(dir, ending),
    };
    let code = ended?.map_or(ExitCode::SUCCESS, Ending::exit_code);
    stopped?;
    dir.close().context("cannot remove the demo's data")?;
    Ok(code)
}

/// Ends the process without its data, into which the gateway may still write.
fn end_at_once(dir: TempDir, ending: Ending) -> ! {
    let path = dir.keep();
    if !(0..REMOVALS_MAX).any(|_| std::fs::remove_dir_all(&path).is_ok()) {
        tracing::warn!(path = %path.display(), "the demo's data could not be removed");
    }
    ending.at_once()
}

/// The gateway, its receiver and the senders' secret.
struct Stage {
    running: Running,
    receiver: Receiver,
    client: Client,
    http: reqwest::Client,
    /// When the demo began: what is sent again is the same.
    begun: Time,
    /// What the Flexprice source and the endpoint sign with.
    secret: String,
    token: String,
}

impl Stage {
    async fn set(dir: &std::path::Path) -> anyhow::Result<Stage> {
        let clock = Clock::system();
        let secret = format!("whsec_{}", STANDARD.encode(rand::random::<[u8; 32]>()));
        let token = hex::encode(rand::random::<[u8; 16]>());
        let receiver = Receiver::start(&secret, clock.clone()).await?;
        let path = dir.join("billhook.toml");
        std::fs::write(&path, configuration(dir, &secret, &token, receiver.addr))?;
        let config = Config::load(Some(&path), &Environment::default(), &server::load::shipped())?;
        let listeners = Listeners::bind(&config).await?;
        let running =
            server::start(config, listeners, clock.clone(), Compiler::Child(std::env::current_exe()?))
                .await?;
        let url = format!("http://{}", running.admin_addr());
        let client = Client::new(&url, Secret::new(token.clone()))?;
        let http = crate::client::http()?;
        Ok(Stage { running, receiver, client, http, begun: clock.now(), secret, token })
    }

    /// Plays every act, and says what came of them all.
    async fn show(&self, once: bool) -> anyhow::Result<()> {
        let style = Style::detect();
        terminal::print(&self.opening())?;
        let mut missed = Vec::new();
        let mut events = 0;
        for (number, act) in (1..).zip(ACTS) {
            terminal::print(&format!("\n{}\n", style.heading(&format!("{number}. {}", act.title))))?;
            match self.play(act, style).await {
                Ok(shown) => terminal::print(&shown)?,
                Err(error) => {
                    terminal::print(&format!("   not as expected: {error:#}\n"))?;
                    missed.push(format!("{number}. {}: {error:#}", act.title));
                }
            }
            events += usize::from(matches!(act.expect, Expect::Event { .. } | Expect::Recovery { .. }));
        }
        missed.extend(self.audit(events));
        if !missed.is_empty() {
            bail!("{} of what the demo expected did not happen:\n  {}", missed.len(), missed.join("\n  "));
        }
        terminal::print(&self.summary(style).await?)?;
        if !once {
            terminal::print(&self.encore().await?)?;
        }
        Ok(())
    }

    fn opening(&self) -> String {
        format!(
            "Billhook {} on http://{} (admin http://{}), delivering to http://{}\n",
            env!("CARGO_PKG_VERSION"),
            self.running.ingest_addr(),
            self.running.admin_addr(),
            self.receiver.addr
        )
    }

    /// Plays one act and tells its story, or what was not as expected.
    async fn play(&self, act: &Act, style: Style) -> anyhow::Result<String> {
        let sent = act.body(self.begun);
        let mut request = self.http.post(format!("http://{}{}", self.running.ingest_addr(), act.target()));
        for (name, value) in act.headers(&sent, &self.secret, self.begun) {
            request = request.header(name, value);
        }
        let answer = request.header("content-type", "application/json").body(sent).send().await?;
        let status = answer.status().as_u16();
        let body: serde_json::Value = answer.json().await?;
        let width = terminal::width().unwrap_or(WIDTH_USUAL);
        let mut shown = format!("   POST {}  ->  {status} {body}\n", act.path);
        match act.expect {
            Expect::Refused if status == 401 => shown.push_str("   refused: nothing was stored\n"),
            Expect::Refused => bail!("the gateway answered {status}, not 401"),
            Expect::Duplicate if body["duplicate"] == true => {
                shown.push_str("   a duplicate: stored once, delivered once\n");
            }
            Expect::Duplicate => bail!("the gateway did not recognise the duplicate: {body}"),
            Expect::Event { kind, strategy } => {
                let story = self.story(&body).await?;
                check(&story, kind, strategy)?;
                writeln!(shown, "{}", story::render(&story, style, Some(width)))?;
            }
            Expect::Recovery { kind } => {
                let story = self.recovery(&body).await?;
                if story.events.first().is_none_or(|event| event.summary.kind != kind) {
                    bail!("no event of type {kind}");
                }
                writeln!(shown, "{}", story::render(&story, style, Some(width)))?;
            }
            Expect::Dropped => {
                let story = self.story(&body).await?;
                if !matches!(&story.events[..], [event] if event.summary.dropped.is_some() && event.deliveries.is_empty())
                {
                    bail!("the filter did not drop the event");
                }
                writeln!(shown, "{}", story::render(&story, style, Some(width)))?;
            }
        }
        Ok(shown)
    }

    /// The story of the webhook that was just answered, once it is told to its end.
    async fn story(&self, answer: &serde_json::Value) -> anyhow::Result<Story> {
        self.running.settle().await;
        let id = match answer["id"].as_str() {
            Some(id) => id.parse()?,
            // A source that hides everything from its sender names no id: it is the newest webhook.
            None => {
                let newest =
                    self.client.webhooks(&WebhookQuery { limit: Some(1), ..WebhookQuery::default() }).await?;
                newest.items.into_iter().next().context("no webhook was stored")?.id
            }
        };
        Ok(self.client.webhook(id).await?)
    }

    /// The story of a webhook whose event one endpoint takes at its second attempt only.
    async fn recovery(&self, answer: &serde_json::Value) -> anyhow::Result<Story> {
        for _ in 0..RECOVERY_LOOKS {
            let story = self.story(answer).await?;
            let deliveries = story.events.iter().flat_map(|event| &event.deliveries);
            let is_delivered = |state: &DeliveryState| matches!(state, DeliveryState::Delivered { .. });
            let (mut all, mut tried) = (true, 0);
            for delivery in deliveries {
                all &= is_delivered(&delivery.delivery.state);
                tried = tried.max(delivery.delivery.attempts);
            }
            if all && tried > 1 {
                return Ok(story);
            }
            tokio::time::sleep(RECOVERY_WAIT).await;
        }
        bail!("the endpoint that was down did not get its event")
    }

    /// What happened, short enough to leave room for the encore on one screen.
    async fn summary(&self, style: Style) -> anyhow::Result<String> {
        let stats = self.client.stats().await?;
        let arrivals = self.receiver.arrivals();
        let mut text = format!("\n{}\n", style.heading("In short"));
        for (what, n, rest) in [
            ("webhooks stored", stats.webhooks, "of five providers, each synced before its answer"),
            ("duplicate", stats.duplicates, "recognised in the commit that would have stored it"),
            ("forgery", 1, "refused, nothing stored"),
            ("events", stats.events, "in one canonical form; one dropped, with its reason"),
            ("deliveries", stats.delivered, "signed; the receiver verified every signature"),
            ("failed attempt", u64::from(arrivals.failed), "retried on schedule, under the same webhook-id"),
            ("waiting or dead", stats.waiting + stats.dead + stats.webhooks_dead, "nothing is left"),
        ] {
            writeln!(text, "  {n:>3}  {what:<16} {rest}")?;
        }
        Ok(text)
    }

    /// What the receiver saw that it should not have seen.
    fn audit(&self, events: usize) -> Vec<String> {
        let arrivals = self.receiver.arrivals();
        let mut missed = Vec::new();
        if arrivals.forged > 0 {
            missed.push(format!("{} deliveries had a signature that was not right", arrivals.forged));
        }
        if arrivals.ids.len() != events {
            missed.push(format!("{} events arrived, {events} were expected", arrivals.ids.len()));
        }
        // One event goes to two endpoints, and is the same there and here.
        let repeated = arrivals.ids.iter().filter(|(_, times)| **times > 1).skip(1);
        missed.extend(repeated.map(|(id, times)| format!("{id} arrived {times} times")));
        missed
    }

    /// What to try by hand.
    async fn encore(&self) -> anyhow::Result<String> {
        let kind = Some("subscription.canceled".to_owned());
        let events =
            self.client.events(&EventQuery { kind, limit: Some(1), ..EventQuery::default() }).await?;
        let event = events.items.first().context("no subscription was canceled")?.id.to_string();
        let (ingest, admin) = (self.running.ingest_addr(), self.running.admin_addr());
        Ok(Encore { ingest, admin, token: &self.token, event: &event }.text())
    }
}

/// Whether a story gave one event of `kind` with the primary `strategy`, delivered by the first attempt.
fn check(story: &Story, kind: &str, strategy: Option<&str>) -> anyhow::Result<()> {
    let [event] = &story.events[..] else { bail!("{} events instead of one", story.events.len()) };
    if event.summary.kind != kind {
        bail!("the event is {} instead of {kind}", event.summary.kind);
    }
    let retention = event.document()?.retention;
    let primary = retention.and_then(|retention| retention.primary);
    if primary.as_deref() != strategy {
        bail!("the primary strategy is {primary:?} instead of {strategy:?}");
    }
    let [delivery] = &event.deliveries[..] else {
        bail!("{} deliveries instead of one", event.deliveries.len())
    };
    match &delivery.delivery.state {
        DeliveryState::Delivered { .. } => Ok(()),
        state => bail!("its delivery is {state:?}"),
    }
}

fn configuration(dir: &std::path::Path, secret: &str, token: &str, receiver: std::net::SocketAddr) -> String {
    let (header, value) = WINGBACK_HEADER;
    format!(
        r#"data_dir = {data:?}

[ingest]
listen = "127.0.0.1:0"

[admin]
listen = "127.0.0.1:0"
token = "{token}"

[network]
allow = ["127.0.0.1/32"]

[store]
min_free = "64MiB"

[[plugin]]
name = "cancel-strategy"
config = {{ currency = "USD" }}

[[plugin]]
name = "event-filter"
config = {{ drop = [{{ name = "small talk", types = ["customer.updated"] }}] }}

[[source]]
name = "flexprice"
provider = "flexprice"
auth = {{ scheme = "standard-webhooks", secret = "{secret}" }}
plugins = ["event-filter", "cancel-strategy"]

[[source]]
name = "windback"
provider = "windback"
auth = {{ scheme = "path-key" }}
public_keys = ["{WINDBACK_KEY}"]
plugins = ["cancel-strategy"]

[[source]]
name = "wingback"
provider = "wingback"
auth = {{ scheme = "header", header = "{header}", secret = "{value}" }}
plugins = ["cancel-strategy"]

[[source]]
name = "wingspan"
provider = "wingspan"
auth = {{ scheme = "wingspan", secret = "{wingspan}" }}

[[source]]
name = "abowire"
provider = "abowire"
auth = {{ scheme = "abowire", secret = "{abowire}" }}

[[endpoint]]
name = "app"
url = "http://{receiver}{STEADY}"
secret = "{secret}"
events = ["*"]

[[endpoint]]
name = "crm"
url = "http://{receiver}{FLAKY}"
secret = "{secret}"
events = ["invoice.overdue"]
schedule = ["1s", "1s"]
"#,
        data = dir.join("data"),
        wingspan = WINGSPAN.1,
        abowire = ABOWIRE.1,
    )
}
