//! Why a request was refused: problem details (RFC 9457).

use serde::{Deserialize, Serialize};

/// The media type of a [`Problem`] (RFC 9457, 6.1).
pub const MEDIA_TYPE: &str = "application/problem+json";

/// Why a request was refused. Programs read `status` and `code`; people read the rest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// `about:blank`: the problem is no more than its status and code say.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// What the status means.
    #[serde(default)]
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// A stable name of the problem, such as `bad_cursor`.
    #[serde(default)]
    pub code: String,
    /// What was wrong with this request, and what to do.
    #[serde(default)]
    pub detail: String,
}
