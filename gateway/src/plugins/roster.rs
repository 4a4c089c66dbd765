//! The plugins of a running gateway: which version of each serves, who relies on it, and what served before.
//!
//! Callers hold a [`Slot`]. [`Roster::enlist`] fills one at the start; [`Roster::swap`], [`Roster::load`],
//! [`Roster::rollback`] and [`Roster::found`] bring another version while the gateway runs. It must load under the
//! configuration and grants there are, be able to do what is relied on, and pass its own smoke test (`smoke`); then it
//! is written down (`kept`) and takes its place. What fails anywhere before changes nothing: the old version serves.
//!
//! A version that an operator brought stays in force over a restart as long as the configured component is the one
//! that it replaced; when that has changed, the configuration wins.

mod kept;

pub use kept::Kept;

use crate::api::plugin::{By, Failure, Origin, Plugin as Shown, PluginDetail, Turn};
use crate::clock::Clock;
use crate::model::name::{NAME_MAX, is_name};
use crate::model::secret::Secret;
use crate::plugins::manifest::{Kind, Manifest, Provider};
use crate::plugins::roster::kept::{Record, Terms};
use crate::plugins::smoke::SmokeError;
use crate::plugins::{
    Component, Limits, LoadError, Plugin, Plugins, Slot, Spec, Tallied, grants, shipped, smoke,
};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// The most plugins that may be loaded while a gateway runs, all together with those of its configuration.
const PLUGINS_MAX: usize = 256;

/// Who is told that a plugin has another version.
type Changed = Box<dyn Fn(&str) + Send + Sync>;

/// Every plugin of a gateway.
pub struct Roster {
    plugins: Plugins,
    kept: Kept,
    clock: Clock,
    /// Held for a look or a change of a row, never while something is loaded or written.
    members: Mutex<BTreeMap<String, Member>>,
    /// Held by who brings a version: one at a time.
    changing: tokio::sync::Mutex<()>,
    changed: OnceLock<Changed>,
    /// What plugins that are loaded while the gateway runs may be granted, as [`Spec::secrets`].
    secrets: BTreeMap<String, Vec<Secret>>,
}

/// A plugin.
#[derive(Clone)]
struct Member {
    slot: Slot,
    /// What each version of it is loaded with; without its component.
    spec: Spec,
    origin: Origin,
    pinned: Vec<[u8; 32]>,
    users: Vec<User>,
    record: Record,
    /// The component that it was enlisted with, until that and the record are written down.
    unwritten: Option<Component>,
    /// What its manifest said of providers when the sources were set up.
    facts: Vec<Provider>,
}

/// Somebody who relies on a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// `source NAME` or `endpoint NAME`.
    pub who: String,
    /// What they would call of it: those of these that it has, it must not lose.
    pub kinds: Vec<Kind>,
    /// The provider whose facts they go by.
    pub provider: Option<String>,
}

/// A plugin as it is enlisted.
#[derive(Clone, Debug)]
pub struct Enlisted {
    /// What it is loaded with.
    pub spec: Spec,
    /// Where its component comes from.
    pub origin: Origin,
    /// The digests that are allowed; none: every one.
    pub pinned: Vec<[u8; 32]>,
}

/// Who brings a version, and why.
#[derive(Clone, Debug, Default)]
pub struct Errand {
    /// What the component must hash to.
    pub sha256: Option<[u8; 32]>,
    /// Why, for those who look later.
    pub why: Option<String>,
}

