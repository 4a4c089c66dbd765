//! Configuration: one TOML file and the environment become a [`Config`] that is valid by construction, or a list of
//! every mistake in them.
//!
//! The file is read as a tree that knows its lines ([`reader`]), section by section, in this order: the scalars and
//! tables of the top, then the names of plugins, sources, endpoints and secrets, and then those tables themselves,
//! which may name each other. Paths in the file are relative to the file's directory, others to the working
//! directory. A variable such as `BILLHOOK_INGEST__LISTEN` comes before what the file says.

pub mod environment;
pub mod mistake;

mod auth;
mod endpoint;
mod file;
mod headers;
mod parts;
pub mod plugin;
mod profile;
mod reader;
mod schedule;
mod source;
#[cfg(test)]
mod tests;
mod value;

use crate::config::environment::Environment;
use crate::config::mistake::{At, Mistake, Mistakes, quote};
use crate::config::parts::Parts;
use crate::model::endpoint::Endpoint;
use crate::model::secret::Secret;
use crate::model::source::Source;
use crate::outbound::address::Policy;
use crate::plugins::Limits;
use crate::plugins::facts::Facts;
use crate::telemetry;
use ipnet::IpNet;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use toml::de::DeTable;

/// The file that is read when none is named, if it exists in the working directory.
pub const DEFAULT_FILE: &str = "billhook.toml";
/// The file in `data_dir` that holds the admin token where the configuration gives none.
pub const ADMIN_TOKEN_FILE: &str = "admin-token";
/// The directory in `data_dir` that keeps which version of a plugin serves.
pub const KEPT_DIR: &str = "plugins";
/// What a `component` begins with that is a shipped one.
const SHIPPED: &str = "shipped:";
/// The largest file that is read.
const FILE_MAX: u64 = 4 * 1024 * 1024;

/// What a run of the gateway is told. Everything in it has been checked, secrets are resolved, and names that one
/// part gives for another exist.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where state is kept. Default `./billhook-data`.
    pub data_dir: PathBuf,
    /// `[store]`.
    pub store: StoreOptions,
    /// `[ingest]`.
    pub ingest: Ingest,
    /// `[admin]`.
    pub admin: Admin,
    /// `[network]`.
    pub network: Network,
    /// `[secrets]`: what grants may name; every live value, newest first.
    pub secrets: BTreeMap<String, Vec<Secret>>,
    /// `[[plugin]]`, then the shipped plugins that sources and endpoints name without declaring them. The normalizers that
    /// providers pick are not among them.
    pub plugins: Vec<PluginSpec>,
    /// `plugins.watch`: a directory whose `NAME.wasm` are plugins, also those that come or change while the gateway
    /// runs.
    pub watch: Option<PathBuf>,
    /// `[[source]]`.
    pub sources: Vec<Source>,
    /// `[[endpoint]]`.
    pub endpoints: Vec<Endpoint>,
    /// `[log]`.
    pub log: telemetry::Options,
    /// What was written and has no effect.
    pub idle: Mistakes,
}

/// `[store]`: where rows are kept.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Which store. Default `sled`.
    pub url: StoreUrl,
    /// Free bytes below which nothing new is accepted. Default 512 MiB.
    pub min_free: u64,
}

/// Which store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreUrl {
    /// The embedded one, in `data_dir`.
    Sled,
}

/// `[ingest]`: the public listener.
#[derive(Clone, Debug)]
pub struct Ingest {
    /// Its address. Default `127.0.0.1:8400`; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The largest body in bytes that is accepted. Default 4 MiB, at most 64 MiB.
    pub max_body: usize,
    /// Proxies whose word for the address of a sender counts. Default none.
    pub trusted_proxies: Vec<IpNet>,
}

/// `[admin]`: the private listener.
#[derive(Clone, Debug)]
pub struct Admin {
    /// Its address. Default `127.0.0.1:8401`; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The bearer token; without one, a random one is made and written to `data_dir`.
    pub token: Option<Secret>,
}

/// `[network]`: what deliveries may reach beside public addresses.
#[derive(Clone, Debug, Default)]
pub struct Network {
    /// Private networks that endpoints may be in. Default none.
    pub allow: Vec<IpNet>,
}

