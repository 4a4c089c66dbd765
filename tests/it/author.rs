//! What a plugin's author types: `billhook plugin new`, `build`, `test`, `run`, `bench`, `inspect`.

use crate::docs::{blocks, page};
use crate::fixtures::built;
use crate::lifecycle;
use gateway::plugins::shipped;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Runs a line of shell in `dir`, with `billhook` on the path, as somebody who has just cloned the repository. What is
/// built is kept between tests, and optimised less than an author would.
pub(crate) fn type_in(dir: &Path, line: &str) -> Output {
    let programs = Path::new(env!("CARGO_BIN_EXE_billhook")).parent().unwrap();
    let path = std::env::var("PATH").unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-e", "-c", line]).current_dir(dir);
    // What the outer cargo is told does not hold for the author's.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CARGO_") || name.to_string_lossy().starts_with("RUSTFLAGS") {
            shell.env_remove(name);
        }
    }
    if let Some(home) = std::env::var_os("CARGO_HOME") {
        shell.env("CARGO_HOME", home);
    }
    shell
        .env("PATH", format!("{}:{path}", programs.display()))
        .env("CARGO", env!("CARGO"))
        .env("CARGO_TARGET_DIR", concat!(env!("CARGO_TARGET_TMPDIR"), "/author"))
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
        .env("CARGO_PROFILE_RELEASE_STRIP", "true")
        .env("NO_COLOR", "1");
    shell.output().unwrap()
}

/// What a command printed, which must have ended with `code`.
pub(crate) fn said(output: Output, code: i32) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}\n{err}");
    if code == 0 { out } else { out + &err }
}

/// The versions that this workspace is tested with, so that nothing has to be fetched.
pub(crate) fn pin(plugin: &Path) {
    fs::copy(root().join("Cargo.lock"), plugin.join("Cargo.lock")).unwrap();
}

#[test]
fn a_new_plugin_of_every_kind_builds_and_passes_its_tests_at_once() {
    let dir = tempfile::tempdir().unwrap();
    for kind in ["normalize", "filter", "map", "verify", "transform"] {
        // `Component` is a type like any other.
        let name = if kind == "map" { "component".to_owned() } else { format!("my-{kind}") };
        let sdk = root().join("plugin-sdk");
        let new = format!("billhook plugin new --kind {kind} {name} --sdk {}", sdk.display());
        assert!(said(type_in(dir.path(), &new), 0).contains("billhook plugin test"));
        assert!(said(type_in(dir.path(), &new), 1).contains("is there already"));
        let plugin = dir.path().join(&name);
        pin(&plugin);
        let tested = said(type_in(&plugin, "cargo test"), 0);
        assert!(tested.contains("every_fixture_is_answered_as_expected ... ok"), "{tested}");
        // Of the manifest, and of the schema or of the examples.
        let count = if kind == "filter" { "2 passed" } else { "3 passed" };
        assert!(tested.contains(count), "{tested}");
        said(type_in(&plugin, "cargo fmt --check"), 0);
        if kind == "map" {
            // What manifest.md says of a schema that is stale, or not there yet.
            let path = plugin.join("config.schema.json");
            let schema = fs::read_to_string(&path).unwrap();
            fs::write(&path, "").unwrap();
            said(type_in(&plugin, blocks(&page("docs/plugins/manifest.md"), "sh")[0]), 0);
            assert_eq!(fs::read_to_string(&path).unwrap(), schema);
        }

        // Stripped of all symbols, a component still says everything of itself.
        let built: Value =
            serde_json::from_str(&said(type_in(&plugin, "billhook plugin build --json"), 0)).unwrap();
        assert_eq!((&built["name"], &built["kinds"][0]), (&name.clone().into(), &kind.into()));
        let component = built["component"].as_str().unwrap();
        let inspected = said(type_in(&plugin, &format!("billhook plugin inspect --json {component}")), 0);
        let inspected: Value = serde_json::from_str(&inspected).unwrap();
        assert_eq!(inspected["manifest"]["license"], "MIT");
        assert_eq!(inspected["manifest"]["grants"].as_array().is_some(), kind == "verify");
        let is_set = !matches!(kind, "normalize" | "filter");
        assert_eq!(inspected["config_schema"]["title"] == "Config", is_set);
        assert_eq!(inspected["sdk"], concat!("billhook-plugin ", env!("CARGO_PKG_VERSION")));
        assert_eq!(inspected["contract"], "0.1.0");
        assert_eq!(inspected["exports"][0], format!("billhook:plugin/{kind}@0.1.0"));
        assert_eq!(inspected["sha256"], built["sha256"]);
        if kind == "normalize" {
            let example = inspected["manifest"]["provider"][0]["event"][0]["example"].as_str().unwrap();
            assert_eq!(serde_json::from_str::<Value>(example).unwrap()["id"], "in_1");
        }

        let played = said(type_in(&plugin, "billhook plugin test"), 0);
        assert!(played.contains("all as expected"), "{played}");
    }
}