/// Why another version does not serve. Whatever served before goes on to.
#[derive(Debug, thiserror::Error)]
pub enum RosterError {
    /// No plugin is called so.
    #[error("no plugin is called `{name}`: there are {}", .known.join(", "))]
    Unknown {
        /// What was asked for.
        name: String,
        /// Those there are.
        known: Vec<String>,
    },
    /// There is one already, which may be one that the gateway brings along and nobody uses.
    #[error(
        "there is a plugin `{0}` already{origin}: swap it, or choose another name",
        origin = origin_of(.0)
    )]
    Exists(String),
    /// It cannot be called so.
    #[error("`{0}` is not a name: use 1 to {NAME_MAX} of a-z, 0-9, `-` and `_`")]
    BadName(String),
    /// There are too many.
    #[error(
        "there are {PLUGINS_MAX} plugins, which is the most: start a gateway without those that nobody uses"
    )]
    Full,
    /// What came is not what was meant.
    #[error("plugin `{name}`: the component that came has the SHA-256 {found}, not {expected}")]
    NotMeant {
        /// The plugin.
        name: String,
        /// What was meant.
        expected: String,
        /// What came.
        found: String,
    },
    /// The configuration allows other digests only.
    #[error(
        "plugin `{name}` is pinned: its `sha256` in the configuration allows {}, not {found}; add that one to the list",
        .allowed.join(" and ")
    )]
    Pinned {
        /// The plugin.
        name: String,
        /// What may be.
        allowed: Vec<String>,
        /// What came.
        found: String,
    },
    /// It does not load.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// It cannot do what is relied on.
    #[error("plugin `{name}`: version {version} {lost}, which {who} relies on")]
    Lost {
        /// The plugin.
        name: String,
        /// The version that came.
        version: String,
        /// What it has no longer.
        lost: String,
        /// Who needs that.
        who: String,
    },
    /// It fails its own test.
    #[error("plugin `{name}`: version {version} does not work: {why}")]
    Smoke {
        /// The plugin.
        name: String,
        /// The version that came.
        version: String,
        /// What failed.
        why: String,
    },
    /// There is nothing to go back to.
    #[error("plugin `{0}` has had no other version to go back to")]
    NoneBefore(String),
    /// It cannot be written down, so it would not survive a restart.
    #[error("plugin `{name}`: cannot keep the version: {why}")]
    Keep {
        /// The plugin.
        name: String,
        /// What the system said.
        why: String,
    },
    /// Loading it panicked.
    #[error("plugin `{name}`: loading it broke: {why}")]
    Broke {
        /// The plugin.
        name: String,
        /// What was said.
        why: String,
    },
}

impl RosterError {
    /// Whether another configuration of the plugin may be the remedy.
    pub fn may_be_of_its_configuration(&self) -> bool {
        matches!(self, RosterError::Load(LoadError::Config { .. }) | RosterError::Smoke { .. })
    }
}

impl Roster {
    /// A roster without plugins. `kept` is where it writes down which version serves.
    pub fn new(plugins: Plugins, kept: Kept, clock: Clock) -> Roster {
        let (members, changing) = (Mutex::default(), tokio::sync::Mutex::default());
        let (changed, secrets) = (OnceLock::new(), BTreeMap::new());
        Roster { plugins, kept, clock, members, changing, changed, secrets }
    }

    /// The same, with the configured secrets for the plugins that are loaded while the gateway runs.
    pub fn with_secrets(self, secrets: BTreeMap<String, Vec<Secret>>) -> Roster {
        Roster { secrets, ..self }
    }

    /// Has `changed` called with the name of each plugin that has another version from then on. Once only.
    pub fn on_change(&self, changed: impl Fn(&str) + Send + Sync + 'static) {
        // A second one would be a mistake in assembly that the first test shows.
        let _ = self.changed.set(Box::new(changed));
    }

