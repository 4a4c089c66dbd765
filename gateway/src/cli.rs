//! The command line. `serve`, `demo`, `check`, `secret` and `plugin` work by themselves; the nouns ask a gateway that runs, over
//! its admin API.
//!
//! Exit codes: 0 done, 1 failed, 64 wrong usage or configuration (`EX_USAGE`), 70 the gateway broke while it ran
//! (`EX_SOFTWARE`), 129, 130 and 143 ended at once by SIGHUP, SIGINT or SIGTERM (`serve` by a second one).

pub mod check;
pub mod comparison;
pub mod dead_letter;
pub mod delivery;
pub mod endpoint;
pub mod event;
pub mod job;
pub mod listing;
pub mod plugin;
pub mod refused;
pub mod replay;
pub mod secret;
pub mod serve;
pub mod shadow;
pub mod signals;
pub mod story;
pub mod table;
pub mod terminal;
pub mod tree;
pub mod webhook;

use crate::client::Client;
use crate::config::environment::Environment;
use crate::config::mistake::Mistakes;
use crate::config::{ADMIN_TOKEN_FILE, Config};
use crate::demo;
use crate::model::secret::Secret;
use crate::outbound::address::literal;
use crate::plugins::Compiler;
use crate::plugins::compile::compile_file;
use crate::telemetry;
use anyhow::{Context, ensure};
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use std::convert::Infallible;
use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use url::{Host, Url};

/// Wrong usage or configuration, as `sysexits.h` has it.
pub const EX_USAGE: u8 = 64;
/// The gateway broke while it ran, as `sysexits.h` has it.
pub const EX_SOFTWARE: u8 = 70;

/// What `check` tells the shell.
const CHECK_CODES: &str = "Exit codes:
   0  nothing is wrong
   1  a plugin does not load, or a directory cannot be used
  64  the configuration has mistakes";

/// A WebAssembly-extensible gateway for billing webhooks.
#[derive(Debug, Parser)]
#[command(name = "billhook", version, arg_required_else_help = true)]
pub struct Cli {
    /// The configuration [default: billhook.toml if it exists, else safe defaults]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Run the gateway
    Serve,
    /// See a whole gateway at work: providers, plugins, verified deliveries
    Demo(demo::Args),
    /// Read the configuration and load its plugins, and tell every mistake
    #[command(after_help = CHECK_CODES)]
    Check,
    /// Make secrets
    #[command(subcommand)]
    Secret(secret::Command),
    /// Canonical events: what was made of webhooks
    #[command(subcommand)]
    Event(event::Command),
    /// Webhooks: what arrived
    #[command(subcommand)]
    Webhook(webhook::Command),
    /// Deliveries: what endpoints are owed
    #[command(subcommand)]
    Delivery(delivery::Command),
    /// Endpoints: where events go, and opening or closing the way
    #[command(subcommand)]
    Endpoint(endpoint::Command),
    /// Plugins: begin, build, test and measure one; see which version serves, and bring another
    #[command(subcommand)]
    Plugin(plugin::Command),
    /// What could not be handled or delivered, and trying it again
    #[command(subcommand)]
    DeadLetter(dead_letter::Command),
    /// Send again, redrive or reprocess in bulk, by filter
    #[command(subcommand)]
    Replay(replay::Command),
    /// Replays, and how far they are
    #[command(subcommand)]
    Job(job::Command),
    /// Shadows of sources: how often they make something else of webhooks
    #[command(subcommand)]
    Shadow(shadow::Command),
    /// Requests that were turned away as not authentic, and taking them after all
    #[command(subcommand)]
    Refused(refused::Command),
    /// Compile a component to machine code; the gateway runs this in a process with limits
    #[command(hide = true)]
    CompileComponent {
        /// The component
        input: PathBuf,
        /// Where its machine code is written
        output: PathBuf,
    },
}

