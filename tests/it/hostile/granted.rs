//! The rows of the matrix that need what is granted: secrets, and hosts that do not answer.

use crate::fixtures::{SECRETS, built, grantee};
use crate::hostile::first_contract::event;
use crate::hostile::guest::{Guest, WELL};
use crate::hostile::{call, engine, is_readable, said, spec};
use crate::line::canceled;
use billhook_tests::Gateway;
use billhook_tests::receiver::{Answer, Receiver};
use billhook_tests::sender::post;
use gateway::model::secret::Secret;
use gateway::model::webhook::WebhookState;
use gateway::outbound::Outbound;
use gateway::outbound::address::Policy;
use gateway::plugins::watch::watched;
use gateway::plugins::{Limits, Options, Plugins, Spec};
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;

/// Two live values.
const VALUES: [&str; 2] = ["sesame-open-very-wide", "another-open-sesame-of-old"];

/// A guest that opens `token`, and can use it.
fn holder(normalize: &'static str) -> Guest {
    Guest {
        imports: r#"
          (import "billhook:plugin/secrets@0.1.0" (instance $secrets
            (export "secret" (type $secret (sub resource)))
            (export "[method]secret.hmac-sha256"
              (func (param "self" (borrow $secret)) (param "data" (list u8)) (result (list u8))))
            (export "[method]secret.equals"
              (func (param "self" (borrow $secret)) (param "candidate" (list u8)) (result bool)))
            (export "open" (func (param "name" string) (result (option (own $secret)))))))
          (alias export $secrets "open" (func $open))
          (alias export $secrets "[method]secret.hmac-sha256" (func $hmac))
          (alias export $secrets "[method]secret.equals" (func $equals))"#,
        lowered: "
          (core func $open (canon lower (func $open) (memory $memory)))
          (core func $hmac (canon lower (func $hmac) (memory $memory) (realloc $realloc)))
          (core func $equals (canon lower (func $equals) (memory $memory)))",
        with: r#"(with "more" (instance
            (export "open" (func $open)) (export "hmac" (func $hmac)) (export "equals" (func $equals))))"#,
        // `open` answers at 600: 1 and the handle. The name stands at 512. What `hmac` gives goes to 4096.
        items: r#"
          (import "more" "open" (func $open (param i32 i32 i32)))
          (import "more" "hmac" (func $hmac (param i32 i32 i32 i32)))
          (import "more" "equals" (func $equals (param i32 i32 i32) (result i32)))
          (data (i32.const 512) "token")
          (func $use
            (call $open (i32.const 512) (i32.const 5) (i32.const 600))
            (if (i32.eqz (i32.load8_u (i32.const 600))) (then (unreachable)))
            (call $hmac (i32.load (i32.const 604)) (i32.const 512) (i32.const 5) (i32.const 608))
            (drop (call $equals (i32.load (i32.const 604)) (i32.const 512) (i32.const 5)))
            ;; An HMAC is 32 bytes, which are there.
            (if (i32.ne (i32.load (i32.const 612)) (i32.const 32)) (then (unreachable)))
            (if (i64.eqz (i64.load (i32.load (i32.const 608)))) (then (unreachable))))
          (func $found (param i64) (result i32) (local $at i32)
            (loop $next
              (if (i64.eq (i64.load (local.get $at)) (local.get 0)) (then (return (i32.const 1))))
              (local.set $at (i32.add (local.get $at) (i32.const 1)))
              (br_if $next (i32.lt_u (local.get $at)
                (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 8)))))
            (i32.const 0))"#,
        normalize,
        manifest: "grants = [\"secret:token\"]\n",
        ..WELL
    }
}

fn with_secret(guest: &Guest) -> Spec {
    let values = VALUES.map(Secret::new).to_vec();
    Spec {
        grants: vec!["secret:token".to_owned()],
        secrets: BTreeMap::from([("token".to_owned(), values)]),
        ..spec("holder", guest.component())
    }
}

/// The first eight bytes of a text as the guest reads them.
fn as_number(text: &str) -> i64 {
    i64::from_le_bytes(text.as_bytes()[..8].try_into().unwrap())
}

#[tokio::test]
async fn a_secret_is_used_and_never_in_the_memory_of_who_uses_it() {
    let plugins = engine(1);
    let looking = |values: [i64; 2]| {
        // Found is a case that `result` has not.
        let text = format!(
            "(call $use)
             (if (i32.or (call $found (i64.const {})) (call $found (i64.const {})))
               (then (i32.store8 (i32.const 256) (i32.const 7))))
             (call $drop (local.get 0)) (i32.const 256)",
            values[0], values[1]
        );
        plugins.load(with_secret(&holder(text.leak()))).unwrap_or_else(|error| panic!("{error}"))
    };
    assert_eq!(said(&looking(VALUES.map(as_number))).await, Ok(0));
    // The same look finds what is there: the name at 512, and what follows it.
    let there = looking([as_number("token\0\0\0"), 1]);
    assert!(said(&there).await.is_err(), "it looks");
    assert_eq!(plugins.in_use(), Some(0));
}

#[tokio::test]
async fn a_flood_of_opened_secrets_ends() {
    let plugins = engine(1);
    let flood = holder(
        "(loop $more (call $open (i32.const 512) (i32.const 5) (i32.const 600)) (br $more)) (i32.const 0)",
    );
    let told = said(&plugins.load(with_secret(&flood)).unwrap()).await.unwrap_err();
    assert!(told.starts_with("over its limit: ") && told.contains("handles at one time"), "{told}");
    assert!(is_readable(&told) && !VALUES.iter().any(|value| told.contains(value)), "{told}");
    assert_eq!(plugins.in_use(), Some(0));
}

