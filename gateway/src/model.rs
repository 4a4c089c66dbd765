//! The nouns: pure values without I/O, clock or randomness. They fail only by refusing a value.

pub mod attempt;
pub mod delivery;
pub mod difference;
pub mod dispatch;
pub mod endpoint;
pub mod id;
pub mod job;
pub mod kv;
pub mod name;
pub mod ping;
pub mod pointer;
pub mod profile;
pub mod rate;
pub mod refused;
pub mod rest;
pub mod retry;
pub mod rotation;
pub mod route;
pub mod secret;
pub mod signature;
pub mod source;
pub mod stats;
pub mod text;
pub mod webhook;
pub mod words;

pub use billhook_event::Time;