/// Which gateway the nouns ask.
#[derive(Debug, clap::Args)]
#[command(
    next_help_heading = "For event, webhook, delivery, endpoint, plugin, dead-letter, replay, job, shadow and refused"
)]
struct Remote {
    /// The gateway's admin listener [default: the configuration's, http://127.0.0.1:8401 if it has none]
    #[arg(long, global = true, value_name = "URL")]
    url: Option<String>,
    /// Its admin token [default: BILLHOOK_ADMIN_TOKEN, else the configuration's, else the file admin-token in data_dir]
    #[arg(long, global = true, value_name = "TOKEN", value_parser = token)]
    token: Option<Secret>,
}

fn token(text: &str) -> Result<Secret, Infallible> {
    Ok(Secret::new(text.trim()))
}

impl Cli {
    /// Reads a command line, the program's name first.
    ///
    /// # Errors
    /// Wrong usage; also when help or the version was asked for, which is for the caller to print.
    pub fn read(words: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(words).and_then(Cli::checked)
    }

    /// Refuses what would be ignored: somebody may think that `serve --token` sets the token.
    fn checked(self) -> Result<Cli, clap::Error> {
        let asks = match &self.command {
            Command::Plugin(command) => command.asks(),
            command => matches!(
                command,
                Command::Event(_)
                    | Command::Webhook(_)
                    | Command::Delivery(_)
                    | Command::Endpoint(_)
                    | Command::DeadLetter(_)
                    | Command::Replay(_)
                    | Command::Job(_)
                    | Command::Shadow(_)
                    | Command::Refused(_)
            ),
        };
        if self.config.is_some() && matches!(self.command, Command::Demo(_)) {
            let why = "`demo` makes a configuration of its own: `--config` is not for it";
            return Err(Cli::command().error(ErrorKind::ArgumentConflict, why));
        }
        if asks || self.remote.url.is_none() && self.remote.token.is_none() {
            return Ok(self);
        }
        let why = "`--url` and `--token` are for what asks a gateway: `event`, `webhook`, `delivery`, `endpoint`, `plugin`, `dead-letter`, `replay`, `job`, `shadow`, `refused`";
        Err(Cli::command().error(ErrorKind::ArgumentConflict, why))
    }
}

/// Does what was asked for.
///
/// # Errors
/// Whatever kept it from being done; [`Mistakes`] where the configuration is wrong.
pub fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    if let Command::CompileComponent { input, output } = &cli.command {
        // Alone in its process, without a runtime: its memory and processor time are limited.
        compile_file(input, output)?;
        return Ok(ExitCode::SUCCESS);
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start a runtime")?;
    runtime.block_on(obey(cli))
}

async fn obey(cli: Cli) -> anyhow::Result<ExitCode> {
    let config = cli.config.as_deref();
    let client = || cli.remote.client(config);
    match cli.command {
        Command::Serve => return serve::run(config).await,
        Command::Demo(args) => {
            telemetry::start(&quiet());
            return demo::run(args).await;
        }
        Command::Check => check::run(config).await?,
        Command::Secret(command) => secret::run(command)?,
        Command::Event(command) => event::run(command, &client()?).await?,
        Command::Webhook(command) => webhook::run(command, &client()?).await?,
        Command::Delivery(command) => delivery::run(command, &client()?).await?,
        Command::Endpoint(command) => endpoint::run(command, &client()?).await?,
        Command::Plugin(command) => return plugin::run(command, client).await,
        Command::DeadLetter(command) => dead_letter::run(command, &client()?).await?,
        Command::Replay(command) => replay::run(command, &client()?).await?,
        Command::Job(command) => job::run(command, &client()?).await?,
        Command::Shadow(command) => shadow::run(command, &client()?).await?,
        Command::Refused(command) => refused::run(command, &client()?).await?,
        Command::CompileComponent { .. } => unreachable!("compiled before there is a runtime"),
    }
    Ok(ExitCode::SUCCESS)
}

/// Warnings, unless `BILLHOOK_LOG` asks for something else: the demo's own words are what people came for.
fn quiet() -> telemetry::Options {
    let asked = Environment::of_process().get("BILLHOOK_LOG").map(telemetry::Options::parse);
    asked.and_then(Result::ok).unwrap_or_else(telemetry::Options::warnings)
}

/// Who compiles plugins for a command: this program again, in a process with limits.
fn compiler() -> anyhow::Result<Compiler> {
    Ok(Compiler::Child(std::env::current_exe().context("cannot find this program's own file")?))
}

