//! Charts as SVG: one panel for each question.

mod axis;
mod svg;
mod timeline;

pub(crate) use timeline::timeline;

use crate::arm::Arm;
use crate::booster;
use crate::figures::Figures;
use crate::place::{Base, Place};
use crate::report::Known;
use crate::server::Backend;
use axis::{Axis, Scale};
use svg::{Chart, Mark, Panel, Series};

const BLUE: &str = "#1f6fb4";
const ORANGE: &str = "#d97706";
const GREEN: &str = "#2f855a";
const RED: &str = "#b91c1c";
const GREY: &str = "#6b7280";

/// The chart of an arm whose steps are multiples of `base`, as far as the generator could offer them.
pub(crate) fn curve(place: &Place, arm: &Arm, base: f64, steps: &[Figures]) -> String {
    let steps = offered(steps);
    let note = match place.backend {
        Backend::Postgres => format!(
            "{}: over PostgreSQL with a quarter of a core, at multiples of {} requests/s, which saturate it",
            booster::NAME,
            booster::SATURATED_AT
        ),
        Backend::Redis => String::new(),
    };
    Chart {
        title: format!("hydra over {} with {}: {}", place.backend, place.share, arm.title),
        x_title: x_title(place, base),
        note,
        x: loads(steps),
        unit: "x",
        panels: vec![statements(place, steps), goodput(place, steps), latency(place, steps), memory(steps)],
    }
    .to_svg()
}

/// All arms beside each other.
pub(crate) fn arms(place: &Place, base: f64, known: &[Known<'_>]) -> String {
    let most = known.iter().map(|of| offered(&of.steps)).max_by_key(|steps| steps.len()).unwrap_or_default();
    let panel = |title: &str, scale, of: fn(&Figures) -> f64| Panel {
        title: title.to_owned(),
        scale,
        series: known
            .iter()
            .map(|known| series(offered(&known.steps), &known.arm.title, &known.arm.colour, of))
            .collect(),
    };
    let server = place.backend;
    Chart {
        title: format!("Overload of {server} with {}: the arms", place.share),
        x_title: x_title(place, base),
        note: "Answers with providers are those to GET_PROVIDERS for keys that have some, within a second."
            .to_owned(),
        x: loads(most),
        unit: "x",
        panels: vec![
            panel(&format!("Statements at {server}, per second"), Scale::Linear, |step| step.statements),
            panel(&format!("CPU of {server}, cores"), Scale::Linear, |step| step.store_cpu),
            panel("Goodput: answers with providers, per second", Scale::Log, |step| step.found),
            panel("p99 of GET_PROVIDERS, ms", Scale::Log, |step| step.get_p99_ms),
            panel("Mean time of a store call, ms", Scale::Log, |step| step.call_ms),
            panel("Resident memory of the node, MiB", Scale::Linear, |step| step.node_rss_mib),
        ],
    }
    .to_svg()
}

/// The steps that the generator could offer.
fn offered(steps: &[Figures]) -> &[Figures] {
    let offered = steps.iter().position(Figures::is_beyond_generator).unwrap_or(steps.len());
    steps.get(..offered.max(2)).unwrap_or(steps)
}

fn loads(steps: &[Figures]) -> Axis {
    Axis::of(Scale::Log, steps.iter().map(|step| step.multiple).collect())
}

fn x_title(place: &Place, base: f64) -> String {
    let what = match place.base {
        Base::Measured { .. } => format!("the rate that saturates the server, {base:.0} requests/s"),
        Base::Fixed(_) => format!("{base:.0} requests/s, the rate that saturates {}", booster::NAME),
    };
    format!("offered load, multiples of {what}")
}

fn series(steps: &[Figures], name: &str, colour: &str, of: fn(&Figures) -> f64) -> Series {
    let points = steps.iter().map(|step| (step.multiple, of(step))).collect();
    Series { name: name.to_owned(), colour: colour.to_owned(), mark: Mark::Line, points }
}

fn statements(place: &Place, steps: &[Figures]) -> Panel {
    let mut all = vec![
        series(steps, place.backend.statements(), BLUE, |step| step.statements),
        series(steps, "store calls of the node", GREEN, |step| step.store_calls),
    ];
    if place.backend == Backend::Redis {
        all.push(series(steps, "total_commands_processed", ORANGE, |step| step.commands));
    }
    Panel { title: "Statements at the server, per second".to_owned(), scale: Scale::Linear, series: all }
}

fn goodput(place: &Place, steps: &[Figures]) -> Panel {
    let mut all = vec![
        series(steps, "offered", GREY, |step| step.offered),
        series(steps, "full answers, all requests", BLUE, |step| step.full),
        series(steps, "answers with providers", GREEN, |step| step.found),
    ];
    if let Base::Fixed(rate) = place.base {
        let name = format!("{} is saturated", booster::NAME);
        all.push(Series { name, colour: RED.to_owned(), mark: Mark::Points, points: vec![(1.0, rate)] });
    }
    Panel { title: "Answers per second".to_owned(), scale: Scale::Log, series: all }
}

fn latency(place: &Place, steps: &[Figures]) -> Panel {
    let booster = |name: &str, colour: &str, points: &[(f64, f64)]| Series {
        name: format!("{} {name}", booster::NAME),
        colour: colour.to_owned(),
        mark: Mark::Points,
        points: points.to_vec(),
    };
    let mut all = vec![
        series(steps, "p50", BLUE, |step| step.get_p50_ms),
        series(steps, "p99", GREEN, |step| step.get_p99_ms),
        series(steps, "lag of the generator, p99", GREY, |step| step.lag_p99_ms),
    ];
    if place.backend == Backend::Postgres {
        all.extend([booster("p50", ORANGE, &booster::P50_MS), booster("p99", RED, &booster::P99_MS)]);
    }
    Panel { title: "Latency of GET_PROVIDERS, ms".to_owned(), scale: Scale::Log, series: all }
}

fn memory(steps: &[Figures]) -> Panel {
    Panel {
        title: "Resident memory of the node, MiB".to_owned(),
        scale: Scale::Linear,
        series: vec![series(steps, "RSS", BLUE, |step| step.node_rss_mib)],
    }
}
