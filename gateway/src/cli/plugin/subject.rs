//! The plugin that a command is about: a crate, which is built first, or a component.

use crate::cli::plugin::running::read;
use crate::plugins::Component;
use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What components are built for.
const TARGET: &str = "wasm32-wasip2";

/// Which plugin.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Which {
    /// The plugin: the folder of its crate, which is built first, or a component
    #[arg(value_name = "PATH|FILE.wasm", default_value = ".")]
    path: PathBuf,
    /// Where its fixtures are [default: fixtures in the crate's folder, else in this one]
    #[arg(long, value_name = "DIR")]
    fixtures: Option<PathBuf>,
}

/// A component and where its fixtures are.
pub(super) struct Subject {
    /// What its file is called, for errors.
    pub(super) name: String,
    pub(super) component: Component,
    pub(super) fixtures: PathBuf,
}

impl Which {
    /// The plugin at `path` with its own fixtures.
    pub(super) fn at(path: PathBuf) -> Which {
        Which { path, fixtures: None }
    }

    /// The component, built first if it is a crate.
    pub(super) fn subject(&self) -> anyhow::Result<Subject> {
        let (file, home) = if self.path.is_dir() {
            (build(&self.path)?, self.path.as_path())
        } else {
            (self.path.clone(), Path::new(""))
        };
        let fixtures = self.fixtures.clone().unwrap_or_else(|| home.join("fixtures"));
        let (name, component) = named(&file)?;
        Ok(Subject { name, component, fixtures })
    }
}

/// What a component's file is called, and the component.
pub(super) fn named(file: &Path) -> anyhow::Result<(String, Component)> {
    let name = file.file_stem().unwrap_or(OsStr::new("plugin")).to_string_lossy().into_owned();
    Ok((name, Component::new(read(file)?)))
}

/// Builds the crate in `folder` and says where its component is. What cargo says goes to standard error.
pub(super) fn build(folder: &Path) -> anyhow::Result<PathBuf> {
    ensure!(
        folder.join("Cargo.toml").is_file(),
        "no Cargo.toml in {}: name the folder of a plugin's crate, or a component",
        folder.display()
    );
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(folder).args(["build", "--release", "--target", TARGET]);
    cargo.arg("--message-format=json-render-diagnostics").stderr(Stdio::inherit());
    let output = cargo.output().context("cannot run cargo: install Rust from https://rustup.rs")?;
    if !output.status.success() {
        bail!("cargo ended with {}; if the target is missing: rustup target add {TARGET}", output.status);
    }
    let manifest = folder.join("Cargo.toml").canonicalize().context("cannot find the crate's folder")?;
    let said = String::from_utf8_lossy(&output.stdout);
    component_of(&said, &manifest).with_context(|| {
        format!("{} builds no component: it needs `[lib] crate-type = [\"cdylib\"]`", folder.display())
    })
}

/// What cargo says of something that it built.
#[derive(Deserialize)]
struct Artifact {
    reason: String,
    #[serde(default)]
    manifest_path: PathBuf,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

/// The component among what cargo built, for the crate of this Cargo.toml.
fn component_of(messages: &str, manifest: &Path) -> Option<PathBuf> {
    let artifacts = messages.lines().filter_map(|line| serde_json::from_str::<Artifact>(line).ok());
    artifacts
        .filter(|artifact| artifact.reason == "compiler-artifact" && artifact.manifest_path == manifest)
        .flat_map(|artifact| artifact.filenames)
        .find(|file| file.extension().is_some_and(|extension| extension == "wasm"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_component_is_found_among_what_cargo_built() {
        let messages = r#"{"reason":"compiler-artifact","manifest_path":"/b/Cargo.toml","filenames":["/t/b.wasm"]}
not JSON
{"reason":"compiler-artifact","manifest_path":"/a/Cargo.toml","filenames":["/t/liba.rlib","/t/a.wasm"]}
{"reason":"build-finished","success":true}"#;
        assert_eq!(component_of(messages, Path::new("/a/Cargo.toml")), Some("/t/a.wasm".into()));
        assert_eq!(component_of(messages, Path::new("/c/Cargo.toml")), None);
    }

    #[test]
    fn what_is_no_plugin_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let told = |path: &Path| Which::at(path.to_owned()).subject().map(|_| ()).unwrap_err().to_string();
        assert!(told(dir.path()).contains("no Cargo.toml in"), "{}", told(dir.path()));
        assert!(told(&dir.path().join("x.wasm")).contains("cannot read"));
    }
}
