//! A refused request: what is kept of it, so that it can be authenticated again once a mistake of ours is mended.

use crate::model::id::{RefusedId, WebhookId};
use crate::model::source::Place;
use crate::model::webhook::Header;
use billhook_event::Time;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::net::IpAddr;
use subtle::{Choice, ConstantTimeEq};

/// The most bytes of a body that are kept. One that is longer cannot be authenticated again.
pub const BODY_BYTES_MAX: usize = 64 << 10;

/// The most requests that are kept for each source; the newest stay.
pub const KEPT_MAX: usize = 100;

/// What stands for the source of requests that no source could be found for. No source has this name: an operator
/// who names one so meets them there.
pub const NO_SOURCE: &str = "-";

/// The same for requests to paths that are none of the gateway's own, which anybody tries: apart, so that they do not push
/// out what was sent to one of its own and answered 200.
pub const ELSEWHERE: &str = "/";

/// A refused request, as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct RefusedRequest {
    /// What it is called.
    pub id: RefusedId,
    /// Everything but the body.
    pub head: RefusedHead,
    /// The body, or its first [`BODY_BYTES_MAX`] bytes. As it arrived where a signature must fit it, else redacted.
    pub body: Bytes,
}

/// Everything of a refused request but its body.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RefusedHead {
    /// When it arrived.
    pub at: Time,
    /// The source that refused it, or [`NO_SOURCE`] or [`ELSEWHERE`].
    pub source: String,
    /// Why it was refused.
    pub cause: String,
    /// Where the sender's connection came from.
    pub remote: IpAddr,
    /// The path, as sent.
    pub path: String,
    /// The query without its secrets, as sent.
    pub query: String,
    /// The headers without those that carry secrets. A signature is no secret and stays.
    pub headers: Vec<Header>,
    /// What was left out of query and headers: where it stood, and enough to compare it with a secret.
    pub presented: Vec<Presented>,
    /// SHA-256 of the body as it arrived; of one that is not whole, zeros.
    pub sha256: [u8; 32],
    /// How many bytes of the body are kept.
    pub body_len: u64,
    /// Whether that is all of it. Of what is not whole, nothing can be decided again.
    pub whole: bool,
}

/// What stood where a secret may be: enough to compare it with another secret, not the thing itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presented {
    /// Where it stood.
    pub place: Place,
    /// Random, so that equal values do not look alike.
    pub salt: [u8; 16],
    /// SHA-256 of the salt and the value.
    pub hash: [u8; 32],
}

impl Presented {
    /// Of the `value` that stood at `place`.
    pub fn new(place: Place, value: &str, salt: [u8; 16]) -> Presented {
        Presented { place, salt, hash: hash(salt, value) }
    }

    /// Whether `value` stood there; in constant time.
    pub fn fits(&self, value: &str) -> Choice {
        self.hash.ct_eq(&hash(self.salt, value))
    }
}

fn hash(salt: [u8; 16], value: &str) -> [u8; 32] {
    Sha256::new().chain_update(salt).chain_update(value).finalize().into()
}

/// What came of authenticating a refused request again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readmission {
    /// It is stored, as of when it came, and is no longer among the refused.
    Accepted(WebhookId),
    /// The same webhook was stored before, as this; the request is no longer among the refused.
    Duplicate(WebhookId),
    /// It is still refused, and why.
    StillRefused(String),
    /// There is none of this id.
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_presented_fits_and_it_is_not_there_to_be_read() {
        let presented = |salt| Presented::new(Place::Header("x-secret".to_owned()), "hush", [salt; 16]);
        for (value, fits) in [("hush", true), ("Hush", false), ("hus", false), ("hush ", false), ("", false)]
        {
            assert_eq!(bool::from(presented(7).fits(value)), fits, "{value:?}");
        }
        assert_ne!(presented(7).hash, presented(8).hash);
        assert!(!format!("{:?}", presented(7)).contains("hush"));
    }
}
