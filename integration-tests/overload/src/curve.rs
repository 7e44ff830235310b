//! The curve of an arm: steps of rising load.

use crate::figures::Figures;
use crate::form::Form;
use crate::ground::{Ground, say};
use crate::load::{self, Row};
use hydra_load::StepReport;
use std::io;

/// The generator cannot keep up if it starts requests later than this for so many seconds.
const LAG_MS_MAX: f64 = 1_000.0;
const LATE_SECONDS: usize = 3;

/// What the steps of an arm showed.
#[derive(Debug)]
pub(crate) struct Curve {
    pub(crate) steps: Vec<Figures>,
    /// One for each second, and the multiple of its step.
    pub(crate) rows: Vec<(f64, Row)>,
}

/// Offers the multiples of `base`.
///
/// # Errors
/// If no client can connect.
pub(crate) async fn measure(name: &str, ground: &Ground, form: &Form, base: f64) -> io::Result<Curve> {
    let rates = form.multiples.iter().map(|multiple| multiple * base);
    let plan = load::plan(load::heads(&ground.nodes)?, form.keys, load::steps(rates, form.step));
    let goes_on = |rows: &[Row]| {
        if let Some(row) = rows.last().filter(|row| row.second.step % 2 == 1) {
            say(name, &format!("{:.0} requests/s were offered", row.second.rate.unwrap_or_default()));
        }
        !is_beyond_generator(rows)
    };
    let ran = load::send(plan, &ground.sampler, |_| {}, goes_on).await?;
    // A step that was cut off is left out.
    let is_whole = |report: &StepReport| report.duration_s >= 0.9 * form.step[1].as_secs_f64();
    let measured = ran.report.steps.iter().enumerate().skip(1).step_by(2).zip(form.multiples);
    let measured = measured.filter(|((_, report), _)| is_whole(report));
    let steps = measured.map(|((nth, report), multiple)| {
        let rows: Vec<Row> = ran.rows.iter().filter(|row| row.second.step == nth).cloned().collect();
        Figures::of(*multiple, report, &rows)
    });
    let steps = steps.collect();
    let multiple = |row: &Row| form.multiples.get(row.second.step / 2).copied().unwrap_or_default();
    Ok(Curve { steps, rows: ran.rows.into_iter().map(|row| (multiple(&row), row)).collect() })
}

/// Whether the generator cannot keep up: what it would measure at a higher rate is itself.
fn is_beyond_generator(rows: &[Row]) -> bool {
    let last = rows.iter().rev().take(LATE_SECONDS);
    let late = last.filter(|row| row.second.lag_p99_ms.is_some_and(|lag| lag > LAG_MS_MAX));
    late.count() == LATE_SECONDS
}
