//! Idle connections, kept for the next request to the same origin.

use crate::outbound::connect::Origin;
use crate::outbound::connection::Connection;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::time::Instant;

/// Most idle connections to all origins. Of one there may be as many: deliveries come in bursts as long as the concurrency
/// of their endpoint, and each would close connections for the next one to open.
const CONNECTIONS_MAX: usize = 1024;
/// How old a connection may be when it is kept: one that is always busy would never see that its host's address or
/// certificate has changed.
const AGE_MAX: Duration = Duration::from_secs(5 * 60);
/// How often what has been idle for too long is closed.
const SWEEP_EVERY: Duration = Duration::from_secs(2);

/// The connections.
#[derive(Default)]
pub(super) struct Pool {
    /// Held for a look or a change, never while a connection is used.
    idle: Mutex<Idle>,
}

#[derive(Default)]
struct Idle {
    /// Each with when it is too late to use it; the longest idle first.
    by_origin: HashMap<Origin, Vec<(Connection, Instant)>>,
    count: usize,
    /// Whether somebody closes what has been idle for too long.
    reaped: bool,
}

impl Pool {
    fn idle(&self) -> MutexGuard<'_, Idle> {
        // No holder panics: each only moves connections.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection that was used last, of those that have not been idle for too long.
    pub(super) fn take(&self, origin: &Origin, now: Instant) -> Option<Connection> {
        let mut idle = self.idle();
        let connections = idle.by_origin.get_mut(origin)?;
        let before = connections.len();
        let taken = std::iter::from_fn(|| connections.pop()).find(|(_, until)| now < *until);
        let gone = before - connections.len();
        if connections.is_empty() {
            idle.by_origin.remove(origin);
        }
        idle.count -= gone;
        taken.map(|(connection, _)| connection)
    }

    /// Keeps a connection until it has been idle for `most`, unless it is too old or there are enough.
    pub(super) fn put(
        self: &Arc<Pool>,
        origin: Origin,
        connection: Connection,
        most: Duration,
        now: Instant,
    ) {
        let mut idle = self.idle();
        if most.is_zero() || now >= connection.opened + AGE_MAX || idle.count >= CONNECTIONS_MAX {
            return;
        }
        idle.by_origin.entry(origin).or_default().push((connection, now + most));
        idle.count += 1;
        if !std::mem::replace(&mut idle.reaped, true) {
            tokio::spawn(reap(Arc::downgrade(self)));
        }
    }

    /// Closes what has been idle for too long. Whether something is left.
    fn sweep(&self, now: Instant) -> bool {
        let mut idle = self.idle();
        idle.by_origin.retain(|_, connections| {
            connections.retain(|(_, until)| now < *until);
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
        tokio::time::sleep(SWEEP_EVERY).await;
        if !pool.upgrade().is_some_and(|pool| pool.sweep(Instant::now())) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Duration = Duration::from_secs(4);
    const MILLI: Duration = Duration::from_millis(1);

    #[tokio::test]
    async fn a_connection_is_kept_while_it_is_neither_idle_for_too_long_nor_too_old() {
        let origin = || Origin::of(&"http://app.example.com".parse().unwrap()).unwrap();
        let connection = || async { Connection::over(Box::new(tokio::io::duplex(64).0)).await.ok().unwrap() };
        let (pool, now) = (Arc::<Pool>::default(), Instant::now());
        for (waits, is_there) in [(MOST - MILLI, true), (MOST, false)] {
            pool.put(origin(), connection().await, MOST, now);
            pool.put(origin(), connection().await, MOST, now);
            let found = [(); 3].map(|()| pool.take(&origin(), now + waits).is_some());
            assert_eq!(found, [is_there, is_there, false], "{waits:?}");
            assert_eq!(pool.idle().count, 0);
        }
        for (age, is_kept) in [(AGE_MAX - MILLI, true), (AGE_MAX, false)] {
            let connection = connection().await;
            let now = connection.opened + age;
            pool.put(origin(), connection, MOST, now);
            assert_eq!(pool.take(&origin(), now).is_some(), is_kept, "{age:?}");
        }
        pool.put(origin(), connection().await, Duration::ZERO, now);
        pool.put(origin(), connection().await, MOST, now);
        assert_eq!(pool.idle().count, 1);
        assert!(pool.sweep(now + MOST - MILLI) && !pool.sweep(now + MOST));
        assert!(pool.take(&origin(), now).is_none());
    }
}
