//! An engine that takes no writes until it is reopened.

use hydra_api::{Causes, StoreError, StoreErrorKind};
use std::error::Error;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// From the failed write to the first attempt.
const PAUSE_FIRST: Duration = Duration::from_millis(200);
/// Between attempts, at most, before it is varied; also from one look at the directory to the next.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Between attempts when outages follow one another, unless a look at the directory says that their cause has gone.
const PAUSE_AGAIN_MAX: Duration = Duration::from_secs(60);
/// An outage that begins this soon after another goes on with its pauses.
const AGAIN_WITHIN: Duration = Duration::from_secs(60);

/// An outage of the write side: why it began, and when the engine is reopened next.
///
/// The log has a line when it begins, when its cause changes and when it ends.
#[derive(Debug)]
pub struct Outage {
    refused: Refused,
    /// The cause as it was logged.
    logged: String,
    begun: Instant,
    pause: Duration,
    pause_max: Duration,
    /// When the directory is looked at next, and from when on the engine is reopened whatever a look said before.
    next: Instant,
    reopens: Instant,
    /// The last look at the directory found it obstructed: the engine is reopened as soon as one does not.
    is_obstructed: bool,
    attempts: u32,
}

/// Why calls are refused. The causes below it end with the error of the system.
#[derive(Debug, Clone)]
pub struct Refused {
    kind: StoreErrorKind,
    cause: Arc<dyn Error + Send + Sync>,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.kind {
            StoreErrorKind::Corrupt => "the storage engine cannot be reopened before the next start",
            _ => "the storage engine stopped after a failed write and is not reopened yet",
        })
    }
}

impl Error for Refused {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.cause)
    }
}

impl Refused {
    /// An attempt to reopen the engine found damage: all calls are refused until the next start.
    pub fn damaged(cause: impl Error + Send + Sync + 'static) -> Self {
        Self { kind: StoreErrorKind::Corrupt, cause: Arc::new(cause) }
    }

    /// The engine takes no writes, or no calls, until it is reopened.
    pub fn unavailable(cause: impl Error + Send + Sync + 'static) -> Self {
        Self { kind: StoreErrorKind::Unavailable, cause: Arc::new(cause) }
    }

    /// The error of a call that is refused.
    pub fn error(&self, operation: &'static str) -> StoreError {
        StoreError::because(self.kind, operation, self.clone())
    }
}

/// The last outage of a store: one that follows soon is slower, so that an engine which stops again and again is not
/// reopened all the time.
#[derive(Debug, Clone, Copy)]
pub struct Ended {
    at: Instant,
    pause: Duration,
}

impl Outage {
    /// Begins with the write that failed.
    pub fn begin(cause: impl Error + Send + Sync + 'static, last: Option<Ended>, now: Instant) -> Self {
        let logged = Causes(&cause).to_string();
        tracing::error!(
            error = %logged,
            "the store takes no writes until its engine is reopened: that is tried as soon as its directory can \
             be written. Nothing that was acknowledged is lost, unless the file system itself has failed (read-only, or an \
             input/output error). Make room or lift the limit that the cause names"
        );
        let refused = Refused::unavailable(cause);
        let again = last.filter(|last| now.saturating_duration_since(last.at) < AGAIN_WITHIN);
        let (pause, pause_max) = match again {
            Some(last) => ((2 * last.pause).min(PAUSE_AGAIN_MAX), PAUSE_AGAIN_MAX),
            None => (PAUSE_FIRST, PAUSE_MAX),
        };
        let mut outage = Self {
            refused,
            logged,
            begun: now,
            pause,
            pause_max,
            next: now,
            reopens: now,
            is_obstructed: false,
            attempts: 0,
        };
        outage.wait(now);
        outage
    }

    /// The directory cannot be written: what stopped the engine is seen there.
    pub fn obstructed(&mut self) {
        self.is_obstructed = true;
    }

    /// Why calls are refused.
    pub fn refused(&self) -> &Refused {
        &self.refused
    }

    /// How long until the directory is to be looked at.
    pub fn due_in(&self, now: Instant) -> Duration {
        self.next.saturating_duration_since(now)
    }

    /// Notes what a look at the directory found; whether the engine is to be reopened now. A look costs little: an obstacle that
    /// has gone is noticed within seconds, however often the engine stopped before.
    pub fn may_reopen(
        &mut self,
        probed: Result<(), impl Error + Send + Sync + 'static>,
        now: Instant,
    ) -> bool {
        match probed {
            Err(cause) => {
                self.failed(cause, now);
                self.is_obstructed = true;
                false
            }
            Ok(()) if self.is_obstructed || now >= self.reopens => true,
            Ok(()) => {
                self.next = self.reopens.min(now + PAUSE_MAX);
                false
            }
        }
    }

    /// Notes an attempt that failed: the next is due after a longer pause.
    pub fn failed(&mut self, cause: impl Error + Send + Sync + 'static, now: Instant) {
        let shown = Causes(&cause).to_string();
        if shown != self.logged {
            tracing::error!(error = %shown, "the store still takes no writes, for another cause");
            self.logged = shown;
        }
        self.refused = Refused::unavailable(cause);
        self.attempts = self.attempts.saturating_add(1);
        self.pause = (2 * self.pause).min(self.pause_max);
        self.is_obstructed = false;
        self.wait(now);
    }

