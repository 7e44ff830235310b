//! The policy: three budgets, narrow before wide.

use crate::clock::Clock;
use crate::config::{Config, Then};
use crate::gcra::Bucket;
use crate::receipt::Receipt;
use crate::settings::{Settings, SharedSettings};
use crate::table::Table;
use hydra_api::{
    AdmissionPolicy, Judgement, Load, OpenError, Outcome, ReasonId, ReconfigureError, Request, Token, Value,
    Verdict,
};
use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::OnceLock;
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
    settings: SharedSettings,
    clock: Clock,
    tables: Tables,
    node: Bucket,
}

/// The tables of buckets. One that no budget needs is not there, until a changed config needs it.
#[derive(Debug)]
struct Tables {
    peers: OnceLock<Table>,
    prefixes: OnceLock<Table>,
    peers_max: u32,
    prefixes_max: u32,
}

/// A request that has to pay.
#[derive(Debug, Clone, Copy)]
struct Bill<'a> {
    settings: &'a Settings,
    cost: u32,
    now: u64,
}

impl TokenBucket {
    /// A policy whose buckets are all full.
    ///
    /// # Errors
    /// [`OpenError`] when a value is out of its bounds, or a request costs more than a budget can ever hold.
    pub fn new(config: Config) -> Result<Self, OpenError> {
        config.check()?;
        let tables = Tables {
            peers: OnceLock::new(),
            prefixes: OnceLock::new(),
            peers_max: config.peers_max,
            prefixes_max: config.prefixes_max,
        };
        tables.make(&config);
        Ok(Self {
            settings: SharedSettings::new(&config),
            clock: Clock::default(),
            tables,
            node: Bucket::default(),
        })
    }

    /// Takes the bill from every bucket or from none. The peer's comes first, so that a peer at its limit uses up
    /// nothing that others share; and most of those who are declined need no look for their prefix.
    fn pay(&self, bill: Bill<'_>, request: &Request<'_>, from: Option<IpAddr>) -> Result<Receipt, ReasonId> {
        let Bill { settings, cost, now } = bill;
        let mut receipt = Receipt { mark: settings.mark(), peer: 0, prefix: 0 };
        if let Some((table, rate)) = self.tables.peers.get().zip(settings.peer()) {
            receipt.peer = table.take(table.place(request.peer), rate, now, cost).ok_or(PEER)?;
        }
        if let Some((table, rate)) = self.tables.prefixes.get().zip(settings.prefix()) {
            let place = table.place(prefix_of(from, settings));
            receipt.prefix = table
                .take(place, rate, now, cost)
                .ok_or(PREFIX)
                .inspect_err(|_| self.give_back_peer(settings, cost, receipt))?;
        }
        if settings.node().is_some_and(|rate| !self.node.take(rate, now, cost)) {
            self.give_back_prefix(settings, cost, receipt);
            self.give_back_peer(settings, cost, receipt);
            return Err(NODE);
        }
        Ok(receipt)
    }

    fn give_back_peer(&self, settings: &Settings, cost: u32, receipt: Receipt) {
        if let Some((table, rate)) = self.tables.peers.get().zip(settings.peer()) {
            table.give_back(receipt.peer, rate, cost);
        }
    }

    fn give_back_prefix(&self, settings: &Settings, cost: u32, receipt: Receipt) {
        if let Some((table, rate)) = self.tables.prefixes.get().zip(settings.prefix()) {
            table.give_back(receipt.prefix, rate, cost);
        }
    }
}

impl Tables {
    /// Makes those that the budgets of this config need and that are not there yet.
    fn make(&self, config: &Config) {
        if config.peer.enabled {
            self.peers.get_or_init(|| Table::full(self.peers_max));
        }
        if config.prefix.enabled {
            self.prefixes.get_or_init(|| Table::full(self.prefixes_max));
        }
    }

    /// The keys whose values need other tables than these.
    fn changed(&self, config: &Config) -> Vec<&'static str> {
        let sizes = [
            ("peers_max", config.peers_max != self.peers_max),
            ("prefixes_max", config.prefixes_max != self.prefixes_max),
        ];
        sizes.into_iter().filter(|(_, changed)| *changed).map(|(key, _)| key).collect()
    }
}

/// Family and leading bits. Relayed connections are a family of one prefix.
fn prefix_of(address: Option<IpAddr>, settings: &Settings) -> (u8, u128) {
    match address {
        Some(IpAddr::V4(v4)) => (4, u128::from(v4.to_bits()) >> (32 - settings.ipv4_prefix_bits())),
        Some(IpAddr::V6(v6)) => (6, v6.to_bits() >> (128 - settings.ipv6_prefix_bits())),
        None => (0, 0),
    }
}

impl AdmissionPolicy for TokenBucket {
    fn admit(&self, request: &Request<'_>, _load: &Load, now: Instant) -> Judgement {
        let settings = &self.settings.read();
        let cost = settings.cost(request.operation);
        let from = request.address.map(|address| address.to_canonical());
        if cost == 0 || (from.is_some_and(|it| it.is_loopback()) && settings.loopback_exempt()) {
            return Verdict::Admit.into();
        }
        let bill = Bill { settings, cost, now: self.clock.read(now) };
        match self.pay(bill, request, from) {
            Ok(receipt) => Judgement::new(Verdict::Admit).with_token(receipt.token()),
            Err(reason) => match settings.then() {
                Then::Decline => Verdict::Decline(reason).into(),
                Then::Degrade(rung) => Verdict::Degrade(rung).into(),
            },
        }
    }

    /// Only [`Outcome::NeverStarted`] gives back what the request has paid, to the buckets that it has paid to. Every other
    /// outcome has cost the node work, whether or not the store answered in time.
    fn settle(&self, request: &Request<'_>, token: Token, outcome: &Outcome, _now: Instant) {
        if *outcome != Outcome::NeverStarted {
            return;
        }
        let Some(receipt) = Receipt::of(token) else { return };
        // After two changes of the config since then, what was paid stays paid.
        let Some(settings) = &self.settings.marked(receipt.mark) else { return };
        let cost = settings.cost(request.operation);
        self.give_back_peer(settings, cost, receipt);
        self.give_back_prefix(settings, cost, receipt);
        if let Some(rate) = settings.node() {
            self.node.give_back(rate, cost);
        }
    }

    fn reasons(&self) -> Vec<Cow<'static, str>> {
        REASONS.map(Cow::Borrowed).into()
    }

    /// Everything is taken up but the sizes of the tables. The time that a bucket needs until it is full again stays what
    /// it is, or becomes what an empty one needs at the new rate where that is less.
    fn reconfigure(&self, table: Value) -> Result<(), ReconfigureError> {
        let config: Config = ReconfigureError::parse(table)?;
        config.check().map_err(|error| {
            ReconfigureError::from_open(&error).unwrap_or(ReconfigureError::needs_restart())
        })?;
        let changed = self.tables.changed(&config);
        if !changed.is_empty() {
            return Err(ReconfigureError::keys(changed));
        }
        self.tables.make(&config);
        self.settings.set(&config);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
