//! Plugins: WebAssembly components that normalize, filter and annotate, each in a sandbox of its own.
//!
//! [`Plugins::start`] makes the engine. [`Plugins::load`] turns a component into a [`Plugin`]: its manifest is read
//! ([`manifest`]), its configuration is held against its schema (`config`, `schema`), it is compiled or found in the cache ([`compile`]),
//! what it begins with is held against its limits (`size`), and its imports are linked (`link`, `imports`, `wasi`). A
//! call (`call`) takes a fresh instance from the pool, so that no call sees what another left behind, runs it within
//! [`Limits`] and checks what it gave (`output`).
//!
//! A running gateway keeps its plugins in a [`roster`]: callers hold a [`Slot`] of it, whose version may be swapped.
//!
//! A plugin reaches its input, its configuration, the log and the time of the run, and beyond that what it asks for and
//! is granted (`grants`): secrets, which it uses without seeing them; what it keeps ([`kv`]), committed with its run or
//! not at all; and hosts, through the gateway's own client. The same input, time, seed, component and kept entries give
//! the same answer, but for what hosts say. Plugins are isolated from the gateway and from each other, but not proof
//! against side channels.

mod bindings;
mod call;
pub mod compile;
mod component;
mod config;
mod cpu;
mod engine;
pub mod facts;
mod failed;
mod grants;
mod imports;
pub mod inspect;
pub mod kv;
mod link;
pub mod manifest;
mod misfit;
mod output;
pub mod roster;
mod schema;
pub mod shipped;
mod size;
mod slot;
pub mod smoke;
mod tally;
mod text;
pub mod transform;
pub mod verify;
mod wasi;
pub mod watch;

#[cfg(test)]
mod tests;

pub use crate::plugins::failed::Failed;
pub use crate::plugins::kv::Kv;
pub use crate::plugins::transform::{Outgoing, OutgoingInput, Sending};
pub use crate::plugins::verify::{Judgement, RequestInput};

use crate::model::Time;
use crate::model::id::WebhookId;
use crate::model::secret::Secret;
use crate::model::webhook::WebhookHead;
use crate::outbound::Outbound;
pub use crate::plugins::component::{COMPONENT_BYTES_MAX, Component};
use crate::plugins::engine::Host;
use crate::plugins::grants::{Capability, Grants};
use crate::plugins::link::Linked;
use crate::plugins::manifest::{Kind, Manifest};
pub use crate::plugins::misfit::Misfit;
pub use crate::plugins::slot::Slot;
pub use crate::plugins::tally::Tallied;
use crate::plugins::tally::Tally;

use billhook_event::{Draft, Event, Patch, PluginRef};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;
use tokio::sync::Semaphore;

/// How plugins are run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where machine code is kept between starts: a directory that only the gateway can read. `None`: every start
    /// compiles anew.
    pub cache_dir: Option<PathBuf>,
    /// Who compiles.
    pub compiler: Compiler,
    /// Calls that may run at once, over all plugins, and three quarters of them of one; those beyond wait. Each takes some 4 GiB of address space, not of
    /// memory.
    pub instances: usize,
    /// What plugins with `http` grants send by. `None`: they are told that there is no network.
    pub outbound: Option<Outbound>,
}

impl Default for Options {
    fn default() -> Options {
        Options { cache_dir: None, compiler: Compiler::InProcess, instances: 256, outbound: None }
    }
}

/// Who compiles components to machine code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Compiler {
    /// This process: for tests and tools.
    InProcess,
    /// A child process with limits on memory and time, since a component can be built to make compiling expensive:
    /// `PATH compile-component IN OUT`, which must call [`compile::compile_file`]. Needs [`Options::cache_dir`].
    Child(PathBuf),
}

/// What one call of a plugin may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all its memories together.
    pub memory: usize,
    /// Time on the processor.
    pub cpu: Duration,
    /// Time on the clock, waits included.
    pub wall: Duration,
    /// Bytes of what it returns, and of what it passes to the host in one call.
    pub output: usize,
    /// Log lines; those beyond are counted and dropped. Those of one run are at most [`RUN_LOGS`] times as many.
    pub log_lines: usize,
    /// Bytes of a log line; longer ones are cut.
    pub log_line: usize,
    /// Calls of host functions.
    pub host_calls: u32,
    /// Handles to host resources at one time.
    pub handles: usize,
    /// Drafts that a normalizer returns.
    pub drafts: usize,
}

