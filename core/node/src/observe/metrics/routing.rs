//! What fills the peer table and makes the heads known: dials, refreshes, rounds of the advertiser.

use super::page::Page;
use crate::net::dial_gate::Refusal;
use crate::net::routing::rounds::{AllRounds, Outcome};
use crate::observe::node_view::NodeView;
use std::fmt;

pub(super) fn write(node_view: &NodeView, page: &mut Page<'_>) -> fmt::Result {
    let dials = &node_view.dials;
    page.counter("hydra_dials_total", "Dials of heads and scout to single addresses.", dials.admitted())?;
    let [policy, budget] = Refusal::WORDS;
    let [by_policy, by_budget] = dials.refused();
    page.counters(
        "hydra_dials_refused_total",
        "Addresses not dialed because the address policy does not permit them, or because the dial budget of their \
         destination was used up.",
        [(policy, by_policy), (budget, by_budget)].map(|(reason, refused)| ([("reason", reason)], refused)),
    )?;
    rounds(&node_view.rounds, page)
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
    let requests = both.map(|(round, counts)| {
        Outcome::ALL
            .map(|outcome| ([("round", round), ("outcome", outcome.as_str())], counts.requests(outcome)))
    });
    page.counters(
        "hydra_routing_requests_total",
        "Requests of rounds by outcome: answered, failed, or not sent because a dial budget was used up.",
        requests.into_iter().flatten(),
    )
}
