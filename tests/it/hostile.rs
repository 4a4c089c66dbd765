//! What a hostile plugin can try, row by row: it is stopped, what is told of it can be read, nothing of it is left, and
//! the gateway goes on delivering meanwhile.
//!
//! [`MATRIX`] has the rows, and for each the tests that see it. What a compiler makes is tried with
//! `tests/fixtures/misbehave` by `gateway/src/plugins/tests.rs`; here is what takes a component written by hand
//! ([`guest`]), bytes that no tool wrote, or a whole gateway.

mod attempts;
mod damage;
mod first_contract;
mod granted;
mod guest;
mod runs;

use crate::hostile::attempts::{Attempt, attempts};
use crate::hostile::guest::{Guest, WELL};
use crate::line::{FLEXPRICE, canceled};
use billhook_tests::receiver::Receiver;
use billhook_tests::sender::{post, post_signed};
use billhook_tests::{Gateway, START_SECS};
use bytes::Bytes;
use gateway::model::Time;
use gateway::model::id::WebhookId;
use gateway::model::webhook::{WebhookHead, WebhookState};
use gateway::plugins::{Call, Component, Limits, Options, Plugin, Plugins, Spec, WebhookInput};
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::future::{Future, poll_fn};
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;
use tokio::task::JoinSet;

const HERE: &str = "tests/it/hostile.rs";
const DAMAGE: &str = "tests/it/hostile/damage.rs";
const FIRST: &str = "tests/it/hostile/first_contract.rs";
const RUNS: &str = "tests/it/hostile/runs.rs";
const GRANTED: &str = "tests/it/hostile/granted.rs";
const CAPABILITIES: &str = "tests/it/capabilities.rs";
const GRANTS: &str = "gateway/src/plugins/grants.rs";
const LINE: &str = "tests/it/plugins.rs";
const HOST: &str = "gateway/src/plugins/tests.rs";
const LINK: &str = "gateway/src/plugins/link.rs";
const SCHEMA: &str = "gateway/src/plugins/schema.rs";
const CONFIG: &str = "gateway/src/plugins/config.rs";
const BREAKER: &str = "gateway/src/model/rest.rs";

/// Its number, what is tried, and the tests that see it.
type Row = (u8, &'static str, &'static [Seen]);
/// A test: its file and its name.
type Seen = (&'static str, &'static str);

