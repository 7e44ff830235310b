//! The policy: three budgets, narrow before wide.

use crate::config::{Config, Then};
use crate::gcra::{Bucket, Rate};
use crate::live::Live;
use crate::table::{Place, Table};
use hydra_api::{
    AdmissionPolicy, Judgement, Load, OpenError, Operation, Outcome, ReasonId, ReconfigureError, Request,
    Token, Value, Verdict,
};
use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// The peer has used up its budget.
pub const PEER: ReasonId = ReasonId(0);
/// The peers of the address prefix have used up their budget.
pub const PREFIX: ReasonId = ReasonId(1);
/// All peers together have used up the budget of the node.
pub const NODE: ReasonId = ReasonId(2);

const REASONS: [&str; 3] = ["peer_budget", "prefix_budget", "node_budget"];

/// Budgets of requests per peer, per address prefix and for the node, in fixed memory.
#[derive(Debug)]
pub struct TokenBucket {
    /// The table that it was opened with: what cannot change.
    config: Config,
    live: Live,
    clock: Clock,
    peers: Option<Table>,
    prefixes: Option<Table>,
    node: Option<Bucket>,
}

/// A request that is judged: what it costs, and whose buckets it takes from.
#[derive(Debug, Clone, Copy)]
struct Bill {
    cost: u32,
    now: u64,
    peer: Option<Place>,
    address: Option<IpAddr>,
}

impl TokenBucket {
    /// A policy whose buckets are all full.
    ///
    /// # Errors
    /// [`OpenError`] when a value is out of its bounds, or a request costs more than a budget can ever hold.
    pub fn new(config: Config) -> Result<Self, OpenError> {
        config.check()?;
        let (peer, prefix, node) = (config.peer, config.prefix, config.node);
        Ok(Self {
            peers: peer
                .enabled
                .then(|| Table::full(Rate::new(peer.rate_per_s, peer.burst), config.peers_max)),
            prefixes: prefix
                .enabled
                .then(|| Table::full(Rate::new(prefix.rate_per_s, prefix.burst), config.prefixes_max)),
            node: node.enabled.then(|| Bucket::full(Rate::new(node.rate_per_s, node.burst))),
            clock: Clock::default(),
            live: Live::new(&config),
            config,
        })
    }

    /// `None` for a request that passes without being counted.
    fn bill(&self, request: &Request, now: Instant) -> Option<Bill> {
        let cost = match request.operation {
            Operation::FindNode | Operation::Ping => 0,
            Operation::GetProviders | Operation::GetValue => self.live.read_cost(),
            Operation::AddProvider | Operation::PutValue => self.live.write_cost(),
        };
        let address = request.address.map(|address| address.to_canonical());
        if cost == 0 || (address.is_some_and(|it| it.is_loopback()) && self.live.loopback_exempt()) {
            return None;
        }
        Some(Bill {
            cost,
            now: self.clock.read(now),
            peer: self.peers.as_ref().map(|table| table.place(request.peer)),
            address,
        })
    }

    /// Family and leading bits. Relayed connections are a family of one prefix.
    fn prefix_of(&self, address: Option<IpAddr>) -> (u8, u128) {
        match address {
            Some(IpAddr::V4(v4)) => {
                let host_bits = 32 - u32::from(self.config.ipv4_prefix_bits);
                (4, u128::from(v4.to_bits()) >> host_bits)
            }
            Some(IpAddr::V6(v6)) => (6, v6.to_bits() >> (128 - u32::from(self.config.ipv6_prefix_bits))),
            None => (0, 0),
        }
    }

    /// Takes the bill from every bucket or from none. The peer's comes first, so that a peer at its limit uses up
    /// nothing that others share.
    fn pay(&self, bill: Bill) -> Result<(), ReasonId> {
        self.pay_peer(bill)?;
        self.pay_prefix(bill).inspect_err(|_| self.give_back_peer(bill))?;
        self.pay_node(bill).inspect_err(|_| {
            self.give_back_prefix(bill);
            self.give_back_peer(bill);
        })
    }

    fn pay_peer(&self, bill: Bill) -> Result<(), ReasonId> {
        let refused =
            self.peers.as_ref().zip(bill.peer).is_some_and(|(it, at)| !it.take(at, bill.now, bill.cost));
        if refused { Err(PEER) } else { Ok(()) }
    }

    /// The prefix is looked for only here, as most of those who are declined are so for their peer's sake.
    fn pay_prefix(&self, bill: Bill) -> Result<(), ReasonId> {
        let refused = self.prefix(bill).is_some_and(|(it, at)| !it.take(at, bill.now, bill.cost));
        if refused { Err(PREFIX) } else { Ok(()) }
    }

