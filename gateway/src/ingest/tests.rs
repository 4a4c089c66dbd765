//! Real sockets, the real store.

use crate::clock::Clock;
use crate::ingest::{Ingest, Inlet, Inlets, Options};
use crate::model::Time;
use crate::model::id::WebhookId;
use crate::model::refused::BODY_BYTES_MAX;
use crate::model::secret::Secret;
use crate::model::signature::sign_v1;
use crate::model::source::{Auth, Place, Source};
use crate::store::sled::SledStore;
use crate::store::{self, StoredWebhook};
use crate::worker::{Wake, Woken};
use billhook_event::Verified;
use bytes::Bytes;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

const NOW: Time = Time::from_secs(1_700_000_000);
const KEY: [u8; 24] = [9; 24];
const SECRET: &str = "whsec_CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJ";
const OLD_SECRET: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// A test that waits this long for something has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a connection that only headers or a body delays is given.
const SHORT: Duration = Duration::from_millis(50);

/// A source of this name and no rules.
pub(super) fn inlet(name: &str, auth: Auth) -> Inlet {
    let source = Source {
        name: name.to_owned(),
        provider: format!("{name}-provider"),
        normalizer: None,
        auth,
        event_type: None,
        dedupe: None,
        plugins: Vec::new(),
        public_keys: Vec::new(),
        allow_from: Vec::new(),
        shadow: None,
        rate: None,
    };
    Inlet {
        source,
        verifier: None,
        dedupe: Vec::new(),
        body_window: Duration::from_secs(3600),
        dated_by: Vec::new(),
        event_name: Vec::new(),
        delivery_id: Vec::new(),
        secret_headers: Vec::new(),
        secret_query: Vec::new(),
        secret_pointers: Vec::new(),
        always_ok: false,
    }
}

fn places(of: &[&str]) -> Vec<Place> {
    of.iter().map(|place| Place::try_from((*place).to_owned()).unwrap()).collect()
}

fn secrets(of: &[&str]) -> Vec<Secret> {
    of.iter().map(|secret| Secret::new(*secret)).collect()
}

/// One source of each sort: `signed`, `token` (query), `secret` (header), `basic`, `keyed` (always ok), `open`, `far`
/// (open to another network), `slow` (a secret header, two a second).
fn inlets() -> Inlets {
    let tolerance = Duration::from_secs(300);
    let signed = Auth::StandardWebhooks {
        secrets: secrets(&[OLD_SECRET, SECRET]),
        public_keys: Vec::new(),
        tolerance,
    };
    let ids = places(&["header:webhook-id", "header:svix-id"]);
    let mut keyed = inlet("keyed", Auth::PathKey);
    keyed.source.public_keys = vec!["pub_1".to_owned()];
    let basic = Auth::Basic { user: "billing".to_owned(), secrets: secrets(&["passw0rd"]) };
    let mut far = inlet("far", Auth::None);
    far.source.allow_from = vec!["192.0.2.0/24".parse().unwrap()];
    let slow = Auth::Header { name: "wb-secret".to_owned(), secrets: secrets(&["s3cret"]) };
    let mut slow = Inlet { dedupe: places(&["body"]), ..inlet("slow", slow) };
    slow.source.rate = "2/s".parse().ok();
    Inlets::new([
        Inlet { dedupe: ids.clone(), delivery_id: ids, ..inlet("signed", signed) },
        Inlet {
            dedupe: places(&["body"]),
            secret_pointers: vec!["/destination".to_owned()],
            ..inlet("token", Auth::Query { name: "token".to_owned(), secrets: secrets(&["t0ken"]) })
        },
        Inlet {
            event_name: places(&["header:x-event", "path"]),
            ..inlet("secret", Auth::Header { name: "wb-secret".to_owned(), secrets: secrets(&["s3cret"]) })
        },
        Inlet { always_ok: true, dedupe: places(&["body"]), ..keyed },
        inlet("basic", basic),
        inlet("open", Auth::None),
        far,
        slow,
    ])
}

/// A listener of its own, on a store of its own.
struct Rig {
    addr: SocketAddr,
    store: store::Shared,
    clock: Clock,
    woken: Woken,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
    _dir: TempDir,
}

impl Rig {
    async fn start() -> Rig {
        Rig::with(Options::default()).await
    }