/// What an error means to the shell.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    if error.is::<Mistakes>() { EX_USAGE } else { 1 }
}

impl Remote {
    fn client(&self, config: Option<&Path>) -> anyhow::Result<Client> {
        let environment = Environment::of_process();
        let variable = environment.get("BILLHOOK_ADMIN_TOKEN").map(str::trim);
        let token = self.token.clone().or(variable.filter(|token| !token.is_empty()).map(Secret::new));
        if let (Some(url), Some(token)) = (&self.url, &token) {
            return Ok(Client::new(url, token.clone())?);
        }
        let config = Config::load_for_client(config, &environment, token.is_none())?;
        let url = self.url.clone().unwrap_or_else(|| url_of(config.admin.listen));
        ensure!(
            token.is_some() || !is_elsewhere(&url, config.admin.listen),
            "no admin token for {url}: give `--token` or set BILLHOOK_ADMIN_TOKEN; the token of this machine's gateway is not sent elsewhere"
        );
        let token = match token.or(config.admin.token) {
            Some(token) => token,
            None => token_in(config.data_dir.join(ADMIN_TOKEN_FILE))?,
        };
        Ok(Client::new(&url, token)?)
    }
}

/// Whether a URL leads to neither this machine nor the configured listener. What is no URL leads nowhere.
fn is_elsewhere(url: &str, listen: SocketAddr) -> bool {
    let Ok(url) = Url::parse(url) else { return false };
    let Some(host) = url.host() else { return false };
    let Some(ip) = literal(&host) else { return host != Host::Domain("localhost") };
    let is_listener = url.port_or_known_default().is_some_and(|port| SocketAddr::new(ip, port) == listen);
    !ip.is_loopback() && !is_listener
}

/// Where a listener on this machine is reached.
fn url_of(listen: SocketAddr) -> String {
    let ip = match listen.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) | IpAddr::V6(_) => Ipv4Addr::LOCALHOST.into(),
    };
    format!("http://{}", SocketAddr::new(ip, listen.port()))
}

