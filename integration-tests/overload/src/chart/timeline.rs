//! The chart of a trigger: what each second showed.

use super::axis::{Axis, Scale};
use super::svg::{Chart, Mark, Panel, Series};
use super::{BLUE, GREEN, GREY, ORANGE, RED};
use crate::arm::Arm;
use crate::figures::increase;
use crate::load::Row;
use crate::place::Place;
use crate::stairs::missing;
use crate::trigger::{DURING, Trigger};

/// The seconds of a trigger.
pub(crate) fn timeline(place: &Place, arm: &Arm, trigger: Trigger, rows: &[Row]) -> String {
    let end = rows.last().map_or(1.0, |row| row.second.at_s);
    Chart {
        title: format!("{trigger} of {} with {}: {}", place.backend, place.share, arm.title),
        x_title: "seconds from the begin of the load; the trigger is grey".to_owned(),
        note: String::new(),
        x: Axis::over(Scale::Linear, [end]),
        unit: " s",
        panels: vec![
            panel(
                "GET_PROVIDERS for keys with providers, share answered with them",
                Scale::Linear,
                rows,
                &[("found", GREEN, &|row, _| Some(1.0 - missing(std::slice::from_ref(row))?))],
            ),
            panel(
                "Statements",
                Scale::Linear,
                rows,
                &[
                    ("at the server, per second", BLUE, &|_, pair| {
                        per_second(pair, |row| row.sample.store.statements)
                    }),
                    ("store calls of the node, per second", GREEN, &|_, pair| {
                        per_second(pair, |row| row.sample.node.store_calls)
                    }),
                    ("in flight", ORANGE, &|row, _| Some(row.sample.node.permits_used)),
                    ("not read by the server", RED, &|row, _| Some(row.sample.unread)),
                ],
            ),
            panel(
                "Latency, ms",
                Scale::Log,
                rows,
                &[
                    ("GET_PROVIDERS p50", BLUE, &|row, _| Some(row.second.latency_ms[0]?.0)),
                    ("GET_PROVIDERS p99", GREEN, &|row, _| Some(row.second.latency_ms[0]?.1)),
                    ("FIND_NODE p99", ORANGE, &|row, _| Some(row.second.latency_ms[2]?.1)),
                ],
            ),
            panel(
                "What waits, and the memory of the node",
                Scale::Log,
                rows,
                &[
                    ("write queue, records", BLUE, &|row, _| Some(row.sample.node.write_queue)),
                    ("reads in line", GREEN, &|row, _| Some(row.sample.node.waiting)),
                    ("requests outstanding", ORANGE, &|row, _| Some(row.second.outstanding as f64)),
                    ("RSS, MiB", RED, &|row, _| Some(row.sample.node_rss_mib)),
                ],
            ),
        ],
    }
    .to_svg()
}

/// A value of a second, which may need the second before.
type Value<'a> = &'a dyn Fn(&Row, &[Row]) -> Option<f64>;

fn panel(title: &str, scale: Scale, rows: &[Row], of: &[(&str, &str, Value<'_>)]) -> Panel {
    let points = |value: Value<'_>| {
        let point = |pair: &[Row]| {
            let last = pair.last()?;
            Some((last.second.at_s, value(last, pair)?))
        };
        rows.windows(2).filter_map(point).collect::<Vec<_>>()
    };
    let mut series: Vec<_> = of
        .iter()
        .map(|(name, colour, value)| Series {
            name: (*name).to_owned(),
            colour: (*colour).to_owned(),
            mark: Mark::Path,
            points: points(*value),
        })
        .collect();
    let all = series.iter().flat_map(|series| series.points.iter().map(|(_, y)| *y)).filter(|y| *y > 0.0);
    let (least, most) = all.fold((f64::INFINITY, 0.0_f64), |(least, most), y| (least.min(y), most.max(y)));
    series.push(trigger(rows, if scale == Scale::Log { least } else { 0.0 }, most));
    Panel { title: title.to_owned(), scale, series }
}

/// The time of the trigger, as a frame.
fn trigger(rows: &[Row], least: f64, most: f64) -> Series {
    let mut during = rows.iter().filter(|row| row.second.step == DURING).map(|row| row.second.at_s);
    let points = match during.next() {
        Some(from) => {
            let to = during.next_back().unwrap_or(from);
            vec![(from - 1.0, least), (from - 1.0, most), (to, most), (to, least)]
        }
        None => Vec::new(),
    };
    Series { name: "the trigger".to_owned(), colour: GREY.to_owned(), mark: Mark::Path, points }
}

fn per_second(pair: &[Row], of: fn(&Row) -> f64) -> Option<f64> {
    let seconds = pair.last()?.second.at_s - pair.first()?.second.at_s;
    (seconds > 0.0).then(|| increase(pair, of) / seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::ShareName;
    use crate::server::Backend;
    use hydra_load::Second;

    #[test]
    fn the_seconds_and_the_trigger_are_drawn() {
        let row = |nth: usize| Row {
            second: Second { at_s: nth as f64, step: nth / 3, offered: 100, ..Second::default() },
            ..Row::default()
        };
        let rows: Vec<_> = (0..15).map(row).collect();
        let arms = Arm::all().unwrap();
        let place = Place::new(Backend::Postgres, ShareName::Sliver);
        let svg = timeline(&place, &arms[0], Trigger::Freeze(10), &rows);
        assert!(svg.contains("freeze-10 of PostgreSQL") && svg.contains(">10 s</text>"), "{svg}");
        assert_eq!(svg.matches("<polyline").count(), 1 + 4 + 3 + 4 + 4, "{svg}");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}
