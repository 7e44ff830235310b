//! A provider as it is stored, and what a batch changes of it.

use super::{RowKey, number_key, provider_key};
use crate::fault::DamagedRow;
use bytes::Bytes;
use hydra_api::{Addresses, PeerId, Provider, ProviderRecord, UnixSeconds};
use std::time::Duration;

/// Addresses that are announced again are written again when they are older than this, and not each time.
const REWRITTEN_AFTER: Duration = Addresses::SLACK;

/// A provider's `until` is set this much later than need be, so that it is not written with every record.
const UNTIL_AHEAD: Duration = Duration::from_secs(12 * 3_600);

/// A provider as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredProvider {
    /// Its number, which stands for it in rows of records.
    pub number: u32,
    /// Its peer id.
    pub peer: PeerId,
    /// Its addresses.
    pub addresses: Addresses,
    /// When they were announced.
    pub addresses_at: UnixSeconds,
    /// None of its records expires after this.
    pub until: UnixSeconds,
}

impl StoredProvider {
    /// The value of its row.
    pub fn encode(&self) -> Vec<u8> {
        let peer = self.peer.as_bytes();
        let (at, until) = (self.addresses_at.0.to_le_bytes(), self.until.0.to_le_bytes());
        [&at[..], &until, &[peer.len() as u8], peer, self.addresses.encoded()].concat()
    }

    /// Reads the value of its row.
    ///
    /// # Errors
    /// [`DamagedRow`].
    pub fn decode(number: u32, value: &[u8]) -> Result<Self, DamagedRow> {
        let decoded = || {
            let (addresses_at, rest) = value.split_first_chunk::<4>()?;
            let (until, rest) = rest.split_first_chunk::<4>()?;
            let (&len, rest) = rest.split_first()?;
            let (peer, addresses) = rest.split_at_checked(usize::from(len))?;
            Some(Self {
                number,
                peer: PeerId::new(peer).ok()?,
                addresses: Addresses::from_encoded(Bytes::copy_from_slice(addresses)).ok()?,
                addresses_at: UnixSeconds(u32::from_le_bytes(*addresses_at)),
                until: UnixSeconds(u32::from_le_bytes(*until)),
            })
        };
        decoded().ok_or(DamagedRow("providers"))
    }

    /// The provider of a record that expires then.
    pub fn of_record(&self, expires: UnixSeconds) -> Provider {
        let (addresses, addresses_at) = (self.addresses.clone(), self.addresses_at);
        Provider { peer: self.peer, addresses, addresses_at, expires }
    }
}

/// A provider of a batch: how it is stored after the batch, and whether its rows must be written.
#[derive(Debug, Clone)]
pub struct ProviderUpdate {
    provider: StoredProvider,
    fresh: Fresh,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fresh {
    New,
    Changed,
    AsStored,
}

impl ProviderUpdate {
    /// A provider that the store does not know.
    pub fn new(number: u32, peer: PeerId, now: UnixSeconds) -> Self {
        let addresses = Addresses::none();
        let provider = StoredProvider { number, peer, addresses, addresses_at: now, until: UnixSeconds(0) };
        Self { provider, fresh: Fresh::New }
    }

    /// A provider as the store knows it.
    pub fn of_stored(provider: &StoredProvider) -> Self {
        Self { provider: provider.clone(), fresh: Fresh::AsStored }
    }

    /// Its number.
    pub const fn number(&self) -> u32 {
        self.provider.number
    }

    /// Applies a record of it: the last addresses stay.
    pub fn apply(&mut self, record: &ProviderRecord, now: UnixSeconds) {
        let provider = &mut self.provider;
        let mut changed = false;
        if !record.addresses.is_empty() {
            let differ = provider.addresses != record.addresses;
            if differ {
                // A copy in a buffer of its own: the one that came in may be part of a whole message.
                let copy = Bytes::copy_from_slice(record.addresses.encoded());
                provider.addresses = Addresses::from_encoded(copy).unwrap_or_default();
            }
            // A time that lies ahead is that of a clock that had jumped.
            let is_old = now.since(provider.addresses_at) >= REWRITTEN_AFTER || provider.addresses_at > now;
            if differ || is_old {
                provider.addresses_at = now;
                changed = true;
            }
        }
        if record.expires > provider.until {
            provider.until = record.expires.saturating_add(UNTIL_AHEAD);
            changed = true;
        }
        if changed && self.fresh == Fresh::AsStored {
            self.fresh = Fresh::Changed;
        }
    }

    /// The rows to write for it: none when the store has them.
    pub fn rows(&self) -> impl Iterator<Item = (RowKey, Vec<u8>)> {
        let provider = &self.provider;
        let row = (self.fresh != Fresh::AsStored).then(|| (provider_key(provider.number), provider.encode()));
        let number = (self.fresh == Fresh::New)
            .then(|| (number_key(&provider.peer), provider.number.to_le_bytes().to_vec()));
        [row, number].into_iter().flatten()
    }

    /// The provider, when its rows were to be written.
    pub fn into_written(self) -> Option<StoredProvider> {
        (self.fresh != Fresh::AsStored).then_some(self.provider)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hydra_conformance::given::{NOW, record};

    #[test]
    fn a_provider_comes_back_byte_for_byte() {
        let mut update = ProviderUpdate::new(9, record(1, 1).provider, NOW);
        update.apply(&record(1, 1), NOW);
        let rows: Vec<_> = update.rows().collect();
        assert_eq!(rows.len(), 2);
        let provider = update.into_written().unwrap();
        assert_eq!(StoredProvider::decode(9, &rows[0].1).unwrap(), provider);
        assert_eq!(provider.addresses, record(1, 1).addresses);
        assert!(StoredProvider::decode(9, &rows[0].1[..20]).is_err());
    }

    #[test]
    fn a_refresh_writes_nothing_while_the_addresses_are_fresh() {
        let mut update = ProviderUpdate::new(9, record(1, 1).provider, NOW);
        update.apply(&record(1, 1), NOW);
        let provider = update.into_written().unwrap();
        let mut again = ProviderUpdate::of_stored(&provider);
        again.apply(&record(2, 1), NOW.saturating_add(Duration::from_secs(60)));
        assert_eq!(again.rows().count(), 0);
        again.apply(&record(2, 1), NOW.saturating_add(REWRITTEN_AFTER));
        assert_eq!(again.rows().count(), 1);
    }

    #[test]
    fn a_time_of_addresses_that_lies_ahead_is_corrected() {
        let mut update = ProviderUpdate::new(9, record(1, 1).provider, NOW);
        update.apply(&record(1, 1), NOW.saturating_add(Duration::from_secs(3 * 86_400)));
        let mut again = ProviderUpdate::of_stored(&update.into_written().unwrap());
        again.apply(&record(1, 1), NOW);
        assert_eq!(again.into_written().unwrap().addresses_at, NOW);
    }
}