    /// Loads a plugin at the start: the configured version, or what an operator put in its place since. One that did not
    /// serve last must pass its smoke test, as in a swap, and so must one whose configuration is new: what a schema
    /// cannot say the plugin refuses only when it is called. One that could not be tried, since a host that it asks does not
    /// answer, serves. Blocks while it compiles and is tried. Writes nothing: [`Roster::write_down`] does.
    ///
    /// # Errors
    /// When neither serves. One that an operator brought and that no longer loads gives way to the configured one, with
    /// a line in the log; so does one in the watched directory to the one that served before, with the error beside the slot.
    pub fn enlist(&self, enlisted: Enlisted) -> Result<(Slot, Option<RosterError>), RosterError> {
        let Enlisted { spec, origin, pinned } = enlisted;
        let name = spec.name.clone();
        let digest = spec.component.digest_hex();
        if !pinned.is_empty() && !pinned.contains(&spec.component.digest()) {
            let expected = pinned.iter().map(hex::encode).collect::<Vec<_>>().join(" or ");
            return Err(LoadError::Digest { plugin: name, expected, found: digest }.into());
        }
        let before = self.kept.record(&name).unwrap_or_else(|error| {
            tracing::error!(plugin = name, %error, "what is kept of the plugin cannot be read: its history begins anew");
            None
        });
        let mut record = before.clone().unwrap_or_default();
        if !matches!(origin, Origin::Loaded | Origin::Watched) {
            record.loaded = None;
        }
        let (plugin, refused) = match self.standing(&spec, &record, &digest, &pinned) {
            Some(plugin) => (plugin, None),
            None => match self.given(&spec, &record, origin) {
                Ok(plugin) => (plugin, None),
                Err(error) if origin == Origin::Watched => {
                    let served = record.current().filter(|current| *current != digest);
                    let Some(plugin) = served.and_then(|served| self.load_kept(&spec, served)) else {
                        return Err(error);
                    };
                    (plugin, Some(error))
                }
                Err(error) => return Err(error),
            },
        };
        let serves = &plugin.reference().digest;
        if record.current().is_some_and(|current| current != serves) {
            tracing::info!(
                plugin = name,
                digest = %serves,
                "what the configuration gives has changed, and wins over what served before"
            );
        }
        // What the gateway brings along it has at hand; everything else may be gone tomorrow.
        let is_worth_it = origin != Origin::Shipped || before.is_some();
        if record.current() != Some(serves) {
            record.turn(turn(&plugin, self.clock.now(), By::Start, None), false);
        }
        record.base = Some(digest.clone());
        record.settings = settings(&spec.config);
        let is_new = is_worth_it && before.as_ref() != Some(&record);
        let unwritten = is_new.then(|| spec.component.clone());
        let spec = Spec { component: Component::default(), ..spec };
        let slot = self.admit(
            name,
            Member {
                facts: facts(&plugin),
                slot: Slot::new(plugin),
                spec,
                origin,
                pinned,
                users: Vec::new(),
                record,
                unwritten,
            },
        );
        Ok((slot, refused))
    }

    /// Writes down what was enlisted. Call it when nothing can keep the gateway from serving any more, and no other serves
    /// from the same directory: then a start that fails leaves behind what it found. What cannot be written serves all the
    /// same, with a line in the log. Blocks.
    pub fn write_down(&self) {
        let mut unwritten = Vec::new();
        for (name, member) in self.members().iter_mut() {
            let component = member.unwritten.take();
            unwritten.extend(component.map(|component| (name.clone(), component, member.record.clone())));
        }
        for (name, component, record) in unwritten {
            let kept = self.kept.keep(&component).and_then(|()| self.kept.write_record(&name, &record));
            if let Err(error) = kept {
                tracing::error!(plugin = name, %error, "cannot keep the version: one cannot roll back to it");
            }
        }
    }

    /// What the configuration, the gateway or the watched directory gives; tried, unless it served last as it is
    /// configured now, or is our own and not configured.
    fn given(&self, spec: &Spec, record: &Record, origin: Origin) -> Result<Plugin, RosterError> {
        let plugin = self.plugins.load(spec.clone())?;
        let settings = settings(&spec.config);
        let served_last = record.current() == Some(&plugin.reference().digest);
        if settings == record.settings && (served_last || origin == Origin::Shipped) {
            return Ok(plugin);
        }
        // In the watched directory a version waits for another start: what served before goes on.
        if origin == Origin::Watched {
            smoke::blocking(self.smoke(plugin))
        } else {
            self.tried_at_start(plugin)
        }
    }

    /// A plugin that passed its smoke test, or could not now: whether a host that it asks is up does not decide whether
    /// the gateway is.
    fn tried_at_start(&self, plugin: Plugin) -> Result<Plugin, RosterError> {
        match smoke::blocking(smoke::smoke(&plugin, self.clock.now())) {
            Err(SmokeError::Unavailable(why)) => {
                tracing::warn!(
                    plugin = plugin.name(),
                    why,
                    "it could not be tried before it serves; webhooks wait while it fails them so"
                );
                Ok(plugin)
            }
            Err(error) => Err(does_not_work(&plugin, &error)),
            Ok(()) => Ok(plugin),
        }
    }