    async fn with(options: Options) -> Rig {
        let dir = tempfile::tempdir().unwrap();
        let store: store::Shared =
            Arc::new(SledStore::open(store::sled::Options::at(dir.path().join("store"))).unwrap());
        let (wake, woken) = Wake::new();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let clock = Clock::manual(NOW);
        let ingest = Ingest::new(store.clone(), clock.clone(), wake, inlets(), options);
        let served = tokio::spawn(Arc::new(ingest).serve(listener, async {
            let _ = stopped.await;
        }));
        Rig { addr, store, clock, woken, stop, served, _dir: dir }
    }

    async fn connect(&self) -> Client {
        Client { stream: TcpStream::connect(self.addr).await.unwrap(), buffer: Vec::new() }
    }

    /// Sends one request on a connection of its own.
    async fn send(&self, request: impl AsRef<[u8]>) -> Answer {
        let mut client = self.connect().await;
        client.write(request).await;
        client.answer().await.expect("an answer")
    }

    async fn stored(&self) -> u64 {
        self.store.stats().await.unwrap().webhooks
    }

    /// What became of the webhook that `answer` speaks of.
    async fn webhook(&self, answer: &Answer) -> (StoredWebhook, Bytes) {
        let id: WebhookId = answer.json()["id"].as_str().unwrap().parse().unwrap();
        let stored = self.store.webhook(id).await.unwrap().unwrap();
        (stored, self.store.body(id).await.unwrap().unwrap())
    }
}

/// One connection, byte by byte.
struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// What came back.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

impl Client {
    async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        tokio::time::timeout(PATIENCE, self.stream.write_all(bytes.as_ref())).await.unwrap().unwrap();
    }

    /// The next answer; `None` once the connection is closed. Every body has a `Content-Length`.
    async fn answer(&mut self) -> Option<Answer> {
        loop {
            if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = String::from_utf8(self.buffer[..end].to_vec()).unwrap().to_ascii_lowercase();
                let status = head.split(' ').nth(1).unwrap().parse().unwrap();
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                let length = length.map_or(0, |length| length.parse().unwrap());
                if self.buffer.len() >= end + 4 + length {
                    let body = self.buffer[end + 4..end + 4 + length].to_vec();
                    self.buffer.drain(..end + 4 + length);
                    return Some(Answer { status, head, body });
                }
            }
            let read = self.stream.read_buf(&mut self.buffer);
            match tokio::time::timeout(PATIENCE, read).await.expect("an answer in time") {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }
}

/// A POST with these header lines and this body.
fn post(path: &str, headers: &[&str], body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let mut request = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n", body.len());
    headers.iter().for_each(|line| request.push_str(&format!("{line}\r\n")));
    request.push_str("\r\n");
    [request.as_bytes(), body].concat()
}

/// A signed POST to `/in/signed`.
fn signed(family: &str, id: &str, body: &str) -> Vec<u8> {
    let signature = sign_v1(&KEY, id, NOW.secs(), body.as_bytes());
    let lines = [
        format!("{family}-id: {id}"),
        format!("{family}-timestamp: {}", NOW.secs()),
        format!("{family}-signature: {signature}"),
    ];
    post("/in/signed", &lines.each_ref().map(String::as_str), body)
}

