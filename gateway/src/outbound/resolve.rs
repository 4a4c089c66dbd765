//! Names by the system's resolver; only vetted answers come through.

use crate::outbound::address::Policy;
use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, watch};

/// Lookups under way at once. The system's resolver cannot be interrupted, so one that hangs keeps its thread; a name
/// has one thread at most, so that one whose servers are dead leaves the others theirs.
const LOOKUPS_MAX: usize = 32;

/// Why a name gives no address.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unresolved {
    /// The policy forbids one of its addresses.
    Forbidden(String),
    /// It has none, or nobody answered in time.
    Nothing(String),
}

/// Asks for the addresses of a name with a port; may take long.
type Ask = dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync;
/// What was asked for.
type Name = (String, u16);
/// What was answered; `None` until then.
type Answered = watch::Receiver<Option<Result<Vec<SocketAddr>, String>>>;

/// The resolver.
pub(super) struct Resolver {
    ask: Arc<Ask>,
    lookups: Arc<Semaphore>,
    /// Names that are being asked for. Held for a look or a change.
    under_way: Arc<Mutex<HashMap<Name, Answered>>>,
    timeout: Duration,
}

impl Resolver {
    /// The system's.
    pub(super) fn new(timeout: Duration) -> Resolver {
        Resolver::asking(timeout, |name, port| (name, port).to_socket_addrs().map(Iterator::collect))
    }

    fn asking(
        timeout: Duration,
        ask: impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
    ) -> Resolver {
        let lookups = Arc::new(Semaphore::new(LOOKUPS_MAX));
        Resolver { ask: Arc::new(ask), lookups, under_way: Arc::default(), timeout }
    }

    /// The addresses of `name` with `port`, in the resolver's order, if every one of them may be connected to. They
    /// are the ones to connect to: a name cannot change between check and use.
    pub(super) async fn resolve(
        &self,
        name: &str,
        port: u16,
        policy: &Policy,
    ) -> Result<Vec<SocketAddr>, Unresolved> {
        let mut answered = self.look_up((name.to_owned(), port));
        let answer = tokio::time::timeout(self.timeout, answered.wait_for(Option::is_some)).await;
        let answers = match answer {
            Ok(Ok(answer)) => answer.clone().unwrap_or_else(|| Err("no answer".to_owned())),
            Ok(Err(_)) => Err("the lookup was given up".to_owned()),
            Err(_) => Err(format!("no answer within {:?}", self.timeout)),
        };
        let answers = answers.map_err(Unresolved::Nothing)?;
        let checked = policy.check_all(answers.iter().map(SocketAddr::ip), port);
        checked.map_err(|forbidden| Unresolved::Forbidden(forbidden.to_string()))?;
        Ok(answers)
    }

    /// Has a name looked up, unless it is being looked up already.
    fn look_up(&self, name: Name) -> Answered {
        let mut under_way = lock(&self.under_way);
        if let Some(answered) = under_way.get(&name) {
            return answered.clone();
        }
        let (answers, answered) = watch::channel(None);
        under_way.insert(name.clone(), answered.clone());
        let (ask, lookups, asked) = (self.ask.clone(), self.lookups.clone(), self.under_way.clone());
        // It outlives whoever asked: its thread cannot be stopped.
        tokio::spawn(async move {
            let answer = look_up(&name, ask, lookups).await;
            // What is asked from here on is asked anew.
            lock(&asked).remove(&name);
            answers.send_replace(Some(answer));
        });
        answered
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    // No holder panics: each only looks or changes a map.
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn look_up(
    (name, port): &Name,
    ask: Arc<Ask>,
    lookups: Arc<Semaphore>,
) -> Result<Vec<SocketAddr>, String> {
    let _permit = lookups.acquire_owned().await.map_err(|error| error.to_string())?;
    let (name, port) = (name.clone(), *port);
    let asked = tokio::task::spawn_blocking(move || ask(&name, port));
    let answers = asked.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    if answers.is_empty() { Err("no addresses".to_owned()) } else { Ok(answers) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Time;
    use crate::model::attempt::{Failure, Outcome};
    use crate::outbound::connect::Connect;
    use crate::outbound::{Outbound, Post};
    use bytes::Bytes;
    use http::HeaderMap;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// Listens at `ip` and answers 200 to whoever connects; counts them.
    async fn listens(ip: &str, port: u16) -> (SocketAddr, Arc<AtomicUsize>) {
        let listener = TcpListener::bind((ip, port)).await.unwrap();
        let (address, count) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let counts = count.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                counts.fetch_add(1, Ordering::SeqCst);
                let answer = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
                let mut request = Vec::new();
                while !request.ends_with(b"ping") && stream.read_buf(&mut request).await.is_ok_and(|n| n > 0)
                {
                }
                // The client may be gone.
                let _ = stream.write_all(answer).await;
            }
        });
        (address, count)
    }

