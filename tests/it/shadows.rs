//! A version of a plugin is seen at work before it serves: on webhooks that are stored, and beside the one that does.

use crate::cli::{ask, text};
use crate::lifecycle::{config, first, second};
use billhook_tests::Gateway;
use billhook_tests::receiver::Receiver;
use billhook_tests::sender::post;
use gateway::api::rehearsal::{Compared, Rehearsal, RehearsalQuery};
use gateway::api::webhook::WebhookQuery;
use gateway::config::Config;
use gateway::config::environment::Environment;
use gateway::model::rest::{FAILED_TO_REST, REST_MIN};
use gateway::plugins::{Compiler, shipped};
use gateway::server::load;
use std::path::{Path, PathBuf};

/// A directory with the second version as `edition.wasm`, which serves, and the first as `first.wasm`.
fn directory() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let [serves, other] = ["edition.wasm", "first.wasm"].map(|name| dir.path().join(name));
    std::fs::write(&serves, second()).unwrap();
    std::fs::write(&other, first()).unwrap();
    (dir, serves, other)
}

async fn send(gateway: &Gateway, what: &str, times: usize) {
    for n in 0..times {
        let body = format!(r#"{{"do":"{what}","n":{n}}}"#);
        assert_eq!(post(&gateway.url("/in/in"), &[], body).await.status, 200);
    }
    gateway.settle().await;
}

/// The line of a text that begins so, branches aside.
fn line<'a>(text: &'a str, label: &str) -> &'a str {
    let lines = text.lines().map(|line| line.trim_start_matches(['├', '└', '│', '─', ' ']));
    { lines }.find(|line| line.starts_with(label)).unwrap_or_else(|| panic!("no {label} in\n{text}"))
}

#[tokio::test]
async fn a_candidate_is_shown_what_is_stored_and_nothing_is_committed() {
    let (_dir, serves, other) = directory();
    let receiver = Receiver::start().await;
    let gateway = Gateway::start(&config(&serves, &receiver)).await;
    send(&gateway, "work", 3).await;
    send(&gateway, "late", 1).await;
    assert_eq!(receiver.received().len(), 8);

    let rehearse = async |file: &Path, more: &[&str]| {
        let file = file.to_str().unwrap();
        let asked = [&["replay", "reprocess", "--dry-run", "--plugin", file], more].concat();
        ask(&gateway, &asked).await
    };
    let told = text(&rehearse(&other, &[]).await.stdout);
    for (label, rest) in [("same", "0 webhooks"), ("differ", "3 webhooks"), ("fail", "1 webhook")] {
        assert_eq!(line(&told, label).trim_start_matches(label).trim(), rest, "{told}");
    }
    assert!(told.starts_with("edition 1.0.0 (SHA-256 "), "{told}");
    assert!(told.contains("6 × field /metadata/normalized"), "{told}");
    assert!(told.contains("/metadata/normalized: \"2.0.0\" -> \"1.0.0\""), "{told}");
    assert!(line(&told, "plugin `edition` 1.0.0").contains("only the second version can do that"), "{told}");

    let told = text(&rehearse(&serves, &["--json", "--limit", "2"]).await.stdout);
    let rehearsal: Rehearsal = serde_json::from_str(&told).unwrap();
    assert_eq!((rehearsal.same, rehearsal.differ, rehearsal.failed, rehearsal.more), (2, 0, 0, true));
    let told = text(&rehearse(&other, &["--since", "2100-01-01"]).await.stdout);
    assert_eq!(line(&told, "differ").trim_start_matches("differ").trim(), "0 webhooks");

    for (more, why) in [
        (&["--as", "nobody"][..], "no plugin is called `nobody`"),
        (&["--limit", "0"], "`limit` is 0, not 1 to 1000"),
        (&["--type", "no.type"], "which is no canonical type"),
        (&["--since", "2026-02-01", "--until", "2026-01-01"], "is after `until`"),
    ] {
        let told = rehearse(&other, more).await;
        assert!(!told.status.success() && text(&told.stderr).contains(why), "{why}: {}", text(&told.stderr));
    }
    let told = ask(&gateway, &["replay", "reprocess", "--plugin", other.to_str().unwrap()]).await;
    assert!(text(&told.stderr).contains("--dry-run"), "{}", text(&told.stderr));
    for more in [&["--resend"][..], &["--rate", "1/s"]] {
        let told = rehearse(&other, more).await;
        assert!(text(&told.stderr).contains("cannot be used with"), "{}", text(&told.stderr));
    }

    gateway.settle().await;
    assert_eq!(receiver.received().len(), 8, "nothing was delivered again");
    assert_eq!(gateway.client().plugin("edition").await.unwrap().plugin.version, "2.0.0");
    let webhooks = gateway.client().webhooks(&WebhookQuery::default()).await.unwrap().items;
    for webhook in webhooks {
        let run = gateway.client().webhook(webhook.id).await.unwrap().run.unwrap();
        assert_eq!(run.notes[0].plugin.version, "2.0.0", "the run that counts is the one that was");
    }
}

