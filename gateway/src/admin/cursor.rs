//! Where the next page of a list begins, as text that only means something to the list that gave it.

use crate::admin::error::ApiError;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// The first byte of every cursor; another number is another layout.
const VERSION: u8 = 1;
/// How much of the list's hash a cursor holds.
const HASH_BYTES: usize = 8;
/// The longest cursor that is read, in characters.
const CURSOR_CHARS_MAX: usize = 512;

/// A list as a cursor knows it: its name and its filters, in a fixed order.
pub(crate) struct List(u64);

impl List {
    /// The list `name` under these filters.
    pub(crate) fn new(name: &str, filters: &[Option<&str>]) -> List {
        let mut hash = Sha256::new();
        for part in std::iter::once(&Some(name)).chain(filters) {
            // Length first, so that no two lists of texts read the same; an absent filter is not an empty one.
            let length = part.map_or(u64::MAX, |text| text.len() as u64);
            hash.update(length.to_be_bytes());
            hash.update(part.unwrap_or_default());
        }
        let hash = hash.finalize();
        List(u64::from_be_bytes(hash[..HASH_BYTES].try_into().expect("a SHA-256 has 32 bytes")))
    }

    /// The cursor of the page that begins after `key`.
    pub(crate) fn cursor(&self, key: &[u8]) -> String {
        URL_SAFE_NO_PAD.encode([&[VERSION][..], &self.0.to_be_bytes(), key].concat())
    }

    /// The key in a cursor of this list; without a cursor the empty one, which begins the list.
    pub(crate) fn key(&self, cursor: Option<&str>) -> Result<Vec<u8>, ApiError> {
        let Some(cursor) = cursor else {
            return Ok(Vec::new());
        };
        if cursor.len() > CURSOR_CHARS_MAX {
            return Err(ApiError::BadCursor);
        }
        let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| ApiError::BadCursor)?;
        let ours = [&[VERSION][..], &self.0.to_be_bytes()].concat();
        bytes.strip_prefix(&ours[..]).map(<[u8]>::to_vec).ok_or(ApiError::BadCursor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_good_for_its_own_list_only() {
        let list = List::new("events", &[Some("a"), None]);
        let cursor = list.cursor(b"key");
        assert_eq!(list.key(Some(&cursor)).unwrap(), b"key");
        assert_eq!(list.key(None).unwrap(), b"");
        let others = [
            List::new("events", &[None, Some("a")]),
            List::new("events", &[Some("a"), Some("")]),
            List::new("events", &[Some(""), Some("a")]),
            List::new("deliveries", &[Some("a"), None]),
        ];
        for other in others {
            assert!(matches!(other.key(Some(&cursor)), Err(ApiError::BadCursor)));
        }
        for damaged in ["", "!", "AA", &cursor[1..], &"A".repeat(CURSOR_CHARS_MAX + 4)] {
            assert!(matches!(list.key(Some(damaged)), Err(ApiError::BadCursor)), "{damaged}");
        }
    }
}
