//! A gateway as a child process that can be killed.

use crate::configuration;
use std::path::Path;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

/// A gateway as a child process.
pub struct Process {
    child: Child,
    /// Reads its log to the end.
    reader: JoinHandle<()>,
    /// `host:port` of the ingest listener.
    pub ingest: String,
    /// `host:port` of the admin listener.
    pub admin: String,
}

impl Process {
    /// Starts `binary serve` on a data directory. `crash_at` is the test switch that aborts it at a named point.
    ///
    /// `None` if it ended before it listened, as it does when the switch says so.
    pub async fn start(binary: &Path, dir: &Path, config: &str, crash_at: Option<&str>) -> Option<Process> {
        let crash_at = crash_at.map(|point| ("BILLHOOK_CRASH_AT", point));
        Process::start_with(binary, dir, config, crash_at.as_slice()).await
    }

    /// [`Process::start`] with variables in its environment.
    pub async fn start_with(
        binary: &Path,
        dir: &Path,
        config: &str,
        environment: &[(&str, &str)],
    ) -> Option<Process> {
        let path = dir.join("billhook.toml");
        std::fs::write(&path, configuration(dir, config)).expect("the directory can be written");
        let mut command = Command::new(binary);
        command.arg("serve").arg("--config").arg(&path).env("BILLHOOK_LOG", "info");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        command.envs(environment.iter().copied());
        let mut child = command.spawn().expect("the gateway's binary is built");
        let stderr = child.stderr.take().expect("stderr is piped");
        let mut lines = BufReader::new(stderr).lines();
        let (mut ingest, mut admin) = (None, None);
        while ingest.is_none() || admin.is_none() {
            let line = lines.next_line().await.ok().flatten()?;
            let Ok(line) = serde_json::from_str::<serde_json::Value>(&line) else { continue };
            let fields = &line["fields"];
            ingest = ingest.or(fields["ingest"].as_str().map(str::to_owned));
            admin = admin.or(fields["admin"].as_str().map(str::to_owned));
        }
        // The pipe must be read to its end, or a gateway that logs much would stand still.
        let reader = tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Some(Process { child, reader, ingest: ingest?, admin: admin? })
    }

    /// What the system calls it, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Where webhooks are posted.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.ingest)
    }

    /// SIGKILL, and waits until it is gone.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("a child can be killed");
    }

    /// SIGTERM; returns the exit code.
    pub async fn terminate(mut self) -> Option<i32> {
        self.signal("TERM").await;
        self.ended().await.code()
    }

    /// Sends a signal by name.
    pub async fn signal(&self, name: &str) {
        let pid = self.id().expect("the gateway runs").to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status().await.expect("kill is there");
        assert!(sent.success(), "the gateway runs");
    }

    /// Closes the other end of its log: no line can be written any more.
    pub async fn close_log(&mut self) {
        self.reader.abort();
        let _ = (&mut self.reader).await;
    }

    /// Waits until it takes no more connections.
    pub async fn stops_accepting(&self) {
        while tokio::net::TcpStream::connect(&self.ingest).await.is_ok() {
            tokio::task::yield_now().await;
        }
    }

    /// Waits until it ends by itself.
    pub async fn ended(&mut self) -> std::process::ExitStatus {
        self.child.wait().await.expect("a child can be waited for")
    }
}