/// All calls of a run together may write as many log lines as so many calls: a run asks a thousand times.
pub const RUN_LOGS: usize = 5;

/// The drafts that a normalizer may give for one webhook.
pub const DRAFTS_MAX: usize = 1_000;

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            memory: 64 << 20,
            cpu: Duration::from_millis(100),
            wall: Duration::from_secs(2),
            output: 1 << 20,
            log_lines: 100,
            log_line: 8 << 10,
            host_calls: 10_000,
            handles: 1_000,
            drafts: DRAFTS_MAX,
        }
    }
}

impl Limits {
    /// How long a call may take that waits for other machines.
    pub const WALL_WITH_HTTP: Duration = Duration::from_secs(10);
    /// What each may be set to at most: memory, and time on the processor and on the clock.
    pub const MEMORY_MAX: usize = engine::MEMORY_BYTES_MAX;
    /// See [`Limits::MEMORY_MAX`].
    pub const CPU_MAX: Duration = Duration::from_secs(10);
    /// See [`Limits::MEMORY_MAX`].
    pub const WALL_MAX: Duration = Duration::from_secs(60);

    /// The defaults of a plugin with these grants: with `http`, [`Limits::WALL_WITH_HTTP`].
    pub fn of(grants: &[String]) -> Limits {
        let mut limits = Limits::default();
        if grants.iter().any(|grant| grant.starts_with("http:")) {
            limits.wall = Limits::WALL_WITH_HTTP;
        }
        limits
    }
}

/// A plugin as it is configured.
#[derive(Clone, Debug)]
pub struct Spec {
    /// The name that sources and endpoints use.
    pub name: String,
    /// The component.
    pub component: Component,
    /// Its configuration: an object, or null for none.
    pub config: serde_json::Value,
    /// What it is allowed beside log, clock and configuration.
    pub grants: Vec<String>,
    /// The live values of secrets, newest first, by name. It keeps those that it is granted.
    pub secrets: BTreeMap<String, Vec<Secret>>,
    /// What one call may use.
    pub limits: Limits,
}

/// The engine that all plugins share.
pub struct Plugins {
    host: Arc<Host>,
}

impl Plugins {
    /// Starts the engine and the thread that interrupts plugins. The thread ends when the last plugin and this are
    /// dropped.
    pub fn start(options: Options) -> Result<Plugins, LoadError> {
        Ok(Plugins { host: Arc::new(Host::start(options, false)?) })
    }

    /// Starts an engine that also counts the instructions of each call, for [`watch::watched`]. It compiles in this
    /// process and runs slower: for the tools of plugin authors.
    pub fn start_counting(options: Options) -> Result<Plugins, LoadError> {
        let options = Options { compiler: Compiler::InProcess, ..options };
        Ok(Plugins { host: Arc::new(Host::start(options, true)?) })
    }

    /// Makes a component ready to be called. Blocks while it compiles: some 100 ms per 100 KB, nothing when the cache
    /// has it.
    pub fn load(&self, spec: Spec) -> Result<Plugin, LoadError> {
        let (name, digest) = (spec.name.as_str(), spec.component.digest());
        // Side by side, since each takes a while: what it says of itself, and its machine code, if that is there.
        let (described, cached) = thread::scope(|scope| {
            let describing = thread::Builder::new().spawn_scoped(scope, || describe(&spec));
            let cached = compile::cached(&self.host, &digest);
            (describing.map(ScopedJoinHandle::join), cached)
        });
        let described =
            described.map_err(|error| LoadError::Engine(format!("cannot start a thread: {error}")))?;
        let (manifest, config) = described.unwrap_or_else(|panic| resume_unwind(panic))?;
        let component = match cached? {
            Some(component) => component,
            None => compile::compiled(&self.host, name, &spec.component, &digest)?,
        };
        let places = size::places(&self.host, name, &component, &spec.limits)?;
        let (linked, grants) = link::link(&self.host, name, &component, &manifest, &spec.grants)?;
        let mut secrets = spec.secrets;
        secrets.retain(|name, _| grants.has(Capability::Secret, name));
        let reference = PluginRef {
            name: spec.name.clone(),
            version: manifest.version.clone(),
            digest: spec.component.digest_hex(),
        };
        Ok(Plugin(Arc::new(Loaded {
            host: Arc::clone(&self.host),
            reference,
            manifest,
            linked,
            config,
            digest,
            grants,
            secrets,
            limits: spec.limits,
            places,
            share: Semaphore::new(self.host.share.max(places as usize)),
            tally: Tally::default(),
        })))
    }

