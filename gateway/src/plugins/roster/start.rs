//! Which version of a plugin serves when the gateway starts.

use crate::api::plugin::{By, Origin};
use crate::plugins::roster::kept::{Record, Terms};
use crate::plugins::roster::{Member, Roster, RosterError, facts, settings, turn};
use crate::plugins::smoke::{self, SmokeError};
use crate::plugins::{Component, LoadError, Plugin, Slot, Spec};

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

impl Roster {
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
        // What was refused is tried again at the next start: nobody put what serves in its place.
        if refused.is_none() {
            record.base = Some(digest.clone());
            record.settings = settings(&spec.config);
        }
        let is_new = is_worth_it && before.as_ref() != Some(&record);
        let unwritten = is_new.then(|| spec.component.clone());
        let spec = Spec { component: Component::default(), ..spec };
        let (facts, slot, users) = (facts(&plugin), Slot::new(plugin), Vec::new());
        let member = Member { slot: slot.clone(), spec, origin, pinned, users, record, unwritten, facts };
        self.members().insert(name, member);
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
            Err(error) => Err(RosterError::of_trial(&plugin, &error)),
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
}
