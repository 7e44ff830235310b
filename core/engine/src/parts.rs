//! The parts of an engine, and how loaded they are together.

use crate::admission::Chain;
use crate::clock::Clock;
use crate::config::Limits;
use crate::load::{Ladder, Pulse};
use crate::observe::Stats;
use crate::read::Reader;
use crate::store::{Backend, Lane};
use crate::sync::lock;
use crate::values::Values;
use crate::write::{WriteQueue, Writer};
use hydra_api::{Load, Rung};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What an engine and its background tasks share.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) chain: Chain,
    pub(crate) ladder: Ladder,
    pub(crate) reader: Arc<Reader>,
    pub(crate) queue: Arc<WriteQueue>,
    pub(crate) writer: Arc<Writer>,
    pub(crate) values: Arc<Values>,
    pub(crate) backend: Arc<Backend>,
    pub(crate) stats: Arc<Stats>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) clock: Clock,
    /// When the load was last looked at.
    ticked: Mutex<Instant>,
}

impl Parts {
    pub(crate) fn new(
        chain: Chain,
        ladder: Ladder,
        backend: Arc<Backend>,
        limits: Arc<Limits>,
        clock: Clock,
    ) -> Self {
        let (len_max, bytes_max) = (limits.write_queue_len, limits.write_queue_bytes);
        let queue = Arc::new(WriteQueue::new(len_max, bytes_max, limits.window_len));
        let reader = Reader::new(backend.clone(), queue.clone(), limits.clone(), clock.clone());
        Self {
            chain,
            ladder,
            writer: Writer::new(
                backend.clone(),
                queue.clone(),
                reader.clone(),
                limits.clone(),
                clock.clone(),
            ),
            values: Values::new(backend.clone(), limits.clone(), clock.clone()),
            reader,
            queue,
            stats: backend.stats.clone(),
            backend,
            ticked: Mutex::new(clock.now()),
            limits,
            clock,
        }
    }

    pub(crate) fn load(&self, rung: Rung) -> Load {
        let in_flight = self.backend.gate.in_flight();
        Load::new(self.queue.open_level(), self.reader.waiting(), in_flight, rung)
    }

    /// How the store and what stands before it fare since the last call.
    pub(crate) fn pulse(&self) -> Pulse {
        let in_flight = self.backend.gate.in_flight();
        Pulse {
            // Beyond a lower limit of the moment, probes of a stalled store may start.
            busy: in_flight.used >= self.backend.permits().0,
            released: self.backend.gate.released(),
            write_queue: self.queue.open_level(),
            waiting: self.reader.take_waiting_peak(),
            paused: Lane::ALL.map(|lane| self.backend.breaker.is_open(lane)),
            demand: self.stats.demand(),
            writes: self.stats.inserts(),
        }
    }

    /// Notes that the load was looked at.
    pub(crate) fn record_tick(&self) {
        *lock(&self.ticked) = self.clock.now();
    }

    /// How long ago the load was last looked at.
    pub(crate) fn since_tick(&self) -> Duration {
        let ticked = *lock(&self.ticked);
        self.clock.now().saturating_duration_since(ticked)
    }
}
