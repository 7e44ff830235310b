//! The policy: one verdict for all requests, from what a thread has measured.

use crate::config::Config;
use crate::level::Level;
use crate::state::{InForce, State};
use crate::watch::Watch;
use hydra_api::{
    AdmissionPolicy, Judgement, Load, OpenError, Outcome, ReasonId, ReconfigureError, Request, Token, Value,
    Verdict,
};
use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// The memory has come to the hard limit.
pub const LIMIT: ReasonId = ReasonId(0);

const REASONS: [&str; 1] = ["memory_limit"];

/// Degrades and declines requests as the memory of the process nears its limit.
///
/// A decision reads one number. A thread measures and writes it.
#[derive(Debug)]
pub struct Memory {
    state: Arc<State>,
    /// Nothing for a policy that has measured once, when it was opened.
    _watch: Option<Watch>,
}

impl Memory {
    /// A policy that has measured once and does not measure again: see [`Self::watched`].
    ///
    /// # Errors
    /// [`OpenError`] when a value is out of its bounds, or the memory cannot be measured.
    pub fn new(config: Config) -> Result<Self, OpenError> {
        Self::from_proc(Path::new("/proc"), config)
    }

    /// The same, with the files of `/proc` in another directory.
    pub(crate) fn from_proc(proc: &Path, config: Config) -> Result<Self, OpenError> {
        Ok(Self { state: Arc::new(State::new(proc, config)?), _watch: None })
    }

    /// Measures from now on, on a thread of its own, until it is dropped.
    ///
    /// # Errors
    /// [`OpenError`] when the system has no thread to give.
    pub fn watched(mut self) -> Result<Self, OpenError> {
        let watch = Watch::start(&self.state);
        self._watch = Some(watch.map_err(|cause| {
            OpenError::unavailable("cannot start the thread that measures the memory", cause)
        })?);
        Ok(self)
    }

    #[cfg(test)]
    pub(crate) fn measure(&self) {
        self.state.measure();
    }
}

impl AdmissionPolicy for Memory {
    fn admit(&self, request: &Request<'_>, _load: &Load, _now: Instant) -> Judgement {
        let InForce { level, judges, degrade_to } = self.state.in_force();
        let verdict = match level {
            Level::Soft if judges.concerns(request.operation) => Verdict::Degrade(degrade_to),
            Level::Hard if judges.concerns(request.operation) => Verdict::Decline(LIMIT),
            Level::Calm | Level::Soft | Level::Hard => Verdict::Admit,
        };
        verdict.into()
    }

    /// Nothing was taken, so nothing is given back, whatever the outcome.
    fn settle(&self, _: &Request<'_>, _: Token, _: &Outcome, _: Instant) {}

    fn reasons(&self) -> Vec<Cow<'static, str>> {
        REASONS.map(Cow::Borrowed).into()
    }

    /// Every key is taken up, and the memory measured at once.
    fn reconfigure(&self, table: Value) -> Result<(), ReconfigureError> {
        let config: Config = ReconfigureError::parse(table)?;
        self.state
            .change(config)
            .map_err(|error| ReconfigureError::from_open(&error).unwrap_or(ReconfigureError::needs_restart()))
    }
}

#[cfg(test)]
mod tests;
