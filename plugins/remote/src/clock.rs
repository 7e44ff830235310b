//! The clock of a server beside that of this machine.

use hydra_api::UnixSeconds;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// What is less says nothing: dates are whole seconds, and answers take time.
const TOLERATED: Duration = Duration::from_secs(60);

/// By how many seconds this machine's clock is behind that of a server which several nodes share: what one of them does to all
/// records by its own date must not depend on whose clock is right.
#[derive(Debug, Default)]
pub struct ClockBehind(AtomicU32);

impl ClockBehind {
    /// The server says that this is its date.
    pub fn record(&self, server: UnixSeconds) {
        let behind = server.since(UnixSeconds::now());
        let behind = if behind < TOLERATED { 0 } else { behind.as_secs() };
        self.0.store(u32::try_from(behind).unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    /// A date by this machine's clock as the server has it, if that is later.
    pub fn corrected(&self, date: UnixSeconds) -> UnixSeconds {
        date.saturating_add(Duration::from_secs(self.0.load(Ordering::Relaxed).into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_corrected_by_what_the_clock_is_behind_and_not_by_what_it_is_ahead() {
        let (day, behind) = (Duration::from_secs(86_400), ClockBehind::default());
        let date = UnixSeconds(1_000);
        assert_eq!(behind.corrected(date), date);
        behind.record(UnixSeconds::now().saturating_add(10 * day));
        let corrected = behind.corrected(date).since(date);
        assert!(corrected <= 10 * day && corrected > 10 * day - Duration::from_secs(60), "{corrected:?}");
        behind.record(UnixSeconds::now().saturating_sub(day));
        assert_eq!(behind.corrected(date), date);
        behind.record(UnixSeconds(u32::MAX));
        assert_eq!(behind.corrected(UnixSeconds(u32::MAX)), UnixSeconds(u32::MAX));
    }
}
