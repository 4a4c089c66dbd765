//! What the documents show must work.

use gateway::config::Config;
use gateway::config::environment::Environment;
use gateway::server::load::shipped;
use std::fs;
use std::path::Path;

fn page(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    fs::read_to_string(root.join(name)).unwrap()
}

fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    text.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

#[test]
fn every_configuration_that_is_shown_is_right() {
    let mut seen = 0;
    for name in ["README.md", "docs/operators.md"] {
        for block in blocks(&page(name), "toml") {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("billhook.toml");
            fs::write(&path, block).unwrap();
            let named = block.split("env:").skip(1).map(|rest| rest.split('"').next().unwrap());
            let environment: Environment = named.map(|name| (name, billhook_tests::sender::SECRET)).collect();
            let config = Config::load(Some(&path), &environment, &shipped())
                .unwrap_or_else(|mistakes| panic!("{name}:\n{mistakes}"));
            assert!(!config.sources.is_empty() && !config.endpoints.is_empty(), "{name}");
            seen += 1;
        }
    }
    assert_eq!(seen, 2);
}

#[test]
fn every_file_that_is_linked_is_there() {
    for name in
        ["README.md", "docs/operators.md", "docs/integrators.md", "docs/plugins.md", "docs/architecture.md"]
    {
        let text = page(name);
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(name);
        for link in text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            if !link.starts_with("http") {
                assert!(
                    folder.parent().unwrap().join(link).exists(),
                    "{name} links {link}, which is not there"
                );
            }
        }
    }
}

#[test]
fn the_example_event_has_the_shape_that_is_sent() {
    let text = page("docs/integrators.md");
    let example: serde_json::Value = serde_json::from_str(blocks(&text, "json")[0]).unwrap();
    assert!(billhook_event::kind::is_known(example["type"].as_str().unwrap()));
    let retention = example["data"]["retention"].clone();
    serde_json::from_value::<billhook_event::Retention>(retention).unwrap();
    let cancellation = example["data"]["cancellation"].clone();
    serde_json::from_value::<billhook_event::Cancellation>(cancellation).unwrap();
}
