//! Rules of the house that a machine can hold us to.

use std::fs;
use std::path::{Path, PathBuf};

/// The layers, top first: a part may import parts of lower layers only, and itself.
const LAYERS: &[&[&str]] = &[
    &["main", "cli", "demo"],
    &["client", "server"],
    &["config"],
    &["ingest", "admin"],
    &["dispatch", "deliver", "replay"],
    &["worker"],
    &["plugins"],
    &["store", "outbound", "clock", "telemetry", "api"],
    &["model"],
];

/// Imports that the picture allows beside the layers.
const EXCEPTIONS: &[(&str, &str)] = &[("cli", "demo"), ("demo", "cli")];

/// Where the gateway may name a provider: the demo, what the profiles stand for, and the formats they have.
const NAMES_PROVIDERS: &[&str] = &["demo", "model/profile.rs", "deliver/format.rs", "deliver/format/"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the gateway is a member of the workspace")
}

fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                found.extend(sources(&path));
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

fn layer(part: &str) -> usize {
    LAYERS
        .iter()
        .position(|layer| layer.contains(&part))
        .unwrap_or_else(|| panic!("the part `{part}` has no layer: give it one in tests/it/tidy.rs"))
}

/// The parts that a source text names by `crate::`.
fn imports(text: &str) -> impl Iterator<Item = &str> {
    text.split("crate::").skip(1).filter_map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_lowercase() && c != '_')?;
        (end > 0).then(|| &rest[..end])
    })
}

#[test]
fn imports_go_downwards_only() {
    let src = root().join("gateway/src");
    for path in sources(&src) {
        let relative = path.strip_prefix(&src).unwrap();
        let part = relative.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned();
        if part == "lib" {
            continue;
        }
        for import in imports(&fs::read_to_string(&path).unwrap()) {
            if import == part || EXCEPTIONS.contains(&(&part, import)) {
                continue;
            }
            assert!(
                layer(import) > layer(&part),
                "{} imports `{import}`, which is not below it",
                relative.display()
            );
        }
    }
}

#[test]
fn model_is_pure() {
    for path in sources(&root().join("gateway/src/model")) {
        let text = fs::read_to_string(&path).unwrap();
        for foreign in ["tokio", "axum", "sled::", "wasmtime", "reqwest", "std::fs", "async fn"] {
            assert!(!text.contains(foreign), "{} mentions {foreign}", path.display());
        }
    }
}

#[test]
fn no_provider_is_named_outside_the_demo_the_profiles_and_their_formats() {
    let src = root().join("gateway/src");
    for path in sources(&src) {
        let relative = path.strip_prefix(&src).unwrap().to_str().unwrap().to_owned();
        let is_test = relative.ends_with("tests.rs");
        if is_test || NAMES_PROVIDERS.iter().any(|part| relative.starts_with(part)) {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        let is_code = |line: &&str| !line.trim_start().starts_with("//");
        for line in code.lines().filter(is_code) {
            for provider in
                ["flexprice", "wingback", "wingspan", "abowire", "windback", "stripe", "paddle", "chargebee"]
            {
                assert!(!line.to_lowercase().contains(provider), "{relative} names {provider}: {line}");
            }
        }
    }
}

#[test]
fn files_have_one_story_and_a_name_of_their_own() {
    for part in ["gateway", "plugin-sdk", "plugins", "tests"] {
        for path in sources(&root().join(part)) {
            let name = path.file_stem().unwrap().to_str().unwrap();
            assert!(name != "mod", "{}: use `foo.rs` beside `foo/`", path.display());
            for vague in ["util", "utils", "helper", "helpers", "common", "misc", "manager"] {
                assert!(name != vague, "{}: put it with the noun it serves", path.display());
            }
            let text = fs::read_to_string(&path).unwrap();
            let todo = ["TO", "DO"].concat();
            assert!(!text.contains(&todo), "{} leaves something to do", path.display());
            assert!(text.starts_with("//!"), "{} does not say what it is", path.display());
            assert!(
                !text.contains(concat!("#[al", "low(")),
                "{}: use #[expect(lint, reason)]",
                path.display()
            );
        }
    }
}
