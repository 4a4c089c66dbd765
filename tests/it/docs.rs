//! What the documents show must work.

use gateway::cli::Cli;
use gateway::config::Config;
use gateway::config::environment::Environment;
use gateway::server::load::shipped;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// A page of the repository, by its path.
pub(crate) fn page(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    fs::read_to_string(root.join(name)).unwrap()
}

/// The fenced blocks of a page in one language.
pub(crate) fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
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
    assert_eq!(seen, 3);
}

/// The pages that people read.
const PAGES: [&str; 13] = [
    "README.md",
    "docs/operators.md",
    "docs/integrators.md",
    "docs/plugins/README.md",
    "docs/plugins/first.md",
    "docs/plugins/kinds.md",
    "docs/plugins/manifest.md",
    "docs/plugins/capabilities.md",
    "docs/plugins/limits.md",
    "docs/plugins/testing.md",
    "docs/plugins/versioning.md",
    "docs/architecture.md",
    "docs/benchmarks.md",
];

/// The words of a command of ours in a line for a shell, if there is one: to its end, a comment, or what the shell does
/// with what goes in and comes out. What is left out of an id is made up.
fn command(line: &str) -> Option<Vec<String>> {
    let at =
        line.find("billhook ").filter(|at| line[..*at].trim().is_empty() || line[..*at].ends_with("$("))?;
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    for c in line[at..].chars().chain([' ']) {
        match (c, quote) {
            (_, Some(open)) if c == open => quote = None,
            ('"' | '\'', None) => quote = Some(c),
            ('#' | '<' | '>' | '|' | ')', None) => break,
            (' ', None) if word.is_empty() => {}
            (' ', None) => words.push(std::mem::take(&mut word)),
            _ => word.push(c),
        }
    }
    words.extend((!word.is_empty()).then_some(word));
    let whole = |word: String| word.replace("_...", "_01M7Y73WK0JQSE5WP88DQ66Z7V");
    Some(words.into_iter().map(whole).collect())
}

#[test]
fn every_command_that_is_shown_is_one() {
    let mut seen = 0;
    for name in PAGES {
        for words in blocks(&page(name), "sh").into_iter().flat_map(str::lines).filter_map(command) {
            if let Err(error) = Cli::read(&words) {
                panic!("{name}: {}: {error}", words.join(" "));
            }
            seen += 1;
        }
    }
    assert!(seen > 40, "{seen}");
    let line = "export A=$(billhook plugin swap a 'b c' --why \"x #\")  # y";
    assert_eq!(command(line).unwrap(), ["billhook", "plugin", "swap", "a", "b c", "--why", "x #"]);
}

/// The routes that the admin API's router is given, such as `GET /events/{id}`.
fn routed() -> BTreeSet<String> {
    let mut routes = BTreeSet::new();
    for file in ["admin.rs", "admin/plugins.rs", "admin/rehearsals.rs"] {
        let text = page(&format!("gateway/src/{file}"));
        for route in text.split(".route(\"").skip(1) {
            let (path, rest) = route.split_once('"').unwrap();
            let handlers = rest.split_once("))").map_or(rest, |(handlers, _)| handlers);
            for (method, call) in [("GET", "get("), ("POST", "post(")] {
                if handlers.contains(call) {
                    routes.insert(format!("{method} {path}"));
                }
            }
        }
    }
    routes
}

#[test]
fn every_route_of_the_admin_api_is_in_its_list_and_no_other() {
    let page = page("docs/operators.md");
    let list = blocks(&page, "text").into_iter().find(|block| block.contains("/api/v1/events")).unwrap();
    let mut listed = BTreeSet::new();
    for line in list.lines() {
        let (method, rest) = line.split_once(' ').unwrap();
        for path in rest.split("  ").map(str::trim).filter(|word| word.starts_with('/')) {
            let path = path.trim_start_matches("/api/v1");
            let (above, last) = path.rsplit_once('/').unwrap();
            listed.extend(last.split('|').map(|last| format!("{method} {above}/{last}")));
        }
    }
    assert_eq!(listed, routed());
}

