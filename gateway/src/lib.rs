//! Billhook: a WebAssembly-extensible gateway for billing webhooks.
//!
//! Billing providers post their own payloads to it; sandboxed plugins normalize, filter and annotate them; it
//! delivers the result, signed, to the operator's endpoints, and keeps every retry in a durable store.
//!
//! # The line an event takes
//!
//! | step | where | durable before going on |
//! |---|---|---|
//! | accept, authenticate | [`ingest`], `ingest/authenticate.rs` | nothing: the provider sends again |
//! | persist, then answer 200 | [`store::Intake::accept`] | the webhook and its dedupe key, synced |
//! | normalize, filter, map, route | [`dispatch::pipeline`], [`plugins`], [`model::route`] | |
//! | persist events and deliveries | [`store::Dispatching::dispatched`] | all of it at once, applied |
//! | write, sign, send | [`deliver`], [`model::profile`], [`model::signature`], [`outbound`] | |
//! | record, retry | [`store::Delivering::finish`], [`model::retry`] | the attempt and the next state, applied |
//!
//! # Layout
//!
//! Imports go downwards only; `tests/it/tidy.rs` keeps it so.
//!
//! - [`cli`], [`demo`]: what a person types; they speak to a gateway through [`client`]
//! - [`server`]: the only file that knows every other part; [`config`] beside it
//! - [`ingest`], [`admin`]: the faces
//! - [`dispatch`], [`deliver`], [`replay`]: passes over stored state, kept going by [`worker`]; they meet in the store
//! - [`plugins`]: hosts components
//! - [`store`], [`outbound`], [`clock`], [`telemetry`], [`api`]: adapters and wire types
//! - [`model`]: the nouns, pure
//!
//! # Starting one
//!
//! [`server::start`] takes a configuration, bound listeners and a clock, and returns a handle: everything that a test
//! must replace is an argument.

pub mod admin;
pub mod api;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod deliver;
pub mod demo;
pub mod dispatch;
pub mod ingest;
pub mod model;
pub mod outbound;
pub mod plugins;
pub mod replay;
pub mod server;
pub mod store;
pub mod telemetry;
pub mod worker;
