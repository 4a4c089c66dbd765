//! `billhook plugin new`: begins a plugin, as a crate that builds and passes its tests at once.

use crate::cli::terminal::{Style, print, strong};
use crate::model::name::{NAME_MAX, is_name};
use crate::plugins::manifest::Kind;
use anyhow::{Context, ensure};
use std::fs;
use std::path::{Path, PathBuf};

/// What to begin.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What it is to do: verify, normalize, filter, map or transform
    #[arg(long, value_name = "KIND", value_parser = kind)]
    kind: Kind,
    /// What it and its folder are called: a-z, 0-9, `-`, `_`, beginning with a letter
    #[arg(value_name = "NAME", value_parser = name)]
    name: String,
    /// The SDK's folder, `plugin-sdk` in a clone of Billhook: it is not published yet
    #[arg(long, value_name = "PATH")]
    sdk: PathBuf,
}

fn kind(text: &str) -> Result<Kind, String> {
    let names = Kind::ALL.map(Kind::name).join(", ");
    Kind::ALL.into_iter().find(|kind| kind.name() == text).ok_or_else(|| format!("the kinds are {names}"))
}

fn name(text: &str) -> Result<String, String> {
    let is_crate = is_name(text) && text.starts_with(|c: char| c.is_ascii_lowercase());
    is_crate
        .then(|| text.to_owned())
        .ok_or_else(|| format!("write 1 to {NAME_MAX} of a-z, 0-9, `-` and `_`, beginning with a letter"))
}

/// Runs the command.
pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let folder = Path::new(&args.name);
    ensure!(!folder.exists(), "{} is there already: choose another name, or another folder", args.name);
    for (path, text) in files(args)? {
        let path = folder.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
        }
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let mut out = String::new();
    strong(format!("{}/", args.name)).draw(Style::detect(), &mut out);
    out.push_str(&format!(" is a plugin that can {}. Go on with:\n", args.kind));
    for command in
        [&format!("cd {}", args.name), "cargo test", "billhook plugin build", "billhook plugin test"]
    {
        out.push_str(&format!("  {command}\n"));
    }
    Ok(print(&out)?)
}

/// Names that the templates or the language use.
const TAKEN: &[&str] = &[
    "Config",
    "Draft",
    "Duration",
    "Err",
    "Event",
    "Failure",
    "Filter",
    "Judgement",
    "Map",
    "NoConfig",
    "None",
    "Normalize",
    "Ok",
    "Option",
    "Outgoing",
    "Patch",
    "Plugin",
    "Proof",
    "Request",
    "Result",
    "Secret",
    "Self",
    "Sending",
    "Some",
    "String",
    "Time",
    "Transform",
    "Vec",
    "Verdict",
    "Verify",
    "Webhook",
];

/// A file of a template: where it goes, and its text with places to fill in.
type File = (&'static str, &'static str);

/// The files that every plugin has.
const SHARED: [File; 4] = [
    ("Cargo.toml", include_str!("template/Cargo.toml.txt")),
    ("README.md", include_str!("template/README.md.txt")),
    (".cargo/config.toml", include_str!("../../../../.cargo/config.toml")),
    (".gitignore", "/target\n"),
];

/// What a plugin with a configuration depends on besides.
const CONFIG_DEPENDENCIES: &str = r#"serde = { version = "1", features = ["derive"] }

# The test that holds config.schema.json against the code needs it; the component does not.
[target.'cfg(not(target_family = "wasm"))'.dependencies]
schemars = "1"
"#;

/// The files of a kind: code and manifest, and what is named besides.
macro_rules! template {
    ($kind:literal: $($file:literal),+) => {
        &[
            ("src/lib.rs", include_str!(concat!("template/", $kind, "/lib.rs"))),
            ("plugin.toml", include_str!(concat!("template/", $kind, "/plugin.toml"))),
            $(($file, include_str!(concat!("template/", $kind, "/", $file)))),+
        ]
    };
}

