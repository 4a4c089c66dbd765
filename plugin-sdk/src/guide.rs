//! The guide for plugin authors, whose examples are run as tests of this crate.

#[doc = include_str!("../../docs/plugins/kinds.md")]
pub struct Kinds;

#[doc = include_str!("../../docs/plugins/capabilities.md")]
pub struct Capabilities;

#[doc = include_str!("../../docs/plugins/limits.md")]
pub struct Limits;

#[doc = include_str!("../../docs/plugins/testing.md")]
pub struct Testing;