    /// Configuration and grants of what an operator loaded under this name while an earlier gateway ran. They hold for a
    /// file that came into the watched directory since, too.
    pub fn kept_terms(&self, name: &str) -> Option<(serde_json::Value, Vec<String>)> {
        let Terms { config, grants } = self.kept.record(name).ok()??.loaded?;
        Some((config, grants))
    }

    /// What an operator loaded under this name while an earlier gateway ran: the version that served last.
    pub fn kept_spec(&self, name: &str) -> Option<(Spec, Origin)> {
        let record = self.kept.record(name).ok()??;
        let Terms { config, grants } = record.loaded.clone()?;
        let component = self.kept.component(record.current()?).inspect_err(|error| {
            tracing::error!(plugin = name, %error, "the component of a plugin that was loaded before is gone");
        });
        Some((Spec { component: component.ok()?, ..self.bare(name, config, grants) }, Origin::Loaded))
    }

    /// The version that an operator put in the place of the configured one, if that is still in force.
    fn standing(&self, spec: &Spec, record: &Record, digest: &str, pinned: &[[u8; 32]]) -> Option<Plugin> {
        let current = record.current().filter(|current| *current != digest)?;
        if record.base.as_deref() != Some(digest) {
            return None;
        }
        if !pinned.is_empty() && !pinned.iter().any(|pinned| hex::encode(pinned) == current) {
            tracing::warn!(
                plugin = spec.name,
                digest = current,
                "the version that was swapped in is not one that `sha256` allows"
            );
            return None;
        }
        let plugin = self.load_kept(spec, current)?;
        if settings(&spec.config) == record.settings {
            return Some(plugin);
        }
        self.tried_at_start(plugin)
            .inspect_err(|error| {
                tracing::error!(%error, "the version that was swapped in does not take the new configuration")
            })
            .ok()
    }

    fn load_kept(&self, spec: &Spec, digest: &str) -> Option<Plugin> {
        let component = self.kept.component(digest).map_err(|error| error.to_string());
        let loaded = component.and_then(|component| {
            let spec = Spec { component, ..spec.clone() };
            self.plugins.load(spec).map_err(|error| error.to_string())
        });
        loaded
            .inspect_err(|why| {
                tracing::error!(
                    plugin = spec.name,
                    digest,
                    why,
                    "a version that served before does not load any more"
                )
            })
            .ok()
    }

    fn admit(&self, name: String, member: Member) -> Slot {
        let slot = member.slot.clone();
        self.members().insert(name, member);
        slot
    }

    /// Notes that somebody relies on a plugin.
    pub fn rely(&self, name: &str, user: User) {
        if let Some(member) = self.members().get_mut(name) {
            member.users.push(user);
        }
    }

    /// Where a plugin is found.
    pub fn slot(&self, name: &str) -> Option<Slot> {
        self.members().get(name).map(|member| member.slot.clone())
    }

    /// Every plugin.
    pub fn list(&self) -> Vec<Shown> {
        self.members().iter().map(|(name, member)| shown(name, member)).collect()
    }

    /// One plugin and its history.
    pub fn show(&self, name: &str) -> Result<PluginDetail, RosterError> {
        Ok(detail(name, &self.member(name)?, false))
    }

    /// Has another version of a plugin serve. One that serves already is no change. Goes on when the future is
    /// dropped.
    pub async fn swap(
        self: &Arc<Self>,
        name: &str,
        component: Bytes,
        errand: Errand,
    ) -> Result<PluginDetail, RosterError> {
        let (roster, owned) = (Arc::clone(self), name.to_owned());
        self.change(name, async move {
            let name = owned.as_str();
            let member = roster.member(name)?;
            let component = meant(name, component, &errand)?;
            roster.replace(name, &member, component, By::Swap, errand.why).await
        })
        .await
    }

