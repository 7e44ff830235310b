//! The network: connections, the wire, the peer table, the heads.

use super::page::Page;
use crate::net::head::connection_limits::Refusal;
use crate::net::heads::{Reach, State, Way};
use crate::net::reachability::Outcome;
use crate::net::unique_peers::Span;
use crate::observe::node_view::NodeView;
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
    let states = State::ALL.into_iter().zip(node_view.heads.by_state());
    page.gauges(
        "hydra_heads",
        "Heads by state.",
        states.map(|(state, heads)| ([("state", state.as_str())], heads)),
    )?;
    let listeners = node_view.heads.listeners();
    page.gauges(
        "hydra_listeners",
        "Listeners of the heads: those that listen (up), and those that failed or closed and are tried again (down).",
        [("up", listeners.up), ("down", listeners.down)].map(|(state, count)| ([("state", state)], count)),
    )?;
    page.gauge(
        "hydra_heads_ebbed",
        "Heads that have left server mode because the node declined all reads for a long time.",
        node_view.heads.ebb().1 as u64,
    )?;
    let [left, returned] = node_view.heads.ebbs();
    page.counters(
        "hydra_head_ebbs_total",
        "Heads that left server mode because the node declined all reads for a long time, and that returned to it.",
        [("left", left), ("returned", returned)].map(|(change, heads)| ([("change", change)], heads)),
    )?;
    reach(node_view, page)?;
    page.counter(
        "hydra_head_restarts_total",
        "Restarts of heads, after a panic or a failure to listen.",
        node_view.heads.restarts(),
    )?;
    page.counter(
        "hydra_scout_restarts_total",
        "Restarts of the scout, which looks for servers, after a panic.",
        node_view.scout_restarts.load(Ordering::Relaxed),
    )
}

fn reach(node_view: &NodeView, page: &mut Page<'_>) -> fmt::Result {
    let counts = node_view.heads.by_reach();
    let of_way = |way: Way| {
        let state = move |reach: Reach| {
            let labels = [
                ("transport", way.transport.as_str()),
                ("family", way.family.as_str()),
                ("state", reach.as_str()),
            ];
            (labels, counts[way.index()][reach as usize])
        };
        Reach::ALL.map(state)
    };
    page.gauges(
        "hydra_heads_reachable",
        "Heads that advertise an address of a transport and IP version, by the result of the dials of other peers.",
        Way::ALL.into_iter().flat_map(of_way),
    )?;
    page.gauge(
        "hydra_heads_unadvertised",
        "Heads that advertise no address, so that no peer finds them.",
        node_view.heads.unadvertised().len() as u64,
    )?;
    page.counters(
        "hydra_reachability_tests_total",
        "Tests of an address of a head that other peers were asked for, by outcome.",
        Outcome::ALL.map(|outcome| ([("outcome", outcome.as_str())], node_view.report.of(outcome))),
    )
}

fn connections(node_view: &NodeView, page: &mut Page<'_>) -> fmt::Result {
    let (connections, marks, now) = (&node_view.connections, node_view.connections.marks(), Instant::now());
    page.gauge("hydra_connections", "Connections that are established.", connections.held())?;
    page.gauges(
        "hydra_connections_mark",
        "Connection limits: the number at which new ones are refused (max), above which the least useful are closed \
         (high), and that is left then (low).",
        [("max", marks.max), ("high", marks.high), ("low", marks.low)]
            .map(|(mark, connections)| ([("mark", mark)], connections)),
    )?;
    page.gauge(
        "hydra_connections_pending",
        "Inbound connections that are being established.",
        connections.pending(),
    )?;
    page.counters(
        "hydra_connections_refused_total",
        "Connections refused because a limit was reached, by the limit: of the node, a head, the remote peer, host or network, \
         of those that are being established (pending), or of the memory.",
        Refusal::ALL.map(|reason| ([("reason", reason.as_str())], connections.refused(reason))),
    )?;
    page.counter(
        "hydra_connection_accept_failures_total",
        "Failures to accept a connection, for example because the process has no file descriptor left.",
        connections.accept_failures(),
    )?;
    page.counter(
        "hydra_connections_trimmed_total",
        "Connections closed because a high-water mark was exceeded.",
        connections.trimmed(),
    )?;
    page.counter(
        "hydra_connections_closed_for_memory_total",
        "Connections closed because the memory use was near the limit.",
        connections.closed_for_memory(),
    )?;
    page.gauges(
        "hydra_unique_peers",
        "Approximate number of distinct peers that connected with a head in the last hour and day.",
        Span::ALL.map(|span| ([("window", span.as_str())], connections.unique_peers().count(span, now))),
    )
}

fn wire(wire: &hydra_kad::Stats, page: &mut Page<'_>) -> fmt::Result {
    let both = |taken, given| [([("direction", "in")], taken), ([("direction", "out")], given)];
    page.gauge("hydra_wire_streams", "Open inbound streams.", wire.streams_open())?;
    page.counter("hydra_wire_streams_accepted_total", "Inbound streams accepted.", wire.streams_accepted())?;
    page.counter(
        "hydra_wire_streams_refused_total",
        "Inbound streams refused because the stream limit of their connection was reached.",
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
        "Answers trimmed to 16 KiB because their client reads, or may read, short frames only.",
        wire.answers_trimmed(),
    )?;
    page.counter(
        "hydra_outbound_requests_total",
        "Requests that heads sent to other peers.",
        wire.outbound_requests(),
    )?;
    page.counter(
        "hydra_outbound_requests_failed_total",
        "Requests that heads sent to other peers and that failed.",
        wire.outbound_requests_failed(),
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
    page.gauge("hydra_table_peers_max", "Limit of the servers in the peer table.", node_view.table.len_max())
}
