//! The only way out: one HTTP client with the address policy inside.
//!
//! No redirects, no proxies, no cookies, no retries of its own, HTTP/1.1 only. IP literals are checked before the
//! request, names by the resolver whose vetted answers are the addresses connected to, so that a name cannot change
//! between check and use. Every wait has a bound: the lookup, the connection, and the whole of it.

pub mod address;

use crate::model::Time;
use crate::model::attempt::{ANSWER_BYTES_MAX, Failure, Outcome};
use crate::outbound::address::{Forbidden, Policy};
use bytes::Bytes;
use http::{HeaderMap, header};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::error::Error;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use url::Url;

/// How to reach out.
#[derive(Clone, Debug)]
pub struct Options {
    /// What may be connected to.
    pub policy: Policy,
    /// The longest that lookup, TCP and TLS together may take.
    pub connect_timeout: Duration,
    /// The longest that a lookup may take; shorter than `connect_timeout`, so that a dead name server is told from
    /// a dead receiver.
    pub lookup_timeout: Duration,
    /// Idle connections kept to one host.
    pub idle_per_host: usize,
}

impl Default for Options {
    /// Nothing private allowed, no own listeners; 5 s to connect, 4 s of them for the lookup; 32 idle connections.
    fn default() -> Options {
        Options {
            policy: Policy::default(),
            connect_timeout: Duration::from_secs(5),
            lookup_timeout: Duration::from_secs(4),
            idle_per_host: 32,
        }
    }
}

/// Lookups under way at once. The system's resolver cannot be interrupted, so one that hangs keeps its thread.
const LOOKUPS_MAX: usize = 32;
/// How long an idle connection is kept: shorter than most receivers keep theirs.
const IDLE: Duration = Duration::from_secs(30);
/// The longest text about a failure, in characters.
const WHY_CHARS_MAX: usize = 200;

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up the HTTP client")]
pub struct SetupError(#[from] reqwest::Error);

/// The client. Cloning it is cheap and shares its connections.
#[derive(Clone, Debug)]
pub struct Outbound {
    policy: Arc<Policy>,
    /// For all ports that are not ours.
    usual: reqwest::Client,
    /// For ports that we listen on ourselves. A resolver is not told the port, so it has a client of its own.
    own_port: reqwest::Client,
}

/// A request to send.
#[derive(Clone, Debug)]
pub struct Post {
    /// Where to.
    pub url: Url,
    /// Its headers; `host`, `content-length` and `user-agent` are added.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// The longest it may take, from the lookup to the last byte read.
    pub timeout: Duration,
    /// When it is sent: a `Retry-After` that names a date is counted from here.
    pub now: Time,
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Sent {
    /// How it ended.
    pub outcome: Outcome,
    /// The wait that the receiver asked for.
    pub retry_after: Option<Duration>,
    /// The beginning of the answer's body, at most [`ANSWER_BYTES_MAX`] bytes.
    pub answer: Vec<u8>,
    /// How long it took.
    pub took: Duration,
}

impl Outbound {
    /// Sets the client up. It trusts the machine's root certificates; on a machine without any, `https` URLs fail
    /// when they are used, and `http` works.
    pub fn new(options: Options) -> Result<Outbound, SetupError> {
        // An error says that somebody installed a provider before, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let policy = Arc::new(options.policy.clone());
        let lookups = Arc::new(Semaphore::new(LOOKUPS_MAX));
        let client = |ports: Vec<u16>| {
            let vetting = Vetting {
                policy: policy.clone(),
                ports,
                lookups: lookups.clone(),
                timeout: options.lookup_timeout,
            };
            client(&options, Arc::new(vetting))
        };
        // No listener has port 0: checking for it checks the address alone.
        let own = std::iter::once(0).chain(policy.own_ports()).collect();
        Ok(Outbound { usual: client(vec![0])?, own_port: client(own)?, policy })
    }

    /// Posts once. Never fails: what went wrong is in the outcome. The status alone decides; a body that cannot be
    /// read after it changes nothing. Dropping the future gives the request up.
    pub async fn send(&self, post: Post) -> Sent {
        let started = Instant::now();
        let deadline = started + post.timeout;
        let failed = |failure| Sent {
            outcome: Outcome::Failed(failure),
            retry_after: None,
            answer: Vec::new(),
            took: started.elapsed(),
        };
        let client = match self.client_for(&post.url) {
            Ok(client) => client,
            Err(why) => return failed(Failure::Forbidden(why)),
        };
        let request = client.post(post.url).headers(post.headers).body(post.body).send();
        let mut response = match tokio::time::timeout_at(deadline, request).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return failed(classify(&error)),
            Err(_) => return failed(Failure::Timeout),
        };
        let status = response.status();
        let retry_after = response
            .headers()
            .get(header::RETRY_AFTER)
            .and_then(|value| retry_after(value.as_bytes(), post.now));
        let mut answer = Vec::new();
        // The deadline or a broken connection ends the reading, and we keep what there is.
        while answer.len() < ANSWER_BYTES_MAX
            && let Ok(Ok(Some(chunk))) = tokio::time::timeout_at(deadline, response.chunk()).await
        {
            answer.extend_from_slice(&chunk[..chunk.len().min(ANSWER_BYTES_MAX - answer.len())]);
        }
        let outcome = match status.is_success() {
            true => Outcome::Delivered { status: status.as_u16() },
            false => Outcome::Failed(Failure::Status(status.as_u16())),
        };
        Sent { outcome, retry_after, answer, took: started.elapsed() }
    }

    /// The client for `url`, unless the policy refuses the URL as it stands.
    fn client_for(&self, url: &Url) -> Result<&reqwest::Client, String> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(format!("the scheme `{}` is neither http nor https", url.scheme()));
        }
        let port = url.port_or_known_default().unwrap_or_default();
        let literal = match url.host() {
            Some(url::Host::Ipv4(ip)) => Some(IpAddr::V4(ip)),
            Some(url::Host::Ipv6(ip)) => Some(IpAddr::V6(ip)),
            // What the URL calls a name is a literal to whoever can parse it as one.
            Some(url::Host::Domain(name)) => name.trim_end_matches('.').parse().ok(),
            None => return Err("the URL has no host".to_owned()),
        };
        if let Some(ip) = literal {
            self.policy.check(ip, port).map_err(|forbidden| forbidden.to_string())?;
        }
        Ok(if self.policy.own_ports().any(|own| own == port) { &self.own_port } else { &self.usual })
    }
}