    /// Removes the machine code of a component that is no longer wanted. What runs goes on.
    fn forget(&self, digest: &[u8; 32]) {
        compile::forget(&self.host, digest);
    }

    /// Instances, memories, tables and stacks of the pool that calls hold at this moment. `None`: there is no pool.
    pub fn in_use(&self) -> Option<usize> {
        let metrics = self.host.engine.pooling_allocator_metrics()?;
        let instances = metrics.component_instances() + metrics.core_instances();
        Some(instances as usize + metrics.memories() + metrics.tables() + metrics.stacks())
    }
}

/// What a component says of itself, and its configuration, which must fit, as a JSON object.
fn describe(spec: &Spec) -> Result<(Manifest, Bytes), LoadError> {
    let sections = component::read(&spec.name, &spec.component)?;
    let manifest = Manifest::read(&spec.name, sections.manifest)?;
    let config = config::check(&spec.name, sections.config_schema, &spec.config)?;
    Ok((manifest, config))
}

/// A plugin that is ready to be called. Cloning is cheap; calls in flight keep the one they began with.
#[derive(Clone)]
pub struct Plugin(Arc<Loaded>);

struct Loaded {
    host: Arc<Host>,
    reference: PluginRef,
    manifest: Manifest,
    linked: Linked,
    /// A JSON object.
    config: Bytes,
    digest: [u8; 32],
    grants: Grants,
    /// The live values of what it is granted, newest first.
    secrets: BTreeMap<String, Vec<Secret>>,
    limits: Limits,
    tally: Tally,
    /// Places of the pool that a call takes.
    places: u32,
    /// One permit for each place that its calls may hold together.
    share: Semaphore,
}

impl Plugin {
    /// Its configured name.
    pub fn name(&self) -> &str {
        &self.0.reference.name
    }

    /// Name, version and digest, as events carry them.
    pub fn reference(&self) -> &PluginRef {
        &self.0.reference
    }

    /// What it says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.0.manifest
    }

    /// What it exports.
    pub fn kinds(&self) -> &[Kind] {
        &self.0.linked.kinds
    }

    /// SHA-256 of its component.
    pub fn digest(&self) -> [u8; 32] {
        self.0.digest
    }

    /// What its calls came to since it was loaded.
    pub fn tallied(&self) -> Tallied {
        self.0.tally.read()
    }

    /// What is told of a call that gave no answer.
    pub fn failed(&self, kind: Kind, about: impl ToString, source: CallError) -> Failed {
        Failed { plugin: self.reference().clone(), kind, about: about.to_string(), source }
    }

    /// Asks a verifier whether a request is authentic. It has no `kv`, and waits no longer for an instance than it may
    /// run. Dropping the future ends the call.
    pub async fn verify(&self, call: &Call, request: &Arc<RequestInput>) -> Result<Judgement, CallError> {
        call::verify(&self.0, call, request).await
    }

    /// Asks a normalizer what a webhook says: zero or more drafts, in order. Waits while all instances are in use.
    /// Dropping the future ends the call.
    pub async fn normalize(&self, call: &Call, webhook: &Arc<WebhookInput>) -> Result<Vec<Draft>, CallError> {
        call::normalize(&self.0, call, webhook).await
    }

    /// Asks a filter whether an event goes on. Otherwise as [`Plugin::normalize`].
    pub async fn filter(&self, call: &Call, event: &Arc<EventInput>) -> Result<Verdict, CallError> {
        call::filter(&self.0, call, event).await
    }

    /// Asks a map what it adds to an event. Otherwise as [`Plugin::normalize`].
    pub async fn map(&self, call: &Call, event: &Arc<EventInput>) -> Result<Option<Patch>, CallError> {
        call::map(&self.0, call, event).await
    }

    /// Asks a transform what to send. Otherwise as [`Plugin::normalize`].
    pub async fn transform(&self, call: &Call, outgoing: OutgoingInput) -> Result<Sending, CallError> {
        call::transform(&self.0, call, outgoing).await
    }
}