const MATRIX: [Row; 22] = [
    (
        1,
        "endless loops: export, start, destructor, post-return, realloc",
        &[
            (HERE, "whatever_is_tried_is_told_and_nothing_of_it_is_left"),
            (HERE, "two_hundred_others_are_delivered_before_any_hostile_call_ends"),
            (HOST, "a_looping_plugin_lets_other_tasks_of_its_thread_go_on"),
        ],
    ),
    (
        2,
        "memory bombs: one memory, and two that are too much together",
        &[
            (HERE, "whatever_is_tried_is_told_and_nothing_of_it_is_left"),
            (HOST, "whatever_a_plugin_does_is_told_and_the_next_call_works"),
        ],
    ),
    (
        3,
        "memories, tables and data that are huge from the start",
        &[
            (HERE, "what_can_never_run_is_refused_when_it_is_loaded"),
            (HERE, "whatever_is_tried_is_told_and_nothing_of_it_is_left"),
        ],
    ),
    (4, "tables that grow", &[(HERE, "whatever_is_tried_is_told_and_nothing_of_it_is_left")]),
    (
        5,
        "recursion: plain, through destructors, through the host",
        &[
            (HERE, "whatever_is_tried_is_told_and_nothing_of_it_is_left"),
            (HOST, "whatever_a_plugin_does_is_told_and_the_next_call_works"),
        ],
    ),
    (
        6,
        "answers that are huge or no values of their types",
        &[
            (HERE, "whatever_is_tried_is_told_and_nothing_of_it_is_left"),
            (HOST, "whatever_a_plugin_does_is_told_and_the_next_call_works"),
        ],
    ),
    (
        7,
        "floods of calls of the host",
        &[
            (HERE, "whatever_is_tried_is_told_and_nothing_of_it_is_left"),
            (HOST, "a_flood_of_log_lines_is_cut_in_number_and_length_and_keeps_its_shape"),
            (GRANTED, "a_flood_of_opened_secrets_ends"),
            (CAPABILITIES, "a_bucket_is_its_plugins_own_and_has_its_bounds"),
        ],
    ),
    (
        8,
        "floods of handles, and handles that are lost or given back twice",
        &[
            (HERE, "whatever_is_tried_is_told_and_nothing_of_it_is_left"),
            (HOST, "filters_and_maps_see_the_event_its_past_and_its_webhook"),
        ],
    ),
    (
        9,
        "thousands of calls at once",
        &[
            (HERE, "thousands_of_calls_wait_for_the_pool_whatever_they_take_of_it"),
            (HOST, "more_calls_than_instances_wait_and_leave_nothing_behind"),
        ],
    ),
    (
        10,
        "the next call after a trap, and plugins that only trap",
        &[
            (HERE, "whatever_is_tried_is_told_and_nothing_of_it_is_left"),
            (LINE, "a_plugin_that_misbehaves_is_stopped_while_two_hundred_others_are_delivered"),
            (LINE, "one_poisonous_webhook_ends_in_the_dead_letter_and_stops_nobody"),
            (BREAKER, "five_different_webhooks_rest_it_and_rests_double"),
        ],
    ),
    (
        11,
        "calls that are given up, in the guest and in the host",
        &[
            (HERE, "a_call_that_is_given_up_anywhere_leaves_nothing_behind"),
            (GRANTED, "a_call_that_waits_for_a_host_can_be_given_up"),
            (HOST, "a_call_that_is_given_up_leaves_nothing_behind"),
        ],
    ),
    (
        12,
        "looking for what other calls and other plugins left in memory",
        &[(HERE, "no_call_finds_what_another_left_in_the_same_slot")],
    ),
    (
        13,
        "imports that were not granted",
        &[
            (HERE, "what_can_never_run_is_refused_when_it_is_loaded"),
            (HOST, "a_load_is_refused_with_its_cause"),
            (LINK, "an_import_is_taken_or_refused_by_name"),
            (CAPABILITIES, "a_granted_host_is_asked_and_no_other"),
            (GRANTS, "only_granted_hosts_are_reached_however_they_are_written"),
        ],
    ),
    (
        14,
        "log lines that pretend to be others",
        &[
            (HERE, "a_log_line_stays_one_line_whatever_is_in_it"),
            (HERE, "whatever_is_tried_is_told_and_nothing_of_it_is_left"),
            (HOST, "a_flood_of_log_lines_is_cut_in_number_and_length_and_keeps_its_shape"),
        ],
    ),
    (
        15,
        "components and machine code with flipped bits",
        &[
            (DAMAGE, "a_component_with_a_flipped_bit_is_refused_or_runs_within_its_limits"),
            (DAMAGE, "machine_code_with_a_flipped_bit_is_compiled_again"),
            (HOST, "machine_code_is_compiled_once_and_again_when_it_was_tampered_with"),
            (HOST, "a_child_compiles_within_its_limits"),
        ],
    ),
    (16, "components of the first contract", &[(FIRST, "a_component_of_the_first_contract_runs_as_it_did")]),
    (
        17,
        "secrets that are used and not shown",
        &[
            (GRANTED, "a_secret_is_used_and_never_in_the_memory_of_who_uses_it"),
            (LINK, "an_import_is_taken_or_refused_by_name"),
        ],
    ),
    (
        18,
        "waiting for a host that does not answer",
        &[
            (GRANTED, "a_call_that_waits_for_a_host_ends_when_its_time_is_up"),
            (HOST, "time_on_the_clock_is_limited_too"),
        ],
    ),
    (
        19,
        "config schemas that take all stack, time or memory of who checks a configuration",
        &[
            (HERE, "what_can_never_run_is_refused_when_it_is_loaded"),
            (SCHEMA, "a_schema_that_could_take_all_stack_or_time_is_refused"),
            (CONFIG, "a_pattern_that_takes_much_memory_is_refused"),
        ],
    ),
    (
        20,
        "requests to hosts that are opened with large bodies and not sent",
        &[(GRANTED, "the_bytes_of_all_open_requests_count")],
    ),
    (
        21,
        "answers and log lines that are too much only together, over all calls of a run",
        &[
            (RUNS, "a_step_that_gives_too_much_for_one_webhook_is_over_its_limit"),
            (HOST, "calls_of_one_run_write_as_many_log_lines_as_five"),
        ],
    ),
    (
        22,
        "taking all runs or all places of the pool",
        &[
            (RUNS, "a_source_that_waits_for_a_host_holds_up_no_other"),
            (HOST, "one_plugin_leaves_places_to_the_others"),
        ],
    ),
];

