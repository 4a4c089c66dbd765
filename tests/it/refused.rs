//! What is refused: kept with its cause, and taken after all once the mistake is mended.

use crate::cli::{ask, text};
use crate::ingest::holds;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use billhook_event::Verified;
use billhook_tests::receiver::Receiver;
use billhook_tests::sender::{SECRET, post, post_signed, sign};
use billhook_tests::{ADMIN_TOKEN, Gateway, START_SECS};
use gateway::api::Content;
use gateway::api::refused::{Refused, RefusedQuery};
use gateway::client::ClientError;
use gateway::model::refused::{BODY_BYTES_MAX, KEPT_MAX};
use std::process::Command;
use std::time::Duration;

const WRONG: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
const BODY: &str = r#"{"event_type":"customer.created","customer":{"id":"cust_1"}}"#;
const SECOND: Duration = Duration::from_secs(1);

fn signed(secret: &str) -> String {
    format!(
        "[[source]]\nname = \"flexprice\"\nprovider = \"flexprice\"\nauth = {{ scheme = \"flexprice\", secret = \
         \"{secret}\" }}\n"
    )
}

/// A source of static secrets of each kind, with `secret`.
fn fixed(secret: &str) -> String {
    let source = |name: &str, auth: &str| {
        format!(
            "[[source]]\nname = \"{name}\"\nprovider = \"flexprice\"\nauth = {{ {auth}, secret = \"{secret}\" }}\n"
        )
    };
    [
        source("by-header", "scheme = \"header\", header = \"x-proof\""),
        source("by-query", "scheme = \"query\", name = \"token\""),
        source("by-password", "scheme = \"basic\", user = \"u\""),
    ]
    .concat()
}

async fn refused(gateway: &Gateway, source: Option<&str>) -> Vec<Refused> {
    let query =
        RefusedQuery { source: source.map(str::to_owned), limit: Some(200), ..RefusedQuery::default() };
    gateway.client().refused_requests(&query).await.unwrap().items
}

