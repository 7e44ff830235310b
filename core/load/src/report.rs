//! The result of a run.

mod table;

use crate::figures::Figures;
use crate::measure::{Process, StepMeasure, used};
use crate::plan::{Connections, Pace, Plan, Presence, Streams};
use crate::preload::Preloaded;
use crate::process::StepUse;
use crate::recorder::StepTally;
use crate::tally::Latencies;
use serde::Serialize;
use std::time::Duration;

/// The result of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// How it ended.
    pub ended: Ended,
    /// What was sent, and to whom.
    pub setup: Setup,
    /// The clients whose head answered before the first step.
    pub connected: usize,
    /// The announcements before the first step.
    pub preloaded: Option<Preloaded>,
    /// The steps that began. A request belongs to the step in which it was due.
    pub steps: Vec<StepReport>,
    /// All steps together.
    pub total: StepReport,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// Every step ran.
    Finished,
    /// It was stopped.
    Stopped,
}

/// The settings of a run that its figures depend on, as in [`Plan`].
#[derive(Debug, Clone, PartialEq, Serialize)]
#[allow(missing_docs, reason = "the fields are described in Plan")]
pub struct Setup {
    pub heads: Vec<String>,
    pub protocol: String,
    pub seed: u64,
    pub clients: u32,
    pub ids: u64,
    pub first_id: u64,
    pub mix: String,
    pub keys: u64,
    pub zipf: f64,
    pub absent_share: f64,
    pub hot_share: f64,
    pub presence: &'static str,
    pub streams: &'static str,
    pub connections: &'static str,
    pub abusive: Option<f64>,
    pub late_after_ms: u64,
    pub timeout_ms: u64,
    pub outstanding_max: u32,
}

/// The result of a step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepReport {
    /// The rate of an open loop, without what the abusive client adds.
    pub rate: Option<f64>,
    /// The requests in flight of a closed loop.
    pub concurrency: Option<u32>,
    /// How long requests were sent, in seconds.
    pub duration_s: f64,
    /// The requests of all clients but the abusive one.
    pub ordinary: Figures,
    /// The requests of the abusive client.
    pub abusive: Option<Figures>,
    /// How late the generator started requests of an open loop. Latencies include it: if it is not far below them, they
    /// describe the generator and not the server.
    pub lag: Option<Lag>,
    /// The server's process.
    pub server: Option<StepUse>,
    /// The generator's process.
    pub generator: Option<StepUse>,
}

/// How late the generator started requests, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[allow(missing_docs, reason = "the names are the quantiles")]
pub struct Lag {
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub max_ms: f64,
}

/// Puts the report together.
pub(crate) fn report(
    plan: &Plan,
    ended: Ended,
    connected: usize,
    preloaded: Option<Preloaded>,
    tallies: &[StepTally],
    measures: &[StepMeasure],
) -> Report {
    let mut all = StepTally::default();
    tallies.iter().for_each(|tally| all.add(tally));
    let each = plan.steps.iter().zip(tallies).zip(measures);
    let steps: Vec<_> = each
        .map(|((step, tally), measure)| {
            let (rate, concurrency) = match step.pace {
                Pace::Open { per_second } => (Some(per_second), None),
                Pace::Closed { concurrency } => (None, Some(concurrency)),
            };
            StepReport { rate, concurrency, ..step_report(plan, tally, std::slice::from_ref(measure)) }
        })
        .collect();
    let total = step_report(plan, &all, measures);
    Report { ended, setup: Setup::of(plan), connected, preloaded, steps, total }
}

fn step_report(plan: &Plan, tally: &StepTally, measures: &[StepMeasure]) -> StepReport {
    let duration: Duration = measures.iter().map(StepMeasure::duration).sum();
    let ordinary = tally.ordinary.figures(duration);
    let abusive = plan.abusive.map(|_| tally.abusive.figures(duration));
    StepReport {
        rate: None,
        concurrency: None,
        duration_s: duration.as_secs_f64(),
        lag: lag(&tally.lag),
        server: used(measures, Process::Server),
        generator: used(measures, Process::Generator),
        ordinary,
        abusive,
    }
}

fn lag(latencies: &Latencies) -> Option<Lag> {
    Some(Lag {
        p50_ms: latencies.quantile_ms(0.5)?,
        p99_ms: latencies.quantile_ms(0.99)?,
        max_ms: latencies.max_ms()?,
    })
}

impl Setup {
    fn of(plan: &Plan) -> Self {
        Self {
            heads: plan.heads.iter().map(ToString::to_string).collect(),
            protocol: plan.protocol.to_string(),
            seed: plan.seed,
            clients: plan.clients,
            ids: plan.ids,
            first_id: plan.first_id,
            mix: plan.mix.to_string(),
            keys: plan.keys,
            zipf: plan.zipf,
            absent_share: plan.absent_share,
            hot_share: plan.hot_share,
            presence: match plan.presence {
                Presence::Announced => "announced",
                Presence::Preload { .. } => "preload",
                Presence::Held => "held",
            },
            streams: match plan.streams {
                Streams::Reused => "reused",
                Streams::New => "new",
            },
            connections: match plan.connections {
                Connections::Kept => "kept",
                Connections::PerRequest => "per_request",
            },
            abusive: plan.abusive,
            late_after_ms: plan.late_after.as_millis() as u64,
            timeout_ms: plan.timeout.as_millis() as u64,
            outstanding_max: plan.outstanding_max,
        }
    }
}