#[test]
fn every_row_has_tests_and_they_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for (at, (number, row, tests)) in (1..).zip(MATRIX) {
        assert_eq!(at, number, "{row}");
        assert!(!tests.is_empty(), "{row}");
        for (file, name) in tests {
            let text = fs::read_to_string(root.join(file)).unwrap();
            assert!(text.contains(&format!("fn {name}()")), "{file} has no test `{name}`");
        }
    }
}

fn spec(name: &str, component: Bytes) -> Spec {
    Spec {
        name: name.to_owned(),
        component: Component::new(component),
        config: json!({}),
        grants: Vec::new(),
        secrets: BTreeMap::new(),
        // On a machine that is busy otherwise, time on the clock would be up before time on the processor.
        limits: Limits { wall: Duration::from_secs(60), ..Limits::default() },
    }
}

fn engine(instances: usize) -> Plugins {
    Plugins::start(Options { instances, ..Options::default() }).unwrap()
}

fn loaded(plugins: &Plugins, name: &str, guest: &Guest) -> Plugin {
    plugins.load(spec(name, guest.component())).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn refusal(plugins: &Plugins, spec: Spec) -> String {
    plugins.load(spec).map(|_| ()).unwrap_err().to_string()
}

fn call() -> Call {
    Call::new(Time::from_secs(START_SECS), [7; 16])
}

fn webhook(body: &str) -> Arc<WebhookInput> {
    let head = WebhookHead::of("source", "provider", Time::from_secs(START_SECS), body.as_bytes());
    Arc::new(WebhookInput {
        id: WebhookId([1; 16]),
        head: Arc::new(head),
        body: Bytes::copy_from_slice(body.as_bytes()),
    })
}

/// What comes of a call: nothing, or what is told.
async fn said(plugin: &Plugin) -> Result<usize, String> {
    let drafts = plugin.normalize(&call(), &webhook("{}")).await;
    drafts.map(|drafts| drafts.len()).map_err(|error| error.to_string())
}

fn is_readable(told: &str) -> bool {
    !told.contains(|c: char| c.is_control() || ('\u{2028}'..='\u{202e}').contains(&c)) && told.len() < 10_000
}

#[tokio::test]
async fn whatever_is_tried_is_told_and_nothing_of_it_is_left() {
    let plugins = engine(2);
    let well = loaded(&plugins, "well", &WELL);
    for Attempt { name, guest, told, .. } in attempts() {
        let said_of_it = said(&loaded(&plugins, name, &guest)).await.unwrap_err();
        eprintln!("{name}: {said_of_it}");
        assert!(said_of_it.contains(told), "{name}: {said_of_it}");
        assert!(is_readable(&said_of_it), "{name}: {said_of_it}");
        assert_eq!(plugins.in_use(), Some(0), "after {name}");
        assert_eq!(said(&well).await, Ok(0), "after {name}");
    }
    assert_eq!(plugins.in_use(), Some(0));
}

#[tokio::test(flavor = "current_thread")]
async fn a_call_that_is_given_up_anywhere_leaves_nothing_behind() {
    let plugins = engine(1);
    let well = loaded(&plugins, "well", &WELL);
    let input = webhook("{}");
    for Attempt { name, guest, .. } in attempts().into_iter().filter(|attempt| attempt.lasts) {
        let plugin = loaded(&plugins, name, &guest);
        let call = call();
        let mut running = Box::pin(plugin.normalize(&call, &input));
        // One poll: it runs until the first tick, and yields where it is: in `realloc`, that is in a call of the host.
        assert!(poll_fn(|context| Poll::Ready(running.as_mut().poll(context).is_pending())).await, "{name}");
        assert_ne!(plugins.in_use(), Some(0), "{name}");
        drop(running);
        assert_eq!(plugins.in_use(), Some(0), "after {name}");
        assert_eq!(said(&well).await, Ok(0), "after {name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_others_are_delivered_before_any_hostile_call_ends() {
    let receiver = Receiver::start().await;
    let dir = tempfile::tempdir().unwrap();
    let mut config = format!("{FLEXPRICE}{}", receiver.endpoint("app"));
    // A start refuses those of which no instance can be made.
    let refused = ["loop-in-start", "two-memories-at-once", "data-beyond-memory"];
    let attempts: Vec<_> =
        attempts().into_iter().filter(|attempt| !refused.contains(&attempt.name)).collect();
    for Attempt { name, guest, .. } in &attempts {
        let path = dir.path().join(format!("{name}.wasm"));
        fs::write(&path, guest.component()).unwrap();
        config += &format!(
            "[[plugin]]\nname = \"{name}\"\ncomponent = {path:?}\n[[source]]\nname = \"{name}\"\nprovider = \"{name}\"\n\
             normalizer = \"{name}\"\nauth = {{ scheme = \"none\" }}\n"
        );
    }
    let gateway = Gateway::start(&config).await;

    // On the same threads, and with so much time that it is not up before the others are through.
    let plugins = engine(8);
    let mut lasting = JoinSet::new();
    for Attempt { name, guest, .. } in attempts.iter().filter(|attempt| attempt.lasts) {
        let day = Duration::from_secs(24 * 60 * 60);
        let limits = Limits { cpu: day, wall: day, ..Limits::default() };
        let plugin = plugins.load(Spec { limits, ..spec(name, guest.component()) }).unwrap();
        lasting.spawn(async move { said(&plugin).await });
    }
    let mut hostile = Vec::new();
    for attempt in &attempts {
        let answered = post(&gateway.url(&format!("/in/{}", attempt.name)), &[], "{}").await;
        assert_eq!(answered.status, 200, "it is stored before anything runs");
        hostile.push((attempt, answered.id().to_owned()));
    }
    let mut others = JoinSet::new();
    for n in 0..200 {
        let url = gateway.url("/in/flexprice");
        others.spawn(async move {
            post_signed(&url, &format!("msg_{n}"), START_SECS, &canceled(&format!("subs_{n}"), "price")).await
        });
    }
    while let Some(answered) = others.join_next().await {
        assert_eq!(answered.unwrap().status, 200);
    }
    // On a machine that is busy otherwise, a call that behaves may run out of its two seconds beside these: then it is
    // repeated as any other.
    while tokio::time::timeout(Duration::from_secs(10), receiver.got(200)).await.is_err() {
        gateway.clock.advance(Duration::from_secs(60));
    }
    assert!(lasting.try_join_next().is_none(), "no hostile call has ended");
    assert_ne!(plugins.in_use(), Some(0));
    lasting.shutdown().await;
    assert_eq!(plugins.in_use(), Some(0));

    gateway.settle().await;
    for (Attempt { name, told, .. }, id) in hostile {
        let state = gateway.story(&id).await.webhook.state;
        let WebhookState::Undispatched { last: Some(why), failures: 1.., .. } = &state else {
            panic!("{name}: {state:?}")
        };
        assert!(why.starts_with(&format!("plugin `{name}`")) && is_readable(why), "{name}: {why}");
        assert!(why.contains(told) || why.contains("ms on the clock"), "{name}: {why}");
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_calls_wait_for_the_pool_whatever_they_take_of_it() {
    let plugins = engine(8);
    let many = Guest { items: "(memory 1) (table 1 funcref) (table 1 funcref) (table 1 funcref)", ..WELL };
    let (one, many) = (loaded(&plugins, "one", &WELL), loaded(&plugins, "many", &many));
    let deep = attempts().into_iter().find(|attempt| attempt.name == "recursion").unwrap();
    let deep = loaded(&plugins, "deep", &deep.guest);
    let mut calls = JoinSet::new();
    for n in 0..3_000 {
        let plugin = [&one, &many, &many, &deep][n % 4].clone();
        calls.spawn(async move { (plugin.name().to_owned(), said(&plugin).await) });
    }
    while let Some(call) = calls.join_next().await {
        match call.unwrap() {
            (name, Ok(0)) => assert_ne!(name, "deep"),
            (name, said) => assert!(name == "deep" && said.unwrap_err().contains("a stack of"), "{name}"),
        }
    }
    assert_eq!(plugins.in_use(), Some(0));

    let told = refusal(&engine(1), spec("many", many_memories().component()));
    assert!(told.contains("plugin `many`: has 2 memories"), "it would wait for ever: {told}");
}

fn many_memories() -> Guest {
    Guest { items: "(memory 1)", ..WELL }
}

#[tokio::test]
async fn no_call_finds_what_another_left_in_the_same_slot() {
    let plugins = engine(1);
    // Looks for anything that is not zero, in memory that it begins with and in more, in a global and in a table; then
    // leaves something in each.
    let nosy = Guest {
        items: "(global $left (mut i32) (i32.const 0))
            (elem declare func $found)
            (func $found (result i32) (local $at i32)
              (drop (memory.grow (i32.const 256)))
              (if (global.get $left) (then (return (i32.const 1))))
              (if (i32.eqz (ref.is_null (table.get (i32.const 5)))) (then (return (i32.const 1))))
              (local.set $at (i32.const 8192))
              (loop $next
                (if (i64.ne (i64.load (local.get $at)) (i64.const 0)) (then (return (i32.const 1))))
                (local.set $at (i32.add (local.get $at) (i32.const 8)))
                (br_if $next (i32.lt_u (local.get $at) (i32.mul (memory.size) (i32.const 65536)))))
              (global.set $left (i32.const 1))
              (table.set (i32.const 5) (ref.func $found))
              (memory.fill (i32.const 8192) (i32.const 0xaa)
                (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 8192)))
              (i32.const 0))",
        normalize: "(i32.store8 (i32.const 256) (call $found)) (call $drop (local.get 0)) (i32.const 256)",
        ..WELL
    };
    let other = Guest { memory: "3", ..nosy.clone() };
    let limits = Limits { cpu: Duration::from_secs(60), ..spec("", Bytes::new()).limits };
    let load = |name, guest: &Guest| {
        plugins.load(Spec { limits: limits.clone(), ..spec(name, guest.component()) }).unwrap()
    };
    let (nosy, other) = (load("nosy", &nosy), load("other", &other));
    for round in 0..4 {
        for plugin in [&nosy, &nosy, &other, &other] {
            assert_eq!(said(plugin).await, Ok(0), "{} found something in round {round}", plugin.name());
        }
    }
}

/// A schema of which each of 40 parts is twice the next.
fn doubling() -> String {
    let part = |n: usize| {
        let next = format!(r##"{{ "$ref": "#/$defs/a{}" }}"##, n + 1);
        format!(r#""a{n}": {{ "allOf": [{next}, {next}] }}"#)
    };
    let parts: Vec<String> = (0..40).map(part).collect();
    format!(r##"{{ "$ref": "#/$defs/a0", "$defs": {{ {}, "a40": {{}} }} }}"##, parts.join(", "))
}

#[test]
fn what_can_never_run_is_refused_when_it_is_loaded() {
    let plugins = engine(4);
    let cases: [(&str, Guest); 15] = [
        ("begins with 134217728 bytes of memory, but may have 67108864", Guest { memory: "2048", ..WELL }),
        ("minimum byte size of 4294967296 which exceeds the limit", Guest { memory: "65536", ..WELL }),
        (
            "minimum element size of 200000 which exceeds the limit of 100000",
            Guest { items: "(table 200000 funcref)", ..WELL },
        ),
        (
            "memories count of 4 exceeds",
            Guest { items: "(memory 1) (memory 1) (memory 1) (memory 1)", ..WELL },
        ),
        ("tables count of 9 exceeds", Guest { items: "(table 1 funcref) ".repeat(9).leak(), ..WELL }),
        ("imports `kv`", Guest { imports: r#"(import "billhook:plugin/kv@0.1.0" (instance))"#, ..WELL }),
        ("imports `http`", Guest { imports: r#"(import "billhook:plugin/http@0.1.0" (instance))"#, ..WELL }),
        (
            "imports `secrets`",
            Guest { imports: r#"(import "billhook:plugin/secrets@0.1.0" (instance))"#, ..WELL },
        ),
        (
            "imports `billhook:plugin/log@9.1.0`: it needs a newer gateway",
            Guest { imports: r#"(import "billhook:plugin/log@9.1.0" (instance))"#, ..WELL },
        ),
        (
            "its manifest is wrong: line 4: unknown field `\\u{1b}[31m",
            Guest { manifest: r#""\u001b[31m\nforged" = 1"#, ..WELL },
        ),
        (
            r"forged`: is missing: add it",
            Guest { schema: r#"{ "required": ["\u001b[31m\u2028forged"] }"#, ..WELL },
        ),
        (
            "has a configuration schema that ",
            Guest { schema: r#"{ "$ref": "https://127.0.0.1/x" }"#, ..WELL },
        ),
        (
            "has a configuration schema that ",
            Guest { schema: r#"{ "$ref": "file:///etc/hostname" }"#, ..WELL },
        ),
        (
            "a configuration schema that is too large once its references are followed",
            Guest { schema: doubling().leak(), ..WELL },
        ),
        (
            "a configuration schema that is too large once its references are followed",
            Guest { schema: r##"{ "allOf": [{ "$ref": "#" }] }"##, ..WELL },
        ),
    ];
    // Code from the cache meets the pool later than code that was just compiled.
    let dir = tempfile::tempdir().unwrap();
    let cached = Options { cache_dir: Some(dir.path().join("cache")), ..Options::default() };
    let cached = Plugins::start(cached).unwrap();
    for (expected, guest) in cases {
        for plugins in [&plugins, &cached, &cached] {
            let told = refusal(plugins, spec("bad", guest.component()));
            assert!(told.starts_with("plugin `bad`") && told.contains(expected), "{expected}: {told}");
            assert!(is_readable(&told), "{told}");
        }
    }

    let config = json!({ "note": "x".repeat(10 << 20) });
    let told = refusal(&plugins, Spec { config, ..spec("bad", WELL.component()) });
    assert_eq!(told, "plugin `bad`: `config`: 10485771 bytes as JSON are too many: at most 1048576");
}

/// A writer that keeps what it is given.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_log_line_stays_one_line_whatever_is_in_it() {
    // As message, and as name and value of a field: line feed, carriage return, escape, NUL, NEL, the two separators of
    // Unicode, a turn of direction, and what would be a line of its own.
    let forger = Guest {
        items: r#"
            (data (i32.const 1024) "innocent\0a2026-08-10T12:00:00Z ERROR forged\0d\1b[31m\00\c2\85\e2\80\a8\e2\80\a9\e2\80\ae")
            (data (i32.const 2048) "\00\04\00\00\40\00\00\00\00\04\00\00\40\00\00\00")"#,
        normalize: "
            (call $log (i32.const 2) (i32.const 1024) (i32.const 64) (i32.const 2048) (i32.const 1))
            (call $drop (local.get 0)) (i32.const 0)",
        ..WELL
    };
    let plugins = engine(1);
    let plugin = loaded(&plugins, "forger", &forger);
    for json in [false, true] {
        let kept = Kept::default();
        let writer = kept.clone();
        let lines = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone());
        let guard = if json {
            tracing::subscriber::set_default(lines.json().finish())
        } else {
            tracing::subscriber::set_default(lines.finish())
        };
        assert_eq!(said(&plugin).await, Ok(0));
        drop(guard);
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<&str> = text.split_terminator('\n').collect();
        assert_eq!(lines.len(), 1, "{text}");
        assert!(is_readable(lines[0]), "{text}");
        assert_eq!(lines[0].matches("forged").count(), 3, "nothing is lost: {text}");
    }
}