    fn outbound(resolver: Resolver, allow: &str) -> Outbound {
        let policy = Policy { allow: vec![allow.parse().unwrap()], own: Vec::new() };
        let connect = Connect::new(policy).unwrap();
        Outbound { connect: Arc::new(connect.resolving(resolver)), pool: Arc::default() }
    }

    async fn sent(outbound: &Outbound, host: &str, port: u16) -> Outcome {
        let url = format!("http://{host}:{port}/").parse().unwrap();
        let (body, now) = (Bytes::from_static(b"ping"), Time::from_secs(0));
        let timeout = Duration::from_secs(15);
        outbound.send(Post { url, headers: &HeaderMap::new, body, timeout, now }).await.outcome
    }

    #[tokio::test]
    async fn a_name_that_changes_its_answer_is_connected_to_where_it_was_checked() {
        let (outside, reached) = listens("127.0.0.2", 0).await;
        let port = outside.port();
        let (_, inside) = listens("127.0.0.1", port).await;
        let asked = Arc::new(AtomicUsize::new(0));
        // Each lookup is answered with the next of these, the last of them from then on.
        let answers: [&[&str]; 5] = [
            &["127.0.0.2"],
            &["127.0.0.1"],
            &["127.0.0.2", "127.0.0.1"],
            &["127.0.0.2", "::ffff:127.0.0.1"],
            &["127.0.0.2"],
        ];
        let asks = asked.clone();
        let resolver = Resolver::asking(Duration::from_secs(4), move |_, port| {
            let nth = asks.fetch_add(1, Ordering::SeqCst).min(answers.len() - 1);
            Ok(answers[nth].iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), port)).collect())
        });
        let outbound = outbound(resolver, "127.0.0.2/32");
        for (nth, passes) in (1..).zip([true, false, false, false, true]) {
            let outcome = sent(&outbound, "rebinding.example", port).await;
            match passes {
                true => assert_eq!(outcome, Outcome::Delivered { status: 200 }, "{nth}"),
                false => {
                    assert!(matches!(outcome, Outcome::Failed(Failure::Forbidden(_))), "{nth}: {outcome:?}");
                }
            }
            assert_eq!(asked.load(Ordering::SeqCst), nth, "one lookup, whose answer is used");
        }
        assert_eq!(reached.load(Ordering::SeqCst), 2);
        assert_eq!(inside.load(Ordering::SeqCst), 0, "what was forbidden was connected to");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_name_whose_servers_hang_is_one_thread_and_delays_no_other_name() {
        let (address, _) = listens("127.0.0.1", 0).await;
        let (lets_go, hangs) = mpsc::channel::<()>();
        let (hangs, hung) = (Mutex::new(hangs), Arc::new(AtomicUsize::new(0)));
        let hanging = hung.clone();
        let resolver = Resolver::asking(Duration::from_millis(200), move |name, port| {
            if name == "dead.example" {
                hanging.fetch_add(1, Ordering::SeqCst);
                // Ends with the test.
                let _ = hangs.lock().unwrap().recv();
            }
            Ok(vec![SocketAddr::new("127.0.0.1".parse().unwrap(), port)])
        });
        let outbound = outbound(resolver, "127.0.0.0/8");
        let dead = (0..LOOKUPS_MAX * 2).map(|_| sent(&outbound, "dead.example", address.port()));
        for outcome in futures_util::future::join_all(dead).await {
            let Outcome::Failed(Failure::Resolve(why)) = outcome else { panic!("{outcome:?}") };
            assert_eq!(why, "no answer within 200ms");
        }
        assert_eq!(hung.load(Ordering::SeqCst), 1);
        assert_eq!(sent(&outbound, "well.example", address.port()).await, Outcome::Delivered { status: 200 });
        drop(lets_go);
    }
}
