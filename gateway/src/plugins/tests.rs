//! The host against `tests/fixtures/misbehave`, a component that does what a plugin must not.

use super::*;
use billhook_tests::component::component;
use serde_json::json;
use std::fs;
use std::future::{Future, poll_fn};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, OnceLock};
use std::task::Poll;

/// The component.
pub(super) fn misbehave() -> Bytes {
    fs::read(component(concat!(env!("OUT_DIR"), "/fixtures"), "misbehave", &[])).unwrap().into()
}

fn spec() -> Spec {
    Spec {
        name: "bad".to_owned(),
        component: Component::new(misbehave()),
        config: json!({}),
        grants: vec![],
        secrets: BTreeMap::new(),
        limits: Limits::default(),
    }
}

fn start(instances: usize) -> Plugins {
    Plugins::start(Options { instances, ..Options::default() }).unwrap()
}

/// An engine that all tests share who do not look at it.
fn shared() -> &'static Plugins {
    static SHARED: OnceLock<Plugins> = OnceLock::new();
    SHARED.get_or_init(|| start(32))
}

fn plugin_with(change: impl FnOnce(&mut Spec)) -> Plugin {
    let mut spec = spec();
    change(&mut spec);
    shared().load(spec).unwrap()
}

fn load_shipped(name: &str) -> Plugin {
    let component = shipped::component(name).unwrap();
    plugin_with(|spec| (spec.name, spec.component) = (name.to_owned(), component))
}

const CALL: Call =
    Call { now: Time::from_millis(1_786_363_200_042), seed: [7; 16], kv: Kv::None, lines: None };

fn webhook(body: &str) -> Arc<WebhookInput> {
    named(None, body)
}

/// A webhook whose event's name, if it has one, was found outside the body.
fn named(event_name: Option<&str>, body: &str) -> Arc<WebhookInput> {
    let head = WebhookHead {
        query: "a=1&b=2&a=x%20y".to_owned(),
        headers: vec![("x-kind".to_owned(), b"1".to_vec()), ("x-kind".to_owned(), b"2".to_vec())],
        event_name: event_name.map(str::to_owned),
        ..WebhookHead::of("source", "misbehave", Time::from_secs(1_786_363_000), body.as_bytes())
    };
    Arc::new(WebhookInput {
        id: WebhookId([1; 16]),
        head: Arc::new(head),
        body: Bytes::copy_from_slice(body.as_bytes()),
    })
}

fn doing(what: &str) -> Arc<WebhookInput> {
    webhook(&json!({ "do": what, "list": [1, { "a": 2.50 }] }).to_string())
}

fn event(what: &str, seen: &[(&str, Time)]) -> Arc<EventInput> {
    let json = json!({
        "id": "evt_x", "schema_version": 1, "type": "provider.test", "source": "s", "provider": "p",
        "provider_event_type": "t", "received_at": "2026-08-10T12:00:00.000Z", "ordering_key": "p:s:x",
        "verified": "none", "raw": { "webhook": "whk_x", "sha256": "00", "bytes": 2 }, "metadata": { "do": what },
    });
    let json = json.to_string();
    Arc::new(EventInput {
        event: serde_json::from_str(&json).unwrap(),
        json: json.into(),
        webhook: Some(webhook("{}")),
        seen: seen.iter().map(|(kind, at)| ((*kind).to_owned(), *at)).collect(),
        replayed: false,
    })
}

/// The metadata of the one draft that the plugin gives.
async fn facts(plugin: &Plugin, call: &Call, what: &str) -> BTreeMap<String, String> {
    let drafts = plugin.normalize(call, &doing(what)).await.unwrap();
    assert_eq!(drafts.len(), 1);
    drafts[0].metadata.clone()
}