#[tokio::test]
async fn a_candidate_stands_in_for_the_plugin_of_its_name_alone() {
    let receiver = Receiver::start().await;
    let (dir, _, other) = directory();
    let two = dir.path().join("two.wasm");
    std::fs::write(&two, second()).unwrap();
    let of = |plugin: &str, source: &str| {
        format!(
            "[[plugin]]\nname = \"{plugin}\"\ncomponent = {two:?}\n[[source]]\nname = \"{source}\"\nprovider = \"edition\"\n\
             normalizer = \"{plugin}\"\nauth = {{ scheme = \"none\" }}\ndedupe = []\n"
        )
    };
    let config = of("edition", "in") + &of("eu", "eu") + &receiver.endpoint("app");
    let gateway = Gateway::start(&config).await;
    send(&gateway, "work", 1).await;
    assert_eq!(post(&gateway.url("/in/eu"), &[], r#"{"do":"work"}"#).await.status, 200);
    gateway.settle().await;
    let cache = || std::fs::read_dir(gateway.dir().join("data/plugin-cache")).unwrap().count();
    let before = cache();
    for (name, source) in [("edition", "in"), ("eu", "eu")] {
        let query = RehearsalQuery { plugin: Some(name.to_owned()), ..RehearsalQuery::default() };
        let rehearsal = gateway.client().rehearse(std::fs::read(&other).unwrap(), &query).await.unwrap();
        assert_eq!((rehearsal.differ, rehearsal.elsewhere), (1, 1), "as {name}");
        assert_eq!(rehearsal.examples[0].source, source);
    }
    assert_eq!(cache(), before, "its machine code is gone");
    gateway.stop().await;
}

#[tokio::test]
async fn a_provider_is_not_normalized_by_a_shadow_nor_by_what_merely_lies_there() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("flexprice.wasm"), &*shipped::component("flexprice").unwrap()).unwrap();
    let flexprice = dir.path().join("flexprice.wasm");
    let plugin = |name: &str| format!("[[plugin]]\nname = \"{name}\"\ncomponent = {flexprice:?}\n");
    let watched = dir.path().join("watched");
    std::fs::create_dir(&watched).unwrap();
    std::fs::copy(&flexprice, watched.join("aaa.wasm")).unwrap();
    let watching = format!("[plugins]\nwatch = {watched:?}\n");
    let normalizer = "is normalized by `flexprice`";
    let cases = [
        (plugin("next"), "shadow = \"next\"\n", normalizer),
        (watching, "", normalizer),
        (plugin("aaa"), "", "is normalized by `aaa`"),
        (plugin("aaa") + &plugin("flexprice"), "", normalizer),
        (
            plugin("aaa") + &plugin("bbb"),
            "",
            "source[0].provider: `aaa` and `bbb` all normalize `flexprice`; name one with `normalizer`",
        ),
        (plugin("aaa") + &plugin("bbb"), "normalizer = \"bbb\"\n", "is normalized by `bbb`"),
    ];
    for (plugins, of_source, expected) in cases {
        let text = format!(
            "data_dir = {:?}\n{plugins}[[source]]\nname = \"in\"\nprovider = \"flexprice\"\nauth = {{ scheme = \"none\" \
             }}\n{of_source}",
            dir.path().join("data")
        );
        let told = match Config::parse(&text, dir.path(), &Environment::default(), &load::shipped()) {
            Ok(config) => load::check(&config, Compiler::InProcess).await.unwrap().join("\n"),
            Err(mistakes) => mistakes.to_string(),
        };
        assert!(told.contains(expected), "{expected}: {told}");
    }
}