    /// Has the version serve that served before. Otherwise as [`Roster::swap`].
    pub async fn rollback(
        self: &Arc<Self>,
        name: &str,
        why: Option<String>,
    ) -> Result<PluginDetail, RosterError> {
        let (roster, owned) = (Arc::clone(self), name.to_owned());
        self.change(name, async move {
            let name = owned.as_str();
            let member = roster.member(name)?;
            let before = member.record.before.last().cloned();
            let before = before.ok_or_else(|| RosterError::NoneBefore(name.to_owned()))?;
            let component = match roster.kept.component(&before) {
                Ok(component) => component,
                Err(error) => shipped_as(name, &before).ok_or_else(|| keep_error(name, &error))?,
            };
            roster.replace(name, &member, component, By::Rollback, why).await
        })
        .await
    }

    /// Loads a plugin that is not there yet. Otherwise as [`Roster::swap`].
    pub async fn load(
        self: &Arc<Self>,
        name: &str,
        component: Bytes,
        config: serde_json::Value,
        grants: Vec<String>,
        errand: Errand,
    ) -> Result<PluginDetail, RosterError> {
        let (roster, owned) = (Arc::clone(self), name.to_owned());
        self.change(name, async move {
            let name = owned.as_str();
            // A start would take the one that the gateway brings along.
            if roster.slot(name).is_some() || shipped::component(name).is_some() {
                return Err(RosterError::Exists(name.to_owned()));
            }
            let component = meant(name, component, &errand)?;
            let spec = roster.bare(name, config, grants);
            roster.has_secrets(&spec)?;
            roster.add(spec, component, Origin::Loaded, By::Load, errand.why).await
        })
        .await
    }

    /// Takes what lies in the watched directory: a plugin that is not there yet is loaded, another version of one that
    /// is takes its place. A file that is what it was is no change, and none of one whose component is configured
    /// elsewhere is taken.
    pub async fn found(self: &Arc<Self>, name: &str, component: Bytes) -> Result<PluginDetail, RosterError> {
        let (roster, owned) = (Arc::clone(self), name.to_owned());
        self.change(name, async move {
            let (name, component) = (owned.as_str(), Component::new(component));
            let Ok(member) = roster.member(name) else {
                let (config, grants) = roster.kept_terms(name).unwrap_or_default();
                let spec = roster.bare(name, config, grants);
                return roster.add(spec, component, Origin::Watched, By::Directory, None).await;
            };
            let is_known = member.record.base.as_deref() == Some(&component.digest_hex());
            if is_known || member.origin == Origin::Configured {
                return Ok(detail(name, &member, false));
            }
            roster.replace(name, &member, component, By::Directory, None).await
        })
        .await
    }

    /// Loads a component as the plugin that it would be, for a look at what it does: nobody is served by it, and nothing
    /// of it is kept. `name`: `None` for the plugin of the name in its manifest.
    pub async fn candidate(
        self: &Arc<Self>,
        name: Option<&str>,
        component: Bytes,
    ) -> Result<Plugin, RosterError> {
        let component = Component::new(component);
        let name = match name {
            Some(name) => name.to_owned(),
            None => Manifest::of("candidate", &component)?.name,
        };
        let (spec, digest) = (self.member(&name)?.spec, component.digest());
        let candidate = self.load_only(Spec { component, ..spec }).await;
        self.forget(&digest);
        candidate
    }

    /// What a plugin of these terms is loaded with, without its component: the same as at the next start.
    fn bare(&self, name: &str, config: serde_json::Value, grants: Vec<String>) -> Spec {
        let (name, component, limits) = (name.to_owned(), Component::default(), Limits::of(&grants));
        Spec { name, component, config, grants, secrets: self.secrets.clone(), limits }
    }

    /// Whether there are the secrets that a plugin is granted.
    fn has_secrets(&self, spec: &Spec) -> Result<(), LoadError> {
        let missing =
            |grant: &&String| grants::secret(grant).is_some_and(|secret| !self.secrets.contains_key(secret));
        match spec.grants.iter().find(missing) {
            Some(grant) => Err(LoadError::Grant {
                plugin: spec.name.clone(),
                why: format!(
                    "is granted `{grant}`, but there is no such secret: add it to [secrets] in the configuration and start anew"
                ),
            }),
            None => Ok(()),
        }
    }