#[tokio::test]
async fn whatever_a_plugin_does_is_told_and_the_next_call_works() {
    let plugin = plugin_with(|_| {});
    // Taking all of its memory takes most of the default on a machine that does something else too.
    let patient = plugin_with(|spec| spec.limits.cpu = Duration::from_millis(500));
    let limit = |why: &'static str| ("over its limit: ", why);
    let trap = |why: &'static str| ("trapped: ", why);
    let invalid = |why: &'static str| ("invalid: ", why);
    let cases = [
        ("loop", limit("100 ms on the processor (`cpu`)")),
        // Its own stack of 128 KiB ends before the engine's does.
        ("recurse", trap("out of bounds memory access")),
        ("memory", limit("67108864 bytes of memory (`memory`)")),
        ("huge output", limit("1048576 bytes passed to the host at once (`output`)")),
        ("many drafts", limit("1000 drafts; it gave 2000")),
        ("host-call flood", limit("10000 host calls (`host_calls`)")),
        ("panic", trap("the \\u{1b}[31mpanic | message; in ")),
        ("stderr flood", trap("after the flood")),
        ("exit", trap("it called `exit` with failure")),
        ("connect", trap("it called `wasi:sockets/")),
        ("not JSON", invalid("draft 0 is no `billhook.draft/1`: expected value at line 1")),
        ("unknown type", invalid("draft 0 has the type `subscription.vanished`, which is no canonical type")),
        ("invalid", invalid("bad \\u{1b}[31minput\\nsecond line")),
        ("unavailable", ("unavailable: ", "later")),
        ("other", ("failed: ", "something else")),
    ];
    for (what, (kind, why)) in cases {
        let plugin = if what == "memory" { &patient } else { &plugin };
        let failures = plugin.tallied().failures;
        let told = plugin.normalize(&CALL, &doing(what)).await.unwrap_err().to_string();
        assert!(told.starts_with(kind) && told.contains(why), "{what}: {told}");
        assert!(!told.contains(char::is_control) && told.len() < 9_000, "{what}: {told}");
        assert_eq!(plugin.tallied().failures, failures + 1, "{what}");
        // A static of the guest counts calls: it never gets beyond one.
        assert_eq!(facts(plugin, &CALL, "count").await["calls"], "1", "after {what}");
    }
}

#[tokio::test]
async fn a_panic_is_told_with_its_place_and_not_with_the_machinery_of_panics() {
    let told = plugin_with(|_| {}).normalize(&CALL, &doing("panic")).await.unwrap_err().to_string();
    assert!(told.contains("panicked at") && told.contains("src/lib.rs:"), "{told}");
    assert!(told.contains("; in ") && told.contains("normalize"), "{told}");
    for noise in ["RUST_BACKTRACE", "unreachable", "core::panicking", "rust_panic"] {
        assert!(!told.contains(noise), "{told}");
    }
}

#[tokio::test]
async fn time_on_the_clock_is_limited_too() {
    let plugin = plugin_with(|spec| {
        spec.limits.cpu = Duration::from_secs(60);
        spec.limits.wall = Duration::from_millis(30);
    });
    let told = plugin.normalize(&CALL, &doing("loop")).await.unwrap_err();
    assert_eq!(told, CallError::Limit("30 ms on the clock (`wall`)".to_owned()));
}

