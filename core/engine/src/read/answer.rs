//! What is known of a key's providers, as it is kept and given.

use crate::config::Life;
use crate::request::{Ending, ReadCall, Source};
use foldhash::fast::RandomState;
use hydra_api::{Addresses, PeerId, Provider, ProviderRecord, Rung, UnixSeconds};
use std::any::Any;
use std::collections::HashSet;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// The answer to a read. In every case the client also gets closer peers (V15).
#[derive(Debug, Clone)]
pub struct Reply {
    /// The providers that are known, if any: all of what [`Answer::providers`] has.
    pub answer: Option<Arc<Answer>>,
    /// The rung on which the request was served.
    pub rung: Rung,
    /// How it ended.
    pub ending: Ending,
    /// Where the providers come from.
    pub source: Source,
    /// The store call that read for it, by itself or together with others.
    pub call: Option<ReadCall>,
}

impl Reply {
    pub(crate) const fn nothing(ending: Ending, rung: Rung) -> Self {
        Self { answer: None, rung, ending, source: Source::Nothing, call: None }
    }

    /// The providers, freshest first.
    pub fn providers(&self) -> &[Provider] {
        self.answer.as_ref().map_or(&[], |answer| answer.providers())
    }
}

/// The providers of a key: shared by all requests that they answer.
#[derive(Debug)]
pub struct Answer {
    /// Freshest first.
    providers: Box<[Provider]>,
    /// How many it was asked for at most.
    len_max: NonZeroU32,
    /// When it was asked.
    asked_at: Instant,
    /// Until when all of it may be given: then the first record, or the first addresses, have run out.
    whole_until: UnixSeconds,
    lacks: Lacks,
    /// The first of the providers, as many as a short answer has: given as often as the whole, so it is kept, too.
    short: OnceLock<Arc<Self>>,
    /// It was given before.
    given: AtomicBool,
    /// What the caller has made of the providers.
    rendered: OnceLock<Arc<dyn Any + Send + Sync>>,
}

/// What of the store's an answer may lack. It does in any case for a store that does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Lacks {
    Nothing,
    /// The addresses of a provider, of which the store tells when its record is written. Until then it need not be asked.
    Addresses,
    /// What the store may have by now.
    Something,
}

impl Answer {
    /// What the store said. What it should not have said is left out: too many providers, expired ones, one a second time,
    /// lives longer than `life_max`, which a clock that jumped may have caused.
    pub(crate) fn of_store(
        mut providers: Vec<Provider>,
        len_max: NonZeroU32,
        asked_at: Instant,
        now: UnixSeconds,
        life_max: Duration,
    ) -> Self {
        let expires_max = now.saturating_add(life_max);
        providers.retain_mut(|provider| {
            provider.expires = provider.expires.min(expires_max);
            provider.addresses_at = provider.addresses_at.min(now);
            provider.expires > now
        });
        if providers.len() > 1 {
            providers.sort_by_key(|provider| std::cmp::Reverse(provider.expires));
            let mut seen = HashSet::with_capacity_and_hasher(providers.len(), RandomState::default());
            providers.retain(|provider| seen.insert(provider.peer));
        }
        Self::new(providers, len_max, asked_at, Lacks::Nothing)
    }

    /// What waits to be written, for a key of which nothing else is known.
    pub(crate) fn of_queue(records: Vec<ProviderRecord>, len_max: NonZeroU32, now: Now) -> Option<Self> {
        if records.is_empty() {
            return None;
        }
        let nothing = Self::new(Vec::new(), len_max, now.asked_at, Lacks::Something);
        Some(nothing.with(&records, now.unix))
    }

    fn new(mut providers: Vec<Provider>, len_max: NonZeroU32, asked_at: Instant, lacks: Lacks) -> Self {
        providers.sort_by_key(|provider| std::cmp::Reverse(provider.expires));
        providers.truncate(len_max.get() as usize);
        let until = |provider: &Provider| match provider.addresses.is_empty() {
            true => provider.expires,
            false => provider.expires.min(provider.addresses_at.saturating_add(Addresses::LIFE)),
        };
        let whole_until = providers.iter().map(until).min().unwrap_or(UnixSeconds(u32::MAX));
        let providers = providers.into();
        Self {
            providers,
            len_max,
            asked_at,
            whole_until,
            lacks,
            short: OnceLock::new(),
            given: AtomicBool::new(false),
            rendered: OnceLock::new(),
        }
    }

