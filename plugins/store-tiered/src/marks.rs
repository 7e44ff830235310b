//! The keys for which an upper tier answers.

use crate::table::Table;
use hydra_api::{ContentKey, Provider, UnixSeconds};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// For which keys an upper tier is known to have what the last tier has: *complete* is what a read of the last tier has found
/// and the upper tier has taken, as long as the upper tier takes what is written.
#[derive(Debug)]
pub(crate) struct Marks {
    table: Table<Mark>,
    /// Marks of an earlier one are void.
    generation: AtomicU32,
    life: Duration,
}

#[derive(Debug, Clone, Copy)]
struct Mark {
    generation: u32,
    complete: Complete,
}

/// What is known of a key of an upper tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Complete {
    /// When the last tier was read.
    pub(crate) since: UnixSeconds,
    /// The least number of live providers that the upper tier has.
    pub(crate) len: u32,
    /// Until then `len` of them live.
    pub(crate) live_until: UnixSeconds,
}

/// When a fill began.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Since {
    /// The latest doubt of that moment.
    pub(crate) doubt: u64,
    /// The generation of that moment.
    pub(crate) generation: u32,
}

impl Mark {
    fn raise(&mut self, len: u32, live_until: UnixSeconds) {
        if self.complete.len < len {
            (self.complete.len, self.complete.live_until) = (len, live_until);
        }
    }
}

impl Complete {
    /// What a reading has found.
    pub(crate) fn of(found: &[Provider], since: UnixSeconds) -> Self {
        let len = u32::try_from(found.len()).unwrap_or(u32::MAX);
        let expiries = found.iter().map(|provider| provider.expires);
        Self { since, len, live_until: expiries.min().unwrap_or(UnixSeconds(u32::MAX)) }
    }

    /// Whether an answer of `found` providers under `limit` may be true.
    pub(crate) fn admits(&self, found: usize, limit: u32) -> bool {
        found >= usize::try_from(self.len.min(limit)).unwrap_or(usize::MAX)
    }
}

impl Marks {
    /// Marks of at most `len_max` keys, each of which is valid for `life`.
    pub(crate) fn new(len_max: usize, life: Duration) -> Self {
        Self { table: Table::new(len_max), generation: AtomicU32::new(0), life }
    }

    /// The generation of this moment.
    pub(crate) fn generation(&self) -> u32 {
        self.generation.load(Ordering::Acquire)
    }

    /// What is known of a key, if the upper tier answers for it.
    pub(crate) fn find(&self, key: &ContentKey, now: UnixSeconds) -> Option<Complete> {
        let Mark { generation, complete } = self.table.look(key, now, |mark| *mark)?;
        let lives =
            complete.since <= now && now.since(complete.since) < self.life && now < complete.live_until;
        (generation == self.generation() && lives).then_some(complete)
    }

    /// The upper tier has taken what a read has found.
    pub(crate) fn put(&self, key: &ContentKey, complete: Complete, since: Since, now: UnixSeconds) {
        let mark = Mark { generation: since.generation, complete };
        // Refused if a write came between: then the last tier is read again.
        let _put = self.table.put(key, mark, since.doubt, now);
    }

    /// The upper tier has so many live providers now, none of which expires before `live_until`.
    pub(crate) fn raise(&self, key: &ContentKey, len: u32, live_until: UnixSeconds, now: UnixSeconds) {
        self.table.look(key, now, |mark| mark.raise(len, live_until));
    }

    /// The upper tier has taken a record with this expiry that the last one has taken: with the doubt of this number, since
    /// what a read has found before may not tell of it.
    pub(crate) fn taken(&self, key: &ContentKey, expires: UnixSeconds, doubt: u64) {
        self.table.amend(key, doubt, |mark| mark.raise(1, expires));
    }

    /// The upper tier may lack what the last one has of a key.
    pub(crate) fn doubt(&self, key: &ContentKey, doubt: u64) {
        self.table.doubt(key, doubt);
    }

    /// The same, and a write may still come to its end at the last tier.
    pub(crate) fn hold(&self, key: &ContentKey, doubt: u64, until: UnixSeconds) {
        self.table.hold(key, doubt, until);
    }

    /// The upper tier has lost what it had of a key.
    pub(crate) fn remove(&self, key: &ContentKey) {
        self.table.remove(key);
    }

    /// The upper tier may have lost anything.
    pub(crate) fn distrust_all(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hydra_api::Addresses;
    use hydra_conformance::given::{NOW, key, peer};

    fn marks() -> Marks {
        Marks::new(64, Duration::from_secs(60))
    }

    fn since(marks: &Marks) -> Since {
        Since { doubt: 0, generation: marks.generation() }
    }

    /// Providers that expire so many seconds from now.
    fn found(seconds: &[u32]) -> Vec<Provider> {
        let provider = |(number, seconds): (u64, &u32)| Provider {
            peer: peer(number),
            addresses: Addresses::none(),
            addresses_at: NOW,
            expires: UnixSeconds(NOW.0 + seconds),
        };
        (0..).zip(seconds).map(provider).collect()
    }

    #[test]
    fn a_mark_takes_no_more_memory_than_the_reference_says() {
        assert!(Table::<Mark>::bytes_per_entry() <= 40);
    }

    #[test]
    fn a_mark_ends_with_its_life_and_with_the_first_expiry() {
        let marks = marks();
        let complete = Complete::of(&found(&[1000, 30]), NOW);
        marks.put(&key(1), complete, since(&marks), NOW);
        let absent = Complete::of(&[], NOW);
        marks.put(&key(2), absent, since(&marks), NOW);
        let known = |number, seconds: u32| marks.find(&key(number), UnixSeconds(NOW.0 + seconds)).is_some();
        assert!(known(1, 29) && !known(1, 30));
        assert!(known(2, 59) && !known(2, 60));
        assert!(marks.find(&key(2), UnixSeconds(NOW.0 - 1)).is_none(), "the clock has gone back");
    }

    #[test]
    fn an_answer_has_the_providers_that_live_up_to_its_limit() {
        let marks = marks();
        marks.put(&key(1), Complete::of(&found(&[1000; 5]), NOW), since(&marks), NOW);
        let complete = marks.find(&key(1), NOW).unwrap();
        assert!(complete.admits(5, 100) && complete.admits(9, 100) && !complete.admits(4, 100));
        assert!(complete.admits(2, 2), "no more than the limit are asked for");
    }

    #[test]
    fn what_was_begun_before_all_was_distrusted_is_void() {
        let marks = marks();
        let since = since(&marks);
        marks.distrust_all();
        marks.put(&key(1), Complete::of(&[], NOW), since, NOW);
        assert!(marks.find(&key(1), NOW).is_none());
    }
}
