//! The guard: looks at the memory use four times a second, and has the node give up what its steps say.

use super::profiles::{Busy, ProfileError, Profiles};
use super::step::{Change, Step, Steps};
use super::view::{self, MemoryView};
use crate::config::Memory;
use crate::net::head::connection_limits::{Inbound, NodeConnections};
use hydra_engine::{Engine, MemoryShare};
use hydra_memory_usage::{Gauge, Usage};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The time from one look at the memory use to the next.
const INTERVAL: Duration = Duration::from_millis(250);
/// The time from one closing of connections to the next: what they took has to be given back meanwhile.
const CLOSE_INTERVAL: Duration = Duration::from_secs(2);
/// After so many closings in a row that freed nothing, connections are not what takes the memory, and fewer are closed.
const FUTILE_MAX: u32 = 3;
/// A closing frees this part of the memory in use at least, or it was in vain.
const FREED_PART: u64 = 256;
/// The time between two closings then.
const FUTILE_INTERVAL: Duration = Duration::from_secs(60);
/// After this time without a reading the steps end: they were taken for a use that nobody knows any more.
const UNREADABLE_MAX: Duration = Duration::from_secs(10);

/// The thread of the guard, which ends when this is dropped. It is no task: a runtime that is short of memory or time does not hold
/// it up.
#[derive(Debug)]
pub(crate) struct Guard {
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What the guard acts on.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) engine: Arc<Engine>,
    pub(crate) connections: Arc<NodeConnections>,
    pub(crate) view: Arc<MemoryView>,
}

impl Guard {
    /// Starts the guard, unless the config switches it off.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub(crate) fn start(config: &Memory, parts: Parts) -> io::Result<Option<Self>> {
        if config.limit_mib == Some(0) {
            return Ok(None);
        }
        let limit_given = config.limit_mib.map(|mib| u64::from(mib) << 20);
        let gauge = Gauge::new(limit_given);
        let Some(usage) = first(&gauge) else { return Ok(None) };
        if let Some(lower) = limit_given.and_then(|given| below(given, &Gauge::new(None))) {
            let (limit_mib, source) = (lower.limit >> 20, view::source_name(lower.source));
            tracing::warn!(
                "memory.limit_mib is above the limit of the process, {limit_mib} MiB ({source}): the memory guard comes too late"
            );
        }
        parts.view.record_usage(usage);
        let watcher = Watcher {
            parts,
            gauge,
            steps: Steps::new(config),
            closed: None,
            profile_interval: Duration::from_secs(config.profiles.interval_min_s.into()),
            profiled: None,
            writing: Vec::new(),
            unreadable: None,
        };
        let (stop, stopped) = sync_channel(0);
        let thread = thread::Builder::new().name("memory-guard".to_owned());
        let thread = thread.spawn(move || watcher.run(&stopped))?;
        Ok(Some(Self { stop: Some(stop), thread: Some(thread) }))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            tracing::error!("the memory guard panicked");
        }
    }
}

/// The use at the start; `None` where the system does not say.
fn first(gauge: &Gauge) -> Option<Usage> {
    match gauge.read() {
        Ok(usage) => {
            let (limit_mib, source) = (usage.limit >> 20, view::source_name(usage.source));
            tracing::info!(limit_mib, source, "the memory guard is on");
            Some(usage)
        }
        Err(error) => {
            tracing::warn!(%error, "the memory guard is off: the memory use cannot be read");
            None
        }
    }
}

/// The limit of the system, if it is below the one that was given: then the kernel kills the process before the guard acts.
fn below(given: u64, system: &Gauge) -> Option<Usage> {
    system.read().ok().filter(|usage| usage.limit < given)
}

/// What the thread works with.
#[derive(Debug)]
struct Watcher {
    parts: Parts,
    gauge: Gauge,
    steps: Steps,
    /// The last closing of connections in this step.
    closed: Option<Closing>,
    profile_interval: Duration,
    /// When a step last had a profile written, and which one.
    profiled: Option<(Instant, Step)>,
    /// The threads that write profiles, at most one for each step: a disk may never answer.
    writing: Vec<JoinHandle<()>>,
    /// Since when no reading has succeeded.
    unreadable: Option<Instant>,
}

/// A closing of connections.
#[derive(Debug, Clone, Copy)]
struct Closing {
    at: Instant,
    /// The use then, in bytes.
    used: u64,
    /// How many before it, in a row, had freed nothing.
    futile: u32,
}