    /// Makes a change when no other is under way, in a task of its own, so that it is made whole or not at all.
    async fn change(
        self: &Arc<Self>,
        name: &str,
        change: impl Future<Output = Result<PluginDetail, RosterError>> + Send + 'static,
    ) -> Result<PluginDetail, RosterError> {
        let (roster, owned) = (Arc::clone(self), name.to_owned());
        let changing = tokio::spawn(async move {
            let _alone = roster.changing.lock().await;
            let changed = change.await;
            match &changed {
                Ok(PluginDetail { changed: false, .. }) => {}
                Ok(PluginDetail { plugin, .. }) => {
                    tracing::info!(plugin = owned, version = plugin.version, digest = plugin.digest, by = ?plugin.by, "another version serves");
                    if let Some(tell) = roster.changed.get() {
                        tell(&owned);
                    }
                }
                Err(error) => tracing::warn!(plugin = owned, %error, "a version is refused"),
            }
            changed
        });
        let broke = |error: tokio::task::JoinError| RosterError::Broke {
            name: name.to_owned(),
            why: error.to_string(),
        };
        changing.await.unwrap_or_else(|error| Err(broke(error)))
    }

    /// Loads and tries a version, writes it down and has it serve.
    async fn replace(
        self: &Arc<Self>,
        name: &str,
        member: &Member,
        component: Component,
        by: By,
        why: Option<String>,
    ) -> Result<PluginDetail, RosterError> {
        let (found, digest) = (component.digest(), component.digest_hex());
        let serving = member.slot.now();
        let mut record = member.record.clone();
        let from_directory = by == By::Directory;
        if serving.digest() == found {
            if from_directory {
                record.base = Some(digest);
                self.write(name, &record)?;
                self.with(name, |member| (member.record, member.origin) = (record, Origin::Watched));
            }
            return Ok(detail(name, &self.member(name)?, false));
        }
        if !member.pinned.is_empty() && !member.pinned.contains(&found) {
            let allowed = member.pinned.iter().map(hex::encode).collect();
            return Err(RosterError::Pinned { name: name.to_owned(), allowed, found: digest });
        }
        let tried =
            self.tried(Spec { component: component.clone(), ..member.spec.clone() }, &member.users, &serving);
        let plugin = match tried.await {
            Ok(plugin) => plugin,
            Err(error) => {
                self.forget(&found);
                return Err(error);
            }
        };
        if from_directory {
            record.base = Some(digest.clone());
        }
        record.turn(turn(&plugin, self.clock.now(), by, why), by == By::Rollback);
        if let Some(brought) = shipped_as(name, &serving.reference().digest) {
            self.keep(name, &brought)?;
        }
        self.keep(name, &component)?;
        self.write(name, &record)?;
        member.slot.put(plugin);
        self.with(name, |member| {
            member.record = record;
            if from_directory {
                member.origin = Origin::Watched;
            }
        });
        self.tidy();
        Ok(detail(name, &self.member(name)?, true))
    }

    /// Loads and tries a plugin that is not there yet, writes it down and admits it.
    async fn add(
        self: &Arc<Self>,
        spec: Spec,
        component: Component,
        origin: Origin,
        by: By,
        why: Option<String>,
    ) -> Result<PluginDetail, RosterError> {
        let name = spec.name.clone();
        if !is_name(&name) {
            return Err(RosterError::BadName(name));
        }
        if self.members().len() >= PLUGINS_MAX {
            return Err(RosterError::Full);
        }
        let loaded = self.load_and_smoke(Spec { component: component.clone(), ..spec.clone() }).await;
        let plugin = loaded.inspect_err(|_| self.forget(&component.digest()))?;
        let digest = plugin.reference().digest.clone();
        let mut record = self.kept.record(&name).ok().flatten().unwrap_or_default();
        if origin == Origin::Loaded {
            record.loaded = Some(Terms { config: spec.config.clone(), grants: spec.grants.clone() });
        }
        record.settings = settings(&spec.config);
        record.base = Some(digest.clone());
        record.turn(turn(&plugin, self.clock.now(), by, why), false);
        self.keep(&name, &component)?;
        self.write(&name, &record)?;
        let (slot, pinned, users) = (Slot::new(plugin.clone()), Vec::new(), Vec::new());
        let (unwritten, facts) = (None, facts(&plugin));
        self.admit(name.clone(), Member { slot, spec, origin, pinned, users, record, unwritten, facts });
        Ok(detail(&name, &self.member(&name)?, true))
    }