fn template(kind: Kind) -> &'static [File] {
    match kind {
        Kind::Verify => template!("verify": "config.schema.json",
            "fixtures/signed/input.json", "fixtures/signed/expected.json",
            "fixtures/forged/input.json", "fixtures/forged/expected.json"),
        Kind::Normalize => template!("normalize":
            "fixtures/paid/input.json", "fixtures/paid/expected.json",
            "fixtures/unknown/input.json", "fixtures/unknown/expected.json"),
        Kind::Filter => template!("filter":
            "fixtures/test-mode/input.json", "fixtures/test-mode/expected.json",
            "fixtures/live/input.json", "fixtures/live/expected.json"),
        Kind::Map => template!("map": "config.schema.json",
            "fixtures/europe/input.json", "fixtures/europe/config.toml", "fixtures/europe/expected.json",
            "fixtures/nowhere/input.json", "fixtures/nowhere/config.toml", "fixtures/nowhere/expected.json"),
        Kind::Transform => template!("transform": "config.schema.json",
            "fixtures/failed/input.json", "fixtures/failed/config.toml", "fixtures/failed/expected.json"),
    }
}

/// The files of a new plugin, filled in.
fn files(args: &Args) -> anyhow::Result<Vec<(PathBuf, String)>> {
    let sdk = args.sdk.canonicalize().with_context(|| format!("no SDK at {}", args.sdk.display()))?;
    ensure!(sdk.join("Cargo.toml").is_file(), "no SDK at {}: it has no Cargo.toml", sdk.display());
    let sdk = format!("{{ path = {:?} }}", sdk.display().to_string());
    let more = match args.kind {
        Kind::Verify => format!("hex = \"0.4\"\n{CONFIG_DEPENDENCIES}"),
        Kind::Map => {
            format!("serde_json = {{ version = \"1\", features = [\"raw_value\"] }}\n{CONFIG_DEPENDENCIES}")
        }
        Kind::Transform => CONFIG_DEPENDENCIES.to_owned(),
        Kind::Normalize | Kind::Filter => String::new(),
    };
    let fill = |text: &str| {
        text.replace("PluginType", &type_name(&args.name))
            .replace("plugin-name", &args.name)
            .replace("plugin-kind", args.kind.name())
            .replace("SDK-DEPENDENCY", &sdk)
            .replace("MORE-DEPENDENCIES\n", &more)
    };
    let all = SHARED.iter().chain(template(args.kind));
    Ok(all.map(|(path, text)| (PathBuf::from(path), fill(text))).collect())
}

/// The name as that of a type: `my-plugin` is `MyPlugin`, and `filter` is `FilterPlugin`.
fn type_name(name: &str) -> String {
    let capital = |word: &str| word[..word.len().min(1)].to_ascii_uppercase() + word.get(1..).unwrap_or("");
    let name: String = name.split(['-', '_']).map(capital).collect();
    if TAKEN.contains(&name.as_str()) { name + "Plugin" } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_plugins_become_names_of_types() {
        for (plain, expected) in
            [("acme", "Acme"), ("my-plugin", "MyPlugin"), ("a--b_9c", "AB9c"), ("map", "MapPlugin")]
        {
            assert_eq!(name(plain).unwrap(), plain);
            assert_eq!(type_name(plain), expected);
        }
        for wrong in ["", "Acme", "9lives", "-a", "a b", "ä", "../a"] {
            assert!(name(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn nothing_is_left_to_fill_in() {
        let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugin-sdk");
        for kind in Kind::ALL {
            let args = Args { kind, name: "acme".to_owned(), sdk: sdk.clone() };
            for (path, text) in files(&args).unwrap() {
                for place in
                    ["PluginType", "plugin-name", "plugin-kind", "SDK-DEPENDENCY", "MORE-DEPENDENCIES"]
                {
                    assert!(!text.contains(place), "{kind}: {} has {place}", path.display());
                }
            }
        }
    }

    #[test]
    fn a_folder_without_an_sdk_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let told = |sdk: &str| {
            let args = Args { kind: Kind::Map, name: "acme".to_owned(), sdk: dir.path().join(sdk) };
            files(&args).unwrap_err().to_string()
        };
        assert!(told("").contains("has no Cargo.toml") && told("x").contains("no SDK at"));
    }
}
