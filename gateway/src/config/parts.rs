//! What the components of the plugins say of themselves, read before the rest of the file is held against it. Nothing of
//! them is compiled: that takes a while, and what is found here has a line.

use crate::config::mistake::quote;
use crate::config::reader::Table;
use crate::config::{Config, KEPT_DIR, SHIPPED, Shipped};
use crate::model::name::is_name;
use crate::plugins::facts::Facts;
use crate::plugins::roster::Kept;
use crate::plugins::{Component, LoadError};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

/// What is known of the plugins, by name.
pub(super) struct Parts<'a> {
    /// Those that the file declares.
    declared: BTreeMap<String, Part>,
    /// Those that merely lie there.
    lying: BTreeMap<String, Part>,
    shipped: &'a Shipped,
    /// Those that are there to be compared.
    shadows: BTreeSet<String>,
}

/// What is known of a plugin.
pub(super) struct Part {
    /// What the file or a directory gives, or why it says nothing. `None`: there is nothing to hold against it.
    pub(super) given: Option<Result<Arc<Facts>, Unread>>,
    /// What may serve in its place.
    standing: Option<Arc<Facts>>,
}

/// Why a component says nothing.
pub(super) enum Unread {
    /// What is wrong with it, and what to do.
    Wrong(String, &'static str),
    /// It is not there, which is told where its path is read.
    NotThere,
}

impl<'a> Parts<'a> {
    /// Reads the components of `[[plugin]]` tables and of the plugins that lie there.
    pub(super) fn read(
        tables: &[Table<'_>],
        config: &Config,
        lying: &BTreeSet<String>,
        shipped: &'a Shipped,
        shadows: BTreeSet<String>,
    ) -> Parts<'a> {
        let mut declared = BTreeMap::new();
        for table in tables {
            let Some(name) = table.peek("name").and_then(|item| item.as_text()).filter(|name| is_name(name))
            else {
                continue;
            };
            let component = table.peek("component");
            let part = match component.as_ref().map(|item| item.as_text()) {
                None => Part::read(name, None, config, shipped),
                Some(Some(text)) if let Some(of) = text.strip_prefix(SHIPPED) => {
                    Part::of_known(name, shipped.facts.get(of).cloned(), config)
                }
                Some(Some(text)) if table.reader.base.join(text).is_file() => {
                    Part::read(name, Some(&table.reader.base.join(text)), config, shipped)
                }
                Some(_) => Part { given: Some(Err(Unread::NotThere)), standing: None },
            };
            declared.entry(name.to_owned()).or_insert(part);
        }
        let lying = { lying.iter() }
            .filter(|name| !declared.contains_key(*name))
            .map(|name| (name.clone(), Part::read(name, None, config, shipped)))
            .collect();
        Parts { declared, lying, shipped, shadows }
    }

    /// What is known of a declared plugin.
    pub(super) fn declared(&self, name: &str) -> Option<&Part> {
        self.declared.get(name)
    }

    /// Every version of a plugin that may serve, as far as it is known.
    pub(super) fn versions(&self, name: &str) -> Vec<&Facts> {
        match self.declared.get(name).or_else(|| self.lying.get(name)) {
            Some(part) => part.versions().collect(),
            None => self.shipped.facts.get(name).map(|facts| &**facts).into_iter().collect(),
        }
    }

    /// Whether a component may name what is not known.
    pub(super) fn are_unknown(&self) -> bool {
        self.declared.values().chain(self.lying.values()).any(|part| matches!(part.given, Some(Err(_))))
    }

    /// The plugins among which one is picked for a provider: declared ones, else shipped ones, else those that merely lie
    /// there. No shadow: it is there to be compared.
    pub(super) fn picked(&self, provider: &str) -> Vec<&str> {
        let names = |facts: &Facts| facts.manifest.provider(provider).is_some();
        let of = |parts: &'_ BTreeMap<String, Part>, name: &str| {
            !self.shadows.contains(name) && parts[name].versions().any(names)
        };
        let declared = self.declared.keys().filter(|name| of(&self.declared, name));
        let lying = self.lying.keys().filter(|name| of(&self.lying, name));
        let shipped = self.shipped.facts.iter().filter(|(_, facts)| names(facts));
        let groups = [
            declared.map(String::as_str).collect::<Vec<_>>(),
            shipped.map(|(name, _)| name.as_str()).collect(),
            lying.map(String::as_str).collect(),
        ];
        groups.into_iter().find(|group| !group.is_empty()).unwrap_or_default()
    }