/// `[[plugin]]`: a component, and what it may do.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginSpec {
    /// Its name: that of a shipped one, unless `component` is given.
    pub name: String,
    /// Whether the file declares it: a shipped plugin that is used need not be.
    pub is_declared: bool,
    /// The component's file.
    pub component: Option<PathBuf>,
    /// The shipped plugin whose component it is, under a name of its own: `shipped:NAME`.
    pub shipped: Option<String>,
    /// What the component's SHA-256 may be; empty: anything.
    pub sha256: Vec<[u8; 32]>,
    /// What the component gets as its configuration: an object.
    pub config: serde_json::Value,
    /// The line of the file where `config` begins, if it is there.
    pub config_line: Option<usize>,
    /// What it is granted: `secret:NAME`, `reveal:NAME`, `kv:NAME`, `http:HOST`.
    pub grants: Vec<String>,
    /// What becomes of a webhook when it fails for good.
    pub on_failure: OnFailure,
    /// What one call may use.
    pub limits: Limits,
}

/// What becomes of a webhook, or of a delivery, when a plugin fails for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OnFailure {
    /// It is dead-lettered.
    #[default]
    Reject,
    /// It goes on without the plugin: for a transform this is spelled `send-untransformed`.
    Skip,
}

/// What the binary brings: the plugins in it and the providers that their manifests name.
#[derive(Clone, Debug, Default)]
pub struct Shipped {
    /// Names of plugins.
    pub plugins: Vec<String>,
    /// Names of providers.
    pub providers: Vec<String>,
    /// How providers prove themselves, by name: an `auth` table without its secret. Not every provider has one.
    pub presets: BTreeMap<String, toml::Table>,
    /// What the components of plugins say of themselves, by name. What is not there is not held against anything.
    pub facts: BTreeMap<String, Arc<Facts>>,
}

/// `auth` tables by the name of the plugin that says so, empty for what the binary brings, and of their provider.
type Presets<'a> = BTreeMap<(&'a str, &'a str), DeTable<'a>>;

/// Names that one part of the file may give for another.
struct Names<'a> {
    plugins: BTreeSet<String>,
    /// Those whose component lies in the watched directory or was loaded while a gateway ran.
    lying: &'a BTreeSet<String>,
    /// With their providers.
    sources: BTreeMap<String, String>,
    /// Those that sources have.
    providers: BTreeSet<String>,
    secrets: BTreeSet<String>,
    shipped: &'a Shipped,
    /// Where deliveries may go.
    policy: Policy,
    /// [`Shipped::presets`] and those of other plugins, as the reader reads tables.
    presets: &'a Presets<'a>,
    parts: &'a Parts<'a>,
    /// Where every connection comes from, as far as its address tells: from this machine. `None`: from anywhere.
    local: Option<IpAddr>,
}

impl Config {
    /// What there is of the way to the data directory: itself, or what it would be made in.
    pub fn data_dir_so_far(&self) -> &Path {
        let is_there = |dir: &&Path| {
            let found = dir.symlink_metadata();
            !found.is_err_and(|why| why.kind() == io::ErrorKind::NotFound)
        };
        // The last of a relative path is empty, and means the working directory.
        self.data_dir.ancestors().find(is_there).unwrap_or(Path::new("."))
    }

    /// Reads `path`, or [`DEFAULT_FILE`] if `path` is `None` and it exists, and the environment.
    ///
    /// # Errors
    /// Every mistake in them.
    pub fn load(
        path: Option<&Path>,
        environment: &Environment,
        shipped: &Shipped,
    ) -> Result<Config, Mistakes> {
        read_file(path, |text, base| file::read(text, base, environment, shipped))
    }

    /// As [`Config::load`], but reads only `data_dir` and `[admin]`: what a client on the same machine needs, who may
    /// hold none of the gateway's secrets; a token that it does not want need not be there.
    ///
    /// # Errors
    /// Every mistake in these, and what is not TOML.
    pub fn load_for_client(
        path: Option<&Path>,
        environment: &Environment,
        wants_token: bool,
    ) -> Result<Config, Mistakes> {
        read_file(path, |text, base| file::read_for_client(text, base, environment, wants_token))
    }

