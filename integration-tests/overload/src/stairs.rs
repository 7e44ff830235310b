//! Finds the highest rate at which the store layer is not degraded, by a staircase of rates.

use crate::form::Form;
use crate::ground::Ground;
use crate::load::{self, ABSENT_SHARE, Row, get_share, steps};
use std::io;

/// Each stair is this much higher than the one before.
const RISE: f64 = 1.4;
/// There are no more stairs than steps in a plan, of which each stair has two.
const STAIRS_MAX: i32 = 24;
/// A stair is degraded if more than this share of the keys that have providers are answered without. The lowest stairs have some
/// hundred such requests, so that less would be chance.
const MISSING_MAX: f64 = 0.05;
/// A stair tells of the generator and not of the server if it starts requests this late for so many seconds.
const LAG_MS_MAX: f64 = 250.0;
const LATE_SECONDS: usize = 4;
/// Chance alone degrades a stair now and then: so many one after the other count.
const DEGRADED_IN_TURN: usize = 3;

/// What a staircase found.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Saturation {
    /// The highest rate that is not degraded, in requests per second.
    pub(crate) rate: f64,
    /// Whether higher rates are degraded; else the generator reached its limit first.
    pub(crate) is_reached: bool,
    /// Each stair: its rate, and the share of keys that have providers and were answered without.
    pub(crate) stairs: Vec<(f64, f64)>,
}

/// Climbs from this rate on.
///
/// # Errors
/// If no client can connect, or if the first stair is degraded.
pub(crate) async fn climb(ground: &Ground, form: &Form, from: f64) -> io::Result<Saturation> {
    let rates: Vec<f64> = (0..STAIRS_MAX).map(|nth| (from * RISE.powi(nth)).round()).collect();
    let all = steps(rates.iter().copied(), form.stair);
    let goes_on = |rows: &[Row]| saturation(&rates, rows).is_none();
    let plan = load::plan(load::heads(&ground.nodes)?, form.keys, all);
    let ran = load::send(plan, &ground.sampler, |_| {}, goes_on).await?;
    let found = saturation(&rates, &ran.rows).unwrap_or_else(|| {
        let stairs = stairs(&rates, &ran.rows);
        Saturation { rate: highest(&stairs), is_reached: false, stairs }
    });
    if found.rate > 0.0 {
        return Ok(found);
    }
    Err(io::Error::other(format!("the first stair is degraded: {:?}", found.stairs)))
}

/// What the rows so far show: nothing if the climb is to go on.
fn saturation(rates: &[f64], rows: &[Row]) -> Option<Saturation> {
    let stairs = stairs(rates, rows);
    let is_degraded = |(_, missing): &(f64, f64)| *missing > MISSING_MAX;
    let is_late = |row: &&Row| row.second.lag_p99_ms.is_some_and(|lag| lag > LAG_MS_MAX);
    let is_lagging = rows.iter().rev().take(LATE_SECONDS).filter(is_late).count() == LATE_SECONDS;
    let first = stairs.windows(DEGRADED_IN_TURN).position(|in_turn| in_turn.iter().all(is_degraded));
    match first {
        Some(first) => {
            let rate = highest(stairs.get(..first)?);
            Some(Saturation { rate, is_reached: true, stairs })
        }
        None if is_lagging => Some(Saturation { rate: highest(&stairs), is_reached: false, stairs }),
        None => None,
    }
}

/// The rate of the highest stair that is not degraded.
fn highest(stairs: &[(f64, f64)]) -> f64 {
    let kept = stairs.iter().filter(|(_, missing)| *missing <= MISSING_MAX);
    kept.map(|(rate, _)| *rate).fold(0.0, f64::max)
}

/// The stairs whose measured step has rows.
fn stairs(rates: &[f64], rows: &[Row]) -> Vec<(f64, f64)> {
    let stair = |(nth, rate): (usize, &f64)| {
        let measured: Vec<Row> = rows.iter().filter(|row| row.second.step == 2 * nth + 1).cloned().collect();
        missing(&measured).map(|missing| (*rate, missing))
    };
    rates.iter().enumerate().filter_map(stair).collect()
}

/// Of the GET_PROVIDERS for keys that have providers, the share that these seconds show without providers: empty answers, and the part of
/// what failed or was late that falls to such keys. None if nothing was sent.
pub(crate) fn missing(rows: &[Row]) -> Option<f64> {
    let (offered, missing) = rows.iter().fold((0, 0.0), |(offered, missing), row| {
        let outcomes = &row.second.outcomes;
        let failed = outcomes.late + outcomes.reset + outcomes.timeout + outcomes.refused + outcomes.unsent;
        let of_present = (1.0 - ABSENT_SHARE) * failed as f64;
        (offered + row.second.offered, missing + outcomes.empty as f64 + of_present)
    });
    let present = present(offered);
    (present > 0.0).then(|| (missing / present).min(1.0))
}

/// Of so many requests, the GET_PROVIDERS for keys that have providers.
pub(crate) fn present(offered: u64) -> f64 {
    offered as f64 * get_share() * (1.0 - ABSENT_SHARE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hydra_load::{Counts, Second};

    /// A second of the measured step of each stair, with this share of the answers without providers.
    fn rows(missing: &[f64]) -> Vec<Row> {
        let row = |(nth, missing): (usize, &f64)| {
            let empty = (missing * 10_000.0 * get_share() * (1.0 - ABSENT_SHARE)).round() as u64;
            let outcomes = Counts { empty, ..Counts::default() };
            Row {
                second: Second { step: 2 * nth + 1, offered: 10_000, outcomes, ..Second::default() },
                ..Row::default()
            }
        };
        missing.iter().enumerate().map(row).collect()
    }

    #[test]
    fn the_last_stair_before_three_degraded_ones_is_the_rate_that_saturates() {
        let rates = [100.0, 130.0, 169.0, 220.0];
        let found = |missing: &[f64]| saturation(&rates, &rows(missing)).map(|found| found.rate);
        assert_eq!(found(&[0.0, 0.5, 0.5]), None, "two may be chance");
        assert_eq!(found(&[0.5, 0.5, 0.0, 0.5]), None);
        assert_eq!(found(&[0.0, 0.5, 0.5, 0.5]), Some(100.0));
        assert_eq!(found(&[0.5, 0.5, 0.5]), Some(0.0));
    }

    #[test]
    fn a_generator_that_is_late_ends_the_climb_without_a_saturation() {
        let rates = [100.0, 130.0, 169.0, 220.0];
        let mut late = rows(&[0.0; 4]);
        late[1..].iter_mut().for_each(|row| row.second.lag_p99_ms = Some(500.0));
        assert_eq!(saturation(&rates, &late), None, "some seconds may be chance");
        late[0].second.lag_p99_ms = Some(500.0);
        let found = saturation(&rates, &late).unwrap();
        assert_eq!((found.rate, found.is_reached), (220.0, false));
    }
}
