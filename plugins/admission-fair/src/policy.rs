//! The policy: three counts of each request, narrow before wide, limited by the share while there is pressure.

use crate::config::Config;
use crate::pressure::{Lane, Pressure, Reading};
use crate::receipt::Receipt;
use crate::share::{Bounds, Share};
use crate::source::{Prefix, Source};
use arc_swap::ArcSwap;
use hydra_api::{
    AdmissionPolicy, Judgement, Load, OpenError, Outcome, PeerId, ReasonId, ReconfigureError, Request, Rung,
    Token, Value, Verdict,
};
use hydra_sketch::{Added, Clock, Count, Place, SlotId, Table, Tick};
use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

/// The peer is above its share.
pub const PEER: ReasonId = ReasonId(0);
/// The peers of the host are above their share.
pub const HOST: ReasonId = ReasonId(1);
/// The hosts of the network are above their share.
pub const NETWORK: ReasonId = ReasonId(2);

const REASONS: [&str; 3] = ["peer_share", "host_share", "network_share"];

/// Degrades and declines first what comes from sources above their fair share, while the node is pressed.
#[derive(Debug)]
pub struct Fair {
    settings: ArcSwap<Settings>,
    clock: Clock,
    reads: Share,
    writes: Share,
    /// Of peers, hosts and networks.
    tables: [Table; 3],
}

/// What a decision reads of the config.
#[derive(Debug, Clone, Copy)]
struct Settings {
    config: Config,
    bounds: Bounds,
    /// How many shares a peer, a host and a network have.
    shares: [u32; 3],
}

impl Settings {
    fn new(config: Config) -> Result<Self, OpenError> {
        config.check()?;
        let [min, max] = [config.share_per_s_min, config.share_per_s_max].map(Count::at_rate);
        // One request fits into the lowest share.
        let bounds = Bounds { min: min.max(Count::ONE), max };
        Ok(Self { config, bounds, shares: [1, config.host_shares, config.network_shares] })
    }
}

impl Fair {
    /// A policy that has seen no request.
    ///
    /// # Errors
    /// [`OpenError`] when a value is out of its bounds, or two keys contradict each other.
    pub fn new(config: Config) -> Result<Self, OpenError> {
        let settings = Settings::new(config)?;
        Ok(Self {
            settings: ArcSwap::from_pointee(settings),
            clock: Clock::default(),
            reads: Share::new(Lane::Reads),
            writes: Share::new(Lane::Writes),
            tables: std::array::from_fn(|_| Table::new(config.sources_max)),
        })
    }