    fn wait(&mut self, now: Instant) {
        self.reopens = now + varied(self.pause);
        self.next = self.reopens.min(now + varied(self.pause.min(PAUSE_MAX)));
    }

    /// Ends with an attempt that succeeded.
    pub fn end(self, now: Instant) -> Ended {
        tracing::warn!(
            after = ?now.saturating_duration_since(self.begun),
            attempts = self.attempts + 1,
            "the store takes writes again"
        );
        Ended { at: now, pause: self.pause }
    }
}

/// A pause that is longer or shorter by up to a quarter, so that many stores on one disk do not write at once.
fn varied(pause: Duration) -> Duration {
    let chance = RandomState::new().build_hasher().finish();
    pause.mul_f64(0.75 + 0.5 * (chance as f64 / u64::MAX as f64))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::io;
    use std::sync::Mutex;

    #[test]
    fn the_pace_is_bounded_and_the_latest_cause_is_named() {
        let now = Instant::now();
        let mut outage = Outage::begin(io::Error::from_raw_os_error(28), None, now);
        assert!(outage.due_in(now) >= PAUSE_FIRST / 2 && outage.due_in(now) <= 2 * PAUSE_FIRST);
        assert!(Causes(&outage.refused().error("insert")).to_string().ends_with("(os error 28)"));
        for _ in 0..40 {
            outage.failed(io::Error::from_raw_os_error(30), now);
            assert!(outage.due_in(now) > PAUSE_FIRST && outage.due_in(now) <= PAUSE_MAX * 5 / 4);
        }
        assert!(outage.due_in(now) >= PAUSE_MAX * 3 / 4);
        assert_eq!(outage.due_in(now + 2 * PAUSE_MAX), Duration::ZERO);
        let error = outage.refused().error("insert");
        assert_eq!(error.kind(), StoreErrorKind::Unavailable);
        assert!(Causes(&error).to_string().ends_with("(os error 30)"), "{}", Causes(&error));
    }

    #[test]
    fn an_engine_that_stops_again_and_again_is_reopened_less_and_less() {
        let mut now = Instant::now();
        let mut last = None;
        for _ in 0..12 {
            let outage = Outage::begin(io::Error::from_raw_os_error(28), last, now);
            now += outage.due_in(now);
            last = Some(outage.end(now));
        }
        let mut outage = Outage::begin(io::Error::from_raw_os_error(28), last, now);
        let begun = now;
        while !outage.may_reopen(Ok::<(), io::Error>(()), now) {
            assert!(outage.due_in(now) <= PAUSE_MAX * 5 / 4);
            now += outage.due_in(now).max(Duration::from_millis(1));
        }
        let waited = now - begun;
        assert!((PAUSE_AGAIN_MAX * 3 / 4..=PAUSE_AGAIN_MAX * 5 / 4).contains(&waited), "{waited:?}");
        now += AGAIN_WITHIN;
        let outage = Outage::begin(io::Error::from_raw_os_error(28), last, now);
        assert!(outage.due_in(now) <= 2 * PAUSE_FIRST);
    }

    #[test]
    fn an_engine_that_stopped_again_and_again_is_reopened_soon_after_its_directory_can_be_written() {
        let (mut now, mut last) = (Instant::now(), None);
        let full = || io::Error::from_raw_os_error(28);
        for _ in 0..12 {
            let mut outage = Outage::begin(full(), last, now);
            for _ in 0..20 {
                now += outage.due_in(now);
                assert!(!outage.may_reopen(Err(full()), now), "it is full");
                assert!(outage.due_in(now) <= PAUSE_MAX * 5 / 4);
            }
            now += outage.due_in(now);
            assert!(outage.may_reopen(Ok::<(), io::Error>(()), now), "there is room");
            last = Some(outage.end(now));
        }
        // It was seen to be full as it stopped, and there was room before the first look.
        let mut outage = Outage::begin(full(), last, now);
        outage.obstructed();
        assert!(outage.due_in(now) <= PAUSE_MAX * 5 / 4);
        now += outage.due_in(now);
        assert!(outage.may_reopen(Ok::<(), io::Error>(()), now));
        // The engine cannot be reopened although there is room.
        outage.failed(full(), now);
        assert!(!outage.may_reopen(Ok::<(), io::Error>(()), now + PAUSE_MAX));
    }

    #[test]
    fn the_log_names_the_cause_once_per_change() {
        let now = Instant::now();
        let logged = logged(|| {
            let mut outage = Outage::begin(io::Error::from_raw_os_error(28), None, now);
            for code in [28, 28, 30, 30, 28] {
                outage.failed(io::Error::from_raw_os_error(code), now);
            }
            let _ended = outage.end(now);
        });
        let names = |line: &str, code: i32| line.contains(&format!("(os error {code})"));
        let named: Vec<_> = logged.lines().map(|line| [28, 30].map(|code| names(line, code))).collect();
        assert_eq!(named, [[true, false], [false, true], [true, false], [false, false]], "{logged}");
    }

    /// What a call writes to the log.
    pub(crate) fn logged(call: impl FnOnce()) -> String {
        let (mut read, written) = io::pipe().unwrap();
        let writer = Mutex::new(written);
        let subscriber =
            tracing_subscriber::fmt().without_time().with_ansi(false).with_writer(writer).finish();
        tracing::subscriber::with_default(subscriber, call);
        let mut logged = String::new();
        io::Read::read_to_string(&mut read, &mut logged).unwrap();
        logged
    }
}
