//! The store gate: a small number of permits, and who gets the next one.

use crate::sync::lock;
use hydra_api::admission::Level;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use tokio::sync::oneshot;

/// The part of the permits that is kept for reads, if there is more than one: a quarter.
const READS_PART: u32 = 4;

/// The part of the others that reads of value records may use: half, and one at least. Such calls may hang while the table of the
/// provider records takes writes.
const VALUE_READS_PART: u32 = 2;

/// Hands out permits. Reads wait in a line of their own, which is told when its turn has come; other calls, those in the *background*,
/// wait here, the oldest first, for as long as it takes. When both wait they take turns, so that neither starves, and a part of
/// the permits is kept for reads, so that calls in the background that take long do not hold them all.
///
/// The breaker pauses calls of a [`Lane`]; then a single probe at a time passes.
pub(crate) struct Gate {
    state: Mutex<State>,
    reads: OnceLock<Weak<dyn ReadLine>>,
    // Copies of what is in `state`, to be read without the lock.
    limit: AtomicU32,
    in_flight: AtomicU32,
    released: AtomicU64,
}

/// The line of reads that wait for a permit.
pub(crate) trait ReadLine: Send + Sync {
    /// Whether any read waits.
    fn waits(&self) -> bool;

    /// Starts a call for the reads that wait.
    fn depart(&self, permit: Permit);
}

/// What the breaker pauses by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Lane {
    Reads,
    Writes,
    /// Those of value records have lanes of their own: a store keeps them in a table of their own, which fails by itself.
    ValueReads,
    ValueWrites,
}

impl Lane {
    pub(super) const COUNT: usize = 4;
    pub(crate) const ALL: [Self; Self::COUNT] =
        [Self::Reads, Self::Writes, Self::ValueReads, Self::ValueWrites];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Reads => "reads",
            Self::Writes => "writes",
            Self::ValueReads => "value_reads",
            Self::ValueWrites => "value_writes",
        }
    }
}

#[derive(Debug)]
struct State {
    limit: u32,
    in_flight: u32,
    reads_max: u32,
    reads_in_flight: u32,
    value_reads_in_flight: u32,
    paused: [bool; Lane::COUNT],
    /// The engine closes.
    closing: bool,
    /// A probe that may pass although its lane is paused.
    probe: [bool; Lane::COUNT],
    next: u64,
    background: BTreeMap<u64, (Lane, oneshot::Sender<Permit>)>,
    last_was_background: bool,
    /// A call waited because there were no more permits.
    limited: bool,
}

/// The right to run one store call. Dropping it gives it to the next in line.
pub(crate) struct Permit {
    gate: Option<Arc<Gate>>,
    turn: Kind,
}

/// What a permit counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A read out of the line.
    Read,
    Background(Lane),
}

/// Whose turn it is.
enum Turn {
    Read,
    Background(Lane, oneshot::Sender<Permit>),
}

impl Gate {
    /// A gate of this many permits, at most `reads_max` of them for reads.
    pub(crate) fn new(limit: u32, reads_max: u32) -> Arc<Self> {
        let state = State {
            limit,
            in_flight: 0,
            reads_max,
            reads_in_flight: 0,
            value_reads_in_flight: 0,
            paused: [false; Lane::COUNT],
            closing: false,
            probe: [false; Lane::COUNT],
            next: 0,
            background: BTreeMap::new(),
            last_was_background: false,
            limited: false,
        };
        Arc::new(Self {
            state: Mutex::new(state),
            reads: OnceLock::new(),
            limit: AtomicU32::new(limit),
            in_flight: AtomicU32::new(0),
            released: AtomicU64::new(0),
        })
    }

    /// Names the line of reads, once.
    pub(crate) fn serve(&self, reads: Weak<dyn ReadLine>) {
        if self.reads.set(reads).is_err() {
            tracing::debug!("the gate has its line of reads");
        }
    }

    /// A permit for a background call, however long it takes.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the line; a permit that was on its way goes to the next.
    pub(crate) async fn acquire(self: &Arc<Self>, lane: Lane) -> Permit {
        loop {
            let (place, permit) = self.line_up(lane);
            self.advance();
            // Nobody is evicted from this line; should it ever happen, the call lines up again.
            let permit = permit.await;
            drop(place);
            if let Ok(permit) = permit {
                return permit;
            }
        }
    }

