//! The plugins of a running gateway: which version of each serves, who relies on it, and what served before.
//!
//! Callers hold a [`Slot`]. [`Roster::enlist`] fills one at the start; [`Roster::swap`], [`Roster::load`],
//! [`Roster::rollback`] and [`Roster::found`] bring another version while the gateway runs. It must load under the
//! configuration and grants there are, be able to do what is relied on, and pass its own smoke test (`smoke`); then it
//! is written down (`kept`) and takes its place. What fails anywhere before changes nothing: the old version serves.
//!
//! A version that an operator brought stays in force over a restart as long as the configured component is the one
//! that it replaced; when that has changed, the configuration wins.

mod error;
mod kept;
mod shown;
mod start;

pub use error::RosterError;
pub use kept::Kept;
pub use start::Enlisted;

use crate::api::plugin::{By, Origin, Plugin as Shown, PluginDetail, Turn};
use crate::clock::Clock;
use crate::model::name::is_name;
use crate::model::secret::Secret;
use crate::plugins::manifest::{Kind, Manifest, Provider};
use crate::plugins::roster::kept::{Record, Terms};
use crate::plugins::roster::shown::{detail, shown};
use crate::plugins::{Component, Limits, LoadError, Plugin, Plugins, Slot, Spec, grants, shipped, smoke};
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

impl Member {
    /// Whether `new` can do all that is relied on.
    fn gives_way_to(&self, new: &Plugin) -> Result<(), RosterError> {
        let old = self.slot.now();
        for user in &self.users {
            if let Some(lost) = lost(user, &old, new) {
                let (name, version) = (new.name().to_owned(), new.reference().version.clone());
                return Err(RosterError::Lost { name, version, lost, who: user.who.clone() });
            }
        }
        Ok(())
    }
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

/// Who brings a version, and why.
#[derive(Clone, Debug, Default)]
pub struct Errand {
    /// What the component must hash to.
    pub sha256: Option<[u8; 32]>,
    /// Why, for those who look later.
    pub why: Option<String>,
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
        self.change(name, |roster, name| async move {
            let member = roster.member(&name)?;
            let component = meant(&name, component, &errand)?;
            roster.replace(&name, &member, component, By::Swap, errand.why).await
        })
        .await
    }

    /// Has the version serve that served before. Otherwise as [`Roster::swap`].
    pub async fn rollback(
        self: &Arc<Self>,
        name: &str,
        why: Option<String>,
    ) -> Result<PluginDetail, RosterError> {
        self.change(name, |roster, name| async move {
            let member = roster.member(&name)?;
            let before = member.record.before.last().cloned();
            let before = before.ok_or_else(|| RosterError::NoneBefore(name.clone()))?;
            let component = match roster.kept.component(&before) {
                Ok(component) => component,
                Err(error) => {
                    shipped_as(&name, &before).ok_or_else(|| RosterError::of_keeping(&name, &error))?
                }
            };
            roster.replace(&name, &member, component, By::Rollback, why).await
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
        self.change(name, |roster, name| async move {
            if roster.slot(&name).is_some() {
                return Err(RosterError::Exists(name));
            }
            if shipped::component(&name).is_some() {
                return Err(RosterError::Shipped(name));
            }
            let component = meant(&name, component, &errand)?;
            let spec = roster.bare(&name, config, grants);
            roster.has_secrets(&spec)?;
            roster.add(spec, component, Origin::Loaded, By::Load, errand.why).await
        })
        .await
    }

    /// Takes what lies in the watched directory: a plugin that is not there yet is loaded, another version of one that
    /// is takes its place. A file that is what it was is no change, and none of one whose component is configured
    /// elsewhere is taken.
    pub async fn found(self: &Arc<Self>, name: &str, component: Bytes) -> Result<PluginDetail, RosterError> {
        self.change(name, |roster, name| async move {
            let component = Component::new(component);
            let Ok(member) = roster.member(&name) else {
                let (config, grants) = roster.kept_terms(&name).unwrap_or_default();
                let spec = roster.bare(&name, config, grants);
                return roster.add(spec, component, Origin::Watched, By::Directory, None).await;
            };
            let is_known = member.record.base.as_deref() == Some(&component.digest_hex());
            if is_known || member.origin == Origin::Configured {
                return Ok(detail(&name, &member, false));
            }
            roster.replace(&name, &member, component, By::Directory, None).await
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
        let (member, digest) = (self.member(&name)?, component.digest());
        allowed(&name, &member, &component)?;
        let candidate = self.load_only(Spec { component, ..member.spec }).await;
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
    async fn change<F>(
        self: &Arc<Self>,
        name: &str,
        change: impl FnOnce(Arc<Roster>, String) -> F,
    ) -> Result<PluginDetail, RosterError>
    where
        F: Future<Output = Result<PluginDetail, RosterError>> + Send + 'static,
    {
        let (roster, owned) = (Arc::clone(self), name.to_owned());
        let change = change(Arc::clone(self), name.to_owned());
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
        allowed(name, member, &component)?;
        let spec = Spec { component: component.clone(), ..member.spec.clone() };
        let plugin = self.tried(spec, Some(member)).await?;
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
        let plugin = self.tried(Spec { component: component.clone(), ..spec.clone() }, None).await?;
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
        self.members()
            .insert(name.clone(), Member { slot, spec, origin, pinned, users, record, unwritten, facts });
        Ok(detail(&name, &self.member(&name)?, true))
    }

    /// Loads and tries a version; `old` is whose place it is to take.
    async fn tried(self: &Arc<Self>, spec: Spec, old: Option<&Member>) -> Result<Plugin, RosterError> {
        let digest = spec.component.digest();
        let tried = async {
            let plugin = self.load_only(spec).await?;
            old.map(|old| old.gives_way_to(&plugin)).transpose()?;
            self.smoke(plugin).await
        };
        tried.await.inspect_err(|_| self.forget(&digest))
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
        tried.map_err(|error| RosterError::of_trial(&plugin, &error))?;
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
        self.kept.keep(component).map_err(|error| RosterError::of_keeping(name, &error))
    }

    fn write(&self, name: &str, record: &Record) -> Result<(), RosterError> {
        self.kept.write_record(name, record).map_err(|error| RosterError::of_keeping(name, &error))
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

/// Whether the configuration allows these bytes in the place of a plugin.
fn allowed(name: &str, member: &Member, component: &Component) -> Result<(), RosterError> {
    if member.pinned.is_empty() || member.pinned.contains(&component.digest()) {
        return Ok(());
    }
    let allowed = member.pinned.iter().map(hex::encode).collect();
    Err(RosterError::Pinned { name: name.to_owned(), allowed, found: component.digest_hex() })
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

/// What tells a configuration from another; `None`: there is none.
fn settings(config: &serde_json::Value) -> Option<String> {
    let is_written = config.as_object().is_some_and(|config| !config.is_empty());
    is_written.then(|| blake3::hash(config.to_string().as_bytes()).to_hex().to_string())
}

fn facts(plugin: &Plugin) -> Vec<Provider> {
    plugin.manifest().providers.clone()
}

/// The component that the gateway brings along under this name, if it has this digest.
fn shipped_as(name: &str, digest: &str) -> Option<Component> {
    shipped::component(name).filter(|component| component.digest_hex() == digest)
}

fn turn(plugin: &Plugin, at: crate::model::Time, by: By, why: Option<String>) -> Turn {
    let reference = plugin.reference();
    Turn { digest: reference.digest.clone(), version: reference.version.clone(), at, by, why }
}