fn client(options: &Options, resolver: Arc<Vetting>) -> Result<reqwest::Client, reqwest::Error> {
    let builder = || {
        reqwest::Client::builder()
            .user_agent(concat!("Billhook/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .referer(false)
            .http1_only()
            .connect_timeout(options.connect_timeout)
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(options.idle_per_host)
            .dns_resolver(resolver.clone())
    };
    builder().build().or_else(|error| {
        tracing::warn!(
            error = &error as &dyn Error,
            "no root certificates on this machine, https endpoints will fail"
        );
        builder().tls_certs_only([]).build()
    })
}

/// Resolves names by the system and lets only vetted answers through.
struct Vetting {
    policy: Arc<Policy>,
    /// The ports that an answer is checked for.
    ports: Vec<u16>,
    lookups: Arc<Semaphore>,
    timeout: Duration,
}

/// Why a name gives no address.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("{0}")]
    Forbidden(Forbidden),
    #[error("{0}")]
    Unresolved(String),
}

impl Resolve for Vetting {
    fn resolve(&self, name: Name) -> Resolving {
        let (policy, ports, lookups, timeout) =
            (self.policy.clone(), self.ports.clone(), self.lookups.clone(), self.timeout);
        Box::pin(async move {
            let answers = tokio::time::timeout(timeout, lookup(name.as_str().to_owned(), lookups))
                .await
                .unwrap_or_else(|_| Err(Refused::Unresolved(format!("no answer within {timeout:?}"))))?;
            for port in ports {
                policy.check_all(answers.iter().map(SocketAddr::ip), port).map_err(Refused::Forbidden)?;
            }
            Ok(Box::new(answers.into_iter()) as Addrs)
        })
    }
}

async fn lookup(name: String, lookups: Arc<Semaphore>) -> Result<Vec<SocketAddr>, Refused> {
    let unresolved = |why: &dyn std::fmt::Display| Refused::Unresolved(why.to_string());
    let permit = lookups.acquire_owned().await.map_err(|e| unresolved(&e))?;
    // The thread cannot be stopped, so it holds the permit until the system answers, even if nobody waits any more.
    let asked = tokio::task::spawn_blocking(move || {
        let answers = (name.as_str(), 0).to_socket_addrs().map(Iterator::collect::<Vec<_>>);
        drop(permit);
        answers
    });
    let answers = asked.await.map_err(|e| unresolved(&e))?.map_err(|e| unresolved(&e))?;
    if answers.is_empty() { Err(Refused::Unresolved("no addresses".to_owned())) } else { Ok(answers) }
}

/// What an error of the client means, by its types.
fn classify(error: &reqwest::Error) -> Failure {
    let refused = causes(error).find_map(|cause| cause.downcast_ref::<Refused>());
    let innermost = || {
        let why = causes(error).last().map_or_else(|| "no cause given".to_owned(), ToString::to_string);
        why.chars().take(WHY_CHARS_MAX).collect()
    };
    match refused {
        Some(Refused::Forbidden(forbidden)) => Failure::Forbidden(forbidden.to_string()),
        Some(Refused::Unresolved(why)) => Failure::Resolve(why.clone()),
        None if error.is_timeout() => Failure::Timeout,
        None if error.is_connect() => Failure::Connect(innermost()),
        None => Failure::Broken(innermost()),
    }
}

/// The causes of an error, outermost first, without the error itself, whose text has the URL in it.
fn causes<'a>(error: &'a reqwest::Error) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(error.source(), |&cause| cause.source())
}

