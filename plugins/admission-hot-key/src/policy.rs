//! The policy: how often each key is asked for, and how many new providers it gets.

use crate::config::Config;
use crate::known::Known;
use crate::receipt::Receipt;
use arc_swap::ArcSwap;
use hydra_api::{
    AdmissionPolicy, Judgement, Load, OpenError, Operation, Outcome, ReasonId, ReconfigureError, Request,
    Token, Value, Verdict,
};
use hydra_sketch::{Clock, Count, Table, Tick};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

/// The key has got too many new providers lately.
pub const NEW_PROVIDERS: ReasonId = ReasonId(0);

const REASONS: [&str; 1] = ["new_providers"];

/// New providers are counted in ticks of 17 seconds, 2^10 of the clock's: their count halves in 18 minutes.
const SLOW: u32 = 10;

/// Providers of a key are remembered when so many parts of its limit have been taken lately: most keys never come to
/// that.
const MANY: u32 = 8;

/// Serves hot keys from the cache, and takes few new providers of one key.
#[derive(Debug)]
pub struct HotKey {
    settings: ArcSwap<Settings>,
    clock: Clock,
    /// Reads by key.
    reads: Table,
    /// Reads by hot key that may ask the store.
    asks: Table,
    /// New providers by key, on the slow clock.
    providers: Table,
    known: Known,
}

/// What a decision reads of the config.
#[derive(Debug, Clone, Copy)]
struct Settings {
    config: Config,
    /// Above it a key is hot.
    hot: Count,
    asks_max: Count,
    new_max: Count,
}

impl Settings {
    fn new(config: Config) -> Result<Self, OpenError> {
        config.check()?;
        // At a steady rate a count comes to 1.55 times a second's requests: on the slow clock, 0.44 times an hour's.
        let new_max = u64::from(config.providers.new_per_hour_max) * 44 / 100;
        Ok(Self {
            config,
            hot: Count::at_rate(config.reads.hot_per_s),
            asks_max: Count::at_rate(config.reads.uncached_per_s_max).max(Count::ONE),
            new_max: Count::of(new_max as u32),
        })
    }
}

impl HotKey {
    /// A policy that has seen no request.
    ///
    /// # Errors
    /// [`OpenError`] when a value is out of its bounds.
    pub fn new(config: Config) -> Result<Self, OpenError> {
        let settings = Settings::new(config)?;
        let table = || Table::new(config.keys_max);
        Ok(Self {
            settings: ArcSwap::from_pointee(settings),
            clock: Clock::default(),
            reads: table(),
            asks: table(),
            providers: table(),
            known: Known::new(config.known_max),
        })
    }

    /// Every read counts, one that is degraded too: what makes a key hot is how often it is asked for.
    fn read(&self, key: &[u8], tick: Tick, settings: &Settings) -> Judgement {
        let place = self.reads.place(key);
        let Ok(read) = self.reads.add(place, tick, Count::MAX) else { return Verdict::Admit.into() };
        if read.count <= settings.hot {
            return Judgement::new(Verdict::Admit).with_token(Receipt::Read(read.slot).token());
        }
        match self.asks.add(self.asks.place(key), tick, settings.asks_max) {
            Ok(asks) => {
                Judgement::new(Verdict::Admit).with_token(Receipt::Asks(read.slot, asks.slot).token())
            }
            Err(_) => {
                let verdict = Verdict::Degrade(settings.config.reads.degrade_to);
                Judgement::new(verdict).with_token(Receipt::Read(read.slot).token())
            }
        }
    }

    fn announcement(&self, request: &Request<'_>, tick: Tick, settings: &Settings) -> Judgement {
        let (place, tick) = (self.providers.place(request.key), tick >> SLOW);
        let is_of_many = self.providers.count(place, tick) >= settings.new_max.over(MANY);
        if is_of_many && self.known.has(request.key, &request.peer) {
            return Verdict::Admit.into();
        }
        match self.providers.add(place, tick, settings.new_max) {
            Ok(new) if is_of_many => {
                Judgement::new(Verdict::Admit).with_token(Receipt::NewOfMany(new.slot).token())
            }
            Ok(new) => Judgement::new(Verdict::Admit).with_token(Receipt::New(new.slot).token()),
            Err(_) => Verdict::Decline(NEW_PROVIDERS).into(),
        }
    }
}

impl AdmissionPolicy for HotKey {
    fn admit(&self, request: &Request<'_>, _load: &Load, now: Instant) -> Judgement {
        let settings = self.settings.load();
        let Config { reads, providers, .. } = &settings.config;
        match request.operation {
            Operation::GetProviders if reads.enabled => {
                self.read(request.key, self.clock.read(now), &settings)
            }
            Operation::AddProvider if providers.enabled => {
                self.announcement(request, self.clock.read(now), &settings)
            }
            _ => Verdict::Admit.into(),
        }
    }

    /// What never started is given back, and what the cache has answered has asked for nothing. A provider is known
    /// when it has been taken.
    fn settle(&self, request: &Request<'_>, token: Token, outcome: &Outcome, now: Instant) {
        let never_started = *outcome == Outcome::NeverStarted;
        let from_cache = matches!(outcome, Outcome::Served { took, .. } if took.is_zero());
        let receipt = Receipt::of(token);
        match receipt {
            Receipt::Asks(_, asks) if never_started || from_cache => {
                self.asks.take_back(asks, self.clock.read(now));
            }
            Receipt::New(key) | Receipt::NewOfMany(key) if never_started => {
                self.providers.take_back(key, self.clock.read(now) >> SLOW);
            }
            Receipt::NewOfMany(_) if matches!(outcome, Outcome::Served { .. }) => {
                self.known.remember(request.key, &request.peer);
            }
            _ => {}
        }
        if let (Receipt::Read(key) | Receipt::Asks(key, _), true) = (receipt, never_started) {
            self.reads.take_back(key, self.clock.read(now));
        }
    }

    fn reasons(&self) -> Vec<Cow<'static, str>> {
        REASONS.map(Cow::Borrowed).into()
    }

    /// Everything is taken up but the sizes of the tables.
    fn reconfigure(&self, table: Value) -> Result<(), ReconfigureError> {
        let config: Config = ReconfigureError::parse(table)?;
        let settings = Settings::new(config).map_err(|error| {
            ReconfigureError::from_open(&error).unwrap_or(ReconfigureError::needs_restart())
        })?;
        let now = self.settings.load().config;
        let sizes =
            [("keys_max", config.keys_max != now.keys_max), ("known_max", config.known_max != now.known_max)];
        let changed: Vec<_> = sizes.into_iter().filter(|(_, changed)| *changed).map(|(key, _)| key).collect();
        if !changed.is_empty() {
            return Err(ReconfigureError::keys(changed));
        }
        self.settings.store(Arc::new(settings));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
