//! Builds the plugins under `plugins/` to WebAssembly and writes what `src/plugins/shipped.rs` embeds.
//!
//! One nested cargo call builds them all, into a target directory of its own (the outer cargo holds the lock of ours),
//! with the same lock file. `BILLHOOK_PLUGINS_DIR` names a directory with `NAME.wasm` files to embed instead, for those
//! who build where the target `wasm32-wasip2` cannot be had.

use sha2::{Digest, Sha256};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, exit};

const TARGET: &str = "wasm32-wasip2";
const PROFILE: &str = "plugin";

fn main() {
    if let Err(why) = run() {
        eprintln!("\nthe plugins of the gateway cannot be built: {why}\n");
        exit(1);
    }
}

fn run() -> Result<(), String> {
    let gateway = PathBuf::from(var("CARGO_MANIFEST_DIR")?);
    let workspace = gateway.parent().ok_or("the gateway's directory has no parent")?;
    let out = PathBuf::from(var("OUT_DIR")?);
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=BILLHOOK_PLUGINS_DIR");
    let names = plugins(&workspace.join("plugins"))?;
    let built = match env::var_os("BILLHOOK_PLUGINS_DIR").filter(|dir| !dir.is_empty()) {
        Some(dir) => PathBuf::from(dir),
        None => {
            for watched in [".cargo/config.toml", "Cargo.toml", "Cargo.lock", "plugins", "plugin-sdk", "wit"]
            {
                watch(&workspace.join(watched))?;
            }
            build(workspace, &out, &names)?
        }
    };
    embed(&built, &out, &names)
}

/// The packages under `plugins/`; each is called like its directory.
fn plugins(dir: &Path) -> Result<Vec<String>, String> {
    let mut names = Vec::new();
    for entry in entries(dir)? {
        if entry.join("Cargo.toml").is_file()
            && let Some(name) = entry.file_name().and_then(|name| name.to_str())
        {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// Asks cargo to run this again when a file changes, or comes to or goes from a directory.
fn watch(path: &Path) -> Result<(), String> {
    println!("cargo::rerun-if-changed={}", path.display());
    if path.is_dir() {
        for entry in entries(path)? {
            if !entry.ends_with("target") {
                watch(&entry)?;
            }
        }
    }
    Ok(())
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>, String> {
    let read = || fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>();
    let mut entries = read().map_err(|error| format!("cannot read {}: {error}", dir.display()))?;
    entries.sort();
    Ok(entries)
}

/// Builds `names` and says where their components are.
fn build(workspace: &Path, out: &Path, names: &[String]) -> Result<PathBuf, String> {
    if names.is_empty() {
        return Ok(out.to_owned());
    }
    add_target();
    let target_dir = out.join("plugins");
    let mut command = Command::new(var("CARGO")?);
    command.current_dir(workspace).args(["build", "--locked", "--target", TARGET, "--profile", PROFILE]);
    command.arg("--target-dir").arg(&target_dir);
    for name in names {
        command.args(["--package", name]);
    }
    // What the outer build is told about itself does not hold for this one.
    for (name, _) in env::vars_os() {
        let Some(text) = name.to_str() else { continue };
        let is_about_outer = text.starts_with("CARGO_BUILD_")
            || text.starts_with("CARGO_FEATURE_")
            || text.starts_with("CARGO_CFG_")
            || text.starts_with("CARGO_PKG_")
            || text.starts_with("CARGO_MANIFEST_")
            || text.starts_with("CARGO_PROFILE_")
            || text.starts_with("CARGO_TARGET_")
            || text.starts_with("CLIPPY_");
        let clears = [
            "RUSTFLAGS",
            "CARGO_ENCODED_RUSTFLAGS",
            "RUSTC",
            "RUSTC_WRAPPER",
            "RUSTC_WORKSPACE_WRAPPER",
            "RUSTC_LINKER",
            "RUSTDOC",
            "TARGET",
            "HOST",
            "OUT_DIR",
            "OPT_LEVEL",
            "DEBUG",
            "PROFILE",
            "NUM_JOBS",
        ];
        if is_about_outer || clears.contains(&text) {
            command.env_remove(&name);
        }
    }
    let shown = shown(&command);
    let output = command.output().map_err(|error| format!("cannot run `{shown}`: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!(
            "`cargo` ended with {}:\n\n{}\n\nTo see it alone, type:\n  {shown}\n\nIf the target is missing:\n  rustup target \
             add {TARGET}\n\nOr build them elsewhere and set BILLHOOK_PLUGINS_DIR to a directory with {}",
            output.status,
            said.trim_end(),
            names.iter().map(|name| format!("{name}.wasm")).collect::<Vec<_>>().join(", "),
        ));
    }
    Ok(target_dir.join(TARGET).join(PROFILE))
}

/// Adds the target where rustup is there and has not got it; what fails here shows in the build.
fn add_target() {
    let installed = Command::new("rustup").args(["target", "list", "--installed"]).output();
    if let Ok(output) = installed
        && output.status.success()
        && !String::from_utf8_lossy(&output.stdout).lines().any(|line| line == TARGET)
    {
        let _ = Command::new("rustup").args(["target", "add", TARGET]).status();
    }
}

/// The command as one would type it.
fn shown(command: &Command) -> String {
    let words = std::iter::once("cargo".to_owned())
        .chain(command.get_args().map(|arg| arg.to_string_lossy().into_owned()));
    words.collect::<Vec<_>>().join(" ")
}

/// Writes the list that is compiled in.
fn embed(built: &Path, out: &Path, names: &[String]) -> Result<(), String> {
    let mut list = String::from("&[\n");
    for name in names {
        // Cargo writes `-` in the name of a library as `_`.
        let candidates =
            [built.join(format!("{name}.wasm")), built.join(format!("{}.wasm", name.replace('-', "_")))];
        let path = candidates.iter().find(|path| path.is_file());
        let path = path.ok_or_else(|| format!("there is no {}", candidates[0].display()))?;
        let path = path.canonicalize().map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        println!("cargo::rerun-if-changed={}", path.display());
        let bytes = fs::read(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        let sha256: [u8; 32] = Sha256::digest(bytes).into();
        list.push_str(&format!("    ({name:?}, include_bytes!({path:?}), {sha256:?}),\n"));
    }
    list.push_str("]\n");
    fs::write(out.join("shipped.rs"), list).map_err(|error| format!("cannot write the list: {error}"))
}

fn var(name: &str) -> Result<String, String> {
    env::var(name).map_err(|error| format!("{name}: {error}"))
}