#[tokio::test]
async fn a_plugin_sees_its_input_and_nothing_of_the_machine() {
    let plugin = plugin_with(|spec| spec.config = json!({ "currency": "USD" }));
    let seen = facts(&plugin, &CALL, "look around").await;
    let expected = [
        ("environment", "0"),
        ("arguments", "0"),
        ("stdin", "true"),
        ("wall", "1786363200042"),
        ("run", "1786363200042"),
        ("config", r#"{"currency":"USD"}"#),
        ("header", "2"),
        ("query", "1|x y"),
        ("count", "Some(2)"),
        ("json", r#"[1,{"a":2.5}]"#),
    ];
    for (fact, value) in expected {
        assert_eq!(seen[fact], value, "{fact}");
    }
    assert!(!seen["file"].is_empty());

    assert_eq!(facts(&plugin, &CALL, "look around").await, seen, "the same call sees the same");
    let other = Call { seed: [8; 16], ..CALL };
    assert_ne!(
        facts(&plugin, &other, "look around").await["random"],
        seen["random"],
        "another webhook, other randomness"
    );
}

#[tokio::test]
async fn a_body_that_is_not_json_has_no_values_but_a_problem() {
    let told = plugin_with(|_| {}).normalize(&CALL, &webhook(r#"{"do": "draft""#)).await.unwrap_err();
    assert_eq!(
        told,
        CallError::Invalid(
            r#"no /do; JSON problem: Some("EOF while parsing an object at line 1 column 14")"#.to_owned()
        )
    );
}

#[tokio::test]
async fn filters_and_maps_see_the_event_its_past_and_its_webhook() {
    let plugin = plugin_with(|_| {});
    assert_eq!(plugin.filter(&CALL, &event("", &[])).await, Ok(Verdict::Keep));
    let seen = [("subscription.canceled", Time::from_millis(5))];
    assert_eq!(
        plugin.filter(&CALL, &event("", &seen)).await,
        Ok(Verdict::Drop("canceled at 5; raw 2".to_owned()))
    );

    let patch = plugin.map(&CALL, &event("note", &[])).await.unwrap().unwrap();
    assert_eq!(
        (patch.annotations.unwrap().get(), patch.warnings),
        (r#"{"do":"note"}"#, vec!["w".to_owned()])
    );
    let told = plugin.map(&CALL, &event("nonsense", &[])).await.unwrap_err().to_string();
    assert!(told.contains("the patch is no `billhook.patch/1`: unknown field `id`"), "{told}");
    let told = plugin.map(&CALL, &event("handles", &[])).await.unwrap_err();
    assert_eq!(told, CallError::Limit("1000 handles at one time (`handles`)".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_calls_than_instances_wait_and_leave_nothing_behind() {
    for instances in [256, 3] {
        let plugins = start(instances);
        let plugin = plugins.load(spec()).unwrap();
        let calls: Vec<_> = (0..300)
            .map(|n| {
                let plugin = plugin.clone();
                let what = if n % 50 == 7 { "panic" } else { "count" };
                tokio::spawn(async move { (what, plugin.normalize(&CALL, &doing(what)).await) })
            })
            .collect();
        for call in calls {
            match call.await.unwrap() {
                ("count", answer) => assert_eq!(answer.unwrap()[0].metadata["calls"], "1"),
                (_, answer) => assert!(matches!(answer, Err(CallError::Trap(_))), "{answer:?}"),
            }
        }
        assert_eq!(live(&plugins), 0);
    }
}

/// What is in use of the pool.
fn live(plugins: &Plugins) -> usize {
    plugins.in_use().expect("the tests run where a pool can be had")
}

#[tokio::test(flavor = "current_thread")]
async fn a_looping_plugin_lets_other_tasks_of_its_thread_go_on() {
    let looping = plugin_with(|spec| spec.limits.cpu = Duration::from_millis(500));
    let busy = plugin_with(|_| {});
    let order = Mutex::new(Vec::new());
    tokio::join!(
        async {
            let told = looping.normalize(&CALL, &doing("loop")).await;
            assert!(matches!(told, Err(CallError::Limit(_))), "{told:?}");
            order.lock().unwrap().push("loop");
        },
        async {
            tokio::spawn(async move {
                for _ in 0..5 {
                    busy.normalize(&CALL, &doing("draft")).await.unwrap();
                }
            })
            .await
            .unwrap();
            order.lock().unwrap().push("others");
        }
    );
    assert_eq!(*order.lock().unwrap(), ["others", "loop"]);
}

#[tokio::test(flavor = "current_thread")]
async fn a_call_that_is_given_up_leaves_nothing_behind() {
    let plugins = start(2);
    let plugin = plugins.load(spec()).unwrap();
    for _ in 0..6 {
        let input = doing("loop");
        let mut call = Box::pin(plugin.normalize(&CALL, &input));
        // One poll: the guest runs until the first tick and yields.
        assert!(
            std::future::poll_fn(|context| std::task::Poll::Ready(call.as_mut().poll(context).is_pending()))
                .await
        );
        assert_ne!(live(&plugins), 0);
        drop(call);
        assert_eq!(live(&plugins), 0);
    }
    assert_eq!(plugin.normalize(&CALL, &doing("draft")).await.unwrap().len(), 1);
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
async fn a_flood_of_log_lines_is_cut_in_number_and_length_and_keeps_its_shape() {
    let plugin = plugin_with(|_| {});
    let kept = Kept::default();
    let writer = kept.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let drafts = plugin.normalize(&CALL, &doing("log flood")).await.unwrap();
    drop(guard);
    assert_eq!(drafts.len(), 1);
    let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| line.contains(" plugin: ")).collect();
    assert_eq!(lines.len(), 101);
    assert!(
        lines
            .iter()
            .all(|line| line.contains("bad") && line.len() < (8 << 10) + 200 && !line.contains('\u{1b}'))
    );
    assert!(lines[0].contains(r"l\u{1b}ng\nl"), "{}", lines[0]);
    assert!(lines[100].contains("dropped=400"), "{}", lines[100]);
}

#[tokio::test(flavor = "current_thread")]
async fn one_plugin_leaves_places_to_the_others() {
    let plugins = start(4);
    let lasts = Spec { limits: Limits { cpu: Limits::CPU_MAX, ..Limits::default() }, ..spec() };
    let [lasts, other] = [lasts, spec()].map(|spec| plugins.load(spec).unwrap());
    let webhook = doing("loop");
    let mut calls: Vec<_> = (0..9).map(|_| Box::pin(lasts.normalize(&CALL, &webhook))).collect();
    // One poll each: they run until the first tick, or wait.
    for call in &mut calls {
        assert!(poll_fn(|context| Poll::Ready(call.as_mut().poll(context).is_pending())).await);
    }
    assert_eq!(facts(&other, &CALL, "count").await["calls"], "1");
    drop(calls);
    assert_eq!(plugins.in_use(), Some(0));
}

#[tokio::test]
async fn calls_of_one_run_write_as_many_log_lines_as_five() {
    let plugin = plugin_with(|_| {});
    let call = Call { lines: Some(Arc::default()), ..CALL };
    let kept = Kept::default();
    let writer = kept.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let guard = tracing::subscriber::set_default(subscriber);
    for _ in 0..7 {
        plugin.normalize(&call, &doing("log flood")).await.unwrap();
    }
    drop(guard);
    let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
    let dropped: Vec<&str> = text.lines().filter_map(|line| Some(line.split_once("dropped=")?.1)).collect();
    assert_eq!(dropped, ["400", "400", "400", "400", "400", "500", "500"]);
    assert_eq!(text.lines().filter(|line| line.contains(" plugin: ")).count(), 5 * 100 + 7);
}

/// The same component with some of its bytes changed, everywhere, to as many others.
fn changed(from: &str, to: &str) -> Component {
    assert_eq!(from.len(), to.len());
    let mut bytes = misbehave().to_vec();
    let places: Vec<usize> =
        (0..=bytes.len() - from.len()).filter(|at| bytes[*at..].starts_with(from.as_bytes())).collect();
    assert!(!places.is_empty(), "no {from}");
    for at in places {
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    }
    Component::new(bytes)
}

/// A component without anything, and custom sections.
fn empty_component(sections: &[(&str, &str)]) -> Component {
    let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
    for (name, text) in sections {
        assert!(name.len() + text.len() < 127);
        bytes.extend([0, (1 + name.len() + text.len()) as u8, name.len() as u8]);
        bytes.extend(name.bytes().chain(text.bytes()));
    }
    Component::new(bytes)
}

#[test]
fn a_load_is_refused_with_its_cause() {
    let manifest = "name='e'\nversion='1'\nkinds=['filter']";
    type Change = Box<dyn Fn(&mut Spec)>;
    let cases: [(&str, Change); 15] = [
        ("is not a WebAssembly component", Box::new(|spec| spec.component = Component::new("hello"))),
        (
            "is a core module, not a component: build it with `--target wasm32-wasip2`",
            Box::new(|spec| spec.component = Component::new(&b"\0asm\x01\0\0\0"[..])),
        ),
        (
            "is a damaged component",
            Box::new(|spec| spec.component = Component::new(misbehave().slice(..50_000))),
        ),
        (
            "are too many for a component: at most 33554432",
            Box::new(|spec| spec.component = Component::new(vec![0; (32 << 20) + 1])),
        ),
        (
            "its manifest is missing: use the SDK's macro `plugin!`",
            Box::new(|spec| spec.component = empty_component(&[])),
        ),
        (
            "its manifest stands in it more than once",
            Box::new(move |spec| {
                spec.component =
                    empty_component(&[("billhook:plugin", manifest), ("billhook:plugin", manifest)])
            }),
        ),
        (
            "stands in a component that exports none of the kinds there are: `verify`, `normalize`",
            Box::new(move |spec| spec.component = empty_component(&[("billhook:plugin", manifest)])),
        ),
        (
            "does not name `map`, which the component exports: add it to `kinds`",
            Box::new(|spec| spec.component = changed(r#""filter", "map"]"#, r#""filter"       ]"#)),
        ),
        (
            "line 1: unknown field `nome`",
            Box::new(|spec| {
                spec.component = changed("name = \"misbehave\"\nversion", "nome = \"misbehave\"\nversion")
            }),
        ),
        (
            "imports `reveal`, but its manifest asks for no `reveal:NAME`: add that to its `grants`",
            Box::new(|spec| spec.component = changed("plugin/config@", "plugin/reveal@")),
        ),
        (
            "imports `billhook:plugin/queue@0.1.0`: it needs a newer gateway",
            Box::new(|spec| spec.component = changed("plugin/clock@", "plugin/queue@")),
        ),
        (
            "exports as `billhook:plugin/fitter@0.1.0`: it needs a newer gateway",
            Box::new(|spec| spec.component = changed("plugin/filter@", "plugin/fitter@")),
        ),
        (
            "is granted `kv:seen`, which it does not ask for",
            Box::new(|spec| spec.grants = vec!["kv:seen".to_owned()]),
        ),
        (
            "`config.days`: a string stands where a whole number belongs",
            Box::new(|spec| spec.config = json!({ "days": "hush", "currency": "USD" })),
        ),
        (
            "`config.currency`: it is too short: write at least 3 characters; `config.days`: a string stands",
            Box::new(|spec| spec.config = json!({ "days": "hush", "currency": "U" })),
        ),
    ];
    for (expected, change) in cases {
        let mut spec = spec();
        change(&mut spec);
        let told = shared().load(spec).map(|_| ()).unwrap_err().to_string();
        assert!(told.starts_with("plugin `bad`"), "{told}");
        assert!(told.contains(expected), "{told}\ndoes not contain\n{expected}");
        assert!(!told.contains("hush"), "{told}");
    }
}

#[test]
fn a_plugin_is_what_its_component_and_manifest_say() {
    let digest = Component::new(misbehave()).digest();
    let plugin = plugin_with(|_| ());
    assert_eq!(plugin.kinds(), [Kind::Normalize, Kind::Filter, Kind::Map]);
    assert_eq!(plugin.name(), "bad");
    assert_eq!(plugin.manifest().name, "misbehave");
    assert_eq!(Manifest::of("bad", &misbehave()).unwrap().version, "0.1.0");
    assert_eq!(plugin.manifest().providers[0].events[0].kind, "provider.test");
    assert_eq!(
        *plugin.reference(),
        PluginRef { name: "bad".into(), version: "0.1.0".into(), digest: hex::encode(digest) }
    );
}

/// The files of a kind in a directory.
fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|e| e == extension)).collect()
}

fn cached(dir: &Path, compiler: Compiler) -> Plugins {
    let cache_dir = Some(dir.join("cache"));
    Plugins::start(Options { cache_dir, compiler, instances: 2, outbound: None }).unwrap()
}

#[tokio::test]
async fn machine_code_is_compiled_once_and_again_when_it_was_tampered_with() {
    let dir = tempfile::tempdir().unwrap();
    let load = || cached(dir.path(), Compiler::InProcess).load(spec()).unwrap();
    let cache = dir.path().join("cache");
    load();
    let code = files(&cache, "cwasm");
    let inode = || fs::metadata(&code[0]).unwrap().ino();
    let first = inode();
    assert_eq!(fs::metadata(&cache).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(
        (code.len(), fs::read_dir(&cache).unwrap().count()),
        (1, 2),
        "machine code, its hash and nothing left over"
    );

    load();
    assert_eq!(inode(), first, "the second load finds it");

    // Replaced, not rewritten: what is mapped must not change.
    let mut tampered = fs::read(&code[0]).unwrap();
    let middle = tampered.len() / 2;
    tampered[middle] ^= 1;
    fs::remove_file(&code[0]).unwrap();
    fs::write(&code[0], &tampered).unwrap();
    let plugin = load();
    assert_ne!(fs::read(&code[0]).unwrap(), tampered);
    assert_eq!(plugin.normalize(&CALL, &doing("draft")).await.unwrap().len(), 1);

    fs::remove_file(&files(&cache, "blake3")[0]).unwrap();
    load();
    assert_eq!(files(&cache, "blake3").len(), 1, "without its hash it is not trusted");

    // Code of the right hash that is not ours: wasmtime itself refuses it.
    fs::write(&files(&cache, "blake3")[0], blake3::hash(b"no code").to_string()).unwrap();
    fs::remove_file(&code[0]).unwrap();
    fs::write(&code[0], b"no code").unwrap();
    assert_eq!(load().normalize(&CALL, &doing("draft")).await.unwrap().len(), 1);
}

/// Writes a shell script. The shell does it: a file that this process has open for writing cannot be started.
pub(super) fn script(dir: &Path, text: &str) -> PathBuf {
    let path = dir.join("compiler");
    let write = Command::new("sh")
        .args(["-c", "printf '%s' \"$1\" > \"$2\" && chmod 700 \"$2\"", "sh", text])
        .arg(&path)
        .status();
    assert!(write.unwrap().success());
    path
}

#[tokio::test]
async fn a_child_compiles_within_its_limits() {
    let dir = tempfile::tempdir().unwrap();
    let us = std::env::current_exe().unwrap();
    let text = format!(
        "#!/bin/sh\nexport COMPILE_IN=\"$2\" COMPILE_OUT=\"$3\"\nexec {} --exact plugins::tests::the_child_of_another_test 1>&2\n",
        us.display()
    );
    let plugins = cached(dir.path(), Compiler::Child(script(dir.path(), &text)));
    let plugin = plugins.load(spec()).unwrap();
    assert_eq!(plugin.normalize(&CALL, &doing("draft")).await.unwrap().len(), 1);
    assert_eq!(fs::read_dir(dir.path().join("cache")).unwrap().count(), 2);
}

#[test]
fn the_child_of_another_test() {
    if let (Some(input), Some(output)) = (std::env::var_os("COMPILE_IN"), std::env::var_os("COMPILE_OUT")) {
        compile::compile_file(Path::new(&input), Path::new(&output)).unwrap();
    }
}

#[test]
fn a_child_that_fails_is_told_with_what_it_said() {
    let dir = tempfile::tempdir().unwrap();
    let text = "#!/bin/sh\necho \"$1: no\u{1b} luck; HOME is ${HOME-unset}\" >&2\nexit 3\n";
    let plugins = cached(dir.path(), Compiler::Child(script(dir.path(), text)));
    let told = plugins.load(spec()).map(|_| ()).unwrap_err().to_string();
    assert!(
        told.contains("exit status: 3") && told.contains("compile-component: no\\u{1b} luck; HOME is unset"),
        "{told}"
    );
    let told = Plugins::start(Options { compiler: Compiler::Child("x".into()), ..Options::default() })
        .map(|_| ())
        .unwrap_err();
    assert!(told.to_string().contains("a child needs a cache directory"), "{told}");
}

#[test]
fn a_component_that_does_not_validate_is_refused_by_the_compiler() {
    let mut bytes = misbehave().to_vec();
    // The end of a component is names; its middle is code.
    let middle = bytes.len() / 3;
    bytes[middle..middle + 64].fill(0xff);
    let told = shared()
        .load(Spec { component: Component::new(bytes), ..spec() })
        .map(|_| ())
        .unwrap_err()
        .to_string();
    assert!(told.starts_with("plugin `bad`"), "{told}");
}

#[test]
fn every_shipped_plugin_loads_and_needs_nothing_of_wasi() {
    for name in shipped::names() {
        let shipped = shipped::component(name).unwrap();
        assert_eq!(shipped.digest(), Component::new(shipped.to_vec()).digest(), "{name}");
        let imports = component::read(name, &shipped).unwrap().imports;
        assert!(imports.iter().all(|import| import.starts_with("billhook:plugin/")), "{name}: {imports:?}");
        assert_eq!(load_shipped(name).manifest().name, name);
    }
    assert!(shipped::component("nobody").is_none());
}

#[tokio::test]
async fn a_usual_call_needs_no_more_memory_than_it_begins_with() {
    for name in shipped::names() {
        let plugin = load_shipped(name);
        let needed = plugin.0.linked.any.component().resources_required().unwrap();
        let begins_with = needed.max_initial_memory_size.unwrap() * size::PAGE_BYTES;
        let events = plugin.manifest().providers.iter().flat_map(|provider| &provider.events);
        for (event, example) in events.filter_map(|event| Some((&event.name, event.example.as_ref()?))) {
            let webhook = named(Some(event), example);
            let (drafts, usage) = watch::watched(plugin.normalize(&CALL, &webhook)).await;
            assert!(drafts.is_ok(), "{name}, {event}: {drafts:?}");
            assert_eq!(usage.memory as u64, begins_with, "{name}, {event}");
        }
    }
}
