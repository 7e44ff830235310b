//! The newest addresses of providers, as the last tier has them.

use crate::table::Table;
use hydra_api::{Addresses, PeerId, Provider, UnixSeconds};
use std::hash::{BuildHasher, RandomState};

/// Which addresses of a provider are the newest, and when they were told. An upper tier knows neither: a fill tells it
/// addresses later than the provider did, and may do so after newer ones. So an answer of an upper tier counts only if its
/// addresses are those that are known here, and their time is the one that is known here.
#[derive(Debug)]
pub(crate) struct KnownAddresses {
    table: Table<Known>,
    hasher: RandomState,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    /// Of the encoded addresses.
    fingerprint: u64,
    told_at: UnixSeconds,
}

impl KnownAddresses {
    /// Those of at most `len_max` providers.
    pub(crate) fn new(len_max: usize) -> Self {
        Self { table: Table::new(len_max), hasher: RandomState::new() }
    }

    /// Takes up what a read of the last tier has found that began after the doubt of number `since`. False if that may be old.
    pub(crate) fn learn(&self, provider: &Provider, since: u64, now: UnixSeconds) -> bool {
        let fingerprint = self.fingerprint(&provider.addresses);
        let same = self.table.look(&provider.peer, now, |known| {
            let is_same = known.fingerprint == fingerprint;
            if is_same {
                // The last tier need not write each time (rule S6).
                known.told_at = known.told_at.max(provider.addresses_at);
            }
            is_same
        });
        let known = Known { fingerprint, told_at: provider.addresses_at };
        same == Some(true) || self.table.put(&provider.peer, known, since, now)
    }

    /// Whether a provider that an upper tier returned has its newest addresses; then their time is set right.
    pub(crate) fn confirm(&self, provider: &mut Provider, now: UnixSeconds) -> bool {
        let known = self.table.look(&provider.peer, now, |known| *known);
        let Some(known) = known.filter(|known| known.fingerprint == self.fingerprint(&provider.addresses))
        else {
            return false;
        };
        provider.addresses_at = known.told_at;
        true
    }

    /// The last tier has taken these addresses in a write that began after the doubt of number `since` and ends with that of
    /// number `doubt`.
    pub(crate) fn told(&self, peer: &PeerId, addresses: &Addresses, span: (u64, u64), now: UnixSeconds) {
        let known = Known { fingerprint: self.fingerprint(addresses), told_at: now };
        let same = |one: &Known, other: &Known| one.fingerprint == other.fingerprint;
        self.table.replace(peer, known, span, now, same);
    }

    /// It is not known which addresses the last tier has.
    pub(crate) fn doubt(&self, peer: &PeerId, doubt: u64) {
        self.table.doubt(peer, doubt);
    }

    /// The same, and a write may still come to its end there.
    pub(crate) fn hold(&self, peer: &PeerId, doubt: u64, until: UnixSeconds) {
        self.table.hold(peer, doubt, until);
    }

    fn fingerprint(&self, addresses: &Addresses) -> u64 {
        self.hasher.hash_one(addresses.encoded())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_takes_no_more_memory_than_the_reference_says() {
        assert!(Table::<Known>::bytes_per_entry() <= 40);
    }
}