    /// Reads the text of a file whose relative paths are relative to `base`, and the environment.
    ///
    /// # Errors
    /// Every mistake in them.
    pub fn parse(
        text: &str,
        base: &Path,
        environment: &Environment,
        shipped: &Shipped,
    ) -> Result<Config, Mistakes> {
        file::read(text, base, environment, shipped).map_err(|list| Mistakes { file: None, list })
    }

    /// What would run, a line each, without secrets. Shipped plugins that providers pick are not counted; what becomes of
    /// sources is told where they are loaded.
    pub fn summary(&self) -> Vec<String> {
        let mut lines = vec![
            format!(
                "ingest on {}, admin on {}, state in {}",
                self.ingest.listen,
                self.admin.listen,
                self.data_dir.display()
            ),
            [
                count(self.sources.len(), "source"),
                count(self.endpoints.len(), "endpoint"),
                count(self.plugins.len(), "plugin"),
            ]
            .join(", "),
        ];
        for endpoint in &self.endpoints {
            let events = if endpoint.events.is_empty() { "*".to_owned() } else { endpoint.events.join(", ") };
            lines.push(format!("endpoint {}: {events} to {}", endpoint.name, endpoint.shown_url()));
        }
        for plugin in &self.plugins {
            let of = match (&plugin.shipped, &plugin.component) {
                (Some(shipped), _) => format!("{SHIPPED}{shipped}"),
                (None, Some(path)) => path.display().to_string(),
                (None, None) => "by its name".to_owned(),
            };
            lines.push(format!("plugin {}: {of}", plugin.name));
        }
        lines
    }
}

impl Default for Config {
    /// What runs without a file: no sources, both listeners on this machine only.
    fn default() -> Config {
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Config {
            data_dir: PathBuf::from("./billhook-data"),
            store: StoreOptions { url: StoreUrl::Sled, min_free: 512 << 20 },
            ingest: Ingest { listen: local(8400), max_body: 4 << 20, trusted_proxies: Vec::new() },
            admin: Admin { listen: local(8401), token: None },
            network: Network::default(),
            secrets: BTreeMap::new(),
            plugins: Vec::new(),
            watch: None,
            sources: Vec::new(),
            endpoints: Vec::new(),
            log: telemetry::Options::default(),
            idle: Mistakes::default(),
        }
    }
}

fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

fn read_file(
    path: Option<&Path>,
    read: impl FnOnce(&str, &Path) -> Result<Config, Vec<Mistake>>,
) -> Result<Config, Mistakes> {
    let path = path.or_else(|| Some(Path::new(DEFAULT_FILE)).filter(|path| is_there(path)));
    let result = match path {
        None => read("", Path::new("")),
        Some(path) => match read_text(path) {
            Ok(text) => read(&text, path.parent().unwrap_or(Path::new(""))),
            Err(mistake) => Err(vec![mistake]),
        },
    };
    let file = path.map(Path::to_owned);
    match result {
        Ok(config) => Ok(Config { idle: Mistakes { file, ..config.idle }, ..config }),
        Err(list) => Err(Mistakes { file, list }),
    }
}

/// Whether anything is called so: also a link to nowhere, or a file that may not be read, of which somebody thinks that
/// it counts.
fn is_there(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok()
}

fn read_text(path: &Path) -> Result<String, Mistake> {
    let mistake = |wrong: String, remedy: &str| Mistake {
        at: At::File,
        key: String::new(),
        wrong,
        remedy: remedy.to_owned(),
    };
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(FILE_MAX + 1).read_to_string(&mut text));
    if let Err(why) = read {
        let shown = quote(&path.display().to_string());
        return Err(mistake(format!("cannot read {shown}: {why}"), "name a file of TOML with `--config`"));
    }
    if text.len() as u64 > FILE_MAX {
        return Err(mistake(format!("is larger than {FILE_MAX} bytes"), "put plugin data elsewhere"));
    }
    Ok(text)
}