    async fn tried(
        self: &Arc<Self>,
        spec: Spec,
        users: &[User],
        serving: &Plugin,
    ) -> Result<Plugin, RosterError> {
        let name = spec.name.clone();
        let plugin = self.load_only(spec).await?;
        for user in users {
            if let Some(lost) = lost(user, serving, &plugin) {
                let version = plugin.reference().version.clone();
                return Err(RosterError::Lost { name, version, lost, who: user.who.clone() });
            }
        }
        self.smoke(plugin).await
    }

    async fn load_and_smoke(self: &Arc<Self>, spec: Spec) -> Result<Plugin, RosterError> {
        let plugin = self.load_only(spec).await?;
        self.smoke(plugin).await
    }

    /// Compiling takes a while, so it has a thread of its own.
    async fn load_only(self: &Arc<Self>, spec: Spec) -> Result<Plugin, RosterError> {
        let (roster, name) = (Arc::clone(self), spec.name.clone());
        let loaded = tokio::task::spawn_blocking(move || roster.plugins.load(spec)).await;
        let broke = |error: tokio::task::JoinError| RosterError::Broke { name, why: error.to_string() };
        Ok(loaded.map_err(broke)??)
    }

    async fn smoke(&self, plugin: Plugin) -> Result<Plugin, RosterError> {
        let tried = smoke::smoke(&plugin, self.clock.now()).await;
        tried.map_err(|error| does_not_work(&plugin, &error))?;
        Ok(plugin)
    }

    /// Removes the components and the machine code that nobody goes back to. The records on disk say who does: a plugin
    /// that did not load at this start may at the next. While one of them cannot be read, nothing is removed.
    fn tidy(&self) {
        let Some(wanted) = self.wanted() else { return };
        for digest in self.kept.remove_others(&wanted) {
            let mut bytes = [0; 32];
            if hex::decode_to_slice(&digest, &mut bytes).is_ok() {
                self.plugins.forget(&bytes);
            }
        }
    }

    /// Removes the machine code of a version that was loaded for a look, or in vain, unless somebody needs it.
    fn forget(&self, digest: &[u8; 32]) {
        if self.wanted().is_some_and(|wanted| !wanted.contains(&hex::encode(digest))) {
            self.plugins.forget(digest);
        }
    }

    /// The components that somebody serves or goes back to; `None` while that cannot be read.
    fn wanted(&self) -> Option<BTreeSet<String>> {
        let records = self.kept.records().inspect_err(|error| {
            tracing::warn!(%error, "a record of a plugin cannot be read: components that nobody needs are left where they are");
        });
        let members: Vec<Record> = self.members().values().map(|member| member.record.clone()).collect();
        Some(records.ok()?.iter().chain(&members).flat_map(Record::wanted).collect())
    }

    fn keep(&self, name: &str, component: &Component) -> Result<(), RosterError> {
        self.kept.keep(component).map_err(|error| keep_error(name, &error))
    }

    fn write(&self, name: &str, record: &Record) -> Result<(), RosterError> {
        self.kept.write_record(name, record).map_err(|error| keep_error(name, &error))
    }

    fn member(&self, name: &str) -> Result<Member, RosterError> {
        let members = self.members();
        members.get(name).cloned().ok_or_else(|| RosterError::Unknown {
            name: name.to_owned(),
            known: members.keys().cloned().collect(),
        })
    }

    fn with(&self, name: &str, change: impl FnOnce(&mut Member)) {
        if let Some(member) = self.members().get_mut(name) {
            change(member);
        }
    }

