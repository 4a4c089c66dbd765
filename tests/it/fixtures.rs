//! The components of `tests/fixtures`, and how a configuration names them.

use billhook_tests::component::component;
use std::path::PathBuf;

/// The component of a fixture.
pub(crate) fn built(name: &str) -> PathBuf {
    built_with(name, &[])
}

/// The component of a fixture with some of its features.
pub(crate) fn built_with(name: &str, features: &[&str]) -> PathBuf {
    component(concat!(env!("CARGO_TARGET_TMPDIR"), "/fixtures"), name, features)
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
