//! Charts of an arm as SVG: one panel for each question, over the offered load.

mod axis;
mod svg;

use crate::booster;
use crate::figures::Figures;
use crate::run::Measured;
use crate::server::Backend;
use axis::Scale;
use svg::{Chart, Mark, Panel, Series};

const BLUE: &str = "#1f6fb4";
const ORANGE: &str = "#d97706";
const GREEN: &str = "#2f855a";
const RED: &str = "#b91c1c";
const GREY: &str = "#6b7280";

/// The chart of an arm.
pub(crate) fn chart(measured: &Measured) -> String {
    let Measured { arm, base, .. } = measured;
    let multiple = match measured.saturation {
        Some(_) => format!("multiples of the rate that saturates the server, {base:.0} requests/s"),
        None => format!("multiples of {base:.0} requests/s, the rate that saturates {}", booster::NAME),
    };
    Chart {
        title: format!("hydra over {} with {}", arm.backend, arm.share),
        x_title: format!("offered load, {multiple}"),
        x: measured.steps.iter().map(|step| step.multiple).collect(),
        panels: vec![statements(measured), goodput(measured), latency(measured), memory(measured)],
    }
    .to_svg()
}

fn series(measured: &Measured, name: &str, colour: &'static str, of: fn(&Figures) -> f64) -> Series {
    let points = measured.steps.iter().map(|step| (step.multiple, of(step))).collect();
    Series { name: name.to_owned(), colour, mark: Mark::Line, points }
}

fn statements(measured: &Measured) -> Panel {
    let mut all = vec![
        series(measured, measured.arm.backend.statements(), BLUE, |step| step.statements),
        series(measured, "store calls of the node", GREEN, |step| step.store_calls),
    ];
    if measured.arm.backend == Backend::Redis {
        all.push(series(measured, "total_commands_processed", ORANGE, |step| step.commands));
    }
    Panel { title: "Statements at the server, per second".to_owned(), scale: Scale::Linear, series: all }
}

fn goodput(measured: &Measured) -> Panel {
    Panel {
        title: "Answers per second".to_owned(),
        scale: Scale::Log,
        series: vec![
            series(measured, "offered", GREY, |step| step.offered),
            series(measured, "full answers, all requests", BLUE, |step| step.full),
            series(measured, "answers with providers", GREEN, |step| step.found),
        ],
    }
}

fn latency(measured: &Measured) -> Panel {
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
            series(measured, "p50", BLUE, |step| step.get_p50_ms),
            series(measured, "p99", GREEN, |step| step.get_p99_ms),
            series(measured, "lag of the generator, p99", GREY, |step| step.lag_p99_ms),
            booster("p50", ORANGE, &booster::P50_MS),
            booster("p99", RED, &booster::P99_MS),
        ],
    }
}

fn memory(measured: &Measured) -> Panel {
    Panel {
        title: "Resident memory of the node, MiB".to_owned(),
        scale: Scale::Linear,
        series: vec![series(measured, "RSS", BLUE, |step| step.node_rss_mib)],
    }
}
