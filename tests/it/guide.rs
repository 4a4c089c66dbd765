//! The guide for plugin authors, typed as it stands there. Its examples in Rust are tests of the SDK
//! (`plugin-sdk/src/guide.rs`).

use crate::author::{pin, root, said, type_in};
use crate::docs::{blocks, page};
use billhook_fixture::Fixture;
use gateway::plugins::manifest::Manifest;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;

#[test]
fn the_first_plugin_is_made_by_typing_what_the_guide_says() {
    let text = page("docs/plugins/first.md");
    let dir = tempfile::tempdir().unwrap();
    symlink(root(), dir.path().join("billhook")).unwrap();
    let shells = blocks(&text, "sh");
    let [begin, first, teach, bless, measure, run] = shells[..] else { panic!("{} blocks", shells.len()) };
    said(type_in(dir.path(), begin), 0);
    let acme = dir.path().join("acme");
    pin(&acme);
    let at = |name: &str| fs::read_to_string(acme.join(name)).unwrap();

    let [code, line] = blocks(&text, "rust")[..] else { panic!("two blocks of Rust") };
    let [manifest, config] = blocks(&text, "toml")[..] else { panic!("two blocks of TOML") };
    assert_eq!(at("src/lib.rs"), code);
    assert_eq!(at("plugin.toml"), manifest);
    let tested = said(type_in(&acme, first), 0);
    assert!(tested.ends_with(blocks(&text, "text")[0]), "{tested}");

    let made = said(type_in(&acme, teach), 0);
    assert!(made.contains("provider.unmapped") && made.contains("is not known"), "{made}");
    let before = "            \"invoice.failed\" => \"payment.failed\",\n";
    assert!(code.contains(before));
    fs::write(acme.join("src/lib.rs"), code.replace(before, &format!("{before}{line}"))).unwrap();
    let blessed = said(type_in(&acme, bless), 0);
    assert!(blessed.contains("blessed") && blessed.contains("\"refund.succeeded\""), "{blessed}");

    assert!(said(type_in(&acme, measure), 0).contains("INSTRUCTIONS"));
    // Where cargo puts it when it is not told otherwise.
    let component = acme.join("target/wasm32-wasip2/release");
    fs::create_dir_all(&component).unwrap();
    let built = concat!(env!("CARGO_TARGET_TMPDIR"), "/author/wasm32-wasip2/release/acme.wasm");
    fs::copy(built, component.join("acme.wasm")).unwrap();
    fs::write(acme.join("billhook.toml"), config).unwrap();
    let checked = said(type_in(&acme, run), 0);
    assert!(checked.contains("source `acme` is normalized by `acme`"), "{checked}");
}

#[test]
fn every_fixture_that_is_shown_can_be_read_and_every_kind_is() {
    let text = page("docs/plugins/testing.md");
    let dir = tempfile::tempdir().unwrap();
    let mut kinds = BTreeSet::new();
    for block in blocks(&text, "json") {
        fs::write(dir.path().join("input.json"), block).unwrap();
        kinds.insert(Fixture::read(dir.path()).unwrap().kind.name());
    }
    assert_eq!(
        kinds,
        BTreeSet::from(["map", "normalize", "transform", "verify"]),
        "filter has the shape of map"
    );
    let answers = text.split("| kind | `expected.json` |").nth(1).unwrap().split("\n\n").next().unwrap();
    for answer in answers.split('`').skip(1).step_by(2).filter(|text| text.starts_with(['{', '"'])) {
        assert!(serde_json::from_str::<serde_json::Value>(answer).is_ok(), "{answer}");
    }
}

#[test]
fn every_manifest_that_is_shown_is_right() {
    for name in ["manifest", "capabilities"] {
        for block in blocks(&page(&format!("docs/plugins/{name}.md")), "toml") {
            // An empty component with the section that the SDK makes: its length takes two bytes.
            let name = "billhook:plugin";
            let size = 1 + name.len() + block.len();
            assert!(size < 1 << 14);
            let length = [(size & 0x7f) as u8 | 0x80, (size >> 7) as u8];
            let header = *b"\0asm\x0d\0\x01\0";
            let bytes =
                [&header[..], &[0], &length, &[name.len() as u8], name.as_bytes(), block.as_bytes()].concat();
            Manifest::of("shown", &bytes).unwrap_or_else(|error| panic!("{error}"));
        }
    }
}

#[test]
fn every_block_of_the_guide_is_in_a_language_that_a_test_looks_at() {
    for entry in fs::read_dir(root().join("docs/plugins")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(&path).unwrap();
        for fence in text.lines().filter(|line| line.starts_with("```") && line.len() > 3) {
            let known: &[&str] = match name.as_str() {
                "first.md" => &["```sh", "```text", "```rust", "```toml"],
                "testing.md" => &["```json", "```rust"],
                "manifest.md" => &["```toml", "```sh"],
                "capabilities.md" => &["```toml", "```rust"],
                "kinds.md" => &["```rust", "```rust,ignore"],
                _ => &["```rust"],
            };
            assert!(known.contains(&fence), "{name}: nothing tests {fence}");
        }
        if text.contains("```rust") && name != "first.md" {
            let guide = page("plugin-sdk/src/guide.rs");
            assert!(guide.contains(&format!("docs/plugins/{name}\"")), "the SDK does not test {name}");
        }
    }
    // The one that is ignored is that of a plugin that is tested.
    let shown = page("docs/plugins/kinds.md");
    let [shown] = blocks(&shown, "rust,ignore")[..] else { panic!("one block that is ignored") };
    assert!(page("tests/fixtures/acme-signed/src/lib.rs").contains(shown));
}
