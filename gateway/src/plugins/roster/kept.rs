//! What is kept of plugins on disk: the components that served, and which serves.
//!
//! `data_dir/plugins/NAME.json` is the record of a plugin, `data_dir/plugins/components/SHA256.wasm` a component. Each
//! file is written whole beside its place, synced, renamed, and the rename is synced: after a crash there is the old
//! one or the new one. The directory is the gateway's alone (mode 0700): records hold configurations.

use crate::api::plugin::Turn;
use crate::plugins::Component;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Turns that are remembered of a plugin.
pub(super) const TURNS_MAX: usize = 32;
/// Versions that one can roll back through: so many components are kept beside the one that serves.
pub(super) const BEFORE_MAX: usize = 5;

/// What is remembered of a plugin.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    /// The digest of what the configuration, the gateway or the watched directory last gave. While they give the same,
    /// what an operator has done since stays in force.
    pub(super) base: Option<String>,
    /// Which version served when, the newest last: that one serves.
    pub(super) turns: Vec<Turn>,
    /// The digests to roll back through, the next one last.
    pub(super) before: Vec<String>,
    /// What it runs with, if an operator loaded it.
    pub(super) loaded: Option<Terms>,
    /// The BLAKE3 of the configuration that it was last started with; `None`: it had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) settings: Option<String>,
}

/// What a plugin runs with that is not in the configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Terms {
    pub(super) config: serde_json::Value,
    pub(super) grants: Vec<String>,
}

impl Record {
    /// The digest of the version that serves.
    pub(super) fn current(&self) -> Option<&str> {
        self.turns.last().map(|turn| turn.digest.as_str())
    }

    /// The digests of the components that it needs.
    pub(super) fn wanted(&self) -> impl Iterator<Item = String> {
        let kept = self.before.iter().chain(&self.base).map(String::as_str);
        kept.chain(self.current()).map(str::to_owned)
    }

    /// Notes that another version serves. One can roll back from it to the one before, unless it is the roll back.
    pub(super) fn turn(&mut self, turn: Turn, is_rollback: bool) {
        let left = self.current().filter(|left| *left != turn.digest).map(str::to_owned);
        self.before.retain(|digest| *digest != turn.digest);
        if let Some(left) = left.filter(|_| !is_rollback) {
            self.before.retain(|digest| *digest != left);
            self.before.push(left);
        }
        self.turns.push(turn);
        let (turns, before) = (self.turns.len(), self.before.len());
        self.turns.drain(..turns.saturating_sub(TURNS_MAX));
        self.before.drain(..before.saturating_sub(BEFORE_MAX));
    }
}

/// The directory.
#[derive(Clone, Debug)]
pub struct Kept {
    dir: PathBuf,
}

impl Kept {
    /// What is kept in `dir`, which is made when something is written.
    pub fn at(dir: impl Into<PathBuf>) -> Kept {
        Kept { dir: dir.into() }
    }

    /// The plugins that an operator loaded while a gateway ran, by name. What cannot be read is none.
    pub fn loaded(&self) -> BTreeSet<String> {
        let is_loaded = |name: &String| matches!(self.record(name), Ok(Some(Record { loaded: Some(_), .. })));
        self.names().unwrap_or_default().into_iter().filter(is_loaded).collect()
    }

    /// The component that serves as the plugin `name`, though the configuration or the watched directory gives the one of
    /// this digest: one that an operator put in its place, or one that may serve on because the one that lies there does
    /// not load.
    pub fn standing(&self, name: &str, given: &str, is_watched: bool) -> Option<Component> {
        let record = self.record(name).ok()??;
        let current = record.current().filter(|current| *current != given)?;
        let stands = is_watched || record.base.as_deref() == Some(given);
        stands.then(|| self.component(current).ok()).flatten()
    }

    /// The component that an operator loaded as the plugin `name` while an earlier gateway ran.
    pub fn loaded_component(&self, name: &str) -> Option<Component> {
        let record = self.record(name).ok()??;
        record.loaded.as_ref()?;
        self.component(record.current()?).ok()
    }

    /// The records of all plugins.
    pub(super) fn records(&self) -> io::Result<Vec<Record>> {
        let records = self.names()?.into_iter().map(|name| self.record(&name));
        Ok(records.collect::<io::Result<Vec<_>>>()?.into_iter().flatten().collect())
    }

