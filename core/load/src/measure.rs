//! What the processes did during the steps.

use crate::process::{ProcessUse, Reading, StepUse};
use std::time::{Duration, Instant};

/// A moment of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    pub(crate) at: Instant,
    pub(crate) server: Option<Reading>,
    pub(crate) generator: Option<Reading>,
    /// The requests that were sent and have ended so far.
    pub(crate) ended: u64,
}

/// A measured process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Process {
    Server,
    Generator,
}

/// The measure of a step.
#[derive(Debug)]
pub(crate) struct StepMeasure {
    first: Look,
    /// None while the step runs.
    last: Option<Look>,
    /// The maximum over the looks of each second, of the server.
    rss_mib_max: f64,
    fds_max: Option<u64>,
}

impl StepMeasure {
    pub(crate) const fn begin(first: Look) -> Self {
        Self { first, last: None, rss_mib_max: 0.0, fds_max: None }
    }

    /// Adds what the server used in a second.
    pub(crate) fn record(&mut self, server: Option<&ProcessUse>) {
        if let Some(server) = server {
            self.rss_mib_max = self.rss_mib_max.max(server.rss_mib);
            self.fds_max = self.fds_max.max(server.fds);
        }
    }

    pub(crate) const fn end(&mut self, last: Look) {
        self.last = Some(last);
    }

    /// How long requests were sent.
    pub(crate) fn duration(&self) -> Duration {
        self.last.map_or_else(|| self.first.at.elapsed(), |last| last.at - self.first.at)
    }
}

impl Look {
    const fn reading(&self, process: Process) -> Option<Reading> {
        match process {
            Process::Server => self.server,
            Process::Generator => self.generator,
        }
    }
}

/// The use of a process over some steps, if it could be measured in all of them.
///
/// Its CPU time is shared among the requests that ended meanwhile: under overload many end only after their step.
pub(crate) fn used(measures: &[StepMeasure], process: Process) -> Option<StepUse> {
    let (mut all, mut cpu, mut time, mut ended) = (StepUse::default(), Duration::ZERO, Duration::ZERO, 0);
    for measure in measures {
        let (first, last) = (measure.first, measure.last?);
        let (before, after) = (first.reading(process)?, last.reading(process)?);
        let used = after.since(&before);
        all.rss_mib_max = all.rss_mib_max.max(used.rss_mib);
        all.fds_max = all.fds_max.max(used.fds);
        if process == Process::Server {
            all.rss_mib_max = all.rss_mib_max.max(measure.rss_mib_max);
            all.fds_max = all.fds_max.max(measure.fds_max);
        }
        cpu += after.cpu_since(&before);
        time += measure.duration();
        ended += last.ended - first.ended;
    }
    let cpu_us_per_request = cpu.as_secs_f64() * 1e6 / ended.max(1) as f64;
    let cpu_cores = cpu.as_secs_f64() / time.as_secs_f64();
    (!time.is_zero()).then_some(StepUse { cpu_cores, cpu_us_per_request, ..all })
}
