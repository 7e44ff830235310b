//! What operators see of the memory and of the guard.

use super::heap::HeapSizes;
use super::profiles::Profiles;
use super::step::Step;
use hydra_memory_usage::{Source, Usage};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What operators see of the memory and of the guard.
#[derive(Debug)]
pub(crate) struct MemoryView {
    pub(crate) profiles: Arc<Profiles>,
    usage: Mutex<Option<Usage>>,
    active: [AtomicBool; Step::ALL.len()],
    begun: [AtomicU64; Step::ALL.len()],
}

impl MemoryView {
    /// Of a node whose memory was not looked at yet.
    pub(crate) fn new(profiles: Arc<Profiles>) -> Self {
        Self { profiles, usage: Mutex::default(), active: Default::default(), begun: Default::default() }
    }

    /// The use when it was last looked at; `None` without a guard.
    pub(crate) fn usage(&self) -> Option<Usage> {
        *self.last()
    }

    /// Where the limit comes from; `None` without a guard.
    pub(crate) fn source(&self) -> Option<&'static str> {
        self.usage().map(|usage| source_name(usage.source))
    }

    /// Whether a step is in effect.
    pub(crate) fn is_active(&self, step: Step) -> bool {
        self.active[step as usize].load(Ordering::Relaxed)
    }

    /// The last of the steps in effect.
    pub(crate) fn highest(&self) -> Option<Step> {
        Step::ALL.into_iter().rev().find(|step| self.is_active(*step))
    }

    /// How often a step began.
    pub(crate) fn begun(&self, step: Step) -> u64 {
        self.begun[step as usize].load(Ordering::Relaxed)
    }

    /// What the allocator has of the system, if it can say.
    pub(crate) fn heap_sizes(&self) -> Option<HeapSizes> {
        (self.profiles.heap()?.sizes)().ok()
    }

    /// The steps in effect in one line, for probes.
    pub(crate) fn in_words(&self) -> Option<String> {
        let highest = self.highest()?;
        let active = Step::ALL.into_iter().filter(|step| self.is_active(*step) && *step <= highest);
        let meanings: Vec<_> = active.map(Step::meaning).collect();
        let used = self.usage().map_or(0.0, Usage::percent);
        Some(format!("{used:.0} % of the limit is used: {}", meanings.join(", ")))
    }

    pub(super) fn record_usage(&self, usage: Usage) {
        *self.last() = Some(usage);
    }

    pub(super) fn forget_usage(&self) {
        *self.last() = None;
    }

    pub(super) fn record_begun(&self, step: Step) {
        self.active[step as usize].store(true, Ordering::Relaxed);
        self.begun[step as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn record_ended(&self, step: Step) {
        self.active[step as usize].store(false, Ordering::Relaxed);
    }

    /// Nothing that a panic could leave half done is kept behind this lock.
    fn last(&self) -> MutexGuard<'_, Option<Usage>> {
        self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a limit comes from, in the words of the log and of `hydra status`.
pub(super) const fn source_name(source: Source) -> &'static str {
    match source {
        Source::Given => "memory.limit_mib",
        Source::ControlGroup => "control group",
        Source::Machine => "memory of the machine",
    }
}
