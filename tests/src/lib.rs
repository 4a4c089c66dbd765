//! The harness of the integration tests.
//!
//! - [`Gateway`]: a whole gateway in this process, on free ports and a throwaway directory, with a clock that the
//!   test pushes; [`process::Process`] is the same as a child process that can be killed
//! - [`receiver::Receiver`]: an endpoint that answers by script and records what it got
//! - [`wire::Wire`]: an endpoint that says byte for byte what it is told to, and behaves as badly
//! - [`component::component`]: a plugin of `tests/fixtures`, built from source
//! - [`sender`]: signs and posts webhooks as a provider would, with code of its own
//!
//! Tests never sleep: they push the clock and settle the gateway.

pub mod component;
pub mod process;
pub mod receiver;
pub mod sender;
pub mod wire;

use gateway::clock::Clock;
use gateway::config::Config;
use gateway::config::environment::Environment;
use gateway::plugins::Compiler;
use gateway::server::load::shipped;
use gateway::server::{Listeners, Running, start};
use gateway::store::{Shared, Story};
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

/// The time at which every test's clock starts: 2026-08-10T12:00:00Z.
pub const START_SECS: u64 = 1_786_363_200;

/// The admin token of every test gateway.
pub const ADMIN_TOKEN: &str = "test-admin-token";

/// A whole gateway in this process.
pub struct Gateway {
    running: Running,
    /// The clock, which stands still until it is pushed.
    pub clock: Clock,
    config: String,
    dir: TempDir,
}

impl Gateway {
    /// Starts a gateway from the body of a configuration file; data directory, listeners and admin token are added.
    pub async fn start(config: &str) -> Gateway {
        let clock = Clock::manual(gateway::model::Time::from_secs(START_SECS));
        Gateway::start_in(tempfile::tempdir().expect("a temporary directory"), config, clock).await
    }

    /// Starts a gateway on a data directory and a clock that were used before.
    pub async fn start_in(dir: TempDir, config: &str, clock: Clock) -> Gateway {
        let path = dir.path().join("billhook.toml");
        std::fs::write(&path, configuration(dir.path(), config)).expect("the directory can be written");
        let meant = Config::load(Some(&path), &Environment::default(), &shipped())
            .unwrap_or_else(|mistakes| panic!("{mistakes}"));
        let listeners = Listeners::bind(&meant).await.expect("port 0 can be bound");
        let running =
            start(meant, listeners, clock.clone(), Compiler::InProcess).await.expect("the gateway starts");
        Gateway { running, clock, config: config.to_owned(), dir }
    }

    /// Stops it in order and starts it again on the same directory.
    pub async fn restart(self) -> Gateway {
        let (dir, config, clock) = self.stop().await;
        Gateway::start_in(dir, &config, clock).await
    }

    /// Stops it in order.
    pub async fn stop(self) -> (TempDir, String, Clock) {
        self.stop_within(Duration::from_secs(10)).await
    }

    /// Stops it in order; what is under way has less than `deadline`.
    pub async fn stop_within(self, deadline: Duration) -> (TempDir, String, Clock) {
        self.running.stop(deadline).await.expect("it stops in time");
        (self.dir, self.config, self.clock)
    }

    /// Where webhooks are posted: `path` such as `/in/flexprice`.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.running.ingest_addr())
    }

    /// The admin API's address.
    pub fn admin_url(&self) -> String {
        format!("http://{}", self.running.admin_addr())
    }

    /// A client of the admin API.
    pub fn client(&self) -> gateway::client::Client {
        gateway::client::Client::new(self.admin_url(), gateway::model::secret::Secret::new(ADMIN_TOKEN))
            .expect("a client")
    }

    /// The store.
    pub fn store(&self) -> Shared {
        self.running.store()
    }

    /// Where it keeps everything.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Waits until nothing is due at the clock's time and nothing is under way.
    pub async fn settle(&self) {
        self.running.settle().await;
    }

    /// Pushes the clock and settles.
    pub async fn advance(&self, duration: Duration) {
        self.clock.advance(duration);
        self.settle().await;
    }

    /// Everything about one webhook, by the id that the answer named.
    pub async fn story(&self, webhook: &str) -> Story {
        let id = webhook.parse().expect("a webhook id");
        self.store().story(id).await.expect("the store reads").expect("the webhook is there")
    }
}

/// The body of a configuration with what makes it a file: a data directory in `dir`, free ports on loopback, the admin
/// token, and leave to deliver to loopback and to fill the disk nearly.
pub fn configuration(dir: &Path, body: &str) -> String {
    let data_dir = dir.join("data");
    format!(
        r#"
        data_dir = {data_dir:?}
        [ingest]
        listen = "127.0.0.1:0"
        [admin]
        listen = "127.0.0.1:0"
        token = "{ADMIN_TOKEN}"
        [network]
        allow = ["127.0.0.0/8"]
        [store]
        min_free = "64MiB"
        {body}
        "#
    )
}
