//! Idle connections, kept for the next request to the same origin.

use crate::outbound::connect::Origin;
use crate::outbound::connection::Connection;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::time::Instant;

/// How long an idle connection is kept: shorter than most receivers keep theirs.
const IDLE: Duration = Duration::from_secs(30);
/// Most idle connections to all origins.
const IDLE_MAX: usize = 1024;

/// The connections.
pub(super) struct Pool {
    per_origin: usize,
    /// Held for a look or a change, never while a connection is used.
    idle: Mutex<Idle>,
}

#[derive(Default)]
struct Idle {
    /// The longest idle first.
    by_origin: HashMap<Origin, Vec<(Connection, Instant)>>,
    count: usize,
    /// Whether somebody closes what has been idle for too long.
    reaped: bool,
}

impl Pool {
    pub(super) fn new(per_origin: usize) -> Arc<Pool> {
        Arc::new(Pool { per_origin, idle: Mutex::default() })
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        // No holder panics: each only moves connections.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection that was used last.
    pub(super) fn take(&self, origin: &Origin) -> Option<Connection> {
        let mut idle = self.idle();
        let connections = idle.by_origin.get_mut(origin)?;
        let (connection, _) = connections.pop()?;
        if connections.is_empty() {
            idle.by_origin.remove(origin);
        }
        idle.count -= 1;
        Some(connection)
    }

    /// Keeps a connection, unless there are enough.
    pub(super) fn put(self: &Arc<Pool>, origin: Origin, connection: Connection) {
        let mut idle = self.idle();
        if idle.count >= IDLE_MAX {
            return;
        }
        let connections = idle.by_origin.entry(origin).or_default();
        if connections.len() >= self.per_origin {
            return;
        }
        connections.push((connection, Instant::now()));
        idle.count += 1;
        if !std::mem::replace(&mut idle.reaped, true) {
            tokio::spawn(reap(Arc::downgrade(self)));
        }
    }

    /// Closes what has been idle for too long. Whether something is left.
    fn sweep(&self) -> bool {
        let mut idle = self.idle();
        idle.by_origin.retain(|_, connections| {
            connections.retain(|(_, since)| since.elapsed() < IDLE);
            !connections.is_empty()
        });
        idle.count = idle.by_origin.values().map(Vec::len).sum();
        idle.reaped = idle.count > 0;
        idle.reaped
    }
}

/// Sweeps as long as there is something to sweep.
async fn reap(pool: Weak<Pool>) {
    loop {
        tokio::time::sleep(IDLE / 2).await;
        if !pool.upgrade().is_some_and(|pool| pool.sweep()) {
            return;
        }
    }
}
