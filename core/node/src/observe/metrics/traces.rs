//! Sampling decisions and exported spans. A node without an endpoint for traces shows zeros.

use super::page::Page;
use crate::observe::node_view::NodeView;
use std::fmt;

pub(super) fn write(node_view: &NodeView, page: &mut Page<'_>) -> fmt::Result {
    let traces = node_view.traces.as_deref();
    let counts = traces.map(|traces| traces.counts());
    page.counters(
        "hydra_traces_total",
        "Decisions on traces: requests and background store calls traced by ratio (sampled), slow or degraded requests traced \
         (kept), and slow or degraded requests not traced because the limit per second was reached (skipped).",
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
        "Spans by outcome: accepted by the collector (exported), not accepted (failed), or dropped because the queue was \
         full or the node stopped.",
        [
            ("exported", spans.map_or(0, |spans| spans.exported())),
            ("failed", spans.map_or(0, |spans| spans.failed())),
            ("dropped", spans.map_or(0, |spans| spans.dropped())),
        ]
        .map(|(outcome, count)| ([("outcome", outcome)], count)),
    )?;
    page.gauge(
        "hydra_spans_waiting",
        "Spans that wait for export.",
        spans.map_or(0, |spans| spans.waiting()),
    )?;
    page.gauge(
        "hydra_spans_waiting_max",
        "Limit of the spans that wait for export.",
        node_view.config.telemetry.otlp.queue_len_max,
    )
}