/// Reads a `Retry-After`: seconds or an HTTP date (RFC 9110, 10.2.3). A date in the past is no wait.
fn retry_after(value: &[u8], now: Time) -> Option<Duration> {
    let text = std::str::from_utf8(value).ok()?.trim();
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let date = httpdate::parse_http_date(text).ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(Time::from_secs(date.as_secs()).since(now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::mpsc;

    /// What a receiver does after it has written its answer.
    #[derive(Clone, Copy, PartialEq)]
    enum Then {
        /// Closes in order.
        Close,
        /// Resets the connection.
        Reset,
        /// Says nothing more and keeps the connection.
        Hang,
        /// Goes on for ever, a byte now and then.
        Drip,
    }

    /// A receiver that answers every request with `answer`; the requests it heard, as text.
    async fn receiver(answer: Vec<u8>, then: Then) -> (SocketAddr, mpsc::UnboundedReceiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (heard, hears) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answering(stream, answer.clone(), then, heard.clone()));
            }
        });
        (address, hears)
    }

    async fn answering(
        mut stream: TcpStream,
        answer: Vec<u8>,
        then: Then,
        heard: mpsc::UnboundedSender<String>,
    ) {
        let mut request = Vec::new();
        while !request.ends_with(b"ping") {
            if stream.read_buf(&mut request).await.unwrap_or_default() == 0 {
                return;
            }
        }
        // Some tests do not listen.
        let _ = heard.send(String::from_utf8(request).unwrap());
        // The client may hang up before it has read everything.
        let _ = stream.write_all(&answer).await;
        match then {
            Then::Close => {}
            Then::Reset => {
                stream.flush().await.unwrap();
                // Let the answer arrive: a reset overtakes what has not been read.
                tokio::time::sleep(Duration::from_millis(50)).await;
                stream.set_zero_linger().unwrap();
            }
            Then::Hang => std::future::pending().await,
            Then::Drip => {
                while stream.write_all(b"x").await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        }
    }

    fn allowing(nets: &[&str], listeners: &[SocketAddr]) -> Outbound {
        let allow = nets.iter().map(|net| net.parse().unwrap()).collect();
        let policy = Policy { allow, own: listeners.to_vec() };
        Outbound::new(Options { policy, ..Options::default() }).unwrap()
    }

    fn local() -> Outbound {
        allowing(&["127.0.0.0/8", "::1/128"], &[])
    }

    fn post(url: &str, timeout: Duration) -> Post {
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, "application/json".parse().unwrap())]);
        let now = Time::from_secs(1_000_000_000);
        Post { url: url.parse().unwrap(), headers, body: Bytes::from_static(b"ping"), timeout, now }
    }

    const LONG: Duration = Duration::from_secs(15);
    const SHORT: Duration = Duration::from_millis(300);

    #[tokio::test]
    async fn a_request_is_what_was_asked_for_and_no_more() {
        let (address, mut heard) =
            receiver(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_vec(), Then::Close).await;
        let sent = local().send(post(&format!("http://{address}/hooks?key=1"), LONG)).await;
        assert_eq!((sent.outcome, sent.answer), (Outcome::Delivered { status: 200 }, b"ok".to_vec()));
        let request = heard.recv().await.unwrap().to_lowercase();
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        let mut lines: Vec<&str> = head.lines().collect();
        lines[1..].sort_unstable();
        let (agent, host) =
            (concat!("user-agent: billhook/", env!("CARGO_PKG_VERSION")), format!("host: {address}"));
        let expected = [
            "post /hooks?key=1 http/1.1",
            "accept: */*",
            "content-length: 4",
            "content-type: application/json",
            &host,
            agent,
        ];
        assert_eq!((lines.as_slice(), body), (expected.as_slice(), "ping"));
    }

    #[tokio::test]
    async fn the_status_decides_whatever_becomes_of_the_body() {
        let delivered = |status| Outcome::Delivered { status };
        let failed = |status| Outcome::Failed(Failure::Status(status));
        let big = [b"HTTP/1.1 200 OK\r\ncontent-length: 10000000\r\n\r\n".to_vec(), vec![b'x'; 10_000_000]]
            .concat();
        let big_error = [b"HTTP/1.1 500 no\r\n\r\n".to_vec(), vec![b'x'; 10_000_000]].concat();
        let ok = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf".to_vec();
        let cases = [
            ("204", b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(), Then::Close, delivered(204), 0),
            ("299", b"HTTP/1.1 299 x\r\ncontent-length: 0\r\n\r\n".to_vec(), Then::Close, delivered(299), 0),
            ("10 MB after a 200", big, Then::Close, delivered(200), ANSWER_BYTES_MAX),
            ("10 MB after a 500", big_error, Then::Close, failed(500), ANSWER_BYTES_MAX),
            ("a body cut short", ok.clone(), Then::Close, delivered(200), 4),
            ("a reset in the body", ok.clone(), Then::Reset, delivered(200), 4),
            ("a body that hangs", ok, Then::Hang, delivered(200), 4),
            ("404", b"HTTP/1.1 404 no\r\ncontent-length: 0\r\n\r\n".to_vec(), Then::Close, failed(404), 0),
        ];
        for (name, answer, then, outcome, len) in cases {
            let (address, _heard) = receiver(answer, then).await;
            let timeout = if then == Then::Hang { SHORT } else { LONG };
            let sent = local().send(post(&format!("http://{address}/"), timeout)).await;
            assert_eq!((sent.outcome, sent.answer.len()), (outcome, len), "{name}");
        }
        let (address, _heard) =
            receiver(b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n".to_vec(), Then::Drip).await;
        let sent = local().send(post(&format!("http://{address}/"), SHORT)).await;
        assert_eq!(sent.outcome, delivered(200), "a byte at a time");
        assert!(sent.answer.len() < 9999, "the deadline ends the reading");
    }

    #[tokio::test]
    async fn redirects_are_not_followed() {
        for status in [301, 302, 303, 307, 308] {
            let answer = format!("HTTP/1.1 {status} x\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n");
            let (address, mut heard) = receiver(answer.into_bytes(), Then::Close).await;
            let sent = local().send(post(&format!("http://{address}/here"), LONG)).await;
            assert_eq!(sent.outcome, Outcome::Failed(Failure::Status(status)));
            assert!(heard.recv().await.unwrap().starts_with("POST /here "));
            assert!(heard.try_recv().is_err(), "{status}: a second request");
        }
    }

    #[tokio::test]
    async fn failures_are_told_apart() {
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let hung = receiver(Vec::new(), Then::Hang).await.0;
        let header_drips = receiver(b"HTTP/1.1 200 ".to_vec(), Then::Drip).await.0;
        let reset = receiver(Vec::new(), Then::Reset).await.0;
        let silent = receiver(Vec::new(), Then::Close).await.0;
        let nonsense = receiver(b"SMTP ready\r\n\r\n".to_vec(), Then::Close).await.0;
        let cases = [
            (format!("http://user:hunter2@{closed}/?token=hunter2"), "connect"),
            (format!("http://{hung}/?token=hunter2"), "timeout"),
            (format!("http://{header_drips}/"), "timeout"),
            (format!("http://{reset}/?token=hunter2"), "broken"),
            (format!("http://{silent}/?token=hunter2"), "broken"),
            (format!("http://{nonsense}/?token=hunter2"), "broken"),
            // Not TLS on the other side.
            (format!("https://{nonsense}/?token=hunter2"), "timeout"),
            ("http://nothing.invalid/?token=hunter2".to_owned(), "resolve"),
        ];
        for (url, kind) in cases {
            let timeout = if kind == "timeout" { SHORT } else { LONG };
            let Outcome::Failed(failure) = local().send(post(&url, timeout)).await.outcome else {
                panic!("{url}")
            };
            let found = match &failure {
                Failure::Status(_) => "status",
                Failure::Timeout => "timeout",
                Failure::Connect(_) => "connect",
                Failure::Resolve(_) => "resolve",
                Failure::Forbidden(_) => "forbidden",
                Failure::Broken(_) => "broken",
            };
            assert_eq!(found, kind, "{url}: {failure}");
            assert!(!failure.to_string().contains("hunter2"), "{failure}");
        }
    }

    #[tokio::test]
    async fn private_addresses_are_refused_in_every_spelling_unless_allowed() {
        let (address, mut heard) =
            receiver(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_vec(), Then::Close).await;
        let port = address.port();
        let spellings = [
            "127.0.0.1",
            "127.0.0.1.",
            "127.1",
            "2130706433",
            "0x7f000001",
            "0x7f.1",
            "0177.0.0.1",
            "017700000001",
            "%31%32%37.0.0.1",
            "１２７.0.0.1",
            "localhost",
            "LOCALHOST",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
        ];
        let allowed = local();
        for host in spellings {
            let url = format!("http://{host}:{port}/");
            let refused = allowing(&[], &[]).send(post(&url, LONG)).await;
            assert!(
                matches!(refused.outcome, Outcome::Failed(Failure::Forbidden(_))),
                "{url}: {:?}",
                refused.outcome
            );
            assert!(heard.try_recv().is_err(), "{url} was reached");
            let sent = allowed.send(post(&url, LONG)).await;
            assert_eq!(sent.outcome, Outcome::Delivered { status: 200 }, "{url}");
            heard.recv().await.unwrap();
        }
        for host in ["0.0.0.0", "0", "[::]", "[::1]", "[64:ff9b::7f00:1]", "10.0.0.1", "169.254.169.254"] {
            let refused =
                allowing(&["192.168.0.0/16"], &[]).send(post(&format!("http://{host}:{port}/"), LONG)).await;
            assert!(
                matches!(refused.outcome, Outcome::Failed(Failure::Forbidden(_))),
                "{host}: {:?}",
                refused.outcome
            );
        }
    }

    #[tokio::test]
    async fn our_own_listeners_are_refused_even_where_their_network_is_allowed() {
        let (own, mut heard) = receiver(b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), Then::Close).await;
        let other = receiver(b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), Then::Close).await.0;
        let everywhere = SocketAddr::new("0.0.0.0".parse().unwrap(), own.port());
        for listener in [own, everywhere] {
            let outbound = allowing(&["0.0.0.0/0", "::/0"], &[listener]);
            for host in [
                "127.0.0.1",
                "localhost",
                "0.0.0.0",
                "[::]",
                "[::ffff:127.0.0.1]",
                "[64:ff9b::7f00:1]",
                "0x7f.1",
            ] {
                let sent = outbound.send(post(&format!("http://{host}:{}/", own.port()), LONG)).await;
                let Outcome::Failed(Failure::Forbidden(why)) = &sent.outcome else {
                    panic!("{host}: {:?}", sent.outcome)
                };
                assert!(why.ends_with("is this gateway itself"), "{why}");
            }
            let sent = outbound.send(post(&format!("http://{other}/"), LONG)).await;
            assert_eq!(sent.outcome, Outcome::Delivered { status: 200 });
        }
        assert!(heard.try_recv().is_err());
    }

    #[tokio::test]
    async fn only_http_and_https_leave_the_house() {
        for url in [
            "ftp://example.com/",
            "file:///etc/passwd",
            "data:text/plain,x",
            "unix:/run/docker.sock",
            "ws://example.com/",
        ] {
            let sent = local().send(post(url, LONG)).await;
            assert!(
                matches!(sent.outcome, Outcome::Failed(Failure::Forbidden(_))),
                "{url}: {:?}",
                sent.outcome
            );
        }
    }

    #[test]
    fn retry_after_in_seconds_and_as_a_date() {
        let now = Time::parse("2015-10-21T07:28:00Z").unwrap();
        let cases = [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("99999999999999999999999", Some(u64::MAX)),
            ("Wed, 21 Oct 2015 07:29:30 GMT", Some(90)),
            ("Wednesday, 21-Oct-15 07:28:01 GMT", Some(1)),
            ("Wed Oct 21 07:28:02 2015", Some(2)),
            ("Wed, 21 Oct 2015 07:27:00 GMT", Some(0)),
            ("-5", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
        ];
        for (value, secs) in cases {
            assert_eq!(retry_after(value.as_bytes(), now), secs.map(Duration::from_secs), "{value:?}");
        }
        assert_eq!(retry_after(b"\xff", now), None);
    }
}