    /// The providers, freshest first.
    pub fn providers(&self) -> &[Provider] {
        &self.providers
    }

    /// What `render` makes of the providers, kept with them from the second time on: most answers are given once, and
    /// what is kept of them takes memory for nothing.
    ///
    /// A caller asks with one type: what was kept for another one is not found, and made anew each time.
    pub fn rendered<T: Any + Send + Sync>(&self, render: impl Fn(&[Provider]) -> T) -> Arc<T> {
        // Read before it is written, so that connections that share an answer do not take it from each other.
        if !self.given.load(Ordering::Relaxed) {
            self.given.store(true, Ordering::Relaxed);
            return Arc::new(render(&self.providers));
        }
        let kept = self.rendered.get_or_init(|| Arc::new(render(&self.providers)));
        kept.clone().downcast().unwrap_or_else(|_| Arc::new(render(&self.providers)))
    }

    /// Whether the key had no provider.
    pub(crate) fn is_absent(&self) -> bool {
        self.providers.is_empty()
    }

    /// Whether it may still be given instead of asking the store.
    pub(crate) fn is_fresh(&self, life: Life, now: Instant) -> bool {
        let is_fresh = match self.lacks {
            Lacks::Nothing => true,
            Lacks::Addresses => self.age(now) < life.waiting,
            Lacks::Something => false,
        };
        is_fresh && self.is_within(life, now)
    }

    /// Whether it may still be given when the store does not answer.
    pub(crate) fn is_within(&self, life: Life, now: Instant) -> bool {
        let life = if self.is_absent() { life.absent } else { life.present };
        self.age(now) < life
    }

    fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.asked_at)
    }

    /// Whether asking for `len` providers would not have brought more.
    pub(crate) fn suffices(&self, len: NonZeroU32) -> bool {
        self.len_max >= len || self.providers.len() < self.len_max.get() as usize
    }

    /// Whether all of it may be given now.
    pub(crate) fn is_live(&self, now: UnixSeconds) -> bool {
        now < self.whole_until
    }

    /// The first `len` of the providers, if it has more; kept for one length.
    pub(crate) fn first(&self, len: NonZeroU32, now: UnixSeconds) -> Option<Arc<Self>> {
        if self.providers.len() <= len.get() as usize {
            return None;
        }
        let short = self.short.get_or_init(|| Arc::new(self.trimmed(len, now)));
        Some(if short.len_max == len { short.clone() } else { Arc::new(self.trimmed(len, now)) })
    }

    /// At most `len` of the providers, without what has expired: records, and addresses that were announced too long ago
    /// (V11: the bare id is served on).
    pub(crate) fn trimmed(&self, len: NonZeroU32, now: UnixSeconds) -> Self {
        let live = self.providers.iter().filter(|provider| provider.expires > now);
        let served = live.take(len.get() as usize).map(|provider| {
            let mut provider = provider.clone();
            if now.since(provider.addresses_at) >= Addresses::LIFE {
                provider.addresses = Addresses::none();
            }
            provider
        });
        let (providers, len_max) = (served.collect(), self.len_max.min(len));
        Self::new(providers, len_max, self.asked_at, self.lacks)
    }

    /// What it would have been had these records been in the store. Its age stays: of what other processes have written
    /// since, it knows nothing.
    pub(crate) fn with<'a>(
        &self,
        records: impl IntoIterator<Item = &'a ProviderRecord>,
        now: UnixSeconds,
    ) -> Self {
        let (mut providers, mut lacks) = (self.providers.to_vec(), self.lacks);
        for record in records {
            let known = providers.iter_mut().find(|provider| provider.peer == record.provider);
            match known {
                Some(known) => {
                    known.expires = known.expires.max(record.expires);
                    if !record.addresses.is_empty() {
                        known.addresses = record.addresses.clone();
                        known.addresses_at = now;
                    }
                }
                None => {
                    // The store may know addresses of it.
                    if record.addresses.is_empty() {
                        lacks = lacks.max(Lacks::Addresses);
                    }
                    providers.push(Provider {
                        peer: record.provider,
                        addresses: record.addresses.clone(),
                        addresses_at: now,
                        expires: record.expires,
                    });
                }
            }
        }
        Self::new(providers, self.len_max, self.asked_at, lacks)
    }

    /// It without this provider, if it has it; of which the store may know all the same.
    pub(crate) fn without(&self, provider: &PeerId) -> Option<Self> {
        let rest: Vec<_> = self.providers.iter().filter(|known| known.peer != *provider).cloned().collect();
        let has_it = rest.len() < self.providers.len();
        has_it.then(|| Self::new(rest, self.len_max, self.asked_at, Lacks::Something))
    }

    /// The same, of which the store may have more by now.
    pub(crate) fn lacking(self) -> Self {
        Self { lacks: Lacks::Something, ..self }
    }

    /// How many bytes it takes on the heap, addresses in full though they may be shared, once for itself and once for
    /// what the caller makes of it.
    pub(crate) fn bytes(&self) -> usize {
        let addresses = |provider: &Provider| match provider.addresses.encoded().len() {
            0 => 0,
            len => len + SHARED_BUFFER,
        };
        let whole: usize =
            self.providers.iter().map(|provider| 2 * (size_of::<Provider>() + addresses(provider))).sum();
        // A short answer, which may be made later, has a quarter of the providers by default.
        whole + whole / 4
    }
}

