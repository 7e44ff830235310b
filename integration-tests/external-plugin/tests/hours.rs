//! When announcements are taken, and how many.

use hydra_api::{
    AdmissionPolicy, Judgement, Load, OpenErrorKind, Operation, Outcome, PeerId, ReconfigureError, Request,
    Rung, Token, Value, Verdict,
};
use office_hours::{Config, HOUR_FULL, OUT_OF_HOURS, OfficeHours, Outside};
use std::time::{Duration, Instant, UNIX_EPOCH};

const HOUR: Duration = Duration::from_secs(3600);
const DECLINED: Verdict = Verdict::Decline(OUT_OF_HOURS);

fn hours(opens_at_hour: u8, closes_at_hour: u8) -> Config {
    Config { opens_at_hour, closes_at_hour, ..Config::default() }
}

/// What a policy that was opened at midnight, some days after 1970, says of this operation so long after.
fn verdict(config: Config, operation: Operation, after: Duration) -> Verdict {
    let midnight = Instant::now();
    let policy = OfficeHours::new(config, UNIX_EPOCH + 24 * 20_000 * HOUR, midnight).unwrap();
    let request = Request::new(operation, PeerId::new(b"peer").unwrap(), None, 0, b"key");
    policy.admit(&request, &Load::IDLE, midnight + after).verdict
}

/// The hours at which announcements are taken.
fn open_hours(config: Config) -> Vec<u32> {
    (0..24).filter(|hour| verdict(config, Operation::AddProvider, *hour * HOUR) == Verdict::Admit).collect()
}

#[test]
fn announcements_are_taken_from_opening_to_closing() {
    assert_eq!(open_hours(hours(9, 12)), [9, 10, 11]);
    assert_eq!(open_hours(hours(22, 2)), [0, 1, 22, 23], "over midnight");
    assert_eq!(open_hours(hours(22, 24)), [22, 23], "until midnight");
    assert_eq!(open_hours(hours(22, 0)), [22, 23], "until midnight");
    assert_eq!(open_hours(hours(0, 24)), (0..24).collect::<Vec<_>>(), "the whole day");
}

#[test]
fn an_hour_begins_and_ends_to_the_second_every_day() {
    let second = Duration::from_secs(1);
    for day in [0, 1, 400] {
        let at = |hour: u32| (24 * day + hour) * HOUR;
        for (after, expected) in [
            (at(9) - second, DECLINED),
            (at(9), Verdict::Admit),
            (at(17) - second, Verdict::Admit),
            (at(17), DECLINED),
        ] {
            let said = verdict(hours(9, 17), Operation::PutValue, after);
            assert_eq!(said, expected, "day {day}, {after:?} after midnight");
        }
    }
}

#[test]
fn what_is_no_write_always_passes() {
    for operation in Operation::ALL.into_iter().filter(|operation| !operation.is_write()) {
        assert_eq!(verdict(hours(9, 17), operation, 3 * HOUR), Verdict::Admit, "{operation:?}");
    }
}

#[test]
fn announcements_can_be_degraded_instead() {
    let config = Config { outside: Outside::Degrade(Rung::Stale), ..hours(9, 17) };
    assert_eq!(verdict(config, Operation::AddProvider, 3 * HOUR), Verdict::Degrade(Rung::Stale));
}

#[test]
fn an_instant_before_the_opening_counts_as_the_opening() {
    let opened = Instant::now() + HOUR;
    let policy = OfficeHours::new(hours(0, 1), UNIX_EPOCH, opened).unwrap();
    let request = Request::new(Operation::AddProvider, PeerId::new(b"peer").unwrap(), None, 0, b"key");
    assert_eq!(policy.admit(&request, &Load::IDLE, opened - HOUR).verdict, Verdict::Admit);
}

#[test]
fn what_cannot_be_is_refused() {
    let now = Instant::now();
    let never = OfficeHours::new(hours(9, 9), UNIX_EPOCH, now).unwrap_err();
    assert_eq!(never.kind(), &OpenErrorKind::Config { key: "closes_at_hour".to_owned() });
    let early = OfficeHours::new(Config::default(), UNIX_EPOCH - HOUR, now).unwrap_err();
    assert_eq!(early.kind(), &OpenErrorKind::Unavailable);
}

/// A policy that is always open, for so many announcements in an hour, and how to ask it.
struct Busy(OfficeHours, Instant);

impl Busy {
    fn new(hourly_max: u32) -> Self {
        let now = Instant::now();
        let config = Config { hourly_max, ..hours(0, 24) };
        Self(OfficeHours::new(config, UNIX_EPOCH, now).unwrap(), now)
    }

    fn request() -> Request<'static> {
        Request::new(Operation::AddProvider, PeerId::new(b"peer").unwrap(), None, 0, b"key")
    }

    fn admit(&self, after: Duration) -> Judgement {
        self.0.admit(&Self::request(), &Load::IDLE, self.1 + after)
    }

    /// How many of ten announcements are admitted so long after.
    fn admitted(&self, after: Duration) -> usize {
        (0..10).filter(|_| self.admit(after).verdict == Verdict::Admit).count()
    }

    fn settle(&self, token: Token, outcome: Outcome) {
        self.0.settle(&Self::request(), token, &outcome, self.1);
    }
}

#[test]
fn an_hour_has_so_many_announcements_and_begins_with_the_first() {
    let (busy, second) = (Busy::new(3), Duration::from_secs(1));
    assert_eq!(busy.admitted(HOUR / 2), 3);
    assert_eq!(busy.admit(HOUR).verdict, Verdict::Decline(HOUR_FULL));
    assert_eq!(busy.admitted(HOUR / 2 * 3 - second), 0);
    assert_eq!(busy.admitted(HOUR / 2 * 3), 3);
    assert_eq!(busy.admitted(Duration::ZERO), 0, "time that goes back begins no hour");
}

#[test]
fn what_never_started_is_given_back_to_its_own_hour() {
    let busy = Busy::new(3);
    let taken: Vec<_> = (0..3).map(|_| busy.admit(Duration::ZERO).token).collect();
    busy.settle(taken[0], Outcome::NeverStarted);
    busy.settle(taken[1], Outcome::Abandoned);
    assert_eq!(busy.admitted(Duration::ZERO), 1);
    assert_eq!(busy.admitted(HOUR), 3);
    busy.settle(taken[2], Outcome::NeverStarted);
    assert_eq!(busy.admitted(HOUR), 0, "the hour of that one is over");
}

#[test]
fn a_changed_table_is_taken_up_whole_or_not_at_all() {
    let busy = Busy::new(3);
    let table = |text: &str| text.parse::<Value>().unwrap();
    assert_eq!(busy.admitted(Duration::ZERO), 3);
    let changed = table(r#"{ "opens_at_hour": 0, "closes_at_hour": 24, "hourly_max": 5 }"#);
    busy.0.reconfigure(changed).unwrap();
    assert_eq!(busy.admitted(Duration::ZERO), 2);
    let wrong = table(r#"{ "opens_at_hour": 9, "closes_at_hour": 9, "hourly_max": 7 }"#);
    let ReconfigureError::Config(issue) = busy.0.reconfigure(wrong).unwrap_err() else { panic!() };
    assert_eq!(issue.key, "closes_at_hour");
    assert!(busy.0.reconfigure(table(r#"{ "hourly": 7 }"#)).is_err());
    assert_eq!(busy.admitted(Duration::ZERO), 0, "as before");
}