    /// The names of the plugins that have a record.
    fn names(&self) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries.collect::<io::Result<Vec<_>>>()?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let name = |entry: fs::DirEntry| Some(entry.file_name().to_str()?.strip_suffix(".json")?.to_owned());
        Ok(entries.into_iter().filter_map(name).collect())
    }

    pub(super) fn record(&self, name: &str) -> io::Result<Option<Record>> {
        match fs::read(self.record_path(name)) {
            Ok(json) => serde_json::from_slice(&json).map(Some).map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn write_record(&self, name: &str, record: &Record) -> io::Result<()> {
        self.write(&self.record_path(name), &serde_json::to_vec(record)?)
    }

    /// The component of this digest; an error if it is not there or damaged.
    pub(super) fn component(&self, digest: &str) -> io::Result<Component> {
        let path = self.component_path(digest);
        let component = Component::new(fs::read(&path)?);
        match component.digest_hex() == digest {
            true => Ok(component),
            false => Err(io::Error::other(format!("{} does not hash to its name", path.display()))),
        }
    }

    /// Keeps a component, unless it is there.
    pub(super) fn keep(&self, component: &Component) -> io::Result<()> {
        let digest = component.digest_hex();
        if self.component(&digest).is_ok() {
            return Ok(());
        }
        self.write(&self.component_path(&digest), component)
    }

    /// Removes the components that are not `wanted`, and tells which.
    pub(super) fn remove_others(&self, wanted: &BTreeSet<String>) -> Vec<String> {
        let entries = fs::read_dir(self.dir.join("components")).into_iter().flatten().flatten();
        let digest = |path: &Path| {
            (path.extension()? == "wasm").then(|| path.file_stem()?.to_str().map(str::to_owned)).flatten()
        };
        let digests = entries.filter_map(|entry| digest(&entry.path()));
        let others = digests.filter(|digest| !wanted.contains(digest));
        others.filter(|digest| fs::remove_file(self.component_path(digest)).is_ok()).collect()
    }

    fn record_path(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.json"))
    }

    fn component_path(&self, digest: &str) -> PathBuf {
        self.dir.join("components").join(format!("{digest}.wasm"))
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let dir = path.parent().unwrap_or(&self.dir);
        if !dir.is_dir() {
            DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
            let above = [Some(dir), dir.parent(), self.dir.parent()];
            for made in above.into_iter().flatten().filter(|made| made.is_dir()) {
                File::open(made)?.sync_all()?;
            }
        }
        let beside = path.with_extension("new");
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        File::open(dir)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::plugin::By;
    use crate::model::Time;

    fn turn(digest: &str) -> Turn {
        Turn {
            digest: digest.to_owned(),
            version: String::new(),
            at: Time::from_secs(1),
            by: By::Swap,
            why: None,
        }
    }

    #[test]
    fn one_rolls_back_through_the_last_versions_and_history_is_bounded() {
        let mut record = Record::default();
        for n in 0..100 {
            record.turn(turn(&n.to_string()), false);
        }
        assert_eq!((record.turns.len(), record.current()), (TURNS_MAX, Some("99")));
        assert_eq!(record.before, ["94", "95", "96", "97", "98"]);
        for expected in ["98", "97"] {
            let to = record.before.last().unwrap().clone();
            record.turn(turn(&to), true);
            assert_eq!(record.current(), Some(expected));
        }
        assert_eq!(record.before, ["94", "95", "96"], "what was rolled back from is not gone back to");
        record.turn(turn("94"), false);
        assert_eq!(record.before, ["95", "96", "97"], "nobody rolls back to what serves");
        record.turn(turn("94"), false);
        assert_eq!(record.before, ["95", "96", "97"]);
    }

    #[test]
    fn what_is_kept_is_found_and_what_is_damaged_is_not_taken() {
        let dir = tempfile::tempdir().unwrap();
        let kept = Kept::at(dir.path().join("plugins"));
        assert_eq!(kept.record("a").unwrap(), None);
        let mut record = Record::default();
        record.turn(turn("1"), false);
        kept.write_record("a", &record).unwrap();
        assert_eq!(kept.record("a").unwrap(), Some(record.clone()));
        assert!(kept.loaded().is_empty());
        record.loaded = Some(Terms::default());
        kept.write_record("a", &record).unwrap();
        assert_eq!(kept.loaded(), BTreeSet::from(["a".to_owned()]));
        assert_eq!(kept.records().unwrap(), [record.clone()]);
        fs::write(kept.record_path("b"), b"{").unwrap();
        assert!(kept.records().is_err(), "what it needs is not known");

        let code = Component::new("code");
        let digest = code.digest_hex();
        kept.keep(&code).unwrap();
        assert_eq!(*kept.component(&digest).unwrap(), *b"code");
        fs::write(kept.component_path(&digest), b"c0de").unwrap();
        assert!(kept.component(&digest).unwrap_err().to_string().contains("does not hash to its name"));
        kept.keep(&code).unwrap();
        assert_eq!(*kept.component(&digest).unwrap(), *b"code", "a damaged one is replaced");
        assert_eq!(kept.remove_others(&BTreeSet::from([digest.clone()])), Vec::<String>::new());
        assert_eq!(kept.remove_others(&BTreeSet::new()), [digest]);
    }
}