    fn pay_node(&self, bill: Bill) -> Result<(), ReasonId> {
        let refused = self.node.as_ref().is_some_and(|it| !it.take(bill.now, bill.cost));
        if refused { Err(NODE) } else { Ok(()) }
    }

    fn give_back_peer(&self, bill: Bill) {
        if let Some((table, place)) = self.peers.as_ref().zip(bill.peer) {
            table.give_back(place, bill.cost);
        }
    }

    fn give_back_prefix(&self, bill: Bill) {
        if let Some((table, place)) = self.prefix(bill) {
            table.give_back(place, bill.cost);
        }
    }

    fn prefix(&self, bill: Bill) -> Option<(&Table, Place)> {
        self.prefixes.as_ref().map(|table| (table, table.place(self.prefix_of(bill.address))))
    }
}

/// What a request has paid, as its token tells: `0` is nothing, so that a request that was degraded gives back nothing.
fn paid(cost: u32) -> Token {
    Token(u64::from(cost))
}

impl AdmissionPolicy for TokenBucket {
    fn admit(&self, request: &Request<'_>, _load: &Load, now: Instant) -> Judgement {
        let Some(bill) = self.bill(request, now) else { return Verdict::Admit.into() };
        match self.pay(bill) {
            Ok(()) => Judgement::new(Verdict::Admit).with_token(paid(bill.cost)),
            Err(reason) => match self.live.then() {
                Then::Decline => Verdict::Decline(reason).into(),
                Then::Degrade(rung) => Verdict::Degrade(rung).into(),
            },
        }
    }

    /// Only a request that never started gives back what it took. Every other one has cost the node work, whether the
    /// store answered in time or not.
    fn settle(&self, request: &Request<'_>, token: Token, outcome: &Outcome, now: Instant) {
        if *outcome != Outcome::NeverStarted || token == Token::default() {
            return;
        }
        let Some(bill) = self.bill(request, now) else { return };
        let bill = Bill { cost: u32::try_from(token.0).unwrap_or(u32::MAX), ..bill };
        self.give_back_peer(bill);
        self.give_back_prefix(bill);
        if let Some(node) = &self.node {
            node.give_back(bill.cost);
        }
    }

    fn reasons(&self) -> Vec<Cow<'static, str>> {
        REASONS.map(Cow::Borrowed).into()
    }

    /// Rates, bursts, costs, `then` and `loopback_exempt` are taken up, and buckets keep what they hold. The tables and
    /// what their keys are made of need a restart.
    fn reconfigure(&self, table: Value) -> Result<(), ReconfigureError> {
        let config: Config = ReconfigureError::parse(table)?;
        config.check().map_err(|error| {
            ReconfigureError::from_open(&error).unwrap_or(ReconfigureError::needs_restart())
        })?;
        let fixed = [
            ("peer.enabled", config.peer.enabled != self.config.peer.enabled),
            ("prefix.enabled", config.prefix.enabled != self.config.prefix.enabled),
            ("node.enabled", config.node.enabled != self.config.node.enabled),
            ("ipv4_prefix_bits", config.ipv4_prefix_bits != self.config.ipv4_prefix_bits),
            ("ipv6_prefix_bits", config.ipv6_prefix_bits != self.config.ipv6_prefix_bits),
            ("peers_max", config.peers_max != self.config.peers_max),
            ("prefixes_max", config.prefixes_max != self.config.prefixes_max),
        ];
        let changed: Vec<&str> =
            fixed.into_iter().filter(|(_, changed)| *changed).map(|(key, _)| key).collect();
        if !changed.is_empty() {
            return Err(ReconfigureError::keys(changed));
        }
        if let Some(peers) = &self.peers {
            peers.rate().set(Rate::new(config.peer.rate_per_s, config.peer.burst));
        }
        if let Some(prefixes) = &self.prefixes {
            prefixes.rate().set(Rate::new(config.prefix.rate_per_s, config.prefix.burst));
        }
        if let Some(node) = &self.node {
            node.rate().set(Rate::new(config.node.rate_per_s, config.node.burst));
        }
        self.live.set(&config);
        Ok(())
    }
}

/// Turns the moments that are passed into nanoseconds since the first of them, which never go back.
#[derive(Debug, Default)]
struct Clock {
    start: OnceLock<Instant>,
    latest_ns: AtomicU64,
}

impl Clock {
    fn read(&self, now: Instant) -> u64 {
        let start = *self.start.get_or_init(|| now);
        let ns = u64::try_from(now.saturating_duration_since(start).as_nanos()).unwrap_or(u64::MAX);
        self.latest_ns.fetch_max(ns, Ordering::Relaxed).max(ns)
    }
}

#[cfg(test)]
mod tests;
