//! Plugins come and go while a gateway runs, and nobody else notices.

use crate::cli::{ask, text};
use crate::fixtures::{built, built_with};
use billhook_tests::process::Process;
use billhook_tests::receiver::{Answer, Receiver};
use billhook_tests::sender::{post, try_post};
use billhook_tests::{ADMIN_TOKEN, Gateway};
use gateway::api::plugin::{By, LoadQuery, Origin, PluginDetail, Rollback, SwapQuery};
use gateway::client::{Client, ClientError};
use gateway::model::secret::Secret;
use gateway::model::webhook::WebhookState;
use gateway::plugins::shipped;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use tokio::task::JoinSet;

/// The first version of `tests/fixtures/edition`.
pub(crate) fn first() -> Vec<u8> {
    std::fs::read(built("edition")).unwrap()
}

/// Its second.
pub(crate) fn second() -> Vec<u8> {
    std::fs::read(built_with("edition", &["second"])).unwrap()
}

/// The second version with some of its words changed to others, which are padded to their length.
fn second_with(from: &str, to: &str) -> Vec<u8> {
    with(second(), from, to)
}

pub(crate) fn with(mut bytes: Vec<u8>, from: &str, to: &str) -> Vec<u8> {
    let to = format!("{to:<width$}", width = from.len());
    assert_eq!(from.len(), to.len());
    let starts = |at: &usize| bytes[*at..].starts_with(from.as_bytes());
    let places: Vec<usize> = (0..bytes.len() - from.len()).filter(starts).collect();
    assert!(!places.is_empty(), "no {from}");
    for at in places {
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    }
    bytes
}

fn digest(bytes: &[u8]) -> String {
    let digest: [u8; 32] = Sha256::digest(bytes).into();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A directory with the first version as `edition.wasm`.
fn directory() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("edition.wasm");
    std::fs::write(&path, first()).unwrap();
    (dir, path)
}

const SOURCE: &str = "[[source]]\nname = \"in\"\nprovider = \"edition\"\nauth = { scheme = \"none\" }\n\
                      dedupe = []\nplugins = [\"edition\"]\n";

pub(crate) fn config(component: &Path, receiver: &Receiver) -> String {
    format!(
        "[[plugin]]\nname = \"edition\"\ncomponent = {component:?}\nconfig = {{ tone = \"low\" }}\n{SOURCE}{}\
         events = [\"*\", \"provider.test\"]\n",
        receiver.endpoint("app")
    )
}

async fn swap(gateway: &Gateway, component: Vec<u8>) -> Result<PluginDetail, ClientError> {
    gateway.client().swap_plugin("edition", component, &SwapQuery::default()).await
}

async fn back(gateway: &Gateway) -> Result<PluginDetail, ClientError> {
    gateway.client().rollback_plugin("edition", &Rollback::default()).await
}

async fn serves(gateway: &Gateway) -> String {
    gateway.client().plugin("edition").await.unwrap().plugin.version
}

fn refusal(result: Result<PluginDetail, ClientError>) -> (u16, String, String) {
    match result {
        Err(ClientError::Refused(problem)) => (problem.status, problem.code, problem.detail),
        other => panic!("{other:?}"),
    }
}

