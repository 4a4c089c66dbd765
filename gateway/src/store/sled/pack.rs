//! Longer values are compressed by zstd with a dictionary: what a webhook, a run and an event always say costs next
//! to nothing on disk, where each byte is written about three times.
//!
//! A packed value is the byte [`PACKED`], the number of its dictionary, and a zstd frame (RFC 8878). Dictionaries are
//! never changed, only added: a value names the one it was written with.

use crate::store::StoreError;
use std::cell::RefCell;
use std::sync::LazyLock;
use zstd::bulk::{Compressor, Decompressor};
use zstd::dict::{DecoderDictionary, EncoderDictionary};

/// The first byte of a packed value; other values begin with their version.
const PACKED: u8 = 0xfd;
/// The dictionary that we write with.
const DICTIONARY: u8 = 1;
/// Raw content, the likeliest last: nearer matches are shorter.
const DICTIONARY_1: &[u8] = include_bytes!("dictionary-1.txt");
/// Little more than half the instructions of the default level, for two fifths more bytes.
const LEVEL: i32 = -7;
/// Shorter values stay as they are.
const PACKED_BYTES_MIN: usize = 256;
/// No longer value is packed: a frame that says otherwise is damage.
const VALUE_BYTES_MAX: usize = 64 << 20;

static ENCODER: LazyLock<EncoderDictionary<'static>> =
    LazyLock::new(|| EncoderDictionary::copy(DICTIONARY_1, LEVEL));
static DECODER: LazyLock<DecoderDictionary<'static>> =
    LazyLock::new(|| DecoderDictionary::copy(DICTIONARY_1));

thread_local! {
    // A context is half a megabyte and is made once a thread. It fails for want of memory only.
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> =
        RefCell::new(Compressor::with_prepared_dictionary(&ENCODER).ok());
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> =
        RefCell::new(Decompressor::with_prepared_dictionary(&DECODER).ok());
}

/// The value as it is written: packed if that makes it shorter and it can be unpacked.
pub(super) fn pack(value: Vec<u8>) -> Vec<u8> {
    if !(PACKED_BYTES_MIN..=VALUE_BYTES_MAX).contains(&value.len()) {
        return value;
    }
    let packed = COMPRESSOR.with_borrow_mut(|compressor| {
        let frame = compressor.as_mut()?.compress(&value).ok()?;
        Some([&[PACKED, DICTIONARY], frame.as_slice()].concat())
    });
    packed.filter(|packed| packed.len() < value.len()).unwrap_or(value)
}

/// The value that was written as `bytes`; `None` if it is not packed.
pub(super) fn unpack(bytes: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
    let frame = match bytes {
        [PACKED, DICTIONARY, frame @ ..] => frame,
        [PACKED, ..] => return Err(damaged("names an unknown dictionary")),
        _ => return Ok(None),
    };
    let size = zstd::zstd_safe::get_frame_content_size(frame).ok().flatten().map(usize::try_from);
    let Some(Ok(size @ ..=VALUE_BYTES_MAX)) = size else {
        return Err(damaged("does not say how long it is"));
    };
    DECOMPRESSOR.with_borrow_mut(|decompressor| {
        let decompressor =
            decompressor.as_mut().ok_or_else(|| damaged("cannot be read for want of memory"))?;
        decompressor.decompress(frame, size).map(Some).map_err(|error| damaged(&error.to_string()))
    })
}

fn damaged(why: &str) -> StoreError {
    StoreError::Damaged(format!("a packed value {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_comes_back() {
        let random: Vec<u8> = std::iter::repeat_with(rand::random).take(5000).collect();
        for value in [vec![], vec![1], vec![1; 255], vec![1; 100_000], [&[1][..], &random].concat()] {
            let packed = pack(value.clone());
            assert!(packed.len() <= value.len());
            assert_eq!(unpack(&packed).unwrap().unwrap_or(packed), value);
        }
        let longest = pack(vec![1; VALUE_BYTES_MAX]);
        assert_eq!(unpack(&longest).unwrap().map(|value| value.len()), Some(VALUE_BYTES_MAX));
        assert_eq!(
            unpack(&pack(vec![1; VALUE_BYTES_MAX + 1])).unwrap(),
            None,
            "it is longer than any that is unpacked"
        );
        let event = r#"{"id":"evt_01ABC","schema_version":1,"type":"subscription.canceled","retention":null,
            "plugins":[{"name":"a","version":"0.1.0"}],"occurred_at":"2026-08-10T11:59:00.000Z","customer":{"id":"cus_7"},
            "cancellation":{"kind":"voluntary","initiator":"customer","phase":"effective","at_period_end":false}}"#;
        assert!(pack(event.into()).len() < event.len() / 2);
    }

    #[test]
    fn a_damaged_frame_is_told() {
        let packed = pack(vec![1; 1000]);
        let cut = &packed[..packed.len() - 1];
        let unknown = [&[PACKED, DICTIONARY + 1], &packed[2..]].concat();
        for bytes in [cut, &unknown, &[PACKED], &[PACKED, DICTIONARY, 9, 9]] {
            assert!(matches!(unpack(bytes), Err(StoreError::Damaged(_))), "{bytes:?}");
        }
    }
}