/// A folder with one fixture in it, and a component of ours beside.
fn stage(component: &str, files: &[(&str, &str)]) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let fixture = dir.path().join("fixtures/one");
    fs::create_dir_all(&fixture).unwrap();
    for (name, text) in files {
        fs::write(fixture.join(name), text).unwrap();
    }
    fs::write(dir.path().join("plugin.wasm"), &*shipped::component(component).unwrap()).unwrap();
    (dir, fixture)
}

const RULES: &str = "drop = [{ name = \"small\", types = [\"invoice.paid\"] }]";
const PAID: &str = r#"{"kind": "filter", "event": {"type": "invoice.paid"}}"#;

#[test]
fn a_fixture_that_is_answered_otherwise_is_shown_and_can_be_blessed() {
    let (dir, fixture) = stage("event-filter", &[("input.json", PAID), ("config.toml", RULES)]);
    let test = |more: &str, code| {
        said(type_in(dir.path(), &format!("billhook plugin test plugin.wasm {more}")), code)
    };
    let told = test("", 1);
    assert!(
        told.contains("no expected.json") && told.contains("\"drop\"") && told.contains("--bless"),
        "{told}"
    );
    fs::write(fixture.join("expected.json"), "\"keep\"").unwrap();
    let told = test("", 1);
    assert!(
        told.contains("differs") && told.contains("- expected  \"keep\"") && told.contains("+ found     {"),
        "{told}"
    );
    assert!(told.contains("1 fixtures: 0 as expected, 1 not"), "{told}");
    let told: Value = serde_json::from_str(test("--json", 1).lines().next().unwrap()).unwrap();
    assert_eq!((&told["ok"], &told["differences"][0]["expected"]), (&false.into(), &"\"keep\"".into()));
    assert_eq!(
        fs::read_to_string(fixture.join("expected.json")).unwrap(),
        "\"keep\"",
        "nothing is written unasked"
    );
    assert!(test("--bless", 0).contains("blessed"));
    assert!(test("", 0).contains("all as expected"));
    assert!(fs::read_to_string(fixture.join("expected.json")).unwrap().contains("small"));
}

#[test]
fn a_version_is_held_to_its_own_smoke_test_too() {
    let (dir, _) = stage("event-filter", &[("input.json", PAID), ("expected.json", "\"keep\"")]);
    let refused =
        "a gateway would not let it serve: it fails entry 1 of `[[smoke]]` in its manifest: trapped";
    for (component, code, told) in
        [(lifecycle::second(), 0, "2 of [[smoke]]: all passed"), (lifecycle::broken(), 1, refused)]
    {
        fs::write(dir.path().join("plugin.wasm"), component).unwrap();
        let text = said(type_in(dir.path(), "billhook plugin test plugin.wasm"), code);
        assert!(text.contains("1 fixtures: all as expected") && text.contains(told), "{text}");
        let lines = said(type_in(dir.path(), "billhook plugin test --json plugin.wasm"), code);
        let last: Value = serde_json::from_str(lines.lines().nth(1).unwrap()).unwrap();
        assert_eq!((&last["smoke"], &last["ok"]), (&2.into(), &(code == 0).into()), "{lines}");
    }
}

