//! The network: connections, the wire, the peer table, the heads.

use super::page::Page;
use crate::head::State;
use crate::node_view::NodeView;
use crate::unique_peers::Span;
use hydra_kad::Reset;
use std::fmt;
use std::sync::atomic::Ordering;
use std::time::Instant;

pub(super) fn write(node_view: &NodeView, page: &mut Page<'_>) -> fmt::Result {
    heads(node_view, page)?;
    connections(node_view, page)?;
    wire(&node_view.wire, page)?;
    table(node_view, page)
}

fn heads(node_view: &NodeView, page: &mut Page<'_>) -> fmt::Result {
    let states = State::ALL.into_iter().zip(node_view.heads_by_state());
    page.gauges(
        "hydra_heads",
        "Heads by state.",
        states.map(|(state, heads)| ([("state", state.as_str())], heads)),
    )?;
    let restarts: u64 = node_view.heads.iter().map(|head| head.restarts.load(Ordering::Relaxed)).sum();
    page.counter(
        "hydra_head_restarts_total",
        "Heads that were started again, after a panic or because they could not listen.",
        restarts,
    )
}

fn connections(node_view: &NodeView, page: &mut Page<'_>) -> fmt::Result {
    let (connections, marks, now) = (&node_view.connections, node_view.connections.marks(), Instant::now());
    page.gauge("hydra_connections", "Connections that are established.", connections.held())?;
    page.gauges(
        "hydra_connections_mark",
        "From how many connections on new ones are refused (max), the least useful ones are closed (high), and how \
         many are left then (low).",
        [("max", marks.max), ("high", marks.high), ("low", marks.low)]
            .map(|(mark, connections)| ([("mark", mark)], connections)),
    )?;
    page.counter(
        "hydra_connections_refused_total",
        "Connections refused because the node or a head had its maximum.",
        connections.refused(),
    )?;
    page.counter(
        "hydra_connections_trimmed_total",
        "Connections closed because there were too many.",
        connections.trimmed(),
    )?;
    page.gauges(
        "hydra_unique_peers",
        "About how many different peers a head made a connection with in the last hour and day.",
        Span::ALL.map(|span| ([("window", span.as_str())], connections.unique_peers().count(span, now))),
    )
}

fn wire(wire: &hydra_kad::Stats, page: &mut Page<'_>) -> fmt::Result {
    let both = |taken, given| [([("direction", "in")], taken), ([("direction", "out")], given)];
    page.gauge("hydra_wire_streams", "Inbound streams that are served now.", wire.streams_open())?;
    page.counter("hydra_wire_streams_accepted_total", "Inbound streams accepted.", wire.streams_accepted())?;
    page.counter(
        "hydra_wire_streams_refused_total",
        "Inbound streams refused because their connection had its number of them.",
        wire.streams_refused(),
    )?;
    page.counters(
        "hydra_wire_resets_total",
        "Inbound streams reset, by cause.",
        Reset::ALL.map(|cause| ([("cause", cause.name())], wire.resets(cause))),
    )?;
    page.counters(
        "hydra_wire_frames_total",
        "Requests read and answers written.",
        both(wire.frames_in(), wire.frames_out()),
    )?;
    page.counters(
        "hydra_wire_bytes_total",
        "Bytes of requests read and answers written.",
        both(wire.bytes_in(), wire.bytes_out()),
    )?;
    page.counter(
        "hydra_wire_answers_cut_total",
        "Answers shortened because the budget for answers was used up.",
        wire.answers_cut(),
    )?;
    page.counter(
        "hydra_wire_answers_trimmed_total",
        "Answers trimmed because their remote reads short frames alone, or may.",
        wire.answers_trimmed(),
    )?;
    page.counter("hydra_outbound_requests_total", "Requests that heads made of others.", wire.asks())?;
    page.counter(
        "hydra_outbound_requests_failed_total",
        "Requests that heads made of others and that failed.",
        wire.asks_failed(),
    )
}

fn table(node_view: &NodeView, page: &mut Page<'_>) -> fmt::Result {
    let (mut own, mut foreign, mut connected) = (0u64, 0u64, 0u64);
    for server in node_view.table.snapshot().servers() {
        *(if server.is_own() { &mut own } else { &mut foreign }) += 1;
        connected += u64::from(server.is_connected());
    }
    page.gauges(
        "hydra_table_peers",
        "Servers in the peer table: heads of this node, and others.",
        [([("origin", "own")], own), ([("origin", "foreign")], foreign)],
    )?;
    page.gauge(
        "hydra_table_peers_connected",
        "Servers in the table with a connection to a head.",
        connected,
    )?;
    page.gauge("hydra_table_peers_max", "How many servers the table may hold.", node_view.table.len_max())
}
