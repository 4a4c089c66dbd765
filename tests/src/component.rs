//! Components of the plugins in `tests/fixtures`, built from source.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// Variables that are meant for the build of the tests, and not for that of a component.
const OUTER: [&str; 5] =
    ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "CARGO_TARGET_DIR"];

/// The file of a package's component with some of its features, built below `target_dir` once for all tests of a process.
///
/// # Panics
/// With what cargo says, if it cannot be built.
pub fn component(target_dir: &str, package: &str, features: &[&str]) -> PathBuf {
    static BUILT: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
    let name = [&[package], features].concat().join("+");
    let kept = Path::new(target_dir).join(name).with_extension("wasm");
    // Held while it is built: others wait for it.
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    if built.contains(&kept) {
        return kept;
    }
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("it is in a workspace"));
    cargo.args(["build", "--locked", "--target", "wasm32-wasip2", "--profile", "plugin"]);
    cargo.args(["--target-dir", target_dir, "--package", package, "--features", &features.join(",")]);
    for outer in OUTER {
        cargo.env_remove(outer);
    }
    let output = cargo.output().expect("cargo can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let file = format!("wasm32-wasip2/plugin/{}.wasm", package.replace('-', "_"));
    // The next build of the package may be with other features.
    fs::copy(Path::new(target_dir).join(file), &kept).expect("cargo says that it built it");
    built.insert(kept.clone());
    kept
}