    /// How providers prove themselves, by the names of the plugin that says so and of the provider; of the shipped plugins
    /// also under an empty name.
    pub(super) fn presets(&self) -> impl Iterator<Item = ((&str, &str), &toml::Table)> {
        let own = { self.declared.iter().chain(&self.lying) }
            .filter_map(|(name, part)| Some((name.as_str(), part.serving()?)));
        let is_own = |name: &str| self.declared.contains_key(name) || self.lying.contains_key(name);
        let shipped = { self.shipped.facts.iter() }
            .filter(move |(name, _)| !is_own(name))
            .map(|(name, facts)| (name.as_str(), &**facts));
        let named = own.chain(shipped).flat_map(|(name, facts)| {
            let presets = facts.manifest.providers.iter();
            presets.filter_map(move |of| Some(((name, of.name.as_str()), of.auth.as_ref()?)))
        });
        named.chain(self.shipped.presets.iter().map(|(provider, table)| (("", provider.as_str()), table)))
    }
}

impl Part {
    /// The component at `path` if there is one, else of the watched directory, of the shipped one of this name, or of one
    /// that was loaded before: as it is loaded.
    fn read(name: &str, path: Option<&Path>, config: &Config, shipped: &Shipped) -> Part {
        let kept = Kept::at(config.data_dir.join(KEPT_DIR));
        let watched = config.watch.as_ref().map(|dir| dir.join(format!("{name}.wasm")));
        let is_watched = path.is_none_or(|path| Some(path) == watched.as_deref());
        let path = path.or(watched.as_deref()).filter(|path| path.is_file());
        let component = match path.map(|path| (path, Component::read(path))) {
            Some((_, Ok(component))) => component,
            Some((path, Err(why))) => {
                let shown = quote(&path.display().to_string());
                let remedy = "have it be a file that this process may read";
                let unread = Unread::Wrong(format!("cannot read {shown}: {why}"), remedy);
                return Part { given: Some(Err(unread)), standing: None };
            }
            None => {
                let loaded = || {
                    let component = kept.loaded_component(name)?;
                    Facts::of(name, &component).ok().map(Arc::new)
                };
                return Part::of_known(name, shipped.facts.get(name).cloned().or_else(loaded), config);
            }
        };
        let given = Facts::of(name, &component).map(Arc::new);
        let given = given.map_err(|error| Unread::of(&error, path.unwrap_or(Path::new(""))));
        let standing = kept.standing(name, &component.digest_hex(), is_watched);
        let standing = standing.and_then(|component| Facts::of(name, &component).ok());
        Part { given: Some(given), standing: standing.map(Arc::new) }
    }

    /// A plugin whose component is known, or of which nothing is.
    fn of_known(name: &str, given: Option<Arc<Facts>>, config: &Config) -> Part {
        let kept = Kept::at(config.data_dir.join(KEPT_DIR));
        let standing =
            given.as_ref().and_then(|given| kept.standing(name, &hex::encode(given.digest), false));
        let standing = standing.and_then(|component| Facts::of(name, &component).ok());
        Part { given: given.map(Ok), standing: standing.map(Arc::new) }
    }

    /// The version that serves, if it is known.
    fn serving(&self) -> Option<&Facts> {
        let given = self.given.as_ref().and_then(|given| given.as_ref().ok());
        self.standing.as_ref().or(given).map(|facts| &**facts)
    }

    fn versions(&self) -> impl Iterator<Item = &Facts> {
        let given = self.given.iter().flatten();
        given.chain(&self.standing).map(|facts| &**facts)
    }

    /// What `problems` finds with the version that is given, unless it finds none with one that may serve in its place.
    pub(super) fn problems<T>(&self, pinned: &[[u8; 32]], problems: impl Fn(&Facts) -> Vec<T>) -> Vec<T> {
        let allowed = |facts: &&Arc<Facts>| pinned.is_empty() || pinned.contains(&facts.digest);
        let standing = self.standing.as_ref().filter(allowed).map(|facts| problems(facts));
        match (&self.given, standing) {
            (_, Some(none)) if none.is_empty() => none,
            (Some(Ok(given)), _) => problems(given),
            (Some(Err(_)) | None, _) => Vec::new(),
        }
    }

    /// What is wrong with its component, and what to do, if nothing serves in its place.
    pub(super) fn unread(&self) -> Option<(&str, &'static str)> {
        match (&self.given, &self.standing) {
            (Some(Err(Unread::Wrong(wrong, remedy))), None) => Some((wrong, remedy)),
            _ => None,
        }
    }
}

impl Unread {
    fn of(error: &LoadError, path: &Path) -> Unread {
        let path = quote(&path.display().to_string());
        match error {
            LoadError::NotAComponent { why, .. } => Unread::Wrong(
                format!("{path} {why}"),
                "write the path of a component: `billhook plugin build` makes one",
            ),
            LoadError::Manifest { why, .. } => Unread::Wrong(
                format!("{path}: its manifest {why}"),
                "mend its `plugin.toml` or schema and build it anew",
            ),
            other => Unread::Wrong(format!("{path}: {other}"), "build it anew"),
        }
    }
}
