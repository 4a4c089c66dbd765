//! The way in: what is remembered of a webhook and what is not, and whether signatures are read as providers mean
//! them.

use billhook_tests::process::Process;
use billhook_tests::receiver::{Answer, Receiver};
use billhook_tests::sender::{post, post_signed};
use billhook_tests::{Gateway, START_SECS};
use gateway::clock::Clock;
use gateway::model::Time;
use gateway::model::secret::Secret;
use gateway::model::signature::{Parts, Signed, sign_v1, standard_key, verify_hmac, verify_v1};
use gateway::model::source::{Encoding, Grammar, Hash, Hmac, KeyEncoding, TimestampUnit};
use serde_json::Value;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

const TOLERANCE: Duration = Duration::from_secs(300);

const SIGNED: &str = r#"
[[source]]
name = "flexprice"
provider = "flexprice"
auth = { scheme = "standard-webhooks", secret = "whsec_dGhpcyBpcyBhIHRlc3Qgc2VjcmV0IG9mIDMyIGJ5dGU=" }
"#;

const SECRETS: &str = r#"
[[source]]
name = "by-query"
provider = "flexprice"
auth = { scheme = "query", name = "token", secret = "n0t-to-be-kept" }

[[source]]
name = "by-header"
provider = "wingback"
auth = { scheme = "header", header = "x-proof", secret = "n0t-to-be-kept" }
"#;

const BODY: &str = r#"{"event_type":"customer.created","customer":{"id":"cust_1"}}"#;

#[tokio::test]
async fn an_id_is_known_after_a_restart_and_for_thirty_days() {
    let gateway = Gateway::start(SIGNED).await;
    let first = post_signed(&gateway.url("/in/flexprice"), "msg_1", START_SECS, BODY).await;
    assert_eq!((first.status, &first.body["duplicate"]), (200, &false.into()));

    let gateway = gateway.restart().await;
    let again = post_signed(&gateway.url("/in/flexprice"), "msg_1", START_SECS, BODY).await;
    assert_eq!((again.status, again.id(), &again.body["duplicate"]), (200, first.id(), &true.into()));

    let month = Duration::from_secs(30 * 24 * 60 * 60);
    gateway.advance(month - Duration::from_secs(1)).await;
    let late = START_SECS + month.as_secs();
    let again = post_signed(&gateway.url("/in/flexprice"), "msg_1", late, BODY).await;
    assert_eq!((again.status, again.id()), (200, first.id()));

    gateway.advance(Duration::from_secs(1)).await;
    let forgotten = post_signed(&gateway.url("/in/flexprice"), "msg_1", late, BODY).await;
    assert_eq!((forgotten.status, &forgotten.body["duplicate"]), (200, &false.into()));
    gateway.stop().await;
}

#[tokio::test]
async fn senders_leave_descriptors_for_operators_and_deliveries() {
    // This process holds the other ends.
    gateway::server::descriptors::raise();
    let dir = tempfile::tempdir().unwrap();
    let few = dir.path().join("few");
    let binary = env!("CARGO_BIN_EXE_billhook");
    std::fs::write(&few, format!("#!/bin/sh\nulimit -Sn 100\nulimit -Hn 120\nexec {binary} \"$@\"\n"))
        .unwrap();
    std::fs::set_permissions(&few, std::fs::Permissions::from_mode(0o755)).unwrap();
    let receiver = Receiver::scripted([Answer::Status(500)]).await;
    let config = format!("{SIGNED}{}schedule = [\"1s\"]\n", receiver.endpoint("app"));
    let gateway = Process::start(&few, dir.path(), &config, None).await.unwrap();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", gateway.id().unwrap())).unwrap();
    let limit = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_eq!(limit.split_whitespace().skip(3).take(2).collect::<Vec<_>>(), ["120", "120"]);

    let now = Clock::system().now().secs();
    assert_eq!(post_signed(&gateway.url("/in/flexprice"), "msg_1", now, BODY).await.status, 200);
    receiver.got(1).await;
    let mut idle = Vec::new();
    for _ in 0..140 {
        idle.push(TcpStream::connect(&gateway.ingest).await.unwrap());
    }
    let ready = format!("http://{}/readyz", gateway.admin);
    let ready = post(&ready, &[], "");
    assert_eq!(timeout(Duration::from_secs(5), ready).await.expect("an operator is answered").status, 405);
    receiver.got(2).await;
    gateway.kill().await;
}

#[tokio::test]
async fn a_secret_that_proves_a_sender_is_nowhere_on_disk() {
    let gateway = Gateway::start(SECRETS).await;
    let by_query = post(&gateway.url("/in/by-query?shop=kept-as-sent&token=n0t-to-be-kept"), &[], BODY).await;
    assert_eq!(by_query.status, 200, "{by_query:?}");
    let headers = [("x-proof", "n0t-to-be-kept"), ("authorization", "Bearer n0t-to-be-kept")];
    let by_header =
        post(&gateway.url("/in/by-header/v1.customer.created"), &headers, r#"{"id":"Cust_1"}"#).await;
    assert_eq!(by_header.status, 200, "{by_header:?}");
    let refused = post(&gateway.url("/in/by-query?token=n0t-to-be-kept-either"), &[], BODY).await;
    assert_eq!(refused.status, 401, "{refused:?}");
    gateway.settle().await;
    let (dir, ..) = gateway.stop().await;
    assert!(holds(&dir.path().join("data"), b"kept-as-sent"), "the test looks where the store writes");
    assert!(!holds(&dir.path().join("data"), b"n0t-to-be-kept"));
}

/// Whether `bytes` stand in a file below `dir`, or in a row of the store there, packed or not.
pub(crate) fn holds(dir: &Path, bytes: &[u8]) -> bool {
    let stands_in = |text: &[u8]| text.windows(bytes.len()).any(|window| window == bytes);
    let in_files = std::fs::read_dir(dir).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() { holds(&path, bytes) } else { stands_in(&std::fs::read(&path).unwrap()) }
    });
    in_files || dir.join("db").exists() && rows(dir).iter().any(|row| stands_in(row))
}

