//! Ingest: the public way in. One webhook at a time is read whole, authenticated, stored durably and answered.
//!
//! The characters in the order a request meets them: [`Ingest::serve`] accepts connections and speaks HTTP/1;
//! `sender` is who asks, and `route` finds the source that a path names; `body` reads the body within its bounds; `arrival` is the request as
//! it was read; `prove` decides whether it is genuine, by `authenticate` or by a plugin; `dedupe` says what would make a second arrival a
//! duplicate; `redact` takes the secrets out; `take` does all that for one request and `answer` says how it went.
//! What is not authentic is kept for a while by `refusals`, and `readmit` judges it again when an operator asks.
//!
//! What an authentic sender wrote is never judged here: it is stored whatever its content type, encoding or JSON.
//! An answer of 200 means that the webhook, or the one that it repeats, is durable.

mod answer;
mod arrival;
mod authenticate;
mod body;
mod dedupe;
mod prove;
mod readmit;
mod redact;
mod refusals;
mod route;
mod sender;
mod take;
#[cfg(test)]
mod tests;

use crate::clock::Clock;
use crate::ingest::refusals::Refusals;
use crate::model::Time;
use crate::model::id::{WebhookId, WebhookIds};
use crate::model::rate::Bucket;
use crate::model::source::{Place, Source};
use crate::plugins::Slot;
use crate::store;
use crate::worker::Wake;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use ipnet::IpNet;
use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio_io_timeout::TimeoutStream;
use tracing::{debug, error, warn};

/// How long accepting pauses after the system refused a connection, as it does when descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The least that hyper takes as a connection's buffer.
const BUFFER_BYTES_MIN: usize = 8192;

/// The bounds of the public listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The longest body in bytes; a longer one is answered 413. Default 4 MiB.
    pub max_body: usize,
    /// The longest request line and headers together in bytes; longer ones are answered 431. At least 8 KiB.
    /// Default 32 KiB.
    pub max_header_bytes: usize,
    /// The most headers; more are answered 431. Default 100.
    pub max_headers: usize,
    /// From the moment that a connection waits for a request until its headers are there; then it is closed. So
    /// this is also how long a connection may idle between requests. Default 10 s.
    pub header_timeout: Duration,
    /// From the end of the headers until the body is there; then the answer is 408. Default 30 s.
    pub body_timeout: Duration,
    /// How long an answer may wait for a sender that reads nothing; then the connection is closed. Default 30 s.
    pub answer_timeout: Duration,
    /// The most connections at a time; further ones wait in the system's queue. Default 1024.
    pub connections_max: usize,
    /// The most bytes of bodies in memory at a time, over all connections; what would be more is answered 503.
    /// Default 256 MiB.
    pub in_flight_bytes_max: usize,
    /// Whose word for the address of a sender counts (`X-Forwarded-For`). Default: nobody's.
    pub trusted_proxies: Vec<IpNet>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            max_body: 4 << 20,
            max_header_bytes: 32 << 10,
            max_headers: 100,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            answer_timeout: Duration::from_secs(30),
            connections_max: 1024,
            in_flight_bytes_max: 256 << 20,
            trusted_proxies: Vec::new(),
        }
    }
}

/// A source as ingest sees it: what is configured, and what the provider's manifest says where that is silent.
#[derive(Clone)]
pub struct Inlet {
    /// The source.
    pub source: Source,
    /// Who judges its requests, where its scheme is a plugin.
    pub verifier: Option<Slot>,
    /// What makes a duplicate: the first place with a value counts. Empty: every arrival is new.
    pub dedupe: Vec<Place>,
    /// How long a body is remembered. Ids are remembered for 30 days.
    pub body_window: Duration,
    /// Where the time of an event is: a body that has one is remembered as an id.
    pub dated_by: Vec<Place>,
    /// Where the provider's event name is: the first place with a value counts.
    pub event_name: Vec<Place>,
    /// Where the provider's id of the request is: the first place with a value counts.
    pub delivery_id: Vec<Place>,
    /// Headers that are not stored, in lower case, beside those that the authentication reads secrets from.
    pub secret_headers: Vec<String>,
    /// Query values that are not stored, beside those that the authentication reads.
    pub secret_query: Vec<String>,
    /// Places in a JSON body whose value is stored as `"***"` (RFC 6901).
    pub secret_pointers: Vec<String>,
    /// Whether everything that is stored or deliberately dropped is answered 200 `{"status":"ok"}`.
    pub always_ok: bool,
}

/// All ways in, by the name in the path and by public key.
#[derive(Clone, Default)]
pub struct Inlets {
    by_name: HashMap<String, Arc<Inlet>>,
    by_key: HashMap<String, Arc<Inlet>>,
    /// What the rates of sources still allow, by name.
    buckets: HashMap<String, Arc<Bucket>>,
    /// Whether a wrong public key is answered as if it were a right one.
    wrong_keys_ok: bool,
}

