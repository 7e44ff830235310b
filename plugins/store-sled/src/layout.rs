//! Keys and values of the tree of provider records, byte by byte, beside those of [`hydra_embedded::rows`]. Value records have a
//! tree of their own, as [`hydra_embedded::values`] has it.
//!
//! | key | value |
//! |---|---|
//! | `r` ‖ length of the key u8 ‖ key ‖ provider number | expiry u32 |
//!
//! Numbers in keys are big-endian, so that they are in order; in values they are little-endian.

pub(crate) use hydra_embedded::rows::{
    Counts, META, PROVIDERS, ProviderUpdate, RECORDS, RowKey, StoredProvider, decode_u32, number_key,
    number_of,
};

use hydra_api::ContentKey;
use hydra_embedded::rows::joined;

/// The layout that this code reads and writes.
pub(crate) const VERSION: u8 = 1;

/// The length keeps the rows of a key apart from those of a key that begins with it.
pub(crate) fn record_key(key: &ContentKey, number: u32) -> RowKey {
    let key = key.as_bytes();
    joined(RECORDS, &[&[key.len() as u8], key, &number.to_be_bytes()])
}
