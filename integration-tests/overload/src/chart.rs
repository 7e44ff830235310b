//! Charts of an arm as SVG: one panel for each question, over the offered load.

mod axis;
mod svg;

use crate::arm::{Arm, Base};
use crate::booster;
use crate::figures::Figures;
use crate::server::Backend;
use axis::Scale;
use svg::{Chart, Mark, Panel, Series};

const BLUE: &str = "#1f6fb4";
const ORANGE: &str = "#d97706";
const GREEN: &str = "#2f855a";
const RED: &str = "#b91c1c";
const GREY: &str = "#6b7280";

/// The chart of an arm whose steps are multiples of `base`, as far as the generator could offer them.
pub(crate) fn chart(arm: &Arm, base: f64, steps: &[Figures]) -> String {
    let offered = steps.iter().position(Figures::is_beyond_generator).unwrap_or(steps.len());
    let steps = steps.get(..offered.max(2)).unwrap_or(steps);
    let multiple = match arm.base {
        Base::Measured { .. } => {
            format!("multiples of the rate that saturates the server, {base:.0} requests/s")
        }
        Base::Fixed(_) => {
            format!("multiples of {base:.0} requests/s, the rate that saturates {}", booster::NAME)
        }
    };
    Chart {
        title: format!("hydra over {} with {}", arm.backend, arm.share),
        x_title: format!("offered load, {multiple}"),
        note: format!(
            "{}: over PostgreSQL with a quarter of a core, at multiples of {} requests/s, which saturate it",
            booster::NAME,
            booster::SATURATED_AT
        ),
        x: steps.iter().map(|step| step.multiple).collect(),
        panels: vec![statements(arm, steps), goodput(arm, steps), latency(steps), memory(steps)],
    }
    .to_svg()
}

fn series(steps: &[Figures], name: &str, colour: &'static str, of: fn(&Figures) -> f64) -> Series {
    let points = steps.iter().map(|step| (step.multiple, of(step))).collect();
    Series { name: name.to_owned(), colour, mark: Mark::Line, points }
}

fn statements(arm: &Arm, steps: &[Figures]) -> Panel {
    let mut all = vec![
        series(steps, arm.backend.statements(), BLUE, |step| step.statements),
        series(steps, "store calls of the node", GREEN, |step| step.store_calls),
    ];
    if arm.backend == Backend::Redis {
        all.push(series(steps, "total_commands_processed", ORANGE, |step| step.commands));
    }
    Panel { title: "Statements at the server, per second".to_owned(), scale: Scale::Linear, series: all }
}

fn goodput(arm: &Arm, steps: &[Figures]) -> Panel {
    let mut all = vec![
        series(steps, "offered", GREY, |step| step.offered),
        series(steps, "full answers, all requests", BLUE, |step| step.full),
        series(steps, "answers with providers", GREEN, |step| step.found),
    ];
    if let Base::Fixed(rate) = arm.base {
        let name = format!("{} is saturated", booster::NAME);
        all.push(Series { name, colour: RED, mark: Mark::Points, points: vec![(1.0, rate)] });
    }
    Panel { title: "Answers per second".to_owned(), scale: Scale::Log, series: all }
}

fn latency(steps: &[Figures]) -> Panel {
    let booster = |name: &str, colour, points: &[(f64, f64)]| Series {
        name: format!("{} {name}", booster::NAME),
        colour,
        mark: Mark::Points,
        points: points.to_vec(),
    };
    Panel {
        title: "Latency of GET_PROVIDERS, ms".to_owned(),
        scale: Scale::Log,
        series: vec![
            series(steps, "p50", BLUE, |step| step.get_p50_ms),
            series(steps, "p99", GREEN, |step| step.get_p99_ms),
            series(steps, "lag of the generator, p99", GREY, |step| step.lag_p99_ms),
            booster("p50", ORANGE, &booster::P50_MS),
            booster("p99", RED, &booster::P99_MS),
        ],
    }
}

fn memory(steps: &[Figures]) -> Panel {
    Panel {
        title: "Resident memory of the node, MiB".to_owned(),
        scale: Scale::Linear,
        series: vec![series(steps, "RSS", BLUE, |step| step.node_rss_mib)],
    }
}
