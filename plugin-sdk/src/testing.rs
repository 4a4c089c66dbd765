//! What a plugin's own tests hold it against. Native only.
//!
//! [`fixtures`] reads the folders that `billhook plugin test` plays in the gateway's own sandbox, so that plain
//! `cargo test` asks the same in a fraction of the time. [`examples()`] holds the examples of a manifest to the plugin that
//! gives them. With the feature `testing` there are also bodies that nobody
//! should send: `any_body_gives_drafts_or_is_invalid` is the whole check of a normalizer.

#[cfg(feature = "testing")]
mod bodies;
mod examples;
mod play;

pub use billhook_fixture::Kind;
#[cfg(feature = "testing")]
pub use bodies::{Sample, any_body_gives_drafts_or_is_invalid, body, json, published, run, sent};
pub use examples::examples;
pub use play::{Fixture, fixtures};
