//! What fills the peer table and makes the heads known: dials, refreshes, rounds of the advertiser.

use super::page::Page;
use crate::net::dial_gate;
use crate::net::routing::kad_id::KadId;
use crate::net::routing::rounds::{AllRounds, Outcome};
use crate::net::routing::table::{Refusal, Table};
use crate::observe::node_view::NodeView;
use std::fmt;

pub(super) fn write(node_view: &NodeView, page: &mut Page<'_>) -> fmt::Result {
    let dials = &node_view.dials;
    page.counter("hydra_dials_total", "Dials of heads and scout to single addresses.", dials.admitted())?;
    let (reasons, refused) = (dial_gate::Refusal::WORDS, dials.refused());
    page.counters(
        "hydra_dials_refused_total",
        "Addresses not dialed because the address policy does not permit them, because the dial budget of their \
         destination was used up, because their names were not resolved, or because too many were being dialed \
         (sockets).",
        reasons
            .into_iter()
            .zip(refused)
            .chain([("sockets", dials.without_socket())])
            .map(|(reason, refused)| ([("reason", reason)], refused)),
    )?;
    rounds(&node_view.rounds, page)?;
    lookups(&node_view.rounds, page)?;
    table(&node_view.table, page)
}

fn rounds(rounds: &AllRounds, page: &mut Page<'_>) -> fmt::Result {
    let both = [("refresh", &rounds.refresh), ("advertise", &rounds.advertise)];
    page.counters(
        "hydra_routing_rounds_total",
        "Completed rounds: refreshes of the peer table, and rounds in which the heads advertise themselves.",
        both.map(|(round, counts)| ([("round", round)], counts.ended())),
    )?;
    page.gauges(
        "hydra_routing_round_seconds",
        "Duration of the last completed round.",
        both.map(|(round, counts)| ([("round", round)], counts.last().as_secs_f64())),
    )?;
    let targets = both.map(|(round, counts)| {
        let (all, reached) = (counts.targets(), counts.reached());
        [("all", all), ("answered", reached)]
            .map(|(which, count)| ([("round", round), ("targets", which)], count))
    });
    page.gauges(
        "hydra_routing_round_targets",
        "Targets of the last completed round, and those that were answered: lookups of a refresh, and servers to which the \
         heads advertise themselves.",
        targets.into_iter().flatten(),
    )?;
    let kinds = [
        ("probe", &rounds.probe),
        ("refresh", &rounds.refresh.requests),
        ("advertise", &rounds.advertise.requests),
    ];
    let requests = kinds.map(|(round, counts)| {
        Outcome::ALL.map(|outcome| ([("round", round), ("outcome", outcome.as_str())], counts.of(outcome)))
    });
    page.counters(
        "hydra_routing_requests_total",
        "Requests by outcome: those of rounds, and probes of servers that connected or were named by others. Unsent ones \
         were held back because a dial budget was used up or too many were under way.",
        requests.into_iter().flatten(),
    )
}

fn lookups(rounds: &AllRounds, page: &mut Page<'_>) -> fmt::Result {
    let lookups = &rounds.lookups;
    page.counter("hydra_lookups_total", "Completed lookups of refreshes.", lookups.ended())?;
    page.counter(
        "hydra_lookup_hops_total",
        "Hops of all completed lookups: servers asked one after the other until the closest one was found.",
        lookups.hops(),
    )?;
    page.counter(
        "hydra_lookup_duration_seconds_total",
        "Duration of all completed lookups.",
        lookups.took().as_secs_f64(),
    )
}

/// Buckets that are shown, from the farthest; deeper ones are next to empty in any network.
const BUCKETS: [&str; 16] =
    ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15"];
/// Heads whose buckets are counted, spread evenly over all.
const HEADS_COUNTED: usize = 16;

fn table(table: &Table, page: &mut Page<'_>) -> fmt::Result {
    page.counters(
        "hydra_table_refused_total",
        "Peers that were not taken into the peer table: no address that the policy permits, no room in their bucket, too \
         many of their address group, or a head of this node.",
        Refusal::ALL.map(|refusal| ([("reason", refusal.as_str())], table.refused(refusal))),
    )?;
    let snapshot = table.snapshot();
    let own: Vec<KadId> =
        snapshot.servers().filter(|server| server.is_own()).map(|server| server.id).collect();
    let counted: Vec<_> = own.iter().step_by(own.len().div_ceil(HEADS_COUNTED).max(1)).collect();
    if counted.is_empty() {
        return Ok(());
    }
    let filled = |prefix: usize| {
        let foreign =
            |head: &&KadId| snapshot.bucket(head, prefix as u32).filter(|server| !server.is_own()).count();
        counted.iter().map(foreign).sum::<usize>() as f64 / counted.len() as f64
    };
    page.gauges(
        "hydra_table_bucket_peers",
        "Servers of other nodes in the bucket with this common prefix length, on average over heads.",
        BUCKETS.iter().enumerate().map(|(prefix, word)| ([("prefix", *word)], filled(prefix))),
    )
}