#[test]
fn every_file_that_is_linked_is_there() {
    for name in PAGES {
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
    let event: billhook_event::Event = serde_json::from_value(example["data"].clone()).unwrap();
    let mut kept = serde_json::to_value(&event).unwrap();
    kept["retention"]["variants"] = example["data"]["retention"]["variants"].clone();
    assert_eq!(kept, example["data"], "what is shown is what an event keeps");
    assert_eq!(serde_json::to_value(event.occurred_at).unwrap(), example["timestamp"]);
}

/// The keys that the reader of the configuration knows in a table of `text`, as it tells them who writes a wrong one.
fn understood(text: &str) -> BTreeSet<String> {
    let read =
        |text: &str| Config::parse(text, Path::new(""), &Environment::default(), &shipped()).unwrap_err();
    let wrong = "qqqqqqqqqq = 1";
    let told = read(&text.replace("KEY = 1", wrong)).list;
    let keys = told.iter().find_map(|mistake| mistake.remedy.strip_prefix("the keys ")).unwrap();
    let (_, keys) = keys.split_once(" are ").unwrap();
    let is_later = |key: &str| {
        let told = read(&text.replace("KEY = 1", &format!("{key} = 1"))).list;
        told.iter().any(|m| m.key.ends_with(&format!(".{key}")) && m.wrong == "is not in this version")
    };
    ticked(keys).filter(|key| !is_later(key)).map(str::to_owned).collect()
}

/// What stands between backticks.
fn ticked(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// What stands between backticks in the first column of the table that begins with `header`.
fn first_column(page: &str, header: &str) -> BTreeSet<String> {
    let table = page.split(&format!("| {header} |")).nth(1).unwrap_or_else(|| panic!("no table of {header}"));
    let rows = table.lines().skip(2).take_while(|line| !line.is_empty());
    rows.flat_map(|row| ticked(row.split('|').nth(1).unwrap())).map(str::to_owned).collect()
}

#[test]
fn every_setting_that_is_understood_is_in_the_tables_and_no_other() {
    let page = page("docs/operators.md");
    let mut scalars = BTreeSet::from(["data_dir".to_owned(), "secrets.NAME".to_owned()]);
    for section in ["store", "ingest", "admin", "network", "plugins", "log"] {
        let keys = understood(&format!("[{section}]\nKEY = 1"));
        scalars.extend(keys.into_iter().map(|key| format!("{section}.{key}")));
    }
    assert_eq!(first_column(&page, "key"), scalars);
    for section in ["plugin", "source", "endpoint"] {
        let keys = understood(&format!("[[{section}]]\nKEY = 1"));
        assert_eq!(first_column(&page, &format!("key of `[[{section}]]`")), keys, "{section}");
    }
    let sections = "admin data_dir endpoint ingest log network plugin plugins secrets source store";
    let sections = sections.split(' ').map(str::to_owned).collect();
    assert_eq!(understood("KEY = 1"), sections, "a new section needs its table");
}

#[test]
fn every_scheme_is_in_the_tables_with_its_keys() {
    let page = page("docs/operators.md");
    let of = |scheme: &str| {
        let mut keys = understood(&format!("[[source]]\nauth = {{ scheme = \"{scheme}\", KEY = 1 }}"));
        assert!(keys.remove("scheme"), "{scheme}");
        keys
    };
    let rows = page.split("| `scheme` |").nth(1).unwrap().lines().skip(2).take_while(|line| !line.is_empty());
    for row in rows {
        let scheme = ticked(row).next().unwrap();
        let keys = if scheme == "hmac" { first_column(&page, "key of `hmac`") } else { of(scheme) };
        assert_eq!(keys, of(scheme), "{scheme}");
        for key in keys.iter().filter(|_| scheme != "hmac") {
            assert!(ticked(row).any(|word| word == key), "`{key}` is not in the row of {scheme}");
        }
    }
}