    fn members(&self) -> MutexGuard<'_, BTreeMap<String, Member>> {
        // No holder panics: each looks at rows or changes one.
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The component that came, if it is the one that was meant.
fn meant(name: &str, bytes: Bytes, errand: &Errand) -> Result<Component, RosterError> {
    let component = Component::new(bytes);
    match errand.sha256 {
        Some(expected) if expected != component.digest() => Err(RosterError::NotMeant {
            name: name.to_owned(),
            expected: hex::encode(expected),
            found: component.digest_hex(),
        }),
        Some(_) | None => Ok(component),
    }
}

/// What `user` would miss if `new` took the place of `old`.
fn lost(user: &User, old: &Plugin, new: &Plugin) -> Option<String> {
    let has = |plugin: &Plugin, kind: &Kind| plugin.kinds().contains(kind);
    if let Some(kind) = user.kinds.iter().find(|kind| has(old, kind) && !has(new, kind)) {
        return Some(format!("does not export `{kind}`"));
    }
    let names = |plugin: &Plugin, name: &str| plugin.manifest().provider(name).is_some();
    let provider = user.provider.as_deref()?;
    (names(old, provider) && !names(new, provider)).then(|| format!("knows no provider `{provider}`"))
}

fn does_not_work(plugin: &Plugin, error: &SmokeError) -> RosterError {
    let (name, version) = (plugin.name().to_owned(), plugin.reference().version.clone());
    RosterError::Smoke { name, version, why: error.to_string() }
}

/// What tells a configuration from another; `None`: there is none.
fn settings(config: &serde_json::Value) -> Option<String> {
    let is_written = config.as_object().is_some_and(|config| !config.is_empty());
    is_written.then(|| blake3::hash(config.to_string().as_bytes()).to_hex().to_string())
}

fn facts(plugin: &Plugin) -> Vec<Provider> {
    plugin.manifest().providers.clone()
}

fn origin_of(name: &str) -> &'static str {
    if shipped::component(name).is_some() { ", which the gateway brings along" } else { "" }
}

/// The component that the gateway brings along under this name, if it has this digest.
fn shipped_as(name: &str, digest: &str) -> Option<Component> {
    shipped::component(name).filter(|component| component.digest_hex() == digest)
}

fn turn(plugin: &Plugin, at: crate::model::Time, by: By, why: Option<String>) -> Turn {
    let reference = plugin.reference();
    Turn { digest: reference.digest.clone(), version: reference.version.clone(), at, by, why }
}

fn keep_error(name: &str, error: &std::io::Error) -> RosterError {
    RosterError::Keep { name: name.to_owned(), why: error.to_string() }
}

fn shown(name: &str, member: &Member) -> Shown {
    let plugin = member.slot.now();
    let Tallied { calls, failures, last } = plugin.tallied();
    let last_turn = member.record.turns.last();
    // Ingest took them from the version of the start: dedupe, redaction, where ids and names are.
    let notice = (facts(&plugin) != member.facts && !member.users.is_empty()).then(|| {
        "what its manifest says of providers differs from what was in force at the start: restart to go by it".to_owned()
    });
    Shown {
        name: name.to_owned(),
        version: plugin.reference().version.clone(),
        digest: plugin.reference().digest.clone(),
        origin: member.origin,
        since: last_turn.map_or(crate::model::Time::ZERO, |turn| turn.at),
        by: last_turn.map_or(By::Start, |turn| turn.by),
        kinds: plugin.kinds().iter().map(|kind| kind.name().to_owned()).collect(),
        providers: plugin.manifest().providers.iter().map(|provider| provider.name.clone()).collect(),
        grants: member.spec.grants.clone(),
        pinned: member.pinned.iter().map(hex::encode).collect(),
        used_by: member
            .users
            .iter()
            .map(|user| &user.who)
            .collect::<BTreeSet<_>>()
            .into_iter()
            .cloned()
            .collect(),
        calls,
        failures,
        last_failure: last.map(|(at, why)| Failure { at, why }),
        rests_until: None,
        notice,
    }
}

fn detail(name: &str, member: &Member, changed: bool) -> PluginDetail {
    PluginDetail {
        plugin: shown(name, member),
        changed,
        before: member.record.before.last().cloned(),
        history: member.record.turns.iter().rev().cloned().collect(),
    }
}
