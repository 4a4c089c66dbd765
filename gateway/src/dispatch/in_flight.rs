//! Which webhooks are in the pipeline, in a small file that outlives the process.
//!
//! The file is never synced: it is for a process that dies, not for a machine that does. A webhook found in it after
//! an unclean end is a suspect: it may be what killed the process.

use crate::dispatch::RUNS_MAX;
use crate::model::id::WebhookId;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

/// Bytes of one slot: an id, all zero when it is free.
const SLOT: usize = 16;
/// One for each webhook in the pipeline, and one for a suspect.
const SLOTS: usize = RUNS_MAX + 1;

/// The file and what is in it.
#[derive(Debug)]
pub struct InFlight {
    file: File,
    /// Held for a look, a change or a write of three kilobytes.
    slots: Mutex<Slots>,
}

#[derive(Debug)]
struct Slots {
    ids: Vec<Option<WebhookId>>,
    /// Whether the file names none.
    is_empty: bool,
}

/// A slot that is taken; dropping it frees it.
#[derive(Debug)]
pub struct Slot {
    of: Arc<InFlight>,
    at: Option<usize>,
}

impl InFlight {
    /// Opens the file; returns the webhooks that were in the pipeline when it was last written. They stand in it until
    /// the next are written, so that a process that dies before they are suspected finds them again.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn open(path: &Path) -> io::Result<(Arc<InFlight>, Vec<WebhookId>)> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let left = bytes
            .as_chunks::<SLOT>()
            .0
            .iter()
            .filter(|slot| **slot != [0; SLOT])
            .map(|slot| WebhookId(*slot));
        let left: Vec<_> = left.collect();
        let slots = Mutex::new(Slots { ids: vec![None; SLOTS], is_empty: left.is_empty() });
        Ok((Arc::new(InFlight { file, slots }), left))
    }

    /// Notes in one write that webhooks enter the pipeline; each is in it until its slot is dropped. What has left
    /// since the last write is taken out with it: until then the file may name a webhook that is done, which does
    /// no harm.
    pub fn enter(self: &Arc<Self>, ids: &[WebhookId]) -> Vec<Slot> {
        let mut slots = self.slots();
        let taken = ids.iter().map(|id| {
            let at = slots.ids.iter().position(Option::is_none);
            at.into_iter().for_each(|at| slots.ids[at] = Some(*id));
            Slot { of: Arc::clone(self), at }
        });
        let taken = taken.collect();
        self.write(&mut slots);
        taken
    }

    /// To be called when nothing is in the pipeline: takes out what has left.
    pub fn rest(&self) {
        let mut slots = self.slots();
        if !slots.is_empty {
            self.write(&mut slots);
        }
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().expect("no holder of this lock panics")
    }

    /// A write that fails costs a suspect, no webhook.
    fn write(&self, slots: &mut Slots) {
        let ids = slots.ids.iter().map(|id| id.map_or([0; SLOT], |id| id.0));
        let bytes: Vec<u8> = ids.flatten().collect();
        slots.is_empty = slots.ids.iter().all(Option::is_none);
        if let Err(error) = self.file.write_all_at(&bytes, 0) {
            tracing::warn!(%error, "cannot note the webhooks in flight");
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(at) = self.at {
            self.of.slots().ids[at] = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use billhook_event::Time;

    #[test]
    fn what_was_in_flight_is_found_after_the_process_died() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("in-flight");
        let (first, left) = InFlight::open(&path).unwrap();
        assert_eq!(left, []);
        let [a, b, c] = [1, 2, 3].map(|n| WebhookId::new(Time::from_secs(1), n));
        let mut slots = first.enter(&[a]);
        slots.extend(first.enter(&[b]));
        slots.remove(0);
        slots.extend(first.enter(&[c]));
        std::mem::forget(slots);
        let (second, left) = InFlight::open(&path).unwrap();
        assert_eq!(left, [c, b], "what has left is taken out with the next write");
        assert_eq!(InFlight::open(&path).unwrap().1, [c, b], "they stay until others are written");
        drop(second.enter(&[a]));
        second.rest();
        assert_eq!(InFlight::open(&path).unwrap().1, []);
    }
}