impl Inlets {
    /// All of `inlets`. Their names and public keys are distinct; of equal ones the last counts.
    pub fn new(inlets: impl IntoIterator<Item = Inlet>) -> Inlets {
        let mut all = Inlets::default();
        for inlet in inlets.into_iter().map(Arc::new) {
            all.wrong_keys_ok |= inlet.always_ok && !inlet.source.public_keys.is_empty();
            for key in &inlet.source.public_keys {
                all.by_key.insert(key.clone(), inlet.clone());
            }
            if let Some(rate) = inlet.source.rate {
                all.buckets.insert(inlet.source.name.clone(), Arc::new(Bucket::new(rate)));
            }
            all.by_name.insert(inlet.source.name.clone(), inlet);
        }
        all
    }
}

/// Takes webhooks in.
pub struct Ingest {
    store: store::Shared,
    clock: Clock,
    wake: Wake,
    inlets: Inlets,
    options: Options,
    refusals: Refusals,
    ids: Mutex<WebhookIds>,
    /// One permit for each byte of a body that may still be read into memory.
    in_flight: Arc<Semaphore>,
}

impl Ingest {
    /// Takes webhooks of `inlets` into `store`, and wakes the pipeline by `wake` after each that is new.
    pub fn new(store: store::Shared, clock: Clock, wake: Wake, inlets: Inlets, options: Options) -> Ingest {
        let in_flight = Arc::new(Semaphore::new(options.in_flight_bytes_max.min(Semaphore::MAX_PERMITS)));
        let (refusals, ids) = (Refusals::new(), Mutex::default());
        Ingest { store, clock, wake, inlets, options, refusals, ids, in_flight }
    }

    /// The id of a webhook that is taken at `now`.
    fn next_id(&self, now: Time) -> WebhookId {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner).next(now, rand::random())
    }

    /// Serves `listener` until `stop` is done; then accepts nothing more, answers the requests that are there and
    /// returns. How long that may take is the caller's to bound: dropping the future cuts all connections. Of a
    /// request that is cut, nobody was told that it is stored.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, stop: impl Future<Output = ()>) {
        let places = Arc::new(Semaphore::new(self.options.connections_max));
        let (stopping, stopped) = watch::channel(false);
        let mut connections = JoinSet::new();
        let mut stop = pin!(stop);
        let accept = async || {
            let place = places.clone().acquire_owned().await.expect("the semaphore is never closed");
            (place, listener.accept().await)
        };
        loop {
            tokio::select! {
                biased;
                () = &mut stop => break,
                Some(ended) = connections.join_next() => report(ended),
                (place, accepted) = accept() => match accepted {
                    Ok((stream, peer)) => {
                        let (ingest, stopped) = (self.clone(), stopped.clone());
                        connections.spawn(async move {
                            ingest.connection(stream, peer, stopped).await;
                            drop(place);
                        });
                    }
                    Err(error) => {
                        warn!(%error, "cannot accept a connection");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        drop(listener);
        stopping.send_replace(true);
        while let Some(ended) = connections.join_next().await {
            report(ended);
        }
    }

    /// Speaks HTTP/1 on one connection until either side closes it, or until `stopped` and the request that is in
    /// flight is answered.
    async fn connection(&self, stream: TcpStream, peer: SocketAddr, mut stopped: watch::Receiver<bool>) {
        // Answers are small and nobody gains from holding them back; without the option they are only later.
        let _ = stream.set_nodelay(true);
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(self.options.answer_timeout));
        let remote: IpAddr = peer.ip().to_canonical();
        let (leave, mut left) = mpsc::channel::<Incoming>(1);
        let service = service_fn(|request| {
            let leave = &leave;
            async move { Ok::<_, Infallible>(self.take(request, remote, leave).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.options.header_timeout)
            .max_header_size(self.options.max_header_bytes)
            .max_headers(self.options.max_headers)
            .max_buf_size(self.options.max_header_bytes.max(BUFFER_BYTES_MIN))
            // A sender that hangs up does not stop a commit that is under way, so that the wake after it is given.
            .half_close(true)
            .serve_connection(TokioIo::new(Box::pin(stream)), service);
        let mut connection = pin!(connection);
        let mut discard = pin!(async {
            while let Some(rest) = left.recv().await {
                body::discard(rest).await;
            }
        });
        let mut told = false;
        let mut discarded = false;
        let end = loop {
            tokio::select! {
                end = connection.as_mut() => break end,
                () = &mut discard, if !discarded => discarded = true,
                // An error means that the listener is gone, which is a stop too.
                _ = stopped.wait_for(|stopped| *stopped), if !told => {
                    told = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        };
        if let Err(error) = end {
            debug!(%remote, %error, "connection ended");
        }
    }
}

/// A connection's task ends by itself, except for a mistake of ours.
fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        error!(%error, "a connection ended by a mistake in the gateway");
    }
}
