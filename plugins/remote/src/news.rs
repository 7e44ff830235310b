//! What a batch says of its providers.

use hydra_api::{Addresses, PeerId, ProviderRecord, UnixSeconds};
use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::time::Duration;

/// How old what is remembered of another node's writes may be: new addresses of a provider that announced itself elsewhere
/// are served after this time at the latest.
pub const PROVIDER_FRESH: Duration = Duration::from_secs(60);
/// A provider's row is kept for this much longer than its last record, so that it is written once for many records.
pub const PROVIDER_HEADROOM: Duration = Duration::from_secs(6 * 3600);

/// What a batch says of one provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderNews {
    /// The provider.
    pub peer: PeerId,
    /// Its newest addresses; empty to keep those that are known (rule S7).
    pub addresses: Addresses,
    /// When its last record of the batch expires.
    pub expires: UnixSeconds,
}

impl ProviderNews {
    /// The news of a batch, one for each provider. A record that has expired is never seen, but its addresses are news.
    pub fn of_batch(batch: &[ProviderRecord]) -> Vec<Self> {
        let mut news: HashMap<PeerId, Self> = HashMap::new();
        for ProviderRecord { provider, addresses, expires, .. } in batch {
            let of_provider = news.entry(*provider).or_insert_with(|| Self {
                peer: *provider,
                addresses: addresses.clone(),
                expires: *expires,
            });
            of_provider.expires = of_provider.expires.max(*expires);
            if !addresses.is_empty() {
                of_provider.addresses = addresses.clone();
            }
        }
        news.into_values().collect()
    }

    /// True if a row with these addresses, announced at this time, has to be written: they are others, or so old that
    /// rule S6 wants their time renewed.
    pub fn changes(&self, addresses: &Addresses, at: UnixSeconds, now: UnixSeconds) -> bool {
        let is_old = !Self::addresses_at(now).contains(&at);
        !self.addresses.is_empty() && (is_old || self.addresses != *addresses)
    }

    /// The times that a row with the announced addresses may have, so that it need not be written. One that lies ahead is that of
    /// another clock, and no time.
    pub fn addresses_at(now: UnixSeconds) -> RangeInclusive<UnixSeconds> {
        now.saturating_sub(Addresses::SLACK / 2)..=now
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hydra_conformance::given::{addresses, record};

    #[test]
    fn the_newest_addresses_and_the_latest_expiry_count() {
        let record = |number, seconds, addresses| ProviderRecord {
            expires: UnixSeconds(seconds),
            addresses,
            ..record(number, 7)
        };
        let batch =
            [record(1, 300, addresses(1)), record(2, 100, addresses(2)), record(3, 200, Addresses::none())];
        let news = ProviderNews::of_batch(&batch);
        assert_eq!(news.len(), 1);
        assert_eq!((news[0].expires, &news[0].addresses), (UnixSeconds(300), &addresses(2)));
    }

    #[test]
    fn a_row_is_written_for_other_addresses_and_for_old_ones() {
        let [then, later] =
            [UnixSeconds(1_800_000_000), UnixSeconds(1_800_000_000).saturating_add(Addresses::SLACK)];
        let news = |addresses| ProviderNews { peer: record(1, 1).provider, addresses, expires: later };
        assert!(!news(addresses(1)).changes(&addresses(1), then, then));
        assert!(news(addresses(2)).changes(&addresses(1), then, then));
        assert!(news(addresses(1)).changes(&addresses(1), then, later));
        assert!(news(addresses(1)).changes(&addresses(1), later, then), "a time that lies ahead is no time");
        assert!(!news(Addresses::none()).changes(&addresses(1), then, later));
    }
}
