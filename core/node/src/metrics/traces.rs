//! What is traced, and what becomes of it. A node that sends no traces tells zeros.

use super::page::Page;
use crate::node_view::NodeView;
use std::fmt;

pub(super) fn write(node_view: &NodeView, page: &mut Page<'_>) -> fmt::Result {
    let traces = node_view.traces.as_deref();
    let counts = traces.map(|traces| traces.counts());
    page.counters(
        "hydra_traces_total",
        "Requests and chores of the store that were traced by chance, requests that were because they were slow or degraded, \
         and such that were not because there were too many.",
        [
            ("sampled", counts.map_or(0, |counts| counts.sampled())),
            ("kept", counts.map_or(0, |counts| counts.kept())),
            ("skipped", counts.map_or(0, |counts| counts.skipped())),
        ]
        .map(|(decision, count)| ([("decision", decision)], count)),
    )?;
    let spans = node_view.exporter.stats();
    page.counters(
        "hydra_spans_total",
        "What became of spans: the collector took them, it did not, or there was no room for them.",
        [
            ("exported", spans.map_or(0, |spans| spans.exported())),
            ("failed", spans.map_or(0, |spans| spans.failed())),
            ("dropped", spans.map_or(0, |spans| spans.dropped())),
        ]
        .map(|(outcome, count)| ([("outcome", outcome)], count)),
    )?;
    page.gauge(
        "hydra_spans_waiting",
        "Spans that wait to be sent.",
        spans.map_or(0, |spans| spans.waiting()),
    )?;
    page.gauge(
        "hydra_spans_waiting_max",
        "How many spans may wait to be sent.",
        node_view.config.telemetry.otlp.queue_len_max,
    )
}
