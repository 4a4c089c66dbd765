//! Patterns that pick events by type: what an endpoint subscribes to, and what a filter asks for.
//!
//! A pattern is a canonical type, `family.*`, `*` (everything but `provider.*`), `provider/NAME` by the provider's own
//! event name, or `provider/*`: everything of that provider, also what has no canonical type.

use crate::kind::{KINDS, is_known};

/// Whether `pattern` picks an event of the canonical type `kind`, which `provider` calls `name`.
pub fn matches(pattern: &str, kind: &str, provider: &str, name: &str) -> bool {
    if let Some((of, named)) = pattern.split_once('/') {
        return of == provider && (named == "*" || named == name);
    }
    match pattern.strip_suffix('*') {
        Some("") => !kind.starts_with("provider."),
        Some(family) => kind.starts_with(family),
        None => pattern == kind,
    }
}

/// Why `pattern` can never match, if so.
pub fn problem(pattern: &str) -> Option<String> {
    let known = match (pattern.split_once('/'), pattern.strip_suffix(".*")) {
        (Some((provider, name)), _) => is_provider(provider) && !name.is_empty(),
        (None, Some(family)) => families().any(|known| known == family),
        (None, None) => pattern == "*" || is_known(pattern),
    };
    (!known).then(|| {
        format!("`{pattern}` matches no event: use a canonical type, `family.*`, `*`, `provider/NAME` or `provider/*`")
    })
}

/// Whether a source can have a provider of this name: of `a-z`, `0-9`, `-` and `_`.
pub fn is_provider(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
    !name.is_empty() && name.bytes().all(fits)
}

/// The families of the canonical types, each as often as it has types.
fn families() -> impl Iterator<Item = &'static str> {
    KINDS.iter().filter_map(|kind| kind.split_once('.')).map(|(family, _)| family)
}