impl Watcher {
    fn run(mut self, stopped: &Receiver<()>) {
        while stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
            match self.gauge.read() {
                Ok(usage) => {
                    if self.unreadable.take().is_some() {
                        tracing::info!("the memory use can be read again");
                    }
                    self.look(usage, Instant::now());
                }
                Err(error) => self.on_unreadable(&error, Instant::now()),
            }
        }
    }

    fn look(&mut self, usage: Usage, now: Instant) {
        self.parts.view.record_usage(usage);
        let mut begun = None;
        for change in self.steps.at(usage.percent()) {
            match change {
                Change::Begins(step) => {
                    self.begin(step, usage);
                    begun = Some(step);
                }
                Change::Ends(step) => self.end(step, usage),
            }
        }
        if let Some(step) = begun {
            self.profile(step, now);
        }
        if self.steps.is_active(Step::Close) {
            self.close(usage, now);
        } else {
            self.closed = None;
        }
    }

    /// Has connections closed if that is due.
    fn close(&mut self, usage: Usage, now: Instant) {
        let mut futile = 0;
        if let Some(last) = self.closed {
            let interval = if last.futile < FUTILE_MAX { CLOSE_INTERVAL } else { FUTILE_INTERVAL };
            if now.duration_since(last.at) < interval {
                return;
            }
            // Of what all connections take an eighth was given back, or less if others came.
            if usage.used.saturating_add(last.used / FREED_PART) >= last.used {
                futile = last.futile.saturating_add(1);
            }
        }
        if futile == FUTILE_MAX {
            tracing::warn!(
                "closing connections frees hardly any memory: fewer are closed. Something else uses it"
            );
        }
        self.closed = Some(Closing { at: now, used: usage.used, futile });
        self.parts.connections.close_least_useful();
    }

    /// The use cannot be read: for a moment nothing changes, then the steps end.
    fn on_unreadable(&mut self, error: &io::Error, now: Instant) {
        let since = *self.unreadable.get_or_insert_with(|| {
            tracing::warn!(%error, "cannot read the memory use");
            now
        });
        if now.duration_since(since) < UNREADABLE_MAX {
            return;
        }
        self.parts.view.forget_usage();
        self.closed = None;
        for change in self.steps.at(0.0) {
            if let Change::Ends(step) = change {
                self.give_back(step);
                tracing::warn!(step = step.as_str(), "the memory use is not known, the step ends");
            }
        }
    }

    fn begin(&self, step: Step, usage: Usage) {
        match step {
            Step::Shrink => self.parts.engine.set_memory_share(MemoryShare::Half),
            Step::Refuse => self.parts.connections.set_inbound(Inbound::Refused),
            // With every look.
            Step::Close => {}
        }
        self.parts.view.record_begun(step);
        let (used_mib, limit_mib, meaning) = (usage.used >> 20, usage.limit >> 20, step.meaning());
        tracing::warn!(step = step.as_str(), used_mib, limit_mib, "memory use is near the limit: {meaning}");
    }

    /// Has a profile written, unless one was lately and not at a lower step.
    fn profile(&mut self, step: Step, now: Instant) {
        let is_due =
            |(at, before): (Instant, Step)| step > before || now.duration_since(at) >= self.profile_interval;
        self.writing.retain(|thread| !thread.is_finished());
        let is_free = self.writing.len() < Step::ALL.len();
        if self.parts.view.profiles.are_written() && is_free && self.profiled.is_none_or(is_due) {
            self.profiled = Some((now, step));
            self.writing.extend(write_aside(&self.parts.view.profiles, step));
        }
    }

    fn end(&self, step: Step, usage: Usage) {
        self.give_back(step);
        let (used_mib, limit_mib) = (usage.used >> 20, usage.limit >> 20);
        tracing::info!(step = step.as_str(), used_mib, limit_mib, "memory use has fallen, the step ends");
    }

    fn give_back(&self, step: Step) {
        match step {
            Step::Shrink => self.parts.engine.set_memory_share(MemoryShare::Full),
            Step::Refuse => self.parts.connections.set_inbound(Inbound::Admitted),
            Step::Close => {}
        }
        self.parts.view.record_ended(step);
    }
}

/// Writes a profile on a thread of its own: the guard goes on meanwhile. It waits for one that is being taken on request:
/// such a request must not cost the profile of a step, which comes once in a while.
fn write_aside(profiles: &Arc<Profiles>, step: Step) -> Option<JoinHandle<()>> {
    let profiles = Arc::clone(profiles);
    let thread = thread::Builder::new().name("heap-profile".to_owned());
    let spawned = thread.spawn(move || write(&profiles, step.as_str(), Busy::Wait));
    let failed = |error: &io::Error| tracing::warn!(%error, "cannot start a thread for a heap profile");
    spawned.inspect_err(failed).ok()
}

/// Writes a profile and logs its file, or why there is none. Blocks.
pub(crate) fn write(profiles: &Profiles, why: &str, busy: Busy) {
    match profiles.write(why, busy) {
        Ok(file) => tracing::info!(why, file = %file.display(), "a heap profile is written"),
        Err(error @ (ProfileError::Busy | ProfileError::NoFiles | ProfileError::Unsupported)) => {
            tracing::info!(why, %error, "no heap profile is written");
        }
        Err(error) => tracing::warn!(why, %error, "no heap profile is written"),
    }
}

#[cfg(test)]
mod tests;