fn told(error: ClientError) -> (u16, String, String) {
    match error {
        ClientError::Refused(problem) => (problem.status, problem.code, problem.detail),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn what_a_wrong_secret_refused_is_delivered_once_the_secret_is_mended() {
    let receiver = Receiver::start().await;
    let config = |secret: &str| format!("{}{}", signed(secret), receiver.endpoint("app"));
    let gateway = Gateway::start(&config(WRONG)).await;
    let answer = post_signed(&gateway.url("/in/flexprice"), "msg_1", START_SECS, BODY).await;
    assert_eq!(answer.status, 401);
    gateway.advance(SECOND).await;
    let entries = refused(&gateway, None).await;
    let [entry] = &entries[..] else { panic!("{entries:?}") };
    assert_eq!(entry.cause, "no signature matches: another secret, or a changed body");
    assert_eq!(
        (entry.source.as_str(), entry.path.as_str(), entry.whole),
        ("flexprice", "/in/flexprice", true)
    );
    let detail = gateway.client().refused(entry.id).await.unwrap();
    assert_eq!((&detail.refused, detail.body), (entry, Content::Text(BODY.to_owned())));
    let still = told(gateway.client().retry_refused(entry.id).await.unwrap_err());
    assert_eq!((still.0, still.1.as_str()), (409, "still_refused"));
    assert!(still.2.contains("no signature matches"), "{}", still.2);

    let (dir, _, clock) = gateway.stop().await;
    // Much later than the signature's tolerance.
    clock.advance(Duration::from_secs(24 * 3600));
    let gateway = Gateway::start_in(dir, &config(SECRET), clock).await;
    assert_eq!(refused(&gateway, Some("flexprice")).await, entries, "they outlive a restart");
    let taken = gateway.client().retry_refused(entry.id).await.unwrap();
    assert!(!taken.duplicate);
    gateway.settle().await;
    let got = receiver.got(1).await;
    assert_eq!(got[0].json()["type"], "customer.created");
    let story = gateway.story(&taken.webhook.to_string()).await;
    let head = &story.webhook.head;
    assert_eq!(
        (head.received_at, head.taken_at),
        (entry.at, Some(gateway.clock.now())),
        "as of when it came"
    );
    let shown = text(&ask(&gateway, &["event", "show", &taken.webhook.to_string()]).await.stdout);
    assert!(shown.contains("when it came; taken at "), "{shown}");
    assert_eq!(story.webhook.head.delivery_id.as_deref(), Some("msg_1"));
    assert!(refused(&gateway, None).await.is_empty());
    assert_eq!(told(gateway.client().retry_refused(entry.id).await.unwrap_err()).0, 404);

    let now = gateway.clock.now().secs();
    let again = post_signed(&gateway.url("/in/flexprice"), "msg_1", now, BODY).await;
    assert_eq!((again.status, again.id()), (200, taken.webhook.to_string().as_str()), "known by its id");
    gateway.stop().await;
}

#[tokio::test]
async fn a_static_secret_is_compared_by_its_hash_and_is_nowhere_on_disk() {
    let gateway = Gateway::start(&fixed("a-wrong-one")).await;
    let send = async |gateway: &Gateway, secret: &str| {
        let basic = match secret {
            "n0t-to-be-kept" => "Basic dTpuMHQtdG8tYmUta2VwdA==",
            _ => "Basic dTpndWVzcw==",
        };
        let answers = [
            post(&gateway.url("/in/by-header"), &[("x-proof", secret)], BODY).await,
            post(&gateway.url(&format!("/in/by-query?a=1&token={secret}")), &[], BODY).await,
            post(&gateway.url("/in/by-password"), &[("authorization", basic)], BODY).await,
        ];
        assert!(answers.iter().all(|answer| answer.status == 401), "{answers:?}");
    };
    send(&gateway, "guess").await;
    gateway.advance(SECOND).await;
    send(&gateway, "n0t-to-be-kept").await;
    let (dir, _, clock) = gateway.stop().await;
    let data = dir.path().join("data");
    assert!(holds(&data, b"/in/by-header"), "the last second is written at a stop");
    for secret in ["n0t-to-be-kept", "dTpuMHQtdG8tYmUta2VwdA"] {
        assert!(!holds(&data, secret.as_bytes()), "{secret}");
    }

    let gateway = Gateway::start_in(dir, &fixed("n0t-to-be-kept"), clock).await;
    for (source, verified) in [
        ("by-header", Verified::StaticHeader),
        ("by-query", Verified::QueryToken),
        ("by-password", Verified::Basic),
    ] {
        let entries = refused(&gateway, Some(source)).await;
        let [right, guess] = &entries[..] else { panic!("{entries:?}") };
        assert!(right.at > guess.at && right.cause.contains("of the secrets"), "{right:?}");
        let taken = gateway.client().retry_refused(right.id).await.unwrap();
        let story = gateway.story(&taken.webhook.to_string()).await;
        assert_eq!((story.webhook.head.source.as_str(), story.webhook.head.verified), (source, verified));
        let still = told(gateway.client().retry_refused(guess.id).await.unwrap_err());
        assert_eq!(still.1, "still_refused", "{}", still.2);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn what_stood_elsewhere_is_compared_where_the_source_looks_now_and_in_the_order_in_which_it_came() {
    let receiver = Receiver::start().await;
    let source = |auth: &str| {
        format!(
            "[[source]]\nname = \"windback\"\nprovider = \"windback\"\nauth = {{ {auth}, secret = \"n0t-to-be-kept\" }}\n{}",
            receiver.endpoint("app")
        )
    };
    let body = |kind: &str| format!(r#"{{"customer_email":"a@example.com","event_type":"payment_{kind}"}}"#);
    let credentials = format!("Basic {}", STANDARD.encode("u:n0t-to-be-kept"));
    for (headers, query, right) in [
        (&[("x-proof", "n0t-to-be-kept")][..], "", "scheme = \"header\", header = \"x-proof\""),
        (&[], "?token=n0t-to-be-kept", "scheme = \"query\", name = \"token\""),
        (&[("authorization", credentials.as_str())], "", "scheme = \"basic\", user = \"u\""),
    ] {
        let gateway = Gateway::start(&source("scheme = \"header\", header = \"x-typo\"")).await;
        for kind in ["failed", "recovered"] {
            post(&gateway.url(&format!("/in/windback{query}")), headers, body(kind)).await;
            gateway.advance(SECOND).await;
        }
        let (dir, _, clock) = gateway.stop().await;
        assert!(!holds(&dir.path().join("data"), b"n0t-to-be-kept"), "{right}");
        let gateway = Gateway::start_in(dir, &source(right), clock).await;
        let entries = refused(&gateway, Some("windback")).await;
        let shown = text(&ask(&gateway, &["refused", "show", &entries[0].id.to_string()]).await.stdout);
        assert!(shown.contains("(kept as a hash)"), "{shown}");
        let mut retry = vec!["refused", "retry"];
        let ids: Vec<_> = entries.iter().map(|entry| entry.id.to_string()).collect();
        retry.extend(ids.iter().map(String::as_str));
        let taken = ask(&gateway, &retry).await;
        assert!(taken.status.success(), "{right}: {}", text(&taken.stderr));
        gateway.settle().await;
        let received: Vec<_> = receiver.received().iter().map(|r| r.json()["data"].clone()).collect();
        let [.., failed, recovered] = &received[..] else { panic!("{received:?}") };
        assert_eq!(recovered["recovers"], failed["id"], "{right}");
        gateway.stop().await;
    }
}

#[tokio::test]
async fn each_source_keeps_the_newest_hundred_and_strangers_wait_for_the_second() {
    let gateway = Gateway::start(&[signed(WRONG), fixed("right")].concat()).await;
    let count = KEPT_MAX + 20;
    for n in 0..count {
        let url = gateway.url(&format!("/in/by-header/{n}"));
        assert_eq!(post(&url, &[("x-proof", "guess")], BODY).await.status, 401);
    }
    assert_eq!(post_signed(&gateway.url("/in/flexprice"), "m", START_SECS, BODY).await.status, 401);
    gateway.settle().await;
    assert!(refused(&gateway, None).await.is_empty(), "no request is a commit");
    gateway.advance(SECOND).await;
    let kept = refused(&gateway, Some("by-header")).await;
    assert_eq!((kept.len(), refused(&gateway, Some("flexprice")).await.len()), (KEPT_MAX, 1));
    let paths: std::collections::BTreeSet<_> = kept.iter().map(|entry| entry.path.clone()).collect();
    assert!(!paths.contains("/in/by-header/19") && paths.contains("/in/by-header/20"), "{paths:?}");

    for n in 0..5 {
        post(&gateway.url(&format!("/in/by-header/late-{n}")), &[("x-proof", "guess")], BODY).await;
    }
    gateway.advance(SECOND).await;
    let kept = refused(&gateway, Some("by-header")).await;
    assert_eq!(kept.len(), KEPT_MAX);
    assert_eq!(kept.iter().filter(|entry| entry.path.contains("late")).count(), 5);
    gateway.stop().await;
}

#[tokio::test]
async fn a_body_that_was_too_long_cannot_be_retried_and_says_so() {
    let far = format!(
        "{}allow_from = [\"192.0.2.0/24\"]\n",
        signed(SECRET).replace("\"flexprice\"\np", "\"far\"\np")
    );
    let gateway = Gateway::start(&(signed(WRONG) + &far)).await;
    let body = "a".repeat(BODY_BYTES_MAX + 1);
    let url = gateway.url("/in/flexprice");
    assert_eq!(post_signed(&url, "long", START_SECS, &body).await.status, 401);
    assert_eq!(post_signed(&url, "longer", START_SECS, &"a".repeat(5 << 20)).await.status, 413);
    // More than that is not read of who may not send.
    assert_eq!(post_signed(&gateway.url("/in/far"), "long", START_SECS, &body).await.status, 401);
    gateway.advance(SECOND).await;
    let (dir, _, clock) = gateway.stop().await;
    let gateway = Gateway::start_in(dir, &(signed(SECRET) + &far), clock).await;
    let mut kept: Vec<_> =
        refused(&gateway, None).await.into_iter().map(|entry| (entry.body_bytes, entry)).collect();
    kept.sort_by_key(|(bytes, _)| *bytes);
    assert_eq!(kept.iter().map(|(bytes, _)| *bytes).collect::<Vec<_>>(), [0, 0, BODY_BYTES_MAX as u64]);
    assert!(
        kept.iter().any(|(_, entry)| entry.cause == "127.0.0.1 is in none of the networks of `allow_from`")
    );
    for (bytes, entry) in kept {
        let (status, _, detail) = told(gateway.client().retry_refused(entry.id).await.unwrap_err());
        assert_eq!((status, entry.whole), (409, false));
        let why = match bytes {
            0 => "its body was not kept: ".to_owned(),
            _ => format!("was not kept whole ({bytes} bytes of it were)"),
        };
        assert!(detail.contains(&why), "{detail}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_sender_that_is_always_told_yes_loses_nothing_by_a_wrong_key() {
    let config = |key: &str| {
        format!(
            "[[source]]\nname = \"windback\"\nprovider = \"windback\"\nauth = {{ scheme = \"windback\" \
             }}\npublic_keys = [\"{key}\"]\n"
        )
    };
    let body = r#"{"cancellation_id":"c_1","customer_email":"ada@example.com"}"#;
    let gateway = Gateway::start(&config("pub_old")).await;
    let custom = post(&gateway.url("/api/v1/webhooks/custom/pub_new"), &[("x-proof", "hush")], body).await;
    let by_name = post(&gateway.url("/in/windback/pub_new"), &[], "{}").await;
    let other = post(&gateway.url("/in/nobody?token=hush"), &[("x-proof", "hush")], body).await;
    let nowhere = post(&gateway.url("/windback?token=hush"), &[("x-proof", "hush")], body).await;
    assert_eq!([custom.status, by_name.status, other.status, nowhere.status], [200, 200, 404, 404]);
    gateway.advance(SECOND).await;
    let mut kept: Vec<_> = refused(&gateway, None)
        .await
        .into_iter()
        .map(|entry| (entry.source, entry.path, entry.whole))
        .collect();
    kept.sort();
    let expected = [
        ("-", "/api/v1/webhooks/custom/pub_new", true),
        ("-", "/in/nobody", false),
        ("/", "/windback", false),
        ("windback", "/in/windback/pub_new", true),
    ];
    assert_eq!(kept, expected.map(|(source, path, whole)| (source.to_owned(), path.to_owned(), whole)));
    let listed = text(&ask(&gateway, &["refused", "ls"]).await.stdout);
    assert!(listed.contains("no source has this name or key: /windback"), "{listed}");
    // What anybody tries does not push out what was answered 200.
    for _ in 0..KEPT_MAX {
        post(&gateway.url("/wp-login.php"), &[], "x").await;
    }
    gateway.advance(SECOND).await;

    let (dir, _, clock) = gateway.stop().await;
    assert!(!holds(&dir.path().join("data"), b"hush"), "nobody knows where a stranger's secrets are");
    let gateway = Gateway::start_in(dir, &config("pub_new"), clock).await;
    let entries = refused(&gateway, Some("-")).await;
    let entry = entries.iter().find(|entry| entry.path.contains("custom")).unwrap();
    let taken = gateway.client().retry_refused(entry.id).await.unwrap();
    let story = gateway.story(&taken.webhook.to_string()).await;
    assert_eq!(
        (story.webhook.head.source.as_str(), story.body.unwrap().as_ref()),
        ("windback", body.as_bytes())
    );
    gateway.stop().await;
}

#[tokio::test]
async fn what_has_come_again_meanwhile_is_a_duplicate() {
    let gateway = Gateway::start(&signed(WRONG)).await;
    post_signed(&gateway.url("/in/flexprice"), "msg_1", START_SECS, BODY).await;
    let (dir, _, clock) = gateway.stop().await;
    let gateway = Gateway::start_in(dir, &signed(SECRET), clock).await;
    let came = post_signed(&gateway.url("/in/flexprice"), "msg_1", START_SECS, BODY).await;
    let entry = refused(&gateway, None).await.remove(0);
    let taken = gateway.client().retry_refused(entry.id).await.unwrap();
    assert_eq!((taken.duplicate, taken.webhook.to_string().as_str()), (true, came.id()));
    assert!(refused(&gateway, None).await.is_empty());
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_lists_shows_and_retries() {
    let gateway = Gateway::start(&signed(WRONG)).await;
    let timestamp = START_SECS.to_string();
    let signature = sign(SECRET, "msg_1", &timestamp, BODY.as_bytes());
    let headers = [
        ("webhook-id", "msg_1"),
        ("webhook-timestamp", timestamp.as_str()),
        ("webhook-signature", signature.as_str()),
    ];
    post(&gateway.url("/in/flexprice"), &headers, BODY).await;
    gateway.advance(SECOND).await;
    let (dir, _, clock) = gateway.stop().await;
    let gateway = Gateway::start_in(dir, &signed(SECRET), clock).await;
    let url = gateway.admin_url();
    let billhook = async |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_billhook"));
        command.args(["--url", &url, "--token", ADMIN_TOKEN, "refused"]).args(words);
        let out = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        (out.status.code(), String::from_utf8(out.stdout).unwrap(), String::from_utf8(out.stderr).unwrap())
    };
    let id = refused(&gateway, None).await[0].id.to_string();
    let (_, list, _) = billhook(&["ls", "--source", "flexprice"]).await;
    assert!(list.contains(&id) && list.contains("no signature matches"), "{list}");
    assert!(!billhook(&["ls", "--source", "-"]).await.1.contains(&id));
    let (_, shown, _) = billhook(&["show", &id]).await;
    assert!(shown.contains("cust_1") && shown.contains(&format!("refused retry {id}")), "{shown}");
    let (code, taken, _) = billhook(&["retry", &id]).await;
    assert_eq!(code, Some(0));
    assert!(taken.starts_with(&format!("{id}: taken as whk_")), "{taken}");
    let (code, _, error) = billhook(&["retry", &id]).await;
    assert_eq!(code, Some(1));
    assert!(error.contains(&format!("there is no refused request {id}")), "{error}");
    gateway.stop().await;
}