/// Every row of a store that nobody has open, and what is packed anywhere in it.
fn rows(store: &Path) -> Vec<Vec<u8>> {
    let dictionary = include_bytes!("../../gateway/src/store/sled/dictionary-1.txt");
    let mut unpacks = zstd::bulk::Decompressor::with_dictionary(dictionary).unwrap();
    let mut rows = Vec::new();
    for row in sled::open(store).unwrap().iter() {
        let row = row.unwrap().1;
        for at in 0..row.len() {
            // The mark of a packed value, its dictionary, and the magic number of a frame.
            if row[at..].starts_with(b"\xfd\x01\x28\xb5\x2f\xfd") {
                let frame = &row[at + 2..];
                let size = zstd::zstd_safe::find_frame_compressed_size(frame).unwrap();
                rows.push(unpacks.decompress(&frame[..size], 1 << 20).unwrap());
            }
        }
        rows.push(row.to_vec());
    }
    rows
}

#[test]
fn the_published_standard_webhooks_vectors() {
    for vector in vectors("standard-webhooks") {
        let family = if vector.header("svix-id").is_some() { "svix" } else { "webhook" };
        let part = |name: &str| vector.header(&format!("{family}-{name}")).unwrap();
        let body = vector.body();
        let signed = Signed {
            id: part("id"),
            timestamp: part("timestamp"),
            signature: part("signature"),
            body: &body,
        };
        let now = Time::from_secs(vector.now.unwrap());
        let key = standard_key(&vector.secret).unwrap();
        let verified = verify_v1(std::slice::from_ref(&key), signed, now, TOLERANCE);
        assert_eq!(verified.is_ok(), vector.expected == "valid", "{}: {verified:?}", vector.name);
        if verified.is_ok() {
            let ours = sign_v1(&key, signed.id, signed.timestamp.parse().unwrap(), &body);
            assert!(signed.signature.split(' ').any(|given| given == ours), "{}: {ours}", vector.name);
        }
    }
}

#[test]
fn the_published_vectors_of_providers_with_an_hmac_of_their_own() {
    let brief = Some(Duration::from_secs(5));
    let five_minutes = Some(TOLERANCE);
    let recurly = hmac("recurly-signature", Grammar::Positional, "{timestamp}.{body}", five_minutes);
    let schemes = [
        ("stripe", hmac("stripe-signature", pairs(',', "t", "v1"), "{timestamp}.{body}", five_minutes)),
        ("paddle", hmac("paddle-signature", pairs(';', "ts", "h1"), "{timestamp}:{body}", brief)),
        ("recurly", Hmac { timestamp_unit: TimestampUnit::Ms, ..recurly }),
        ("razorpay", hmac("x-razorpay-signature", Grammar::Plain, "{body}", None)),
    ];
    for (provider, scheme) in schemes {
        for vector in vectors(provider) {
            let scheme = Hmac { secrets: vec![Secret::new(vector.secret.as_str())], ..scheme.clone() };
            let body = vector.body();
            let parts = Parts {
                signature: vector.header(&scheme.header).unwrap(),
                timestamp: None,
                id: None,
                body: &body,
            };
            let verified = verify_hmac(&scheme, parts, Time::from_secs(vector.now.unwrap_or_default()));
            assert_eq!(
                verified.is_ok(),
                vector.expected == "valid",
                "{provider} {}: {verified:?}",
                vector.name
            );
        }
    }
}

fn hmac(header: &str, grammar: Grammar, template: &str, tolerance: Option<Duration>) -> Hmac {
    Hmac {
        secrets: Vec::new(),
        header: header.to_owned(),
        grammar,
        template: template.to_owned(),
        timestamp_header: None,
        id_header: None,
        timestamp_unit: TimestampUnit::S,
        hash: Hash::Sha256,
        key: KeyEncoding::Utf8,
        encoding: Encoding::Hex,
        tolerance,
    }
}

fn pairs(separator: char, timestamp: &str, signature: &str) -> Grammar {
    Grammar::Pairs { separator, timestamp: Some(timestamp.to_owned()), signature: signature.to_owned() }
}

/// One published vector.
#[derive(serde::Deserialize)]
pub(crate) struct Vector {
    pub(crate) name: String,
    pub(crate) secret: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Option<String>,
    body_repeat: Option<Value>,
    pub(crate) expected: String,
    pub(crate) now: Option<u64>,
}

impl Vector {
    pub(crate) fn body(&self) -> Vec<u8> {
        match (&self.body, &self.body_repeat) {
            (Some(body), _) => body.clone().into_bytes(),
            (None, Some(repeat)) => {
                let count = repeat["count"].as_u64().unwrap() as usize;
                repeat["char"].as_str().unwrap().repeat(count).into_bytes()
            }
            (None, None) => Vec::new(),
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// The published vectors of a provider; none where they are not at hand.
pub(crate) fn vectors(provider: &str) -> Vec<Vector> {
    let Some(dir) = std::env::var_os("BILLHOOK_PROVIDERS_DIR") else {
        println!("skipped: BILLHOOK_PROVIDERS_DIR is not set");
        return Vec::new();
    };
    let path = std::path::Path::new(&dir).join(provider).join("signature-vectors.json");
    let file: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    serde_json::from_value(file["vectors"].clone()).unwrap()
}
