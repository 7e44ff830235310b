//! What the thread measures and the decisions read.

use crate::config::{Config, Judges};
use crate::level::Level;
use hydra_api::{OpenError, Rung};
use hydra_memory_usage::{Gauge, Source};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What the thread and the decisions share.
#[derive(Debug)]
pub(crate) struct State {
    /// The level, the requests that it is for and the rung, in one word.
    in_force: AtomicU32,
    measuring: Mutex<Measuring>,
    /// `/proc`.
    proc: PathBuf,
}

#[derive(Debug)]
struct Measuring {
    config: Config,
    gauge: Gauge,
    level: Level,
    /// Whether the last measurement failed: that is logged once.
    failed: bool,
}

/// What follows from the last measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct InForce {
    pub(crate) level: Level,
    pub(crate) judges: Judges,
    pub(crate) degrade_to: Rung,
}

impl State {
    /// Measures once. `proc` is the directory `/proc`.
    ///
    /// # Errors
    /// [`OpenError`] when a value is out of its bounds, or the memory cannot be measured.
    pub(crate) fn new(proc: &Path, config: Config) -> Result<Self, OpenError> {
        let gauge = gauge(proc, &config)?;
        let measuring = Measuring { config, gauge, level: Level::Calm, failed: false };
        let state =
            Self { in_force: AtomicU32::new(0), measuring: Mutex::new(measuring), proc: proc.to_owned() };
        state.measure();
        Ok(state)
    }

    /// What follows from the last measurement.
    pub(crate) fn in_force(&self) -> InForce {
        InForce::unpack(self.in_force.load(Ordering::Relaxed))
    }

    /// Takes up another table as a whole, and measures. Blocks.
    ///
    /// # Errors
    /// As [`Self::new`]; then nothing has changed.
    pub(crate) fn change(&self, config: Config) -> Result<(), OpenError> {
        let gauge = gauge(&self.proc, &config)?;
        let mut measuring = self.lock();
        (measuring.config, measuring.gauge) = (config, gauge);
        measuring.measure(&self.in_force);
        Ok(())
    }

    pub(crate) fn interval(&self) -> Duration {
        Duration::from_millis(u64::from(self.lock().config.interval_ms))
    }

    /// Measures, and puts in force what follows. Blocks.
    pub(crate) fn measure(&self) {
        self.lock().measure(&self.in_force);
    }

    fn lock(&self) -> MutexGuard<'_, Measuring> {
        self.measuring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Measuring {
    fn measure(&mut self, word: &AtomicU32) {
        let before = self.level;
        match self.gauge.read() {
            Ok(usage) => {
                self.level = before.next(usage.permille(), &self.config);
                self.failed = false;
                if self.level != before {
                    self.log(before, usage.used >> 20, usage.limit >> 20);
                }
            }
            // What is not known limits nobody.
            Err(cause) => {
                if !self.failed {
                    tracing::warn!(%cause, "the memory cannot be measured: the memory policy admits all requests");
                }
                (self.level, self.failed) = (Level::Calm, true);
            }
        }
        let Config { judges, degrade_to, .. } = self.config;
        let next = InForce { level: self.level, judges, degrade_to };
        word.store(next.pack(), Ordering::Relaxed);
    }

    fn log(&self, before: Level, used_mib: u64, limit_mib: u64) {
        match self.level {
            Level::Hard => {
                tracing::warn!(used_mib, limit_mib, "memory is nearly used up: requests are declined")
            }
            Level::Soft if before == Level::Calm => {
                tracing::warn!(used_mib, limit_mib, "memory is short: requests are degraded");
            }
            Level::Soft => tracing::info!(
                used_mib,
                limit_mib,
                "memory is short: requests are degraded, no longer declined"
            ),
            Level::Calm => tracing::info!(used_mib, limit_mib, "memory is no longer short"),
        }
    }
}

impl InForce {
    const fn pack(self) -> u32 {
        self.level as u32 | (self.judges as u32) << 2 | (self.degrade_to.index() as u32) << 4
    }

    fn unpack(word: u32) -> Self {
        Self {
            level: Level::ALL.get((word & 3) as usize).copied().unwrap_or_default(),
            judges: Judges::ALL.get((word >> 2 & 3) as usize).copied().unwrap_or(Judges::Both),
            degrade_to: Rung::ALL.get((word >> 4 & 15) as usize).copied().unwrap_or_default(),
        }
    }
}

/// A gauge of the limit of the config, or of those of the system.
fn gauge(proc: &Path, config: &Config) -> Result<Gauge, OpenError> {
    config.check()?;
    let given = (config.limit_mib > 0).then(|| u64::from(config.limit_mib) << 20);
    let gauge = Gauge::from_proc(proc, given);
    match gauge.read() {
        Ok(usage) => {
            let (limit_mib, source) = (usage.limit >> 20, source(usage.source));
            tracing::info!(limit_mib, source, "the memory policy is on");
            Ok(gauge)
        }
        Err(_) if given.is_none() => {
            Err(OpenError::config("limit_mib", "this system reports no memory limit: set one in MiB"))
        }
        Err(cause) => Err(OpenError::unavailable("the memory of this process cannot be measured", cause)),
    }
}

const fn source(source: Source) -> &'static str {
    match source {
        Source::Given => "limit_mib",
        Source::ControlGroup => "control group",
        Source::Machine => "memory of the machine",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_force_is_unpacked_as_it_was_packed() {
        for level in Level::ALL {
            for judges in Judges::ALL {
                for degrade_to in Rung::ALL {
                    let in_force = InForce { level, judges, degrade_to };
                    assert_eq!(InForce::unpack(in_force.pack()), in_force);
                }
            }
        }
    }

    #[test]
    fn a_system_that_tells_nothing_is_an_error_that_names_the_key() {
        let proc = tempfile::tempdir().unwrap();
        let error = State::new(proc.path(), Config::default()).unwrap_err();
        assert!(
            matches!(error.kind(), hydra_api::OpenErrorKind::Config { key } if key == "limit_mib"),
            "{error:?}"
        );
        assert!(State::new(proc.path(), Config { limit_mib: 1, ..Config::default() }).is_err());
    }
}
