//! The policy.

use crate::config::{Config, Outside};
use hydra_api::{
    AdmissionPolicy, Judgement, Load, OpenError, Outcome, ReasonId, ReconfigureError, Request, Token, Value,
    Verdict,
};
use std::borrow::Cow;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The announcement came outside of the hours.
pub const OUT_OF_HOURS: ReasonId = ReasonId(0);
/// The hour has had as many announcements as it may.
pub const HOUR_FULL: ReasonId = ReasonId(1);

/// What metrics call the reasons, in the order of their numbers.
const REASONS: [&str; 2] = ["out_of_hours", "hour_full"];

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Takes announcements during some hours of each day, and not more than so many in one hour. Reads always pass.
///
/// A policy reads no clock (rule A4), and the [`Instant`] that it is passed has no date. So `open` reads the date of one
/// instant, and the hour of the day follows from the time since then. If the system clock is set while the node runs, or
/// the machine sleeps, the policy notices that at the next start.
#[derive(Debug)]
pub struct OfficeHours {
    opened: Instant,
    /// The time of the day at `opened`.
    opened_at: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    config: Config,
    /// The number of the current hour, from 1; 0 before the first announcement.
    hour: u64,
    /// When it began.
    began: Instant,
    /// How many announcements it has had.
    announcements: u32,
}

impl OfficeHours {
    /// A policy of this config. `date` is what the system's clock shows at `opened`.
    ///
    /// # Errors
    /// [`OpenError`] when there is no hour between opening and closing, or the date is before 1970.
    pub fn new(config: Config, date: SystemTime, opened: Instant) -> Result<Self, OpenError> {
        config.check().map_err(|issue| OpenError::config(issue.key, issue.message))?;
        let since_1970 = date
            .duration_since(UNIX_EPOCH)
            .map_err(|cause| OpenError::unavailable("the system's clock shows a date before 1970", cause))?;
        let opened_at = Duration::from_secs(since_1970.as_secs() % DAY.as_secs());
        let state = Mutex::new(State { config, hour: 0, began: opened, announcements: 0 });
        Ok(Self { opened, opened_at, state })
    }

    /// The hour of the day. An instant before the opening counts as the opening.
    fn hour_of_day(&self, now: Instant) -> u64 {
        let second = (self.opened_at + now.saturating_duration_since(self.opened)).as_secs() % DAY.as_secs();
        second / HOUR.as_secs()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_open(&self, hour_of_day: u64) -> bool {
        let [opens, closes] = [self.config.opens_at_hour, self.config.closes_at_hour].map(u64::from);
        if opens < closes {
            opens <= hour_of_day && hour_of_day < closes
        } else {
            opens <= hour_of_day || hour_of_day < closes
        }
    }

    /// Counts an announcement; the number of the hour in which it was counted, or `None` when that is full.
    fn count(&mut self, now: Instant) -> Option<u64> {
        // When `now` has gone back, no time has passed.
        if self.hour == 0 || now.saturating_duration_since(self.began) >= HOUR {
            (self.hour, self.began, self.announcements) = (self.hour + 1, now, 0);
        }
        if self.announcements >= self.config.hourly_max {
            return None;
        }
        self.announcements += 1;
        Some(self.hour)
    }
}

impl AdmissionPolicy for OfficeHours {
    // Called for every request, from many threads: no I/O, no allocation, and the lock is held for some nanoseconds.
    fn admit(&self, request: &Request<'_>, _load: &Load, now: Instant) -> Judgement {
        if !request.operation.is_write() {
            return Verdict::Admit.into();
        }
        let hour_of_day = self.hour_of_day(now);
        let mut state = self.state();
        if !state.is_open(hour_of_day) {
            return match state.config.outside {
                Outside::Decline => Verdict::Decline(OUT_OF_HOURS).into(),
                Outside::Degrade(rung) => Verdict::Degrade(rung).into(),
            };
        }
        match state.count(now) {
            Some(hour) => Judgement::new(Verdict::Admit).with_token(Token(hour)),
            None => Verdict::Decline(HOUR_FULL).into(),
        }
    }

    // Gives back what a request took that a later policy declined, if its hour is not over. The token tells which hour that
    // was; it is 0 for a request that took nothing. Any other outcome has cost the node work and keeps its place.
    fn settle(&self, _request: &Request<'_>, token: Token, outcome: &Outcome, _now: Instant) {
        if *outcome != Outcome::NeverStarted || token == Token::default() {
            return;
        }
        let mut state = self.state();
        if state.hour == token.0 {
            state.announcements -= 1;
        }
    }

    fn reasons(&self) -> Vec<Cow<'static, str>> {
        REASONS.map(Cow::Borrowed).into()
    }

    // The table is read and checked before anything changes, and replaced as a whole under the lock of `admit`.
    fn reconfigure(&self, table: Value) -> Result<(), ReconfigureError> {
        let config: Config = ReconfigureError::parse(table)?;
        config.check().map_err(ReconfigureError::Config)?;
        self.state().config = config;
        Ok(())
    }
}
