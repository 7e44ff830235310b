//! Where time comes from.

use hydra_api::UnixSeconds;
use std::time::Instant;

/// The clock that a [`Desk`](crate::Desk) reads, once per request; further in, time is an argument.
///
/// Intervals are measured by tokio's clock, which tests can pause.
#[derive(Debug, Clone, Copy)]
pub struct Clock(Source);

#[derive(Debug, Clone, Copy)]
enum Source {
    System,
    From { start: UnixSeconds, at: Instant },
}

impl Clock {
    /// The system's clock.
    pub const fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that shows `start` now and goes on as tokio's does: paused and moved with it.
    pub fn starting_at(start: UnixSeconds) -> Self {
        Self(Source::From { start, at: monotonic() })
    }

    /// The date, for expiries.
    pub fn unix(&self) -> UnixSeconds {
        match self.0 {
            Source::System => UnixSeconds::now(),
            Source::From { start, at } => start.saturating_add(monotonic().saturating_duration_since(at)),
        }
    }

    /// The moment, for intervals.
    pub fn now(&self) -> Instant {
        monotonic()
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::system()
    }
}

/// The moment as tokio's clock has it.
pub(crate) fn monotonic() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn a_test_clock_moves_with_the_paused_clock() {
        let clock = Clock::starting_at(UnixSeconds(1_000));
        tokio::time::advance(Duration::from_secs(48 * 3600)).await;
        assert_eq!(clock.unix(), UnixSeconds(1_000 + 48 * 3600));
    }
}
