//! What is known of a key's providers, as it is kept and given.

use crate::config::Life;
use hydra_api::{Addresses, Provider, ProviderRecord, UnixSeconds};
use std::num::NonZeroU32;
use std::time::Instant;

/// What the store said of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Freshest first.
    providers: Box<[Provider]>,
    /// How many it was asked for at most.
    len_max: NonZeroU32,
    /// When it was asked.
    asked_at: Instant,
}

impl Answer {
    pub(crate) fn new(mut providers: Vec<Provider>, len_max: NonZeroU32, asked_at: Instant) -> Self {
        providers.truncate(len_max.get() as usize);
        Self { providers: providers.into(), len_max, asked_at }
    }

    /// Whether the key had no provider.
    pub(crate) fn is_absent(&self) -> bool {
        self.providers.is_empty()
    }

    /// Whether it may still be given.
    pub(crate) fn is_within(&self, life: Life, now: Instant) -> bool {
        let life = if self.is_absent() { life.absent } else { life.present };
        now.saturating_duration_since(self.asked_at) < life
    }

    /// Whether asking for `len` providers would not have brought more.
    pub(crate) fn suffices(&self, len: NonZeroU32) -> bool {
        self.len_max >= len || self.providers.len() < self.len_max.get() as usize
    }

    /// At most `len` of the providers, without what has expired: records, and addresses that were told too long ago
    /// (V11: the bare id is served on).
    pub(crate) fn serve(&self, len: NonZeroU32, now: UnixSeconds) -> Vec<Provider> {
        let live = self.providers.iter().filter(|provider| provider.expires > now);
        let served = live.take(len.get() as usize).map(|provider| {
            let mut provider = provider.clone();
            if now.since(provider.addresses_at) >= Addresses::LIFE {
                provider.addresses = Addresses::none();
            }
            provider
        });
        served.collect()
    }

    /// What it would have been had this record been in the store; nothing when that cannot be told. Its age stays: of
    /// what other processes have written since, it knows nothing.
    pub(crate) fn with(&self, record: &ProviderRecord, now: UnixSeconds) -> Option<Self> {
        if self.is_absent() {
            return None;
        }
        let known = self.providers.iter().find(|provider| provider.peer == record.provider);
        let provider = match known {
            Some(known) if record.addresses.is_empty() => {
                Provider { expires: known.expires.max(record.expires), ..known.clone() }
            }
            None if record.addresses.is_empty() => return None,
            _ => Provider {
                peer: record.provider,
                addresses: record.addresses.clone(),
                addresses_at: now,
                expires: known.map_or(record.expires, |known| known.expires.max(record.expires)),
            },
        };
        let others = self.providers.iter().filter(|other| other.peer != record.provider);
        let mut providers: Vec<Provider> = std::iter::once(provider).chain(others.cloned()).collect();
        providers.sort_by_key(|provider| std::cmp::Reverse(provider.expires));
        Some(Self::new(providers, self.len_max, self.asked_at))
    }

    /// How many bytes it takes on the heap, addresses in full though they may be shared.
    pub(crate) fn bytes(&self) -> usize {
        let addresses = |provider: &Provider| match provider.addresses.encoded().len() {
            0 => 0,
            len => len + SHARED_BUFFER,
        };
        self.providers.iter().map(|provider| size_of::<Provider>() + addresses(provider)).sum()
    }
}

/// What a shared buffer takes beside its bytes: its owner's record and what the allocator adds.
const SHARED_BUFFER: usize = 48;
