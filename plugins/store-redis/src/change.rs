//! What a batch says of one key.

use crate::layout::Fingerprint;
use hydra_api::{ContentKey, UnixSeconds};

/// How much longer than its latest record a key lives in Redis: the purge comes first and counts what it removes.
pub(crate) const MARGIN_S: u32 = 86_400;

/// What a batch says of one key.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) key: ContentKey,
    /// The places of its records in the batch.
    pub(crate) places: Vec<usize>,
    pub(crate) providers: Vec<(Fingerprint, UnixSeconds)>,
}

impl Change {
    pub(crate) fn new(key: ContentKey) -> Self {
        Self { key, places: Vec::new(), providers: Vec::new() }
    }

    /// When its last record expires.
    pub(crate) fn latest(&self) -> UnixSeconds {
        self.providers.iter().map(|(_, expires)| *expires).max().unwrap_or_default()
    }

    /// Its providers as a bucket has them.
    pub(crate) fn packed(&self) -> Vec<u8> {
        let entry = |(fingerprint, expires): &(Fingerprint, UnixSeconds)| {
            fingerprint.iter().copied().chain(expires.0.to_be_bytes()).collect::<Vec<_>>()
        };
        self.providers.iter().flat_map(entry).collect()
    }
}
