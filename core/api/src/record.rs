//! Provider records: who has this content, until when.

use crate::{Addresses, ContentKey, PeerId, UnixSeconds};

/// One announcement, ready to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderRecord {
    /// What is provided.
    pub key: ContentKey,
    /// Who provides it.
    pub provider: PeerId,
    /// Where the provider can be reached; empty when it did not say.
    pub addresses: Addresses,
    /// The moment from which the record is served no more.
    pub expires: UnixSeconds,
}

/// One provider of a key, as a store answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provider {
    /// Who provides it.
    pub peer: PeerId,
    /// Where it was last said to be reached.
    pub addresses: Addresses,
    /// When [`Self::addresses`] were last told.
    pub addresses_at: UnixSeconds,
    /// The moment from which the record is served no more.
    pub expires: UnixSeconds,
}
