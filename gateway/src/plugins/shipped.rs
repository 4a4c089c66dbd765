//! The plugins that the gateway brings along: built from `plugins/` by `build.rs` and embedded.

use crate::plugins::Component;

/// Name, component and its SHA-256, by name.
static SHIPPED: &[(&str, &[u8], [u8; 32])] = include!(concat!(env!("OUT_DIR"), "/shipped.rs"));

/// The component of the shipped plugin that is called `name`.
pub fn component(name: &str) -> Option<Component> {
    let (_, component, sha256) = SHIPPED.iter().find(|(shipped, ..)| *shipped == name)?;
    Some(Component::known(component, *sha256))
}

/// The names of all shipped plugins, in order.
pub fn names() -> impl Iterator<Item = &'static str> {
    SHIPPED.iter().map(|(name, ..)| *name)
}
