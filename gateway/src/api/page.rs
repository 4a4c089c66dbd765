//! Pages of a list.

use serde::{Deserialize, Serialize};

/// How many rows a page has when the request does not say.
pub const LIMIT_DEFAULT: usize = 50;
/// The most rows of a page; a request for more is refused.
pub const LIMIT_MAX: usize = 200;

/// A page of a list, newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Page<T> {
    /// The rows. A page may be empty and not the last.
    pub items: Vec<T>,
    /// What to send as `after` for the next page, with the same filters; absent: this was the last.
    #[serde(default = "no_cursor", skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// `#[serde(default)]` on a field of a generic type would ask for `T: Default`.
fn no_cursor() -> Option<String> {
    None
}