    /// A permit for a background call, if one is free. None is free while anyone waits for it.
    pub(crate) fn try_acquire(self: &Arc<Self>, lane: Lane) -> Option<Permit> {
        let mut state = lock(&self.state);
        if !state.background_may_start(lane) {
            return None;
        }
        state.start(Kind::Background(lane));
        self.record(&state);
        Some(Permit { gate: Some(self.clone()), turn: Kind::Background(lane) })
    }

    /// Gives out permits as long as some are free and someone waits. To be called after each change of either.
    ///
    /// A call that ends before this returns, as every one does once the runtime has shut down, gives its permit to the round that
    /// goes on: a round within each would need a stack as deep as the line is long.
    pub(crate) fn advance(self: &Arc<Self>) {
        let Some(_round) = Round::begin(Arc::as_ptr(self).addr()) else { return };
        loop {
            let reads = self.reads.get().and_then(Weak::upgrade);
            let waits = reads.as_ref().is_some_and(|reads| reads.waits());
            let mut state = lock(&self.state);
            let Some(turn) = state.next_turn(waits) else { return };
            self.record(&state);
            drop(state);
            let permit = Permit { gate: Some(self.clone()), turn: turn.kind() };
            match (turn, &reads) {
                (Turn::Read, Some(reads)) => reads.depart(permit),
                (Turn::Background(_, call), _) => {
                    if let Err(permit) = call.send(permit) {
                        // Its receiver has just gone: the permit goes back without another round of this.
                        permit.give_back();
                    }
                }
                // No read waits without its line.
                (Turn::Read, None) => permit.give_back(),
            }
        }
    }

    /// Changes how many permits there are. Those in use beyond the limit are not taken back. The gate is to be advanced.
    pub(super) fn set_limit(&self, limit: u32, reads_max: u32) {
        let mut state = lock(&self.state);
        // Who closes holds permits, and waits for those of the calls under way.
        if state.closing {
            return;
        }
        (state.limit, state.reads_max) = (limit.max(1), reads_max.max(1));
        self.record(&state);
    }

    /// Lets calls of this lane start, or none but for probes. When they may, the gate is to be advanced.
    pub(super) fn set_paused(&self, lane: Lane, paused: bool) {
        let mut state = lock(&self.state);
        // The last calls are made whatever the breaker says.
        if !state.closing {
            state.paused[lane as usize] = paused;
            state.probe[lane as usize] = false;
        }
    }

    /// Only the last calls in the background start from now on, no lane is paused any more, and no permit is kept for reads:
    /// those that wait are answered without the store when their time is up.
    pub(crate) fn close(self: &Arc<Self>) {
        let mut state = lock(&self.state);
        (state.closing, state.paused, state.probe) = (true, [false; Lane::COUNT], [false; Lane::COUNT]);
        drop(state);
        self.advance();
    }

    /// Lets one call of a paused lane start; whether one of those that wait did.
    pub(crate) fn probe(self: &Arc<Self>, lane: Lane) -> bool {
        lock(&self.state).probe[lane as usize] = true;
        self.advance();
        !lock(&self.state).probe[lane as usize]
    }

    pub(crate) fn in_flight(&self) -> Level {
        Level { used: self.in_flight.load(Ordering::Relaxed), max: self.limit.load(Ordering::Relaxed) }
    }

    /// Whether a call has waited because there were no more permits, since this was asked last.
    pub(super) fn take_limited(&self) -> bool {
        let reads = self.reads.get().and_then(Weak::upgrade);
        let waits = reads.is_some_and(|reads| reads.waits());
        let mut state = lock(&self.state);
        state.record_limited(waits);
        std::mem::take(&mut state.limited)
    }

    /// How many store calls have ended, ever.
    pub(crate) fn released(&self) -> u64 {
        self.released.load(Ordering::Relaxed)
    }

    fn line_up(self: &Arc<Self>, lane: Lane) -> (Place, oneshot::Receiver<Permit>) {
        let (sender, permit) = oneshot::channel();
        let mut state = lock(&self.state);
        let id = state.next;
        state.next += 1;
        state.background.insert(id, (lane, sender));
        (Place { gate: self.clone(), id }, permit)
    }

    fn record(&self, state: &State) {
        self.limit.store(state.limit, Ordering::Relaxed);
        self.in_flight.store(state.in_flight, Ordering::Relaxed);
    }

