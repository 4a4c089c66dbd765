//! The components of `tests/fixtures`, built from source.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;

/// The component of a fixture.
pub(crate) fn built(name: &str) -> PathBuf {
    static BUILT: Once = Once::new();
    let target_dir = concat!(env!("CARGO_TARGET_TMPDIR"), "/fixtures");
    BUILT.call_once(|| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap());
        cargo.args(["build", "--locked", "--target", "wasm32-wasip2", "--profile", "plugin"]);
        for fixture in ["acme-signed", "chat", "grantee"] {
            cargo.args(["--package", fixture]);
        }
        cargo.args(["--target-dir", target_dir]);
        for outer in [
            "RUSTFLAGS",
            "CARGO_ENCODED_RUSTFLAGS",
            "RUSTC_WRAPPER",
            "RUSTC_WORKSPACE_WRAPPER",
            "CARGO_TARGET_DIR",
        ] {
            cargo.env_remove(outer);
        }
        let output = cargo.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    });
    let file = format!("{}.wasm", name.replace('-', "_"));
    PathBuf::from(target_dir).join("wasm32-wasip2/plugin").join(file)
}

/// A `[[plugin]]` called `name` that is `tests/fixtures/grantee` and does `act`; `more` is added to its table.
pub(crate) fn grantee(name: &str, act: &str, more: &str) -> String {
    format!(
        "[[plugin]]\nname = \"{name}\"\ncomponent = {:?}\ngrants = [\"kv:seen\", \"secret:token\", \"reveal:token\", \
         \"http:127.0.0.1\"]\nconfig = {{ key = \"/subscription/id\", act = {act} }}\n{more}\n",
        built("grantee")
    )
}

/// What its grants name.
pub(crate) const SECRETS: &str = "[secrets]\ntoken = [\"new-token\", \"old-token\"]\n";