/// What a call may know beside its input.
#[derive(Clone, Debug)]
pub struct Call {
    /// When the run began: every clock of the plugin shows it.
    pub now: Time,
    /// Where randomness comes from, together with the component's digest: the webhook's id.
    pub seed: [u8; 16],
    /// How it may use what plugins keep, where it is granted a bucket.
    pub kv: Kv,
    /// Log lines that the calls of its run have written. `None`: it is of no run, or of one that is a call.
    pub lines: Option<Arc<AtomicUsize>>,
}

impl Call {
    /// A call without `kv`.
    pub fn new(now: Time, seed: [u8; 16]) -> Call {
        Call { now, seed, kv: Kv::None, lines: None }
    }
}

/// What a normalizer sees.
#[derive(Clone, Debug)]
pub struct WebhookInput {
    /// Its id.
    pub id: WebhookId,
    /// Everything but the body.
    pub head: Arc<WebhookHead>,
    /// The body after redaction.
    pub body: Bytes,
}

/// What a filter or map sees.
#[derive(Clone, Debug)]
pub struct EventInput {
    /// The event with the patches so far.
    pub event: Event,
    /// The same as JSON.
    pub json: Bytes,
    /// The webhook it came from; `None` once its body has aged out.
    pub webhook: Option<Arc<WebhookInput>>,
    /// When each canonical type was last committed for the same entity.
    pub seen: BTreeMap<String, Time>,
    /// Whether this run is a reprocess.
    pub replayed: bool,
}

/// What a filter says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The event goes on.
    Keep,
    /// It goes no further, and why.
    Drop(String),
}

/// Why a call gave no answer. Texts are one line of at most 8 KiB without control characters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The input is wrong for this plugin, or its output is wrong for us: the same call will fail again.
    #[error("invalid: {0}")]
    Invalid(String),
    /// Something outside failed: worth another try later.
    #[error("unavailable: {0}")]
    Unavailable(String),
    /// The plugin failed for another reason, or cannot be called so.
    #[error("failed: {0}")]
    Other(String),
    /// It trapped: a panic, an exit, or something that plugins cannot do.
    #[error("trapped: {0}")]
    Trap(String),
    /// It went over one of its [`Limits`].
    #[error("over its limit: {0}")]
    Limit(String),
}

/// Why a plugin cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The engine does not start.
    #[error("cannot start the plugin engine: {0}")]
    Engine(String),
    /// The component is not what the operator pinned.
    #[error("plugin `{plugin}`: the component's SHA-256 is {found}, but `sha256` says {expected}")]
    Digest {
        /// The plugin.
        plugin: String,
        /// What was configured.
        expected: String,
        /// What it is.
        found: String,
    },
    /// It is not a component.
    #[error("plugin `{plugin}`: {why}")]
    NotAComponent {
        /// The plugin.
        plugin: String,
        /// What it is instead, and what to do.
        why: String,
    },
    /// It has no manifest, or one that says something wrong.
    #[error("plugin `{plugin}`: its manifest {why}")]
    Manifest {
        /// The plugin.
        plugin: String,
        /// What is wrong.
        why: String,
    },
    /// Its configuration does not fit its schema.
    #[error("plugin `{plugin}`: {}", .misfits.iter().map(Misfit::to_string).collect::<Vec<_>>().join("; "))]
    Config {
        /// The plugin.
        plugin: String,
        /// Each with its key; values are not shown.
        misfits: Vec<Misfit>,
    },
    /// It wants what it cannot have.
    #[error("plugin `{plugin}`: {why}")]
    Import {
        /// The plugin.
        plugin: String,
        /// The interface, and what to do.
        why: String,
    },
    /// What it asks for and what it is granted differ.
    #[error("plugin `{plugin}`: {why}")]
    Grant {
        /// The plugin.
        plugin: String,
        /// The grant, and what to do.
        why: String,
    },
    /// It could never run.
    #[error("plugin `{plugin}`: {why}")]
    Size {
        /// The plugin.
        plugin: String,
        /// What it begins with, and what it may have.
        why: String,
    },
    /// It does not compile.
    #[error("plugin `{plugin}` cannot be compiled: {why}")]
    Compile {
        /// The plugin.
        plugin: String,
        /// What the compiler said.
        why: String,
    },
    /// The cache directory cannot be used.
    #[error("plugin cache {path}: {source}", path = path.display())]
    Cache {
        /// The directory or file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}
