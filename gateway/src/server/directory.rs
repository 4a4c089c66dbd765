//! Looks into the watched directory for plugins that have come or changed.
//!
//! It looks at an interval, by the gateway's clock, rather than being told by the system: that is the same on every
//! kind of file system (mounted volumes, links that are turned over), and what it costs is a listing. A file is taken
//! once two looks found it the same, so that one which is being copied is left alone until it is whole.

use crate::clock::Clock;
use crate::plugins::COMPONENT_BYTES_MAX;
use crate::plugins::roster::Roster;
use crate::worker::{Stop, Woken};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// How often it looks.
const INTERVAL: Duration = Duration::from_secs(2);
/// The most files that it looks at; others are left alone.
const FILES_MAX: usize = 256;

/// Looks into a directory.
pub(super) struct Watcher {
    dir: PathBuf,
    roster: Arc<Roster>,
    clock: Clock,
    /// A lock because the loop may be started again; nobody else takes it.
    seen: Mutex<BTreeMap<PathBuf, Seen>>,
    /// Why the directory could not be read at the last look: it is told once. A lock for the same reason.
    trouble: Mutex<Option<String>>,
}

/// What tells a file from what it was.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
}

/// A file as it was found at the last look.
struct Seen {
    stamp: Stamp,
    /// Whether it was offered to the roster, well or not: it is not offered twice.
    offered: bool,
}

impl Watcher {
    pub(super) fn new(dir: PathBuf, roster: Arc<Roster>, clock: Clock) -> Watcher {
        Watcher { dir, roster, clock, seen: Mutex::default(), trouble: Mutex::default() }
    }

    /// Looks until `stop`.
    pub(super) async fn run(&self, mut woken: Woken, stop: Stop) -> Result<(), Infallible> {
        let mut stopped = pin!(stop.stopped());
        loop {
            let heard = woken.heard();
            self.look().await;
            woken.rest(heard);
            let next = self.clock.now().plus(INTERVAL);
            tokio::select! {
                () = woken.woken() => {}
                () = self.clock.sleep_until(next) => {}
                () = &mut stopped => return Ok(()),
            }
        }
    }

    async fn look(&self) {
        let dir = self.dir.clone();
        let found = tokio::task::spawn_blocking(move || files(&dir)).await;
        let found = found.unwrap_or_else(|panic| Err(io::Error::other(panic)));
        let trouble = found.as_ref().err().map(ToString::to_string);
        let before = std::mem::replace(&mut *self.trouble.lock().await, trouble.clone());
        if before != trouble {
            let dir = self.dir.display();
            match trouble {
                Some(error) => tracing::warn!(%dir, error, "the watched directory cannot be read"),
                None => tracing::info!(%dir, "the watched directory can be read again"),
            }
        }
        let Ok(found) = found else { return };
        let mut seen = self.seen.lock().await;
        seen.retain(|path, _| found.contains_key(path));
        for (path, (name, stamp)) in found {
            match seen.get_mut(&path) {
                Some(before) if before.stamp == stamp => {
                    if !std::mem::replace(&mut before.offered, true) {
                        self.offer(&name, &path, stamp).await;
                    }
                }
                _ => drop(seen.insert(path, Seen { stamp, offered: false })),
            }
        }
    }

    /// What the roster makes of it, it says in the log.
    async fn offer(&self, name: &str, path: &Path, stamp: Stamp) {
        if stamp.bytes > COMPONENT_BYTES_MAX as u64 {
            tracing::warn!(plugin = name, bytes = stamp.bytes, "the file is too large for a component");
            return;
        }
        match tokio::fs::read(path).await {
            Ok(bytes) => drop(self.roster.found(name, Bytes::from(bytes)).await),
            Err(error) => tracing::warn!(plugin = name, %error, "the file cannot be read"),
        }
    }
}

/// The components in a directory.
fn files(dir: &Path) -> io::Result<BTreeMap<PathBuf, (String, Stamp)>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(dir)?.take(FILES_MAX) {
        let path = entry?.path();
        let (Some(stem), Some("wasm")) = (path.file_stem(), path.extension().and_then(OsStr::to_str)) else {
            continue;
        };
        // What no plugin can be called the roster refuses, and says so.
        let name = stem.to_string_lossy().into_owned();
        // One that has gone meanwhile is not there.
        let Some(meta) = fs::metadata(&path).ok().filter(fs::Metadata::is_file) else { continue };
        let modified = (meta.mtime(), meta.mtime_nsec());
        files.insert(path, (name, Stamp { inode: meta.ino(), bytes: meta.len(), modified }));
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::roster::Kept;
    use crate::plugins::{Options, Plugins};
    use std::io::Write;
    use std::sync::Mutex as Lock;

    #[derive(Clone, Default)]
    struct Log(Arc<Lock<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_directory_that_cannot_be_read_is_told_once_with_the_cause() {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone());
        let _guard = tracing::subscriber::set_default(subscriber.finish());
        let dir = tempfile::tempdir().unwrap();
        let watched = dir.path().join("plugins");
        let plugins = Plugins::start(Options { instances: 1, ..Options::default() }).unwrap();
        let clock = Clock::manual(crate::model::Time::ZERO);
        let roster = Arc::new(Roster::new(plugins, Kept::at(dir.path()), clock.clone()));
        let watcher = Watcher::new(watched.clone(), roster, clock);
        for _ in 0..2 {
            for _ in 0..3 {
                watcher.look().await;
            }
            fs::create_dir(&watched).unwrap();
            watcher.look().await;
            fs::remove_dir(&watched).unwrap();
        }
        let told = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<_> = told.lines().filter(|line| line.contains("the watched directory")).collect();
        assert_eq!(lines.len(), 4, "{told}");
        assert!(lines[0].contains("No such file") && lines[1].contains("again"), "{told}");
    }
}
