//! Which webhooks are in the pipeline, in a small file that outlives the process.
//!
//! The file is never synced: it is for a process that dies, not for a machine that does. A webhook found in it after
//! an unclean end is a suspect: it may be what killed the process.

use crate::dispatch::CONCURRENCY;
use crate::model::id::WebhookId;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Mutex;

/// Bytes of one slot: an id, all zero when it is free.
const SLOT: usize = 16;

/// The file and which of its slots are free.
#[derive(Debug)]
pub struct InFlight {
    file: File,
    /// Held for one push or pop.
    free: Mutex<Vec<usize>>,
}

/// A slot that is taken; dropping it frees it.
#[derive(Debug)]
pub struct Slot<'a> {
    of: &'a InFlight,
    at: Option<usize>,
}

impl InFlight {
    /// Opens the file and empties it; returns the webhooks that were in the pipeline when it was last written.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn open(path: &Path) -> io::Result<(InFlight, Vec<WebhookId>)> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let left = bytes
            .as_chunks::<SLOT>()
            .0
            .iter()
            .filter(|slot| **slot != [0; SLOT])
            .map(|slot| WebhookId(*slot));
        let left = left.collect();
        file.write_all_at(&[0; SLOT * (CONCURRENCY + 1)], 0)?;
        let free = Mutex::new((0..=CONCURRENCY).collect());
        Ok((InFlight { file, free }, left))
    }

    /// Notes that a webhook is in the pipeline until the slot is dropped.
    pub fn enter(&self, id: WebhookId) -> Slot<'_> {
        let at = self.free.lock().expect("no holder of this lock panics").pop();
        self.write(at, id.bytes());
        Slot { of: self, at }
    }

    /// A write that fails costs a suspect, no webhook.
    fn write(&self, at: Option<usize>, bytes: &[u8; SLOT]) {
        if let Some(at) = at
            && let Err(error) = self.file.write_all_at(bytes, (at * SLOT) as u64)
        {
            tracing::warn!(%error, "cannot note a webhook in flight");
        }
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.of.write(self.at, &[0; SLOT]);
        if let Some(at) = self.at {
            self.of.free.lock().expect("no holder of this lock panics").push(at);
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
        let (a, b) = (WebhookId::new(Time::from_secs(1), 1), WebhookId::new(Time::from_secs(1), 2));
        drop(first.enter(a));
        std::mem::forget(first.enter(b));
        assert_eq!(InFlight::open(&path).unwrap().1, [b]);
        assert_eq!(InFlight::open(&path).unwrap().1, []);
    }
}