/// A moment for an answer that no store gave.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    pub(crate) asked_at: Instant,
    pub(crate) unix: UnixSeconds,
}

/// What a shared buffer takes beside its bytes: its owner's record and what the allocator adds.
const SHARED_BUFFER: usize = 48;

#[cfg(test)]
mod tests {
    use super::*;
    use hydra_api::PeerId;

    const NOW: UnixSeconds = UnixSeconds(1_000_000);

    fn provider(number: u8, expires: u32) -> Provider {
        Provider {
            peer: PeerId::new(&[number; 38]).unwrap(),
            addresses: Addresses::fitting([[number; 8]]),
            addresses_at: UnixSeconds(u32::MAX),
            expires: UnixSeconds(expires),
        }
    }

    fn of_store(providers: Vec<Provider>) -> Answer {
        let life = Duration::from_secs(48 * 3_600);
        Answer::of_store(providers, NonZeroU32::new(3).unwrap(), Instant::now(), NOW, life)
    }

    #[test]
    fn what_a_store_should_not_have_said_is_left_out() {
        let answer = of_store(vec![
            provider(1, NOW.0 + 10),
            provider(2, NOW.0),
            provider(3, u32::MAX),
            provider(4, NOW.0 + 30),
            provider(5, NOW.0 + 20),
            provider(4, NOW.0 + 25),
        ]);
        let said: Vec<_> =
            answer.providers().iter().map(|one| (one.peer.as_bytes()[0], one.expires.0)).collect();
        assert_eq!(said, [(3, NOW.0 + 48 * 3_600), (4, NOW.0 + 30), (5, NOW.0 + 20)]);
        assert!(answer.providers().iter().all(|one| one.addresses_at == NOW));
    }

    #[test]
    fn an_answer_is_whole_until_the_first_record_or_address_runs_out() {
        let three = NonZeroU32::new(3).unwrap();
        let answer = of_store(vec![provider(1, NOW.0 + 10), provider(2, NOW.0 + 20)]);
        assert!(answer.is_live(UnixSeconds(NOW.0 + 9)));
        assert!(!answer.is_live(UnixSeconds(NOW.0 + 10)));
        let first = answer.first(NonZeroU32::MIN, NOW).unwrap();
        assert!(first.providers().len() == 1 && answer.first(three, NOW).is_none());
        assert!(Arc::ptr_eq(&first, &answer.first(NonZeroU32::MIN, NOW).unwrap()), "it is kept");
        assert_eq!(answer.trimmed(three, UnixSeconds(NOW.0 + 10)).providers().len(), 1);
        let long = of_store(vec![provider(1, NOW.0 + 40 * 3_600)]);
        let a_day_later = NOW.saturating_add(Addresses::LIFE);
        assert!(!long.is_live(a_day_later));
        let bare = long.trimmed(three, a_day_later);
        assert!(bare.providers()[0].addresses.is_empty() && bare.is_live(a_day_later));
    }

    #[test]
    fn what_is_rendered_is_kept_from_the_second_time_on() {
        let answer = of_store(vec![provider(1, NOW.0 + 10)]);
        let first = answer.rendered(<[Provider]>::len);
        let second = answer.rendered(<[Provider]>::len);
        assert!(Arc::strong_count(&first) == 1 && !Arc::ptr_eq(&first, &second), "most are given once");
        assert!(Arc::ptr_eq(&second, &answer.rendered(|_| -> usize { unreachable!("it is kept") })));
        assert_eq!(*answer.rendered(|providers| providers.len() as u8), 1, "another type");
    }
}