fn token_in(file: PathBuf) -> anyhow::Result<Secret> {
    let token = std::fs::read_to_string(&file).with_context(|| {
        format!(
            "no admin token: cannot read {}; give `--token`, set BILLHOOK_ADMIN_TOKEN, or name the gateway's file with `--config`",
            file.display()
        )
    })?;
    Ok(Secret::new(token.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn commands_are_spelled_as_documented() {
        let lines = [
            "serve",
            "serve --config x.toml",
            "check --config x.toml",
            "demo --once",
            "secret new --bytes 24",
            "secret new --v1a",
            "secret public",
            "plugin new --kind normalize acme --sdk ../billhook/plugin-sdk",
            "plugin build",
            "plugin build acme --json",
            "plugin test acme --bless",
            "plugin test acme.wasm --fixtures acme/fixtures",
            "plugin run paid",
            "plugin run acme/fixtures/paid --json",
            "plugin bench --fixture paid --calls 10",
            "plugin inspect acme.wasm",
            "compile-component in out",
            "--url http://127.0.0.1:1 --token t event ls",
            "event --url http://127.0.0.1:1 --token t ls",
            "event ls --url http://127.0.0.1:1 --token t",
            "event show evt_01M7Y73WK0GREAKXJYB4T9VB4G --config x.toml",
            "webhook show whk_01M7Y73WK0JQSE5WP88DQ66Z7V",
            "delivery ls",
            "delivery resend dlv_01M7Y73WK0JQSE5WP88DQ66Z7V",
            "endpoint test app",
            "replay redrive --endpoint app --since 2h --rate 10/m",
            "replay reprocess --source acme --since 2026-08-10 --until 2026-08-11T12:00:00Z --dry-run",
            "replay resend --state skipped --type invoice.paid",
            "job cancel job_01M7Y73WK0JQSE5WP88DQ66Z7V",
            "dead-letter ls",
            "endpoint ls",
            "endpoint pause app --why deploy",
            "endpoint enable app",
            "plugin ls --json",
            "plugin load mine mine.wasm --settings {} --grant kv:a --grant kv:b --why new",
            "plugin swap mine mine.wasm --sha256 00 --url http://127.0.0.1:1 --token t",
            "plugin rollback mine --why worse",
            "refused ls --source -",
            "refused show rfs_01M7Y73WK0JQSE5WP88DQ66Z7V",
            "refused retry rfs_01M7Y73WK0JQSE5WP88DQ66Z7V rfs_01M7Y73WK0JQSE5WP88DQ66Z7W",
        ];
        for line in lines {
            let words = std::iter::once("billhook").chain(line.split(' '));
            assert!(Cli::read(words).is_ok(), "{line}");
        }
        for line in [
            "serve --token t",
            "demo --config x.toml",
            "--url http://127.0.0.1:1 check",
            "secret new --bytes 23",
            "plugin new acme --sdk s",
            "plugin new --kind map acme",
            "plugin new --kind verfiy acme --sdk s",
            "plugin new --kind map A --sdk s",
            "plugin bench --calls 0",
            "secret new --v1a --bytes 24",
            "event",
            "serv",
        ] {
            let words = std::iter::once("billhook").chain(line.split(' '));
            assert!(Cli::read(words).is_err(), "{line}");
        }
    }

    #[test]
    fn a_listener_on_every_address_is_asked_on_this_machine() {
        for (listen, url) in [
            ("0.0.0.0:8401", "http://127.0.0.1:8401"),
            ("[::]:1", "http://127.0.0.1:1"),
            ("[::1]:2", "http://[::1]:2"),
            ("10.0.0.1:3", "http://10.0.0.1:3"),
        ] {
            assert_eq!(url_of(listen.parse().unwrap()), url);
        }
    }

    #[test]
    fn a_client_needs_data_dir_and_admin_only() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("billhook.toml");
        std::fs::write(&file, "data_dir = 'state'\n[secrets]\nwebhook = 'env:BILLHOOK_TEST_NOT_SET'\n")
            .unwrap();
        let remote = Remote { url: None, token: None };
        let error = remote.client(Some(&file)).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("state/admin-token"), "{error}");
        std::fs::create_dir(dir.path().join("state")).unwrap();
        std::fs::write(dir.path().join("state/admin-token"), "t\n").unwrap();
        assert!(remote.client(Some(&file)).is_ok());
    }

    #[test]
    fn a_token_that_is_given_makes_the_configured_one_needless() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("billhook.toml");
        let told = |token: Option<&str>, text: &str| {
            std::fs::write(&file, text).unwrap();
            let remote = Remote { url: None, token: token.map(|token| super::token(token).unwrap()) };
            remote.client(Some(&file)).map(|_| ()).map_err(|error| error.to_string())
        };
        let unset = "[admin]\ntoken = 'env:BILLHOOK_TEST_NOT_SET'\n";
        assert_eq!(told(Some("t\n"), unset), Ok(()));
        assert!(told(None, unset).unwrap_err().contains("admin.token"));
        for token in [None, Some("t")] {
            let error = told(token, "[admin\n").unwrap_err();
            assert!(error.contains("billhook.toml:1: not TOML"), "{error}");
        }
    }

    #[test]
    fn the_token_of_this_machine_is_not_sent_elsewhere() {
        let listen = "10.0.0.1:8401".parse().unwrap();
        for (url, expected) in [
            ("http://127.0.0.1:9000", false),
            ("http://localhost:8401/x", false),
            ("https://[::1]", false),
            ("http://10.0.0.1:8401", false),
            ("http://10.0.0.1:8402", true),
            ("http://10.0.0.1", true),
            ("http://10.0.0.2:8401", true),
            ("https://ops.example", true),
            ("http://localhost.example:8401", true),
            ("127.0.0.1:8401", false),
        ] {
            assert_eq!(is_elsewhere(url, listen), expected, "{url}");
        }
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("billhook.toml");
        std::fs::write(&file, "[admin]\ntoken = 'local'\n").unwrap();
        let told = |url: &str| Remote { url: Some(url.to_owned()), token: None }.client(Some(&file));
        assert!(told("http://127.0.0.1:8402").is_ok());
        let error = told("https://ops.example").map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("https://ops.example: give `--token`"), "{error}");
    }
}
