//! The policy.

use crate::config::{Config, Outside};
use hydra_api::{AdmissionPolicy, Load, OpenError, Outcome, Reason, Request, Verdict};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The announcement came outside of the hours.
pub const OUT_OF_HOURS: Reason = Reason("out_of_hours");

const HOUR_S: u64 = 3600;
const DAY_S: u64 = 24 * HOUR_S;

/// Takes announcements during some hours of each day. Reads always pass.
///
/// A policy reads no clock (rule A4), and the [`Instant`] that it is passed has no date. So the date of one instant is
/// told when the policy is opened, and the hour follows from the time since then. A system clock that is set while the
/// node runs, or a machine that sleeps, is noticed at the next start.
#[derive(Debug)]
pub struct OfficeHours {
    opens_at_hour: u64,
    closes_at_hour: u64,
    outside: Verdict,
    opened: Instant,
    /// How far the day was at `opened`.
    opened_second: u64,
}

impl OfficeHours {
    /// A policy of this config. `date` is what the system's clock shows at `opened`.
    ///
    /// # Errors
    /// [`OpenError`] when there is no hour between opening and closing, or the date is before 1970.
    pub fn new(config: Config, date: SystemTime, opened: Instant) -> Result<Self, OpenError> {
        if config.opens_at_hour == config.closes_at_hour {
            let message = "it opens at that hour; the whole day is from 0 to 24";
            return Err(OpenError::config("closes_at_hour", message));
        }
        let since_1970 = date
            .duration_since(UNIX_EPOCH)
            .map_err(|cause| OpenError::unavailable("the system's clock shows a date before 1970", cause))?;
        Ok(Self {
            opens_at_hour: config.opens_at_hour.into(),
            closes_at_hour: config.closes_at_hour.into(),
            outside: match config.outside {
                Outside::Decline => Verdict::Decline(OUT_OF_HOURS),
                Outside::Degrade(rung) => Verdict::Degrade(rung),
            },
            opened,
            opened_second: since_1970.as_secs() % DAY_S,
        })
    }

    /// An instant before the opening counts as the opening.
    fn is_open(&self, now: Instant) -> bool {
        let second = self.opened_second + now.saturating_duration_since(self.opened).as_secs();
        let hour = second % DAY_S / HOUR_S;
        if self.opens_at_hour < self.closes_at_hour {
            self.opens_at_hour <= hour && hour < self.closes_at_hour
        } else {
            self.opens_at_hour <= hour || hour < self.closes_at_hour
        }
    }
}

impl AdmissionPolicy for OfficeHours {
    // Called for every request, from many threads: no I/O, no lock, no allocation.
    fn admit(&self, request: &Request, _load: &Load, now: Instant) -> Verdict {
        if request.operation.is_write() && !self.is_open(now) { self.outside } else { Verdict::Admit }
    }

    // Here a policy that keeps a budget gives back what it took. This one takes nothing.
    fn settle(&self, _request: &Request, _outcome: &Outcome, _now: Instant) {}
}