/// It has no loop, and no function of its own that the host calls: nobody but the host can look at the clock.
#[tokio::test]
async fn calls_of_the_host_in_a_line_end_when_the_time_is_up() {
    let plugins = engine(1);
    let equals = "(drop (call $equals (i32.load (i32.const 604)) (i32.const 0) (i32.const 1000000)))";
    let text = format!(
        "(call $open (i32.const 512) (i32.const 5) (i32.const 600)) {} (call $drop (local.get 0)) (i32.const 256)",
        equals.repeat(9_000)
    );
    let line = Guest { memory: "16", ..holder(text.leak()) };
    let (told, usage) = watched(said(&plugins.load(with_secret(&line)).unwrap())).await;
    assert_eq!(told.unwrap_err(), "over its limit: 100 ms on the processor (`cpu`)");
    assert!(usage.host_calls < 9_000, "{} calls", usage.host_calls);
    assert_eq!(plugins.in_use(), Some(0));
}

/// A guest that opens requests until it is stopped, each with a body of so many bytes.
fn hoarder(body: usize) -> Guest {
    let normalize = format!(
        "(loop $more
           (call $set_body
             (call $request (i32.const 512) (i32.const 4) (i32.const 520) (i32.const 10))
             (i32.const 0) (i32.const {body}))
           (br $more))
         (i32.const 0)"
    );
    Guest {
        memory: "8",
        imports: r#"
          (import "billhook:plugin/http@0.1.0" (instance $http
            (export "request" (type $request (sub resource)))
            (export "[constructor]request"
              (func (param "method" string) (param "url" string) (result (own $request))))
            (export "[method]request.set-body"
              (func (param "self" (borrow $request)) (param "body" (list u8))))))
          (alias export $http "[constructor]request" (func $request))
          (alias export $http "[method]request.set-body" (func $set_body))"#,
        lowered: "
          (core func $request (canon lower (func $request) (memory $memory)))
          (core func $set_body (canon lower (func $set_body) (memory $memory)))",
        with: r#"(with "more" (instance
            (export "request" (func $request)) (export "set-body" (func $set_body))))"#,
        items: r#"
          (import "more" "request" (func $request (param i32 i32 i32 i32) (result i32)))
          (import "more" "set-body" (func $set_body (param i32 i32 i32)))
          (data (i32.const 512) "POST    https://a/")"#,
        normalize: normalize.leak(),
        manifest: "grants = [\"http:a\"]\n",
        ..WELL
    }
}

#[tokio::test]
async fn the_bytes_of_all_open_requests_count() {
    let plugins = engine(1);
    // One that is too large is dropped at once: then only the number of handles ends it.
    for (body, expected) in
        [(200_000, "1048576 bytes of requests that are open"), (300_000, "handles at one time")]
    {
        let grants = vec!["http:a".to_owned()];
        let spec = spec("hoarder", hoarder(body).component());
        let limits = Limits { handles: 20, cpu: Limits::CPU_MAX, ..spec.limits };
        let hoarder = plugins.load(Spec { grants, limits, ..spec });
        let told = said(&hoarder.unwrap_or_else(|error| panic!("{error}"))).await.unwrap_err();
        assert!(told.starts_with("over its limit: ") && told.contains(expected), "{told}");
        assert_eq!(plugins.in_use(), Some(0));
    }
}

#[tokio::test]
async fn a_call_that_waits_for_a_host_ends_when_its_time_is_up() {
    let host = Receiver::scripted([Answer::Hang]).await;
    let act = format!("\"ask\", ttl_ms = 60000, url = \"{}\"", host.url());
    let config = format!(
        "{SECRETS}{}[[source]]\nname = \"waits\"\nprovider = \"flexprice\"\nauth = {{ scheme = \"none\" }}\nplugins = \
         [\"waits\"]\n",
        grantee("waits", &act, "limits = { wall = \"300ms\" }")
    );
    let gateway = Gateway::start(&config).await;
    let answered = post(&gateway.url("/in/waits"), &[], canceled("subs_1", "price")).await;
    gateway.settle().await;
    let state = gateway.story(answered.id()).await.webhook.state;
    let WebhookState::Undispatched { last: Some(why), failures: 1, .. } = &state else { panic!("{state:?}") };
    assert!(
        why.starts_with("plugin `waits`") && why.contains("over its limit: 300 ms on the clock"),
        "{why}"
    );
    host.let_go();
    gateway.stop().await;
}

#[tokio::test]
async fn a_call_that_waits_for_a_host_can_be_given_up() {
    let host = Receiver::scripted([Answer::Hang]).await;
    let policy = Policy { allow: vec!["127.0.0.0/8".parse().unwrap()], own: Vec::new() };
    let outbound = Outbound::new(policy).unwrap();
    let options = Options { instances: 1, outbound: Some(outbound), ..Options::default() };
    let plugins = Plugins::start(options).unwrap();
    let names = ["kv:seen", "secret:token", "reveal:token", "http:127.0.0.1"];
    let plugin = plugins.load(Spec {
        config: json!({ "act": "ask", "ttl_ms": 60_000, "url": host.url() }),
        grants: names.map(str::to_owned).to_vec(),
        secrets: BTreeMap::from([("token".to_owned(), vec![Secret::new("t")])]),
        ..spec("waits", fs::read(built("grantee")).unwrap().into())
    });
    let plugin = plugin.unwrap_or_else(|error| panic!("{error}"));
    for n in 1..=3 {
        host.then([Answer::Hang]);
        let plugin = plugin.clone();
        let waiting = tokio::spawn(async move { plugin.map(&call(), &event("ask")).await });
        host.got(n).await;
        assert_ne!(plugins.in_use(), Some(0));
        waiting.abort();
        assert!(waiting.await.is_err());
        assert_eq!(plugins.in_use(), Some(0));
    }
    host.let_go();
}