    /// Counts the request with its peer, its host and its network, or with none of them. `share` learns what they
    /// have come to.
    fn count(
        &self,
        sources: [Source<'_>; 3],
        tick: Tick,
        limits: &Limits,
        share: &Share,
    ) -> Result<Receipt, ReasonId> {
        let mut slots = [SlotId(0); 3];
        let places: [Place; 3] = std::array::from_fn(|level| self.tables[level].place(sources[level]));
        self.tables.iter().zip(places).for_each(|(table, place)| table.fetch(place));
        for (level, (table, place)) in self.tables.iter().zip(places).enumerate() {
            let added = table.add(place, tick, limits.max[level]);
            let (Ok(Added { count, .. }) | Err(count)) = added;
            share.record(count.over(limits.shares[level]));
            match added {
                Ok(added) => slots[level] = added.slot,
                Err(_) => {
                    self.take_back(&slots[..level], tick);
                    return Err(ReasonId(level as u16));
                }
            }
        }
        Ok(Receipt(slots))
    }

    fn take_back(&self, slots: &[SlotId], tick: Tick) {
        self.tables.iter().zip(slots).for_each(|(table, slot)| table.take_back(*slot, tick));
    }
}

/// What a peer, a host and a network may come to.
struct Limits {
    shares: [u32; 3],
    max: [Count; 3],
}

/// What becomes of a request above a share: refreshes go first, then new announcements, reads last.
const fn verdict(lane: Lane, pressure: Pressure, rung: Rung, reason: ReasonId) -> Verdict {
    match (lane, pressure) {
        (_, Pressure::None) => Verdict::Admit,
        // No known record is written again; a read takes a place in a store call that nobody else wants.
        (_, Pressure::Some) => Verdict::Degrade(Rung::Stale),
        (Lane::Writes, Pressure::High) => Verdict::Decline(reason),
        // Above the peak even a cached answer takes the place of another's.
        (Lane::Reads, Pressure::High) => match rung {
            Rung::RoutingOnly => Verdict::Decline(reason),
            _ => Verdict::Degrade(Rung::CacheOnly),
        },
    }
}

impl AdmissionPolicy for Fair {
    fn admit(&self, request: &Request<'_>, load: &Load, now: Instant) -> Judgement {
        let Some(lane) = Lane::of(request.operation) else { return Verdict::Admit.into() };
        let settings = self.settings.load();
        let Settings { config, bounds, shares } = &**settings;
        let address = request.address.map(|address| address.to_canonical());
        if config.loopback_exempt && address.is_some_and(|address| address.is_loopback()) {
            return Verdict::Admit.into();
        }
        let tick = self.clock.read(now);
        let reading = Reading::of(lane, load, config);
        let share_of = match lane {
            Lane::Reads => &self.reads,
            Lane::Writes => &self.writes,
        };
        let (share, pressure) = share_of.at(tick, &reading, *bounds);
        let max = match pressure {
            Pressure::None => [Count::MAX; 3],
            Pressure::Some | Pressure::High => shares.map(|count| share.times(count)),
        };
        let sources = sources(lane, &request.peer, address, config);
        match self.count(sources, tick, &Limits { shares: *shares, max }, share_of) {
            Ok(receipt) => Judgement::new(Verdict::Admit).with_token(receipt.token()),
            Err(reason) => verdict(lane, pressure, load.rung, reason).into(),
        }
    }

    /// Only [`Outcome::NeverStarted`] gives back what was counted: every other outcome has cost the node work. How
    /// reads that were admitted end tells whether their share is right.
    fn settle(&self, request: &Request<'_>, token: Token, outcome: &Outcome, now: Instant) {
        let Some(Receipt(slots)) = Receipt::of(token) else { return };
        let is_read = Lane::of(request.operation) == Some(Lane::Reads);
        match outcome {
            Outcome::NeverStarted => self.take_back(&slots, self.clock.read(now)),
            // What the cache answers takes no time.
            Outcome::Served { took, .. } if is_read && !took.is_zero() => self.reads.answered(),
            Outcome::NoPermit { .. } | Outcome::Late { .. } if is_read => self.reads.denied(),
            _ => {}
        }
    }

    fn reasons(&self) -> Vec<Cow<'static, str>> {
        REASONS.map(Cow::Borrowed).into()
    }

    /// Everything is taken up but the size of the tables.
    fn reconfigure(&self, table: Value) -> Result<(), ReconfigureError> {
        let config: Config = ReconfigureError::parse(table)?;
        let settings = Settings::new(config).map_err(|error| {
            ReconfigureError::from_open(&error).unwrap_or(ReconfigureError::needs_restart())
        })?;
        if config.sources_max != self.settings.load().config.sources_max {
            return Err(ReconfigureError::keys(["sources_max"]));
        }
        self.settings.store(Arc::new(settings));
        Ok(())
    }
}

/// Where a request comes from, narrow before wide.
fn sources<'a>(lane: Lane, peer: &'a PeerId, address: Option<IpAddr>, config: &Config) -> [Source<'a>; 3] {
    let (host, network) = (Prefix::host(address, config), Prefix::network(address, config));
    [
        Source { lane, prefix: Prefix::whole(address), peer: Some(peer) },
        Source { lane, prefix: host, peer: None },
        Source { lane, prefix: network, peer: None },
    ]
}

#[cfg(test)]
mod tests;
