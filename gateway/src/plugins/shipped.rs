//! The plugins that the gateway brings along: built from `plugins/` by `build.rs` and embedded.

/// Name and component, by name.
static SHIPPED: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/shipped.rs"));

/// The component of the shipped plugin that is called `name`.
pub fn component(name: &str) -> Option<&'static [u8]> {
    SHIPPED.iter().find(|(shipped, _)| *shipped == name).map(|(_, component)| *component)
}

/// The names of all shipped plugins, in order.
pub fn names() -> impl Iterator<Item = &'static str> {
    SHIPPED.iter().map(|(name, _)| *name)
}