    fn release(&self, turn: Kind) {
        self.released.fetch_add(1, Ordering::Relaxed);
        let mut state = lock(&self.state);
        state.in_flight -= 1;
        state.reads_in_flight -= u32::from(turn == Kind::Read);
        state.value_reads_in_flight -= u32::from(turn == Kind::Background(Lane::ValueReads));
        self.record(&state);
    }
}

impl State {
    fn may_start(&self, lane: Lane) -> bool {
        self.in_flight < self.limit && (!self.paused[lane as usize] || self.probe[lane as usize])
    }

    fn background_may_start(&self, lane: Lane) -> bool {
        let kept = if self.closing || self.limit == 1 { 0 } else { (self.limit / READS_PART).max(1) };
        let (background, background_max) = (self.in_flight - self.reads_in_flight, self.limit - kept);
        let value_reads_max = (background_max / VALUE_READS_PART).max(1);
        let has_part = lane != Lane::ValueReads || self.value_reads_in_flight < value_reads_max;
        background < background_max && has_part && self.may_start(lane)
    }

    fn start(&mut self, turn: Kind) {
        let lane = match turn {
            Kind::Read => Lane::Reads,
            Kind::Background(lane) => lane,
        };
        self.in_flight += 1;
        self.reads_in_flight += u32::from(turn == Kind::Read);
        self.value_reads_in_flight += u32::from(turn == Kind::Background(Lane::ValueReads));
        if self.paused[lane as usize] {
            self.probe[lane as usize] = false;
        }
    }

    /// Notes whether a call waits while all permits are in use. That there may be no more reads than these says nothing against it:
    /// with a limit as high as the reads' bound, fewer permits may serve more.
    fn record_limited(&mut self, reads_wait: bool) {
        if self.limited || self.closing {
            return;
        }
        let paused = |lane: Lane| self.paused[lane as usize] && !self.probe[lane as usize];
        let read = reads_wait && self.in_flight >= self.limit && !paused(Lane::Reads);
        let is_short = |lane: Lane| !paused(lane) && !self.background_may_start(lane);
        self.limited = read || self.background.values().any(|(lane, _)| is_short(*lane));
    }

    /// Takes the next permit, for whoever is next.
    fn next_turn(&mut self, reads_wait: bool) -> Option<Turn> {
        let reads_start = !self.closing && self.reads_in_flight < self.reads_max;
        let read = reads_wait && reads_start && self.may_start(Lane::Reads);
        let call = self.background.iter().find(|(_, (lane, _))| self.background_may_start(*lane));
        let call = call.map(|(id, (lane, _))| (*id, *lane)).filter(|_| !read || !self.last_was_background);
        if let Some((id, lane)) = call {
            let (_, sender) = self.background.remove(&id)?;
            self.start(Kind::Background(lane));
            self.last_was_background = true;
            return Some(Turn::Background(lane, sender));
        }
        if !read {
            self.record_limited(reads_wait);
            return None;
        }
        self.start(Kind::Read);
        self.last_was_background = false;
        Some(Turn::Read)
    }
}

/// A place in the line, left when it is dropped.
struct Place {
    gate: Arc<Gate>,
    id: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        // A sender that is still there is dropped without the lock.
        let left = lock(&self.gate.state).background.remove(&self.id);
        drop(left);
    }
}

/// Gives out permits on this thread until it is dropped.
struct Round {
    before: usize,
}

thread_local! {
    /// The gate of which this thread gives out permits.
    static ROUND: Cell<usize> = const { Cell::new(0) };
}

impl Round {
    /// Nothing if this thread gives out permits of this gate already.
    fn begin(gate: usize) -> Option<Self> {
        let before = ROUND.replace(gate);
        (before != gate).then(|| Self { before })
    }
}

impl Drop for Round {
    fn drop(&mut self) {
        ROUND.set(self.before);
    }
}

impl Turn {
    const fn kind(&self) -> Kind {
        match self {
            Self::Read => Kind::Read,
            Self::Background(lane, _) => Kind::Background(*lane),
        }
    }
}

impl Permit {
    /// Gives the permit back without a look at who waits.
    fn give_back(mut self) {
        if let Some(gate) = self.gate.take() {
            gate.release(self.turn);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(gate) = self.gate.take() {
            gate.release(self.turn);
            gate.advance();
        }
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("in_flight", &self.in_flight()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Permit")
    }
}

#[cfg(test)]
mod tests;