#[test]
fn what_a_plugin_keeps_begins_empty_for_each_call_that_is_tried() {
    let given =
        r#""secrets": {"token": ["t"]}, "event": {"type": "invoice.paid", "customer": {"id": "cus_1"}}"#;
    let (dir, _) = stage(
        "event-filter",
        &[
            ("input.json", &format!(r#"{{"kind": "filter", {given}}}"#)),
            ("config.toml", "act = 'once'\nkey = '/customer/id'"),
            ("expected.json", "\"keep\""),
        ],
    );
    let grantee = fs::read(built("grantee")).unwrap();
    let tried = lifecycle::with(grantee, "#[[smoke]]\n#event = \"{}\"", "[[smoke]]\nevent = \"{}\"");
    fs::write(dir.path().join("plugin.wasm"), tried).unwrap();
    for _ in 0..2 {
        let told = said(type_in(dir.path(), "billhook plugin test plugin.wasm"), 0);
        assert!(
            told.contains("1 fixtures: all as expected") && told.contains("1 of [[smoke]]: all passed"),
            "{told}"
        );
    }
    // As where a delivery is made.
    let sending = dir.path().join("sending");
    fs::create_dir(&sending).unwrap();
    let input = format!(r#"{{"kind": "transform", "outgoing": {{"endpoint": "app"}}, {given}}}"#);
    fs::write(sending.join("input.json"), input).unwrap();
    fs::write(sending.join("config.toml"), "act = 'write at sending'").unwrap();
    let told = said(type_in(dir.path(), "billhook plugin run ./sending --plugin plugin.wasm --json"), 0);
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["answer"]["send"]["headers"]["x-told"], "a delivery is made: it can only be read");
}

#[test]
fn what_a_failure_costs_is_measured_only_where_it_is_expected() {
    let input = r#"{"kind": "normalize", "webhook": {"body": {"do": "trap"}}}"#;
    let (dir, _) = stage("event-filter", &[("input.json", input)]);
    fs::write(dir.path().join("plugin.wasm"), lifecycle::second()).unwrap();
    let bench = |more: &str, code| {
        said(type_in(dir.path(), &format!("billhook plugin bench plugin.wasm --calls 3 {more}")), code)
    };
    let told = bench("", 1);
    assert!(told.contains("one fails, which it does not expect: {\"trap\": \"panicked at"), "{told}");
    let told: Value = serde_json::from_str(&bench("--json", 1)).unwrap();
    assert!(told["failure"]["trap"].as_str().unwrap().contains("as it was told"), "{told}");
    said(type_in(dir.path(), "billhook plugin test plugin.wasm --bless"), 0);
    assert!(!bench("", 0).contains("fails"));
}

#[test]
fn what_keeps_a_fixture_from_being_played_is_told() {
    let cases = [
        (PAID, "dorp = []", "`config.dorp`: there is no such key: did you mean `drop`?"),
        (r#"{"kind": "map", "event": {}}"#, RULES, "it is for `map`, which `event-filter` does not export"),
    ];
    for (input, config, expected) in cases {
        let (dir, _) = stage("event-filter", &[("input.json", input), ("config.toml", config)]);
        let told = said(type_in(dir.path(), "billhook plugin test plugin.wasm"), 1);
        assert!(told.contains("failed") && told.contains(expected), "{told}");
    }
    let (dir, _) = stage("event-filter", &[("input.json", "{"), ("config.toml", RULES)]);
    assert!(said(type_in(dir.path(), "billhook plugin test plugin.wasm"), 1).contains("one/input.json: EOF"));
    assert!(said(type_in(dir.path(), "billhook plugin test"), 1).contains("no Cargo.toml in"));
    fs::write(dir.path().join("plugin.wasm"), "(module)").unwrap();
    assert!(
        said(type_in(dir.path(), "billhook plugin inspect plugin.wasm"), 1)
            .contains("not a WebAssembly component")
    );
    assert!(said(type_in(dir.path(), "billhook plugin inspect nobody"), 1).contains("event-filter"));
}

#[test]
fn a_call_is_shown_with_what_it_used_and_instructions_do_not_vary() {
    let (dir, _) = stage("event-filter", &[("input.json", PAID), ("config.toml", RULES)]);
    let run = |more: &str| {
        said(type_in(dir.path(), &format!("billhook plugin run one --plugin plugin.wasm {more}")), 0)
    };
    let told = run("");
    for expected in ["\"drop\"", "time", "processor", "memory", "instructions", "host calls"] {
        assert!(told.contains(expected), "no {expected:?} in:\n{told}");
    }
    let (first, second): (Value, Value) =
        (serde_json::from_str(&run("--json")).unwrap(), serde_json::from_str(&run("--json")).unwrap());
    assert!(first["instructions"].as_u64().unwrap() > 1000, "{first}");
    assert!(first["memory_bytes"].as_u64().unwrap() > 0 && first["cpu_ns"].as_u64().unwrap() > 0, "{first}");
    assert_eq!(first["instructions"], second["instructions"]);
    let bench = said(type_in(dir.path(), "billhook plugin bench plugin.wasm --calls 5 --json"), 0);
    let bench: Value = serde_json::from_str(&bench).unwrap();
    assert_eq!((&bench["calls"], &bench["instructions"]), (&5.into(), &first["instructions"]));
    assert!(
        bench["p50_ns"].as_u64() <= bench["p99_ns"].as_u64() && bench["p50_ns"].as_u64() > Some(0),
        "{bench}"
    );
}

#[test]
fn every_shipped_plugin_can_be_inspected_by_name() {
    let dir = tempfile::tempdir().unwrap();
    for name in shipped::names() {
        let told = said(type_in(dir.path(), &format!("billhook plugin inspect {name}")), 0);
        assert!(told.starts_with(name) && told.contains("billhook:plugin@0.1.0"), "{told}");
    }
}