#[tokio::test]
async fn a_webhook_is_durable_and_as_it_came_when_it_is_answered() {
    let mut rig = Rig::start().await;
    let headers = ["Content-Type: application/json", "WB-Secret: s3cret", "X-Twice: 1", "X-Twice: 2"];
    let answer = rig.send(post("/in/secret/contract%2Esigned?a=%41&b", &headers, r#"{"id" : 1.50}"#)).await;
    assert_eq!(answer.status, 200);
    assert!(answer.head.contains("content-type: application/json"), "{answer:?}");
    let (stored, body) = rig.webhook(&answer).await;
    let expected = format!(r#"{{"status":"ok","id":"{}","duplicate":false}}"#, stored.id);
    assert_eq!(answer.text(), expected);
    assert_eq!(body, r#"{"id" : 1.50}"#);
    let head = stored.head;
    assert_eq!((head.source.as_str(), head.provider.as_str()), ("secret", "secret-provider"));
    assert_eq!((head.path.as_str(), head.query.as_str()), ("contract.signed", "a=%41&b"));
    assert_eq!(head.event_name.as_deref(), Some("contract.signed"));
    assert_eq!((head.received_at, stored.id.time(), head.verified), (NOW, NOW, Verified::StaticHeader));
    assert_eq!(head.remote, Some(Ipv4Addr::LOCALHOST.into()));
    assert_eq!(head.sha256, <[u8; 32]>::from(Sha256::digest(&body)));
    assert_eq!(head.body_len, body.len() as u64);
    let twice: Vec<_> =
        head.headers.iter().filter(|(name, _)| name == "x-twice").map(|(_, v)| v.as_slice()).collect();
    assert_eq!(twice, [b"1", b"2"]);
    assert!(!format!("{:?}", head.headers).contains("wb-secret"));
    tokio::time::timeout(PATIENCE, rig.woken.woken()).await.expect("the pipeline is woken");
}

#[tokio::test]
async fn an_authentic_body_is_taken_whatever_it_holds() {
    let rig = Rig::start().await;
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let bodies: [&[u8]; 6] =
        [b"", b"\xff\xfe\x00", b"a=b&c=d", br#"{"a":1,"a":2}"#, deep.as_bytes(), b"{\"cut\":"];
    for body in bodies {
        for kind in ["text/plain", "application/octet-stream", "nonsense", "application/json; charset=utf-16"]
        {
            let answer = rig.send(post("/in/open", &[&format!("Content-Type: {kind}")], body)).await;
            assert_eq!(answer.status, 200, "{kind}");
            assert_eq!(rig.webhook(&answer).await.1, body);
        }
    }
    let chunked = "POST /in/open HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{\"a\r\n4;x=y\r\n\":1}\r\n0\r\nT: 1\r\n\r\n";
    let answer = rig.send(chunked).await;
    assert_eq!(rig.webhook(&answer).await.1, r#"{"a":1}"#);
}

#[tokio::test]
async fn signed_webhooks_are_taken_under_both_names_and_known_again() {
    let rig = Rig::start().await;
    for (family, other, id) in [("webhook", "svix", "msg_1"), ("svix", "webhook", "msg_2")] {
        let first = rig.send(signed(family, id, "{}")).await;
        assert_eq!((first.status, first.json()["duplicate"].as_bool()), (200, Some(false)));
        let (stored, _) = rig.webhook(&first).await;
        assert_eq!(stored.head.delivery_id.as_deref(), Some(id));
        assert_eq!(stored.head.verified, Verified::Signature);
        assert!(stored.head.header(&format!("{family}-signature")).is_some(), "a signature is no secret");

        // The names are not signed: whoever has seen it could send it under the others.
        for (family, body) in [(other, "{}"), (family, "{ }")] {
            let again = rig.send(signed(family, id, body)).await;
            assert_eq!((again.status, again.json()["duplicate"].as_bool()), (200, Some(true)));
            assert_eq!(again.json()["id"], first.json()["id"]);
        }
        let (stored, body) = rig.webhook(&first).await;
        assert_eq!((stored.duplicates, stored.conflicts, body.as_ref()), (2, 1, b"{}".as_slice()));
    }
    assert_eq!(rig.stored().await, 2);
}

#[tokio::test]
async fn equal_requests_at_the_same_time_are_one_webhook() {
    let rig = Arc::new(Rig::start().await);
    let posts = (0..64).map(|_| {
        let rig = rig.clone();
        tokio::spawn(async move { rig.send(signed("webhook", "msg_1", "{}")).await })
    });
    let mut ids = std::collections::HashSet::new();
    let mut new = 0;
    for post in posts.collect::<Vec<_>>() {
        let answer = post.await.unwrap();
        assert_eq!(answer.status, 200);
        ids.insert(answer.json()["id"].to_string());
        new += usize::from(answer.json()["duplicate"] == false);
    }
    assert_eq!((ids.len(), new, rig.stored().await), (1, 1, 1));
}

#[tokio::test]
async fn what_is_refused_says_what_to_do_and_is_not_stored() {
    let rig = Rig::with(Options { max_body: 100, ..Options::default() }).await;
    let chunk = |n: usize| format!("{n:x}\r\n{}\r\n", "a".repeat(n));
    let chunked = format!(
        "POST /in/open HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{}{}0\r\n\r\n",
        chunk(60),
        chunk(60)
    );
    let changed = String::from_utf8(signed("webhook", "msg_1", r#"{"a":1}"#))
        .unwrap()
        .replace("{\"a\":1}", "{\"a\":2}");
    let stale = changed.replace("1700000000", "1699999699");
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").into_bytes();
    let cases = [
        ("no such source", post("/in/nobody", &[], "{}"), 404, "not_found"),
        ("no source at all", post("/in/", &[], "{}"), 404, "not_found"),
        ("another path", post("/", &[], "{}"), 404, "not_found"),
        ("another path, read", get("/metrics"), 404, "not_found"),
        ("not a POST", get("/in/open"), 405, "method_not_allowed"),
        ("a path that is not UTF-8", post("/in/open/%ff", &[], "{}"), 400, "unreadable"),
        ("a path cut short", post("/in/open/%4", &[], "{}"), 400, "unreadable"),
        ("not signed", post("/in/signed", &[], "{}"), 401, "not_authentic"),
        ("another body", changed.into_bytes(), 401, "not_authentic"),
        ("signed long ago", stale.into_bytes(), 401, "not_authentic"),
        ("no secret header", post("/in/secret", &[], "{}"), 401, "not_authentic"),
        ("a wrong secret header", post("/in/secret", &["wb-secret: s3cre"], "{}"), 401, "not_authentic"),
        ("no token", post("/in/token", &[], "{}"), 401, "not_authentic"),
        ("a wrong token", post("/in/token?token=t0ken1", &[], "{}"), 401, "not_authentic"),
        ("two tokens", post("/in/token?token=t0ken&token=t0ken", &[], "{}"), 401, "not_authentic"),
        ("no password", post("/in/basic", &[], "{}"), 401, "not_authentic"),
        ("a wrong password", post("/in/basic", &["Authorization: Basic YTpi"], "{}"), 401, "not_authentic"),
        ("from elsewhere", post("/in/far", &[], "{}"), 401, "not_authentic"),
        ("too long", post("/in/open", &[], "a".repeat(101)), 413, "too_large"),
        ("too long in the end", chunked.into_bytes(), 413, "too_large"),
    ];
    for (what, request, status, error) in cases {
        let answer = rig.send(request).await;
        assert_eq!((answer.status, answer.json()["error"].as_str()), (status, Some(error)), "{what}");
        assert!(answer.json()["message"].as_str().is_some_and(|message| !message.is_empty()), "{what}");
        assert_eq!(answer.head.contains("\r\nallow: post"), status == 405, "{what}: {answer:?}");
        let is_asked = answer.head.contains("www-authenticate: basic ");
        assert_eq!(is_asked, what.ends_with(" password"), "{what}: {answer:?}");
        if status == 401 {
            let told =
                r#"{"error":"not_authentic","message":"not authentic: check the secret on both sides"}"#;
            assert_eq!(answer.text(), told, "{what}: a stranger learns nothing more");
        }
    }
    assert_eq!(rig.send(post("/in/open", &[], "a".repeat(100))).await.status, 200);
    assert_eq!(rig.stored().await, 1);
}

#[tokio::test]
async fn what_is_not_http_or_has_too_many_headers_is_refused() {
    let options = Options { max_header_bytes: 8192, max_headers: 20, ..Options::default() };
    let rig = Rig::with(options).await;
    let long = format!("x-long: {}", "a".repeat(9000));
    let many: Vec<String> = (0..30).map(|n| format!("x-{n}: 1")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let cases = [
        (post("/in/open", &[&long], "{}"), 431),
        (post("/in/open", &many, "{}"), 431),
        (b"POST /in/open HTTP/9\r\n\r\n".to_vec(), 400),
        (b"\x16\x03\x01\x02\x00\r\n\r\n".to_vec(), 400),
        (post("/in/open", &["Content-Length: 3"], "{}"), 400),
    ];
    for (request, status) in cases {
        assert_eq!(rig.send(&request).await.status, status, "{:?}", String::from_utf8_lossy(&request));
    }
    assert_eq!(rig.stored().await, 0);
}

#[tokio::test]
async fn a_source_that_says_yes_to_everything_stores_what_it_can_and_drops_the_rest() {
    let rig = Rig::with(Options { max_body: 100, ..Options::default() }).await;
    let ok = r#"{"status":"ok"}"#;
    let custom = "/api/v1/webhooks/custom/pub_1";
    let cases = [
        ("new", post(custom, &[], r#"{"a":1}"#), 1),
        ("known", post(custom, &[], r#"{"a":1}"#), 1),
        ("by name and key", post("/in/keyed/pub_1", &[], r#"{"a":2}"#), 2),
        ("a wrong key", post("/api/v1/webhooks/custom/pub_2", &[], r#"{"a":3}"#), 2),
        ("by name without the key", post("/in/keyed", &[], r#"{"a":3}"#), 2),
        ("by name with a wrong key", post("/in/keyed/pub_2", &[], r#"{"a":3}"#), 2),
        ("too long", post(custom, &[], "a".repeat(101)), 2),
    ];
    for (what, request, stored) in cases {
        let answer = rig.send(request).await;
        assert_eq!((answer.status, answer.text(), rig.stored().await), (200, ok, stored), "{what}");
    }
    let get = format!("GET {custom} HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(rig.send(get).await.status, 405);
    rig.store.close().await.unwrap();
    let answer = rig.send(post(custom, &[], r#"{"a":4}"#)).await;
    assert_eq!(answer.status, 503, "nothing can be written");
}

#[tokio::test]
async fn a_token_in_the_query_is_nowhere_in_what_is_stored() {
    let rig = Rig::start().await;
    let body = r#"{"id":1,"destination":"https://x.example/in/token?token=t0ken"}"#;
    let answer = rig.send(post("/in/token/sub?a=1&token=t0ken&b=2", &[], body)).await;
    let (stored, kept) = rig.webhook(&answer).await;
    assert_eq!((stored.head.query.as_str(), stored.head.path.as_str()), ("a=1&b=2", "sub"));
    assert_eq!(kept, r#"{"id":1,"destination":"***"}"#);
    assert_eq!(stored.head.body_len, kept.len() as u64);
    assert_eq!(stored.head.sha256, <[u8; 32]>::from(Sha256::digest(body)), "of the bytes as they came");
    assert!(!format!("{stored:?}").contains("t0ken"));
    let again = rig.send(post("/in/token/sub?a=1&token=t0ken&b=2", &[], body)).await;
    assert_eq!(again.json()["id"], answer.json()["id"]);
}

#[tokio::test]
async fn a_password_is_nowhere_in_what_is_stored() {
    let rig = Rig::start().await;
    let credentials = "YmlsbGluZzpwYXNzdzByZA==";
    let header = format!("Authorization: Basic {credentials}");
    let answer = rig.send(post("/in/basic", &[&header], "{}")).await;
    let (stored, _) = rig.webhook(&answer).await;
    assert_eq!((stored.head.verified, stored.head.header("authorization")), (Verified::Basic, None));
    assert!(!format!("{stored:?}").contains(credentials));
}

#[tokio::test]
async fn a_proxy_that_is_trusted_says_who_sends() {
    let far = |told: &str| post("/in/far", &[&format!("X-Forwarded-For: {told}")], "{}");
    let rig = Rig::start().await;
    assert_eq!(rig.send(far("192.0.2.9")).await.status, 401, "anybody can write that");
    let rig =
        Rig::with(Options { trusted_proxies: vec!["127.0.0.1/32".parse().unwrap()], ..Options::default() })
            .await;
    assert_eq!(rig.send(far("192.0.2.9, 198.51.100.7")).await.status, 401, "the nearest wrote last");
    let answer = rig.send(far("198.51.100.7, 192.0.2.9")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(rig.webhook(&answer).await.0.head.remote, "192.0.2.9".parse().ok());
}

#[tokio::test]
async fn more_than_the_rate_is_told_when_to_come_back_and_strangers_use_none_of_it() {
    let rig = Rig::start().await;
    let own = |body: &str| post("/in/slow", &["wb-secret: s3cret"], body);
    for _ in 0..20 {
        assert_eq!(rig.send(post("/in/slow", &["wb-secret: guess"], "{}")).await.status, 401);
    }
    for duplicate in [false, true] {
        let answer = rig.send(own("{}")).await;
        assert_eq!((answer.status, answer.json()["duplicate"].as_bool()), (200, Some(duplicate)));
    }
    for body in ["{}", "[]"] {
        let answer = rig.send(own(body)).await;
        assert_eq!((answer.status, answer.json()["error"].as_str()), (429, Some("too_many")));
        assert!(answer.head.contains("retry-after: 1"), "{answer:?}");
    }
    assert_eq!(rig.send(post("/in/open", &[], "{}")).await.status, 200, "others are not held back");
    rig.clock.advance(Duration::from_millis(500));
    assert_eq!(rig.send(own("[]")).await.status, 200);
    assert_eq!(rig.send(own("{}")).await.status, 429);
}

#[tokio::test]
async fn slow_headers_close_the_connection_and_a_slow_body_is_told() {
    let rig = Rig::with(Options { header_timeout: SHORT, body_timeout: SHORT, ..Options::default() }).await;
    for start in ["", "POST /in/open HT", "POST /in/open HTTP/1.1\r\nHost: x\r\nX-Sl"] {
        let mut client = rig.connect().await;
        client.write(start).await;
        assert!(client.answer().await.is_none(), "{start:?}");
    }
    for body in ["", "{", "{\"a\":1"] {
        let mut client = rig.connect().await;
        client.write(format!("POST /in/open HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\n{body}")).await;
        let answer = client.answer().await.unwrap();
        assert_eq!((answer.status, answer.json()["error"].as_str()), (408, Some("too_slow")));
        assert!(answer.head.contains("connection: close"), "{answer:?}");
    }
    assert_eq!(rig.stored().await, 0);
}

#[tokio::test]
async fn a_sender_that_reads_no_answer_does_not_keep_its_connection() {
    let rig = Rig::with(Options { answer_timeout: SHORT, ..Options::default() }).await;
    let mut client = rig.connect().await;
    let many = "GET /x HTTP/1.1\r\nHost: x\r\n\r\n".repeat(1000);
    // What the system keeps between the two is full soon; then nothing moves until the gateway hangs up.
    while client.stream.write_all(many.as_bytes()).await.is_ok() {}
}

#[tokio::test]
async fn a_body_that_ends_early_is_not_stored() {
    let rig = Rig::start().await;
    let headers = "POST /in/open HTTP/1.1\r\nHost: x\r\n";
    for request in [
        format!("{headers}Content-Length: 7\r\n\r\n{{\"a\":"),
        format!("{headers}Transfer-Encoding: chunked\r\n\r\n3\r\n{{\"a\r\n"),
        format!("{headers}Transfer-Encoding: chunked\r\n\r\nzz\r\n"),
    ] {
        let mut client = rig.connect().await;
        client.write(&request).await;
        client.stream.shutdown().await.unwrap();
        let answer = client.answer().await;
        assert!(answer.as_ref().is_none_or(|answer| answer.status == 400), "{request}: {answer:?}");
    }
    assert_eq!(rig.stored().await, 0);
}

#[tokio::test]
async fn a_connection_is_kept_for_the_next_request_also_after_a_refusal() {
    let rig = Rig::start().await;
    let mut client = rig.connect().await;
    for (path, status) in [("/in/open", 200), ("/in/nobody", 404), ("/in/signed", 401), ("/in/open", 200)] {
        client.write(post(path, &[], "{}")).await;
        assert_eq!(client.answer().await.expect("an answer").status, status);
    }
    assert_eq!(rig.stored().await, 2);
}

#[tokio::test]
async fn a_sender_that_writes_all_of_a_long_body_first_still_gets_its_answer() {
    let rig = Rig::with(Options { max_body: 1 << 20, ..Options::default() }).await;
    let answer = rig.send(post("/in/open", &[], vec![b'a'; 12 << 20])).await;
    assert_eq!((answer.status, answer.json()["error"].as_str()), (413, Some("too_large")));
    assert!(answer.head.contains("connection: close"), "{answer:?}");
}

#[tokio::test]
async fn a_sender_that_asks_first_is_told_before_it_sends() {
    let rig = Rig::with(Options { max_body: 100, ..Options::default() }).await;
    let head = |length| {
        format!(
            "POST /in/open HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
        )
    };
    let mut client = rig.connect().await;
    client.write(head(2)).await;
    assert_eq!(client.answer().await.unwrap().status, 100);
    client.write("{}").await;
    assert_eq!(client.answer().await.unwrap().status, 200);

    let mut refused = rig.connect().await;
    refused.write(head(101)).await;
    assert_eq!(refused.answer().await.unwrap().status, 413, "at once, without a byte of the body");
    assert!(refused.answer().await.is_none(), "and never asked to send it");
}

#[tokio::test]
async fn a_sender_that_closes_its_side_after_sending_still_gets_its_answer() {
    let rig = Rig::start().await;
    let mut client = rig.connect().await;
    client.write(post("/in/open", &[], "{}")).await;
    client.stream.shutdown().await.unwrap();
    assert_eq!(client.answer().await.expect("an answer").status, 200);
    assert!(client.answer().await.is_none());
}

#[tokio::test]
async fn bodies_in_flight_have_a_bound_and_give_their_room_back() {
    let rig = Rig::with(Options { in_flight_bytes_max: 10, ..Options::default() }).await;
    for _ in 0..3 {
        assert_eq!(rig.send(post("/in/open", &[], "0123456789")).await.status, 200);
        let answer = rig.send(post("/in/open", &[], "0123456789a")).await;
        assert_eq!((answer.status, answer.json()["error"].as_str()), (503, Some("busy")));
        assert!(answer.head.contains("retry-after: 1"), "{answer:?}");
    }
    // Who declares much and sends little takes nothing from others.
    let mut greedy = rig.connect().await;
    greedy
        .write("POST /in/open HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1000\r\n\r\n")
        .await;
    assert_eq!(greedy.answer().await.unwrap().status, 100);
    assert_eq!(rig.send(post("/in/open", &[], "0123456789")).await.status, 200);
}

#[tokio::test]
async fn of_who_may_not_send_no_more_is_read_than_is_kept_of_what_is_refused() {
    let rig = Rig::with(Options { in_flight_bytes_max: BODY_BYTES_MAX, ..Options::default() }).await;
    let much = "a".repeat(BODY_BYTES_MAX + 1);
    let length = format!("Content-Length: {}", 1 << 20);
    let chunked = format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{much}\r\n", much.len());
    for rest in [format!("{length}\r\n\r\n{much}"), chunked] {
        let mut stranger = rig.connect().await;
        stranger.write(format!("POST /in/far HTTP/1.1\r\nHost: x\r\n{rest}")).await;
        let answer = stranger.answer().await.unwrap();
        assert_eq!((answer.status, answer.json()["error"].as_str()), (401, Some("not_authentic")));
        assert_eq!(
            rig.send(post("/in/open", &[], &much[1..])).await.status,
            200,
            "it has given its room back"
        );
    }
    assert_eq!(rig.send(post("/in/far", &[], vec![b'a'; 5 << 20])).await.status, 413, "as from anybody");
}

#[tokio::test]
async fn a_store_that_takes_nothing_is_answered_503_with_a_time_to_come_back() {
    let rig = Rig::start().await;
    rig.store.close().await.unwrap();
    let answer = rig.send(post("/in/open", &[], "{}")).await;
    assert_eq!((answer.status, answer.json()["error"].as_str()), (503, Some("unavailable")));
    assert!(answer.head.contains("retry-after: 30"), "{answer:?}");
}

#[tokio::test]
async fn connections_over_the_limit_wait_for_one_that_closes() {
    let rig = Rig::with(Options { connections_max: 1, ..Options::default() }).await;
    let (mut first, mut second) = (rig.connect().await, rig.connect().await);
    second.write(post("/in/open", &[], "{}")).await;
    for _ in 0..3 {
        first.write(post("/in/open", &[], "{}")).await;
        assert_eq!(first.answer().await.unwrap().status, 200);
    }
    assert_eq!(second.stream.try_read(&mut [0; 1]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    drop(first);
    assert_eq!(second.answer().await.unwrap().status, 200);
}

#[tokio::test]
async fn a_stop_answers_what_is_in_flight_closes_what_idles_and_takes_nothing_more() {
    let long = 3 * PATIENCE;
    let rig = Rig::with(Options { header_timeout: long, body_timeout: long, ..Options::default() }).await;
    let (mut busy, mut idle, mut fresh) = (rig.connect().await, rig.connect().await, rig.connect().await);
    idle.write(post("/in/open", &[], "{}")).await;
    assert_eq!(idle.answer().await.unwrap().status, 200);
    busy.write("POST /in/open HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        .await;
    assert_eq!(busy.answer().await.unwrap().status, 100, "it is in flight");

    rig.stop.send(()).unwrap();
    assert!(idle.answer().await.is_none());
    assert!(fresh.answer().await.is_none());
    assert!(TcpStream::connect(rig.addr).await.is_err(), "nobody listens");
    busy.write("{}").await;
    let answer = busy.answer().await.unwrap();
    assert_eq!(answer.status, 200);
    assert!(busy.answer().await.is_none(), "and it is closed");
    tokio::time::timeout(PATIENCE, rig.served).await.expect("it returns").unwrap();
    assert_eq!(rig.store.stats().await.unwrap().webhooks, 2);
}
