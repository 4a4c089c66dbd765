//! Names by the system's resolver; only vetted answers come through.

use crate::outbound::address::Policy;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Lookups under way at once. The system's resolver cannot be interrupted, so one that hangs keeps its thread.
const LOOKUPS_MAX: usize = 32;

/// Why a name gives no address.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unresolved {
    /// The policy forbids one of its addresses.
    Forbidden(String),
    /// It has none, or nobody answered in time.
    Nothing(String),
}

/// The resolver.
#[derive(Debug)]
pub(super) struct Resolver {
    lookups: Arc<Semaphore>,
    timeout: Duration,
}

impl Resolver {
    pub(super) fn new(timeout: Duration) -> Resolver {
        Resolver { lookups: Arc::new(Semaphore::new(LOOKUPS_MAX)), timeout }
    }

    /// The addresses of `name` with `port`, in the resolver's order, if every one of them may be connected to. They
    /// are the ones to connect to: a name cannot change between check and use.
    pub(super) async fn resolve(
        &self,
        name: &str,
        port: u16,
        policy: &Policy,
    ) -> Result<Vec<SocketAddr>, Unresolved> {
        let lookup = lookup(name.to_owned(), port, Arc::clone(&self.lookups));
        let answers = tokio::time::timeout(self.timeout, lookup).await;
        let answers = answers.unwrap_or_else(|_| Err(format!("no answer within {:?}", self.timeout)));
        let answers = answers.map_err(Unresolved::Nothing)?;
        let checked = policy.check_all(answers.iter().map(SocketAddr::ip), port);
        checked.map_err(|forbidden| Unresolved::Forbidden(forbidden.to_string()))?;
        Ok(answers)
    }
}

async fn lookup(name: String, port: u16, lookups: Arc<Semaphore>) -> Result<Vec<SocketAddr>, String> {
    let permit = lookups.acquire_owned().await.map_err(|error| error.to_string())?;
    // The thread cannot be stopped, so it holds the permit until the system answers, even if nobody waits any more.
    let asked = tokio::task::spawn_blocking(move || {
        let answers = (name.as_str(), port).to_socket_addrs().map(Iterator::collect::<Vec<_>>);
        drop(permit);
        answers
    });
    let answers = asked.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    if answers.is_empty() { Err("no addresses".to_owned()) } else { Ok(answers) }
}
