//! The living providers of keys.

use crate::engine::Engine;
use crate::fault::Fault;
use crate::layout;
use hydra_api::{ContentKey, Found, Provider, UnixSeconds};
use std::sync::atomic::Ordering;

/// A provider of a key.
struct Entry {
    number: u32,
    expires: UnixSeconds,
}

/// What a read found.
pub(crate) struct Answer {
    /// One entry a key.
    pub(crate) found: Vec<Found>,
    /// Why the first key that is unknown could not be read; damage before anything else.
    pub(crate) unread: Option<Fault>,
}

impl Engine {
    /// The providers of each key. A key whose pages cannot be read, or are damaged, is unknown: those of others may be in memory, or
    /// readable.
    pub(crate) fn providers(&self, keys: &[ContentKey], now: UnixSeconds, limit: usize) -> Answer {
        let mut answer = Answer { found: Vec::with_capacity(keys.len()), unread: None };
        for key in keys {
            answer.found.push(match self.of_key(key, now, limit) {
                Ok(providers) => Found::Known(providers),
                Err(fault) => {
                    let kind = fault.0.kind();
                    let is_news = |known: &Fault| fault.0.is_damage() && !known.0.is_damage();
                    if answer.unread.as_ref().is_none_or(is_news) {
                        answer.unread = Some(fault);
                    }
                    Found::Unknown(kind)
                }
            });
        }
        answer
    }

    fn of_key(&self, key: &ContentKey, now: UnixSeconds, limit: usize) -> Result<Vec<Provider>, Fault> {
        let mut living = Vec::new();
        self.add_living(key, 0, u32::MAX, now, limit, &mut living)?;
        if living.len() == limit {
            // There may be more: begin at another provider each time, so that not always the same are left out. Steps
            // of the golden ratio come by everywhere.
            let turn = self.turn.fetch_add(0x9e37_79b9, Ordering::Relaxed);
            let start = turn % self.counts().next_provider.max(1);
            let mut others = Vec::new();
            self.add_living(key, start, u32::MAX, now, limit, &mut others)?;
            if start > 0 && others.len() < limit {
                self.add_living(key, 0, start - 1, now, limit, &mut others)?;
            }
            living = others;
        }
        living.sort_by_key(|entry| std::cmp::Reverse(entry.expires));
        let mut providers = Vec::with_capacity(living.len());
        for Entry { number, expires } in living {
            if let Some(provider) = self.provider(number)? {
                providers.push(provider.of_record(expires));
            }
        }
        Ok(providers)
    }

    /// Adds living ones from one provider number to another, up to `limit` in all.
    fn add_living(
        &self,
        key: &ContentKey,
        from: u32,
        to: u32,
        now: UnixSeconds,
        limit: usize,
        living: &mut Vec<Entry>,
    ) -> Result<(), Fault> {
        for row in self.rows.range(layout::record_key(key, from)..=layout::record_key(key, to)) {
            let (row, expires) = row?;
            let expires = UnixSeconds(layout::decode_u32(&expires, "records")?);
            if expires > now {
                living.push(Entry { number: layout::number_of(&row, "records")?, expires });
                if living.len() == limit {
                    break;
                }
            }
        }
        Ok(())
    }
}
