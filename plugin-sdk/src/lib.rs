//! Write Billhook plugins in Rust.
//!
//! A plugin is a type that implements [`Plugin`] and one or more kinds: [`Verify`], [`Normalize`],
//! [`Filter`], [`Map`], [`Transform`]. [`plugin!`] turns it into a WebAssembly component. The same crate compiles
//! natively, where [`Request`], [`Webhook`], [`Event`] and [`Outgoing`] are built from samples, so plain `cargo test`
//! tests a plugin.
//!
//! ```
//! use billhook_plugin::{Draft, Failure, NoConfig, Normalize, Plugin, Webhook};
//!
//! struct Acme;
//!
//! impl Plugin for Acme {
//!     type Config = NoConfig;
//!     fn new(_: NoConfig) -> Result<Acme, Failure> {
//!         Ok(Acme)
//!     }
//! }
//!
//! impl Normalize for Acme {
//!     fn normalize(&self, webhook: &Webhook) -> Result<Vec<Draft>, Failure> {
//!         let body = webhook.fields()?;
//!         let name = body.text("event").ok_or_else(|| Failure::invalid("the body names no event"))?;
//!         let kind = if name == "paid" { "invoice.paid" } else { "provider.unmapped" };
//!         let draft = Draft { kind: kind.into(), provider_event_type: name, ..Draft::default() };
//!         Ok(vec![Draft { occurred_at: body.time("at"), ..draft }])
//!     }
//! }
//!
//! let webhook = Webhook::new("acme", "acme").with_body(r#"{"event":"paid","at":"2026-08-10T12:00:00Z"}"#);
//! assert_eq!(Acme.normalize(&webhook).unwrap()[0].kind, "invoice.paid");
//! ```
//!
//! `billhook plugin new` writes the files around it, and the guide in `docs/plugins` leads through them. A plugin runs
//! in a fresh instance for each call, so nothing that it keeps in memory lasts; it reaches nothing but what this crate
//! offers. The macros of the crate `log` write to the gateway's log.
//!
//! # Layout
//!
//! - [`mod@plugin`]: the traits, and what a call answers with; [`verify`] and [`transform`] have theirs
//! - [`request`], [`webhook`], [`event`], [`outgoing`]: what a call is given
//! - [`secret`], [`kv`], [`mod@http`]: what only those use who are granted it
//! - [`document`], [`json`], [`number`]: JSON read in place, with exact numbers
//! - [`notes`]: what was odd and kept, and amounts that are noted where they cannot be read
//! - [`host`]: the clock and the log
//! - [`check`]: what the generated tests hold (native only)
//! - [`testing`]: fixture folders and, with the feature `testing`, bodies that nobody should send (native only)

#[cfg(any(test, target_family = "wasm", feature = "testing"))]
mod draft;
#[cfg(doctest)]
mod guide;
#[cfg(any(test, all(target_family = "wasm", feature = "heap")))]
mod heap;
mod logger;
mod macros;

pub mod document;
pub mod event;
pub mod host;
pub mod http;
pub mod json;
pub mod kv;
pub mod notes;
pub mod number;
pub mod outgoing;
pub mod plugin;
pub mod request;
pub mod secret;
pub mod transform;
pub mod verify;
pub mod webhook;

#[cfg(not(target_family = "wasm"))]
pub mod check;
#[cfg(not(target_family = "wasm"))]
pub mod testing;

#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub mod bindings;
#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub mod exports;
#[cfg(target_family = "wasm")]
mod stdio;

pub use billhook_event::{self as model, Draft, Money, Patch, Time};
pub use document::Document;
pub use event::Event;
pub use host::{Level, log, now};
pub use http::{HttpError, HttpRequest, HttpResponse};
pub use json::{Fields, Json, Scalar};
pub use kv::{Bucket, KvError};
pub use notes::Notes;
pub use number::Number;
pub use outgoing::Outgoing;
pub use plugin::{Failure, Filter, Map, NoConfig, Normalize, Plugin, Verdict};
pub use request::Request;
pub use rust_decimal::Decimal;
pub use secret::Secret;
pub use transform::{Sending, Transform};
pub use verify::{Judgement, Proof, Reply, Verify};
pub use webhook::Webhook;
