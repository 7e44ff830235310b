//! The policy: three budgets, narrow before wide.

use crate::config::{Config, Then};
use crate::gcra::{Bucket, Rate};
use crate::table::{Place, Table};
use hydra_api::{AdmissionPolicy, Load, OpenError, Operation, Outcome, Reason, Request, Verdict};
use std::net::IpAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// The peer has used up its budget.
pub const PEER: Reason = Reason("peer_budget");
/// The peers of the address prefix have used up their budget.
pub const PREFIX: Reason = Reason("prefix_budget");
/// All peers together have used up the budget of the node.
pub const NODE: Reason = Reason("node_budget");

/// Budgets of requests per peer, per address prefix and for the node, in fixed memory.
#[derive(Debug)]
pub struct TokenBucket {
    config: Config,
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
            config,
        })
    }

    /// `None` for a request that passes without being counted.
    fn bill(&self, request: &Request, now: Instant) -> Option<Bill> {
        let cost = match request.operation {
            Operation::FindNode | Operation::Ping => 0,
            Operation::GetProviders | Operation::GetValue => self.config.read_cost,
            Operation::AddProvider | Operation::PutValue => self.config.write_cost,
        };
        let address = request.address.map(|address| address.to_canonical());
        if cost == 0 || (self.config.loopback_exempt && address.is_some_and(|it| it.is_loopback())) {
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
    fn pay(&self, bill: Bill) -> Result<(), Reason> {
        self.pay_peer(bill)?;
        self.pay_prefix(bill).inspect_err(|_| self.give_back_peer(bill))?;
        self.pay_node(bill).inspect_err(|_| {
            self.give_back_prefix(bill);
            self.give_back_peer(bill);
        })
    }

    fn pay_peer(&self, bill: Bill) -> Result<(), Reason> {
        let refused =
            self.peers.as_ref().zip(bill.peer).is_some_and(|(it, at)| !it.take(at, bill.now, bill.cost));
        if refused { Err(PEER) } else { Ok(()) }
    }

    /// The prefix is looked for only here, as most of those who are declined are so for their peer's sake.
    fn pay_prefix(&self, bill: Bill) -> Result<(), Reason> {
        let refused = self.prefix(bill).is_some_and(|(it, at)| !it.take(at, bill.now, bill.cost));
        if refused { Err(PREFIX) } else { Ok(()) }
    }

    fn pay_node(&self, bill: Bill) -> Result<(), Reason> {
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

    fn has_room(&self, bill: Bill) -> bool {
        let room = |(table, place): (&Table, Place)| table.has_room(place, bill.now, bill.cost);
        self.peers.as_ref().zip(bill.peer).is_none_or(room)
            && self.prefix(bill).is_none_or(room)
            && self.node.as_ref().is_none_or(|it| it.has_room(bill.now, bill.cost))
    }

    fn prefix(&self, bill: Bill) -> Option<(&Table, Place)> {
        self.prefixes.as_ref().map(|table| (table, table.place(self.prefix_of(bill.address))))
    }
}

impl AdmissionPolicy for TokenBucket {
    fn admit(&self, request: &Request, _load: &Load, now: Instant) -> Verdict {
        let Some(bill) = self.bill(request, now) else { return Verdict::Admit };
        match (self.pay(bill), self.config.then) {
            (Ok(()), _) => Verdict::Admit,
            (Err(reason), Then::Decline) => Verdict::Decline(reason),
            (Err(_), Then::Degrade(rung)) => Verdict::Degrade(rung),
        }
    }

    fn settle(&self, request: &Request, outcome: &Outcome, now: Instant) {
        match outcome {
            Outcome::Served { .. } | Outcome::Degraded { .. } | Outcome::Abandoned => return,
            Outcome::NeverStarted => {}
        }
        let Some(bill) = self.bill(request, now) else { return };
        // A degraded request has paid nothing and is settled all the same. It is known by a bucket that is still
        // empty: the settling of a request that never started follows its verdict at once. This may keep the last
        // unit of a budget, and gives out none that was not taken.
        if matches!(self.config.then, Then::Degrade(_)) && !self.has_room(bill) {
            return;
        }
        self.give_back_peer(bill);
        self.give_back_prefix(bill);
        if let Some(node) = &self.node {
            node.give_back(bill.cost);
        }
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