#[tokio::test]
async fn a_shadow_is_recorded_and_compared_and_never_delivered() {
    let (_dir, serves, other) = directory();
    let receiver = Receiver::start().await;
    let shadowed = config(&serves, &receiver)
        .replace("plugins = [\"edition\"]\n", "plugins = [\"edition\"]\nshadow = \"next\"\n");
    let next = |component: &Path, tone: &str| {
        let plugin = format!(
            "[[plugin]]\nname = \"next\"\ncomponent = {component:?}\nconfig = {{ tone = \"{tone}\" }}\n"
        );
        format!("{plugin}{shadowed}")
    };
    let gateway = Gateway::start(&next(&other, "low")).await;
    let listed = text(&ask(&gateway, &["shadow", "ls"]).await.stdout);
    assert!(listed.starts_with("no shadow was asked yet"), "{listed}");
    send(&gateway, "work", 2).await;
    send(&gateway, "late", 1).await;
    let received = receiver.received();
    assert_eq!(received.len(), 6);
    for request in received {
        let event = &request.json()["data"];
        assert_eq!(event["metadata"]["normalized"], "2.0.0", "{event}");
        assert_eq!(event["plugins"].as_array().unwrap().len(), 2, "{event}");
    }

    let listed = text(&ask(&gateway, &["shadow", "ls"]).await.stdout);
    let row: Vec<&str> = listed.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(row[..6], ["in", "next", "1.0.0", "0", "2", "1"], "{listed}");
    let webhooks = gateway.client().webhooks(&WebhookQuery::default()).await.unwrap().items;
    // All three came at once, by the clock: who failed is the last that is listed.
    let (failed, others): (Vec<_>, Vec<_>) =
        webhooks.iter().partition(|webhook| webhook.id.to_string() == row[6]);
    let ([failed], [differs, _]) = (&failed[..], &others[..]) else { panic!("{webhooks:?}") };
    let shown = text(&ask(&gateway, &["webhook", "show", &failed.id.to_string()]).await.stdout);
    line(&shown, "shadow next 1.0.0: fails, which hurts nobody");
    assert!(shown.contains("only the second version can do that"), "{shown}");
    let shown = text(&ask(&gateway, &["webhook", "show", &differs.id.to_string()]).await.stdout);
    line(&shown, "shadow next 1.0.0: would make something else, which is not delivered");
    line(&shown, "event 1: field /metadata/normalized: \"2.0.0\" -> \"1.0.0\"");

    // The same component makes the same, and that is recorded too.
    let gateway = Gateway::start(&next(&serves, "low")).await;
    send(&gateway, "work", 1).await;
    let webhooks = gateway.client().webhooks(&WebhookQuery::default()).await.unwrap().items;
    let run = gateway.client().webhook(webhooks[0].id).await.unwrap().run.unwrap();
    assert_eq!(run.shadow.unwrap().compared, Compared::Same);
}

#[tokio::test]
async fn a_shadow_that_keeps_failing_rests_and_nobody_else_does() {
    let (_dir, serves, other) = directory();
    let receiver = Receiver::start().await;
    let plugin =
        format!("[[plugin]]\nname = \"next\"\ncomponent = {other:?}\nconfig = {{ tone = \"low\" }}\n");
    let shadowed = config(&serves, &receiver)
        .replace("plugins = [\"edition\"]\n", "plugins = [\"edition\"]\nshadow = \"next\"\n");
    let gateway = Gateway::start(&format!("{plugin}{shadowed}")).await;
    let counts = async || {
        let shadow = gateway.client().shadows().await.unwrap().items.remove(0);
        (shadow.same, shadow.differ, shadow.failed)
    };
    send(&gateway, "late", FAILED_TO_REST).await;
    assert_eq!(counts().await, (0, 0, 5));
    send(&gateway, "work", 1).await;
    assert_eq!(counts().await, (0, 0, 6));
    let latest = gateway.client().shadows().await.unwrap().items[0].latest[0].to_string();
    let shown = text(&ask(&gateway, &["webhook", "show", &latest]).await.stdout);
    assert!(shown.contains("not asked: it keeps failing and rests until"), "{shown}");
    assert_eq!(receiver.received().len(), 2 * (FAILED_TO_REST + 1));
    let plugins = gateway.client().plugins().await.unwrap().items;
    assert!(plugins.iter().all(|plugin| plugin.rests_until.is_none()));

    gateway.advance(REST_MIN).await;
    send(&gateway, "more", 1).await;
    assert_eq!(counts().await, (0, 1, 6));
    send(&gateway, "late", 1).await;
    send(&gateway, "more", 1).await;
    assert_eq!(counts().await, (0, 2, 7), "it is well again");
    gateway.stop().await;
}
