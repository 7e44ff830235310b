//! How many different peers were met lately, without remembering any of them.

use hyperloglockless::HyperLogLog;
use libp2p::PeerId;
use std::hash::RandomState;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Counts the peers of the last hour and of the last day by HyperLogLog: 39 sketches of 4 kB, within about 2 % of the
/// truth. Peers are hashed with keys that this process made by chance, so that nobody can choose ids that fall together.
pub struct UniquePeers {
    started: Instant,
    hasher: RandomState,
    /// In the order of [`Span::ALL`]. A connection costs a hundred times what happens under this lock.
    windows: Mutex<[Window; Span::ALL.len()]>,
}

/// The time over which peers are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// The last hour, and up to five minutes more.
    Hour,
    /// The last day, and up to an hour more.
    Day,
}

/// 2^12 registers of a byte: a standard error of 1.04 / √4096, which is 1.6 %.
const PRECISION: u8 = 12;

impl Span {
    /// Every span.
    pub const ALL: [Self; 2] = [Self::Hour, Self::Day];

    /// The word for it in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "1h",
            Self::Day => "24h",
        }
    }

    /// How much of it one sketch covers, and how many such parts there are. One more is being filled.
    const fn parts(self) -> (Duration, usize) {
        match self {
            Self::Hour => (Duration::from_secs(300), 12),
            Self::Day => (Duration::from_secs(3_600), 24),
        }
    }
}

impl UniquePeers {
    /// Nobody was met yet.
    pub fn new(now: Instant) -> Self {
        let hasher = RandomState::new();
        let windows = Span::ALL.map(|span| Window::new(span, &hasher));
        Self { started: now, hasher, windows: Mutex::new(windows) }
    }

    /// Notes that a peer was met.
    pub fn record(&self, peer: &PeerId, now: Instant) {
        let since = now.saturating_duration_since(self.started);
        for window in &mut *self.windows.lock().unwrap_or_else(PoisonError::into_inner) {
            window.advance(since, &self.hasher);
            window.current().insert(peer);
        }
    }

    /// About how many different peers were met in the last `span`.
    pub fn count(&self, span: Span, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.started);
        let sketches = {
            let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
            let window = &mut windows[span as usize];
            window.advance(since, &self.hasher);
            window.sketches.clone()
        };
        let mut all = empty(&self.hasher);
        for sketch in &sketches {
            // Sketches of one length: nothing can go wrong.
            let _unequal = all.union(sketch).is_err();
        }
        all.raw_count().round() as u64
    }
}

impl std::fmt::Debug for UniquePeers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UniquePeers").field("started", &self.started).finish_non_exhaustive()
    }
}

type Sketch = HyperLogLog<RandomState>;

/// A ring of sketches, each for a part of the span.
struct Window {
    part: Duration,
    sketches: Vec<Sketch>,
    /// The number of the part that is being filled; its place is what is left of it by the number of sketches.
    number: u64,
}

impl Window {
    fn new(span: Span, hasher: &RandomState) -> Self {
        let (part, count) = span.parts();
        Self { part, sketches: (0..=count).map(|_| empty(hasher)).collect(), number: 0 }
    }

    /// Forgets the parts that are too old by now.
    fn advance(&mut self, since: Duration, hasher: &RandomState) {
        let number = u64::try_from(since.as_nanos() / self.part.as_nanos()).unwrap_or(u64::MAX);
        let len = self.sketches.len() as u64;
        for old in (self.number + 1..=number).rev().take(self.sketches.len()) {
            self.sketches[(old % len) as usize] = empty(hasher);
        }
        // The clocks of two callers may be a moment apart.
        self.number = self.number.max(number);
    }

    fn current(&mut self) -> &mut Sketch {
        let len = self.sketches.len() as u64;
        &mut self.sketches[(self.number % len) as usize]
    }
}

fn empty(hasher: &RandomState) -> Sketch {
    Sketch::with_hasher(PRECISION, hasher.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn peer(number: u32) -> PeerId {
        let digest = [[0; 28].as_slice(), &number.to_be_bytes()].concat();
        PeerId::from_multihash(multihash::Multihash::wrap(0x12, &digest).unwrap()).unwrap()
    }

    /// Fails unless so many are counted for the hour and the day. Two peers may fall together by chance.
    #[track_caller]
    fn counts(unique_peers: &UniquePeers, now: Instant, expected: [u64; 2]) {
        let counted = Span::ALL.map(|span| unique_peers.count(span, now));
        let near = |(counted, expected): (&u64, &u64)| counted.abs_diff(*expected) <= expected / 5;
        assert!(counted.iter().zip(&expected).all(near), "{counted:?} instead of {expected:?}");
    }

    #[test]
    fn each_peer_counts_once_until_its_span_is_over() {
        let start = Instant::now();
        let unique_peers = UniquePeers::new(start);
        for _ in 0..3 {
            (0..10).for_each(|number| unique_peers.record(&peer(number), start));
        }
        counts(&unique_peers, start, [10, 10]);
        let later = start + 30 * MINUTE;
        (0..20).for_each(|number| unique_peers.record(&peer(number), later));
        counts(&unique_peers, later, [20, 20]);
        (20..40).for_each(|number| unique_peers.record(&peer(number), later + 10 * MINUTE));
        counts(&unique_peers, start + 66 * MINUTE, [40, 40]);
        counts(&unique_peers, start + 97 * MINUTE, [20, 40]);
        counts(&unique_peers, start + 24 * 60 * MINUTE, [0, 40]);
        counts(&unique_peers, start + 26 * 60 * MINUTE, [0, 0]);
        (0..10).for_each(|number| unique_peers.record(&peer(number), start));
        counts(&unique_peers, start + 26 * 60 * MINUTE, [10, 10]);
    }

    #[test]
    fn many_peers_are_told_within_a_few_percent() {
        let start = Instant::now();
        let unique_peers = UniquePeers::new(start);
        for number in 0..100_000 {
            unique_peers.record(&peer(number), start + number * Duration::from_secs(1) / 100);
        }
        let counted = unique_peers.count(Span::Hour, start + Duration::from_secs(1_000));
        // Six standard errors.
        assert!((90_000..=110_000).contains(&counted), "{counted}");
    }
}