/// The version that made the event of a delivery: what normalized it, what mapped it and what is told of both.
fn made_by(data: &serde_json::Value) -> String {
    let version = data["metadata"]["normalized"].as_str().unwrap();
    assert_eq!(data["annotations"]["edition"]["mapped"], version, "{data}");
    for plugin in data["plugins"].as_array().unwrap() {
        assert_eq!(plugin["version"], version, "{data}");
        let component = if version == "1.0.0" { first() } else { second() };
        assert_eq!(plugin["digest"], digest(&component), "{data}");
    }
    version.to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_swap_under_load_loses_nothing_and_no_run_mixes_versions() {
    let (_dir, path) = directory();
    let receiver = Receiver::start().await;
    let gateway = Gateway::start(&config(&path, &receiver)).await;
    let url = gateway.url("/in/in");
    let mut posts = JoinSet::new();
    for sender in 0..4 {
        let url = url.clone();
        posts.spawn(async move {
            for n in 0..50 {
                let answered = post(&url, &[], format!(r#"{{"do":"work","n":"{sender}/{n}"}}"#)).await;
                assert_eq!(answered.status, 200);
            }
        });
    }
    // Back and forth while they come; every swap waits for a component to be loaded and tried.
    for _ in 0..10 {
        assert!(swap(&gateway, second()).await.unwrap().changed);
        assert!(back(&gateway).await.unwrap().changed);
    }
    assert!(swap(&gateway, second()).await.unwrap().changed);
    assert!(!swap(&gateway, second()).await.unwrap().changed, "it serves already");
    while let Some(sent) = posts.join_next().await {
        sent.unwrap();
    }
    post(&url, &[], r#"{"do":"work","n":"last"}"#).await;
    gateway.settle().await;
    let received = receiver.received();
    assert_eq!(received.len(), 2 * 201);
    let mut by_webhook: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for delivery in &received {
        let data = &delivery.json()["data"];
        let webhook = data["raw"]["webhook"].as_str().unwrap().to_owned();
        by_webhook.entry(webhook).or_default().push(made_by(data));
    }
    assert_eq!(by_webhook.len(), 201);
    assert!(by_webhook.values().all(|versions| versions.len() == 2 && versions[0] == versions[1]));
    assert_eq!(made_by(&received.last().unwrap().json()["data"]), "2.0.0");
    gateway.stop().await;
}

#[tokio::test]
async fn a_version_that_is_not_good_enough_is_refused_by_name_and_the_old_one_serves() {
    let (_dir, path) = directory();
    let receiver = Receiver::start().await;
    let gateway = Gateway::start(&config(&path, &receiver)).await;
    let other = |name: &str| shipped::component(name).unwrap().to_vec();
    let cut = second()[..second().len() / 2].to_vec();
    let cases: [(Vec<u8>, u16, &str, &str); 9] = [
        (b"hello".to_vec(), 422, "plugin_does_not_load", "is not a WebAssembly component"),
        (cut, 422, "plugin_does_not_load", "is a damaged component"),
        (
            second_with(
                "kinds = [\"normalize\", \"filter\", \"map\"]",
                "kinds = [\"normalize\", \"filter\"]",
            ),
            422,
            "plugin_does_not_load",
            "does not name `map`",
        ),
        (
            second_with(
                "kinds = [\"normalize\", \"filter\", \"map\"]\ngrants = []",
                "kinds=[\"normalize\",\"filter\",\"map\"]\ngrants=[\"kv:a\"]",
            ),
            422,
            "plugin_does_not_load",
            "asks for `kv:a`, which it is not granted",
        ),
        (
            second_with("\"tone\": { \"type\": \"string\" }", "\"tone\":{\"type\":\"integer\"}"),
            422,
            "plugin_does_not_load",
            "`config.tone`: a string stands where a whole number belongs",
        ),
        (second_with("dedupe = [\"body\"]", "always_ok = true"), 200, "", ""),
        (
            second_with("'''{\"do\":\"work\"}'''", "'''{\"do\":\"trap\"}'''"),
            422,
            "plugin_does_not_work",
            "version 2.0.0 does not work: it fails entry 1 of `[[smoke]]` in its manifest: trapped: ",
        ),
        (
            second_with(
                "type = \"provider.test\"\n\n[[smoke]]\nevent",
                "type='invoice.paid'\n\n[[smoke]]\nevent",
            ),
            422,
            "plugin_does_not_work",
            "it gives `provider.test`, not `invoice.paid`",
        ),
        (
            second_with("[[provider]]\nname = \"edition\"", "[[provider]]\nname = \"omitted\""),
            409,
            "plugin_lacks_what_is_used",
            "knows no provider `edition`, which source in relies on",
        ),
    ];
    for (component, status, code, why) in cases {
        if status == 200 {
            // Facts of a provider are read at the start: that is said, and no reason to refuse.
            let notice = swap(&gateway, component).await.unwrap().plugin.notice.unwrap();
            assert!(notice.contains("restart"), "{notice}");
            back(&gateway).await.unwrap();
            continue;
        }
        let (told_status, told_code, told) = refusal(swap(&gateway, component).await);
        assert_eq!((told_status, told_code.as_str()), (status, code), "{told}");
        assert!(told.starts_with("plugin `edition`") && told.contains(why), "{told}\ndoes not say\n{why}");
        assert_eq!(serves(&gateway).await, "1.0.0", "after {why}");
    }
    let wrong = SwapQuery { sha256: Some(digest(&first())), why: None };
    let told = refusal(gateway.client().swap_plugin("edition", second(), &wrong).await);
    assert_eq!((told.0, told.1.as_str()), (422, "wrong_digest"));
    let told = refusal(gateway.client().swap_plugin("nobody", second(), &SwapQuery::default()).await);
    assert_eq!((told.0, told.1.as_str()), (404, "unknown_plugin"));
    let told = refusal(swap(&gateway, other("event-filter")).await);
    assert!(told.2.contains("tone"), "{told:?}");

    post(&gateway.url("/in/in"), &[], r#"{"do":"work"}"#).await;
    gateway.settle().await;
    assert_eq!(made_by(&receiver.received()[0].json()["data"]), "1.0.0");
    gateway.stop().await;
}

#[tokio::test]
async fn a_kind_that_is_used_must_not_be_lost() {
    let receiver = Receiver::start().await;
    let source = "[[source]]\nname = \"in\"\nprovider = \"flexprice\"\nauth = { scheme = \"none\" }\nplugins = \
                  [\"event-filter\"]\n";
    let gateway = Gateway::start(&format!("{source}{}", receiver.endpoint("app"))).await;
    let map_only = shipped::component("cancel-strategy").unwrap().to_vec();
    let swapped = gateway.client().swap_plugin("event-filter", map_only, &SwapQuery::default()).await;
    let (status, code, why) = refusal(swapped);
    assert_eq!((status, code.as_str()), (409, "plugin_lacks_what_is_used"));
    assert!(why.contains("does not export `filter`, which source in relies on"), "{why}");
    gateway.stop().await;
}

#[tokio::test]
async fn a_swap_and_a_rollback_outlive_a_restart_until_the_file_changes() {
    let (_dir, path) = directory();
    let receiver = Receiver::start().await;
    let mut gateway = Gateway::start(&config(&path, &receiver)).await;
    let none = refusal(back(&gateway).await);
    assert_eq!((none.0, none.1.as_str()), (409, "nothing_before"));
    let swapped = swap(&gateway, second()).await.unwrap();
    assert_eq!(swapped.before, Some(digest(&first())));

    gateway = gateway.restart().await;
    let kept = gateway.client().plugin("edition").await.unwrap();
    assert_eq!((kept.plugin.version.as_str(), kept.plugin.by), ("2.0.0", By::Swap));
    assert_eq!(kept.plugin.since, swapped.plugin.since, "a restart is no turn");
    assert_eq!(kept.history.iter().map(|turn| turn.by).collect::<Vec<_>>(), [By::Swap, By::Start]);

    assert_eq!(back(&gateway).await.unwrap().plugin.version, "1.0.0");
    gateway = gateway.restart().await;
    assert_eq!(serves(&gateway).await, "1.0.0");

    // Another file: the configuration wins, whatever an operator did before.
    swap(&gateway, second()).await.unwrap();
    let third = second_with("version = \"2.0.0\"", "version = \"3.0.0\"");
    std::fs::write(&path, third).unwrap();
    gateway = gateway.restart().await;
    let changed = gateway.client().plugin("edition").await.unwrap();
    assert_eq!((changed.plugin.version.as_str(), changed.plugin.by), ("3.0.0", By::Start));
    assert_eq!(back(&gateway).await.unwrap().plugin.version, "2.0.0", "what served before is still there");
    assert_eq!(back(&gateway).await.unwrap().plugin.version, "1.0.0", "and the file that was");
    gateway.stop().await;
}

/// The second version, which fails its own smoke test.
pub(crate) fn broken() -> Vec<u8> {
    second_with("'''{\"do\":\"work\"}'''", "'''{\"do\":\"trap\"}'''")
}

#[tokio::test]
async fn a_version_that_fails_its_smoke_test_does_not_serve_after_a_restart_either() {
    let (dir, path) = directory();
    let receiver = Receiver::start().await;
    let watched = format!("[plugins]\nwatch = {:?}\n{SOURCE}", dir.path());
    let gateway = Gateway::start(&watched).await;
    std::fs::write(&path, broken()).unwrap();
    gateway.settle().await;
    gateway.settle().await;
    assert_eq!(serves(&gateway).await, "1.0.0");
    // A start goes on without it, and without what nobody needs. `check` tells of both.
    let (data, _, clock) = gateway.stop().await;
    std::fs::write(dir.path().join("junk.wasm"), "junk").unwrap();
    let told = checked(data.path(), &watched);
    assert!(
        told.contains("version 2.0.0 does not work") && told.contains("what served before goes on"),
        "{told}"
    );
    assert!(told.contains("plugin `junk`") && told.contains("a start goes on without it"), "{told}");
    let mut gateway = Gateway::start_in(data, &watched, clock).await;
    for _ in 0..2 {
        assert_eq!(serves(&gateway).await, "1.0.0");
        gateway = gateway.restart().await;
    }
    let (data, ..) = gateway.stop().await;
    assert!(checked(data.path(), &watched).contains("version 2.0.0 does not work"), "at every start");

    // As the configured component it keeps a gateway from starting.
    let (data, config) = (tempfile::tempdir().unwrap(), config(&path, &receiver));
    let told = checked(data.path(), &config);
    assert!(told.contains("version 2.0.0 does not work"), "{told}");
}

#[tokio::test]
async fn a_host_that_is_out_keeps_no_gateway_from_starting() {
    let (_dir, path) = directory();
    let receiver = Receiver::start().await;
    let out = |component| with(component, "'''{\"do\":\"work\"}'''", "'''{\"do\":\"wait\"}'''");
    std::fs::write(&path, out(first())).unwrap();
    let config = config(&path, &receiver);
    let gateway = Gateway::start(&config).await;
    post(&gateway.url("/in/in"), &[], r#"{"do":"work"}"#).await;
    gateway.settle().await;
    assert_eq!(receiver.received().len(), 2);
    // A version that comes while another serves has to be tried.
    let (_, code, why) = refusal(swap(&gateway, out(second())).await);
    assert_eq!(code, "plugin_does_not_work");
    assert!(why.ends_with("`[[smoke]]` in its manifest: unavailable: a host is out"), "{why}");
    assert_eq!(serves(&gateway).await, "1.0.0");

    // Nor under another configuration, as it was swapped in.
    swap(&gateway, second()).await.unwrap();
    let (data, _, clock) = gateway.stop().await;
    let gateway = Gateway::start_in(data, &config.replace("\"low\"", "\"high\""), clock).await;
    assert_eq!(serves(&gateway).await, "2.0.0");
    gateway.stop().await;
}

#[tokio::test]
async fn a_configuration_that_a_plugin_refuses_is_told_by_check_and_keeps_a_gateway_from_starting() {
    let low = "name = \"cancel-strategy\"\nconfig = { low_mrr = 500, high_mrr = 5 }\n";
    let word = "name = \"cancel-strategy\"\nconfig = { currency = \"dollars\" }\n";
    let rule =
        "name = \"event-filter\"\nconfig = { drop = [{ where = [{ pointer = \"/a\", equals = \"x\" }] }] }\n";
    let dir = tempfile::tempdir().unwrap();
    // As the gateway's own, and as a component that served before with another configuration.
    let own = dir.path().join("strategy.wasm");
    std::fs::write(&own, &shipped::component("cancel-strategy").unwrap()[..]).unwrap();
    let with = |table: &str| format!("[[plugin]]\n{table}");
    let owned =
        |table: &str| with(&table.replace("cancel-strategy", "strategy")) + &format!("component = {own:?}\n");
    let gateway = Gateway::start(&(owned("name = \"cancel-strategy\"\n") + &with(rule))).await;
    let (data, ..) = gateway.stop().await;
    for config in [with(low), owned(low)] {
        let told = checked(data.path(), &config);
        assert!(told.contains("`low_mrr` is 500 and must lie between 0 and `high_mrr`, 5"), "{told}");
        assert!(told.contains("; its `config` begins on line "), "{told}");
    }
    let told = checked(data.path(), &with(word));
    assert!(told.contains("config.currency: "), "{told}");
}

#[tokio::test]
async fn a_configuration_is_held_against_the_version_that_was_swapped_in() {
    let (_dir, path) = directory();
    let receiver = Receiver::start().await;
    std::fs::write(&path, with(first(), "{ \"type\": \"string\" }", "{ \"enum\": [\"low\"] }")).unwrap();
    let config = config(&path, &receiver);
    let gateway = Gateway::start(&config).await;
    swap(&gateway, second()).await.unwrap();
    let (data, _, clock) = gateway.stop().await;
    let high = config.replace("\"low\"", "\"high\"");
    let gateway = Gateway::start_in(data, &high, clock).await;
    assert_eq!(serves(&gateway).await, "2.0.0", "which takes what the file would refuse");
    gateway.stop().await;
    let told = checked(tempfile::tempdir().unwrap().path(), &high);
    assert!(told.contains("plugin[0].config.tone: \"high\" is none of \"low\"; write one of them"), "{told}");
}

/// What `billhook check` says of a configuration, which it refuses.
fn checked(data: &Path, config: &str) -> String {
    refused("check", data, config)
}

/// What `check` or `serve` says of a configuration, which it refuses.
fn refused(command: &str, data: &Path, config: &str) -> String {
    let file = data.join("billhook.toml");
    std::fs::write(&file, billhook_tests::configuration(data, config)).unwrap();
    let mut billhook = Command::new(env!("CARGO_BIN_EXE_billhook"));
    let output = billhook.arg(command).arg("--config").arg(&file).output().unwrap();
    let told = text(&output.stdout) + &text(&output.stderr);
    assert!(!output.status.success(), "{told}");
    told
}

#[tokio::test]
async fn a_start_that_fails_leaves_what_was_swapped_in_as_it_is() {
    let (dir, path) = directory();
    let receiver = Receiver::start().await;
    let (config, junk) = (config(&path, &receiver), dir.path().join("junk.wasm"));
    std::fs::write(&junk, "junk").unwrap();
    let with_junk = format!("{config}[[plugin]]\nname = \"junk\"\ncomponent = {junk:?}\n");
    let gateway = Gateway::start(&config).await;
    let swapped = swap(&gateway, second()).await.unwrap();

    // Another component, beside a gateway that runs and beside a plugin that does not load.
    std::fs::write(&path, second_with("\"2.0.0\"", "\"3.0.0\"")).unwrap();
    let told = refused("serve", gateway.dir(), &config);
    assert!(told.contains("another process"), "{told}");
    let (data, _, clock) = gateway.stop().await;
    for command in ["check", "serve"] {
        let told = refused(command, data.path(), &with_junk);
        assert!(told.contains("junk.wasm` is not a WebAssembly component"), "{told}");
    }

    std::fs::write(&path, first()).unwrap();
    let gateway = Gateway::start_in(data, &config, clock).await;
    let kept = gateway.client().plugin("edition").await.unwrap();
    assert_eq!((kept.plugin.version.as_str(), kept.history), ("2.0.0", swapped.history));
    assert_eq!(back(&gateway).await.unwrap().plugin.version, "1.0.0");
    gateway.stop().await;
}

#[tokio::test]
async fn the_components_of_a_plugin_that_did_not_load_are_kept() {
    let (_dir, path) = directory();
    let receiver = Receiver::start().await;
    let gateway = Gateway::start(&config(&path, &receiver)).await;
    let query = LoadQuery { config: Some(r#"{"tone":"high"}"#.to_owned()), ..LoadQuery::default() };
    gateway.client().load_plugin("mine", second(), &query).await.unwrap();
    let (kept, config, clock) = gateway.stop().await;
    let (data, third) = (kept.path().join("data/plugins"), second_with("\"2.0.0\"", "\"3.0.0\""));
    let record = std::fs::read_to_string(data.join("mine.json")).unwrap();
    std::fs::write(data.join("mine.json"), record.replace(r#"{"tone":"high"}"#, r#"{"tone":7}"#)).unwrap();
    let gateway = Gateway::start_in(kept, &config, clock).await;
    assert!(gateway.client().plugin("mine").await.is_err(), "it does not load");
    swap(&gateway, third).await.unwrap();
    assert!(data.join(format!("components/{}.wasm", digest(&second()))).is_file());
    gateway.stop().await;
}

#[tokio::test]
async fn a_file_over_a_plugin_that_was_loaded_has_its_grants_after_a_restart_too() {
    let dir = tempfile::tempdir().unwrap();
    let asking = |version: &str| {
        let kinds = "kinds = [\"normalize\", \"filter\", \"map\"]\ngrants = []";
        let asks = "kinds=[\"normalize\",\"filter\",\"map\"]\ngrants=[\"kv:a\"]";
        with(second_with("\"2.0.0\"", version), kinds, asks)
    };
    let watched = format!("[plugins]\nwatch = {:?}\n", dir.path());
    let gateway = Gateway::start(&watched).await;
    let query = LoadQuery { grants: Some("kv:a".to_owned()), ..LoadQuery::default() };
    gateway.client().load_plugin("edition", asking("\"2.0.0\""), &query).await.unwrap();
    let (kept, _, clock) = gateway.stop().await;
    let gateway = Gateway::start_in(kept, &format!("{watched}{SOURCE}"), clock).await;
    std::fs::write(dir.path().join("edition.wasm"), asking("\"3.0.0\"")).unwrap();
    gateway.settle().await;
    gateway.settle().await;
    assert_eq!(serves(&gateway).await, "3.0.0");
    let gateway = gateway.restart().await;
    assert_eq!(serves(&gateway).await, "3.0.0");
    gateway.stop().await;
}

#[tokio::test]
async fn a_swap_that_was_answered_outlives_the_death_of_the_process() {
    let (_dir, path) = directory();
    let receiver = Receiver::start().await;
    let (data, config) = (tempfile::tempdir().unwrap(), config(&path, &receiver));
    let binary = Path::new(env!("CARGO_BIN_EXE_billhook"));
    let start = async || Process::start(binary, data.path(), &config, None).await.expect("it starts");
    let client = |process: &Process| {
        let (url, token) = (format!("http://{}", process.admin), Secret::new(ADMIN_TOKEN));
        Client::new(url, token).unwrap()
    };
    let process = start().await;
    let swapped = client(&process).swap_plugin("edition", second(), &SwapQuery::default()).await.unwrap();
    process.kill().await;
    let process = start().await;
    let kept = client(&process).plugin("edition").await.unwrap();
    assert_eq!((kept.plugin.version.as_str(), kept.history), ("2.0.0", swapped.history));
    let garbage = client(&process).swap_plugin("edition", b"hello".to_vec(), &SwapQuery::default()).await;
    assert!(refusal(garbage).2.contains("is not a WebAssembly component"));
    assert_eq!(post(&process.url("/in/in"), &[], r#"{"do":"work"}"#).await.status, 200);
    assert_eq!(made_by(&receiver.got(2).await[0].json()["data"]), "2.0.0");
    process.kill().await;
}

#[tokio::test]
async fn a_version_that_was_swapped_in_and_is_damaged_on_disk_gives_way_to_the_file() {
    let (_dir, path) = directory();
    let receiver = Receiver::start().await;
    let gateway = Gateway::start(&config(&path, &receiver)).await;
    swap(&gateway, second()).await.unwrap();
    let (dir, config, clock) = gateway.stop().await;
    let component = dir.path().join(format!("data/plugins/components/{}.wasm", digest(&second())));
    let mut damaged = std::fs::read(&component).unwrap();
    damaged[5000] ^= 1;
    std::fs::write(&component, damaged).unwrap();
    let gateway = Gateway::start_in(dir, &config, clock).await;
    assert_eq!(serves(&gateway).await, "1.0.0");
    gateway.stop().await;
}

#[tokio::test]
async fn a_pinned_plugin_takes_only_what_the_configuration_allows() {
    let (_dir, path) = directory();
    let receiver = Receiver::start().await;
    let pinned = |digests: &[String]| {
        config(&path, &receiver).replacen("config =", &format!("sha256 = {digests:?}\nconfig ="), 1)
    };
    let mut gateway = Gateway::start(&pinned(&[digest(&first())])).await;
    let (status, code, why) = refusal(swap(&gateway, second()).await);
    assert_eq!((status, code.as_str()), (409, "plugin_pinned"));
    assert!(why.contains(&digest(&first())) && why.contains(&digest(&second())), "{why}");
    let other = path.with_file_name("other.wasm");
    std::fs::write(&other, second()).unwrap();
    let dry = ask(&gateway, &["replay", "reprocess", "--dry-run", "--plugin", other.to_str().unwrap()]).await;
    assert!(text(&dry.stderr).contains("plugin `edition` is pinned"), "nor does it run for a look");

    let (dir, _, clock) = gateway.stop().await;
    let both = pinned(&[digest(&first()), digest(&second())]);
    gateway = Gateway::start_in(dir, &both, clock).await;
    assert_eq!(swap(&gateway, second()).await.unwrap().plugin.version, "2.0.0");
    let (dir, _, clock) = gateway.stop().await;
    gateway = Gateway::start_in(dir, &pinned(&[digest(&first())]), clock).await;
    assert_eq!(serves(&gateway).await, "1.0.0", "the pin comes before what was swapped in");
    let (dir, ..) = gateway.stop().await;
    let told = checked(dir.path(), &pinned(&[digest(&second())]));
    assert!(told.contains(&format!("but `sha256` says {}", digest(&second()))), "{told}");
}

#[tokio::test]
async fn an_attempt_that_a_reprocess_overtakes_is_recorded() {
    let (_dir, path) = directory();
    let receiver = Receiver::scripted([Answer::Hang, Answer::Hang]).await;
    let gateway = Gateway::start(&config(&path, &receiver)).await;
    let answered = post(&gateway.url("/in/in"), &[], r#"{"do":"work"}"#).await;
    receiver.got(2).await;
    swap(&gateway, second()).await.unwrap();
    assert!(ask(&gateway, &["replay", "reprocess"]).await.status.success());
    receiver.got(4).await;
    receiver.let_go();
    gateway.settle().await;
    for event in gateway.story(answered.id()).await.events {
        let ended: Vec<_> =
            event.deliveries.iter().map(|(delivery, _)| (delivery.state.name(), delivery.attempts)).collect();
        assert_eq!(ended, [("delivered", 1), ("delivered", 1)], "it was taken twice, once as it was before");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn what_waited_for_a_broken_version_goes_on_with_the_next() {
    let (_dir, path) = directory();
    let receiver = Receiver::start().await;
    let gateway = Gateway::start(&config(&path, &receiver)).await;
    let mut late = Vec::new();
    for n in 0..8 {
        let answered = post(&gateway.url("/in/in"), &[], format!(r#"{{"do":"late","n":{n}}}"#)).await;
        late.push(answered.id().to_owned());
    }
    gateway.settle().await;
    for id in &late {
        let state = gateway.story(id).await.webhook.state;
        assert!(matches!(state, WebhookState::Undispatched { .. }), "{state:?}");
    }
    let broken = gateway.client().plugin("edition").await.unwrap().plugin;
    assert!(broken.calls >= 5 && broken.failures >= 5, "{broken:?}");
    assert!(broken.last_failure.unwrap().why.contains("only the second version can do that"));
    let rests = format!("it keeps failing and rests until {}", broken.rests_until.unwrap());
    for said in [ask(&gateway, &["plugin", "ls"]).await, ask(&gateway, &["plugin", "show", "edition"]).await]
    {
        assert!(text(&said.stdout).contains(&rests), "{}", text(&said.stdout));
    }

    let mended = swap(&gateway, second()).await.unwrap().plugin;
    assert_eq!((mended.calls, mended.failures), (3, 0), "its own test alone");
    assert_eq!(gateway.client().plugin("edition").await.unwrap().plugin.rests_until, None);
    gateway.settle().await;
    for id in &late {
        let state = gateway.story(id).await.webhook.state;
        assert!(matches!(state, WebhookState::Dispatched { events: 2, .. }), "{state:?}");
    }
    assert!(receiver.received().iter().all(|got| made_by(&got.json()["data"]) == "2.0.0"));
    gateway.stop().await;
}

#[tokio::test]
async fn a_file_that_comes_or_changes_in_the_watched_directory_serves() {
    let (dir, path) = directory();
    let receiver = Receiver::start().await;
    let watched = format!(
        "[plugins]\nwatch = {:?}\n{SOURCE}{}events = [\"*\", \"provider.test\"]\n",
        dir.path(),
        receiver.endpoint("app")
    );
    let mut gateway = Gateway::start(&watched).await;
    // A file is taken once two looks found it the same.
    let looked = async |gateway: &Gateway| {
        gateway.settle().await;
        gateway.settle().await;
    };
    looked(&gateway).await;
    let shown = gateway.client().plugin("edition").await.unwrap();
    assert_eq!((shown.plugin.origin, shown.history.len()), (Origin::Watched, 1));

    std::fs::write(&path, second()).unwrap();
    std::fs::write(dir.path().join("fresh.wasm"), first()).unwrap();
    std::fs::write(dir.path().join("Not-A-Name.wasm"), first()).unwrap();
    std::fs::write(dir.path().join("README"), "hello").unwrap();
    gateway.settle().await;
    assert_eq!(serves(&gateway).await, "1.0.0", "it may still be being written");
    gateway.settle().await;
    let swapped = gateway.client().plugin("edition").await.unwrap().plugin;
    assert_eq!((swapped.version.as_str(), swapped.by), ("2.0.0", By::Directory));
    let names = async |gateway: &Gateway| {
        let items = gateway.client().plugins().await.unwrap().items;
        items.into_iter().map(|plugin| plugin.name).collect::<Vec<_>>()
    };
    assert_eq!(names(&gateway).await, ["edition", "fresh"]);

    // What an operator does after that is not undone by a file that stays as it is.
    back(&gateway).await.unwrap();
    looked(&gateway).await;
    gateway = gateway.restart().await;
    looked(&gateway).await;
    assert_eq!(serves(&gateway).await, "1.0.0");

    std::fs::write(&path, b"half a comp").unwrap();
    looked(&gateway).await;
    assert_eq!(serves(&gateway).await, "1.0.0", "what does not load does not serve");
    gateway = gateway.restart().await;
    assert_eq!(serves(&gateway).await, "1.0.0", "nor does it keep a gateway from starting");
    post(&gateway.url("/in/in"), &[], r#"{"do":"work"}"#).await;
    gateway.settle().await;
    assert_eq!(made_by(&receiver.received()[0].json()["data"]), "1.0.0");
    assert_eq!(names(&gateway).await, ["edition", "fresh"]);
    gateway.stop().await;
}

#[tokio::test]
async fn a_plugin_is_loaded_and_turned_by_hand_while_the_gateway_runs() {
    let (dir, path) = directory();
    let two = dir.path().join("two.wasm");
    std::fs::write(&two, second()).unwrap();
    let (one, two) = (path.to_str().unwrap(), two.to_str().unwrap());
    let receiver = Receiver::start().await;
    let mut gateway = Gateway::start(&receiver.endpoint("app")).await;
    let out = async |gateway: &Gateway, words: &[&str]| {
        let output = ask(gateway, words).await;
        assert!(output.status.success(), "{words:?}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    let (tone, pin) = (r#"{"tone":"high"}"#, digest(&first()));
    let told = out(&gateway, &["plugin", "load", "mine", one, "--settings", tone, "--sha256", &pin]).await;
    assert!(told.contains("1.0.0, loaded by an operator") && told.contains("nobody"), "{told}");
    let again = ask(&gateway, &["plugin", "load", "mine", one]).await;
    assert!(text(&again.stderr).contains("there is a plugin `mine` already: swap it"));
    let shipped = gateway.client().load_plugin("event-filter", first(), &LoadQuery::default()).await;
    let (status, code, why) = refusal(shipped);
    assert_eq!((status, code.as_str()), (409, "plugin_exists"));
    assert!(
        why.starts_with("the gateway brings a plugin `event-filter` along: choose another name"),
        "{why}"
    );
    let grants = Some("secret:none".to_owned());
    let query = LoadQuery { grants, ..LoadQuery::default() };
    let why = refusal(gateway.client().load_plugin("other", first(), &query).await).2;
    assert!(why.contains("granted `secret:none`, but there is no such secret: add it to [secrets]"), "{why}");
    let bad = ask(&gateway, &["plugin", "load", "../mine", one]).await;
    assert!(!bad.status.success());
    let bad = gateway.client().load_plugin("Mine", first(), &LoadQuery::default()).await;
    assert_eq!(refusal(bad).1, "bad_name");

    let told = out(&gateway, &["plugin", "swap", "mine", two, "--why", "it is new"]).await;
    assert!(told.contains("2.0.0") && told.contains("it is new"), "{told}");
    assert!(out(&gateway, &["plugin", "swap", "mine", two]).await.contains("serves already"));
    let wrong = ask(&gateway, &["plugin", "swap", "mine", one, "--sha256", &digest(&second())]).await;
    assert!(text(&wrong.stderr).contains("has the SHA-256"), "{}", text(&wrong.stderr));

    // What was loaded is there after a restart, and then the configuration may name it.
    let (kept, _, clock) = gateway.stop().await;
    let named = format!("{SOURCE}{}events = [\"provider.test\"]\n", receiver.endpoint("app"));
    let named = named.replace("provider = \"edition\"", "provider = \"edition\"\nnormalizer = \"mine\"");
    gateway = Gateway::start_in(kept, &named.replace("[\"edition\"]", "[\"mine\"]"), clock).await;
    let listed = out(&gateway, &["plugin", "ls"]).await;
    for expected in ["mine", "2.0.0", &digest(&second())[..12], "normalize, filter, map", "source in"] {
        assert!(listed.contains(expected), "no {expected:?} in:\n{listed}");
    }
    let told = out(&gateway, &["plugin", "rollback", "mine", "--why", "worse"]).await;
    assert!(told.contains("1.0.0") && told.contains("by an operator's rollback: worse"), "{told}");
    assert!(try_post(&gateway.url("/in/in"), &[], r#"{"do":"work"}"#).await.is_ok());
    gateway.settle().await;
    assert_eq!(receiver.received()[0].json()["data"]["metadata"]["normalized"], "1.0.0");
    let shown = out(&gateway, &["plugin", "show", "mine"]).await;
    assert!(shown.contains("by an operator's load") && shown.contains("calls"), "{shown}");
    gateway.stop().await;
}
