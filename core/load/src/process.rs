//! What a process uses, as Linux reports it in `/proc`.

use serde::Serialize;
use std::fs;
use std::time::{Duration, Instant};

/// The unit of CPU time in `/proc`, the same on every architecture of Linux that Rust has.
const TICK: Duration = Duration::from_millis(10);

/// A process at a moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    at: Instant,
    /// User and system time since it started.
    cpu: Duration,
    rss_bytes: u64,
    fds: Option<u64>,
}

/// What a process used in some time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct ProcessUse {
    /// CPU seconds per second, user and system; in steps of 10 ms.
    pub cpu_cores: f64,
    /// The resident memory at the end, in MiB.
    pub rss_mib: f64,
    /// The open descriptors at the end; none if they may not be counted, as those of another user's process.
    pub fds: Option<u64>,
}

/// What a process used in a step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct StepUse {
    /// CPU seconds per second, on average.
    pub cpu_cores: f64,
    /// CPU time per request that ended during the step, in µs.
    pub cpu_us_per_request: f64,
    /// The maximum of the resident memory, in MiB, looked at once a second.
    pub rss_mib_max: f64,
    /// The maximum number of open descriptors, looked at once a second.
    pub fds_max: Option<u64>,
}

impl Reading {
    /// Reads the process with this id; none once it has ended, and on systems other than Linux.
    pub(crate) fn take(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The second field is the name, which may hold spaces; `utime` and `stime` are the 14th and the 15th.
        let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(11);
        let (user, system): (u32, u32) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        // A process that has ended and was not waited for has no memory.
        let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let rss_kib: u64 = rss.split_whitespace().next()?.parse().ok()?;
        let fds = fs::read_dir(format!("/proc/{pid}/fd")).ok().map(|fds| fds.count() as u64);
        Some(Self { at: Instant::now(), cpu: TICK * (user + system), rss_bytes: 1024 * rss_kib, fds })
    }

    /// The use since an earlier reading.
    pub(crate) fn since(&self, earlier: &Self) -> ProcessUse {
        let (time, cpu) = (self.at - earlier.at, self.cpu.saturating_sub(earlier.cpu));
        ProcessUse {
            cpu_cores: cpu.as_secs_f64() / time.as_secs_f64().max(f64::MIN_POSITIVE),
            rss_mib: self.rss_bytes as f64 / f64::from(1 << 20),
            fds: self.fds,
        }
    }

    /// The CPU time since an earlier reading.
    pub(crate) fn cpu_since(&self, earlier: &Self) -> Duration {
        self.cpu.saturating_sub(earlier.cpu)
    }
}

/// Reads a process again and again.
#[derive(Debug)]
pub(crate) struct Meter {
    pid: u32,
    last: Option<Reading>,
}

impl Meter {
    pub(crate) fn new(pid: u32) -> Self {
        Self { pid, last: Reading::take(pid) }
    }

    /// The use since the last call.
    pub(crate) fn next(&mut self) -> Option<ProcessUse> {
        let reading = Reading::take(self.pid);
        let used = reading.as_ref().zip(self.last.as_ref()).map(|(reading, last)| reading.since(last));
        self.last = reading;
        used
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_cpu_memory_and_descriptors() {
        let before = Reading::take(std::process::id()).unwrap();
        let mut sum = 0_u64;
        while Reading::take(std::process::id()).unwrap().cpu_since(&before) < Duration::from_millis(50) {
            sum = (0..1000_u64).fold(sum, |sum, number| sum.wrapping_mul(31).wrapping_add(number));
        }
        let used = Reading::take(std::process::id()).unwrap().since(&before);
        assert!(used.cpu_cores > 0.0 && used.rss_mib > 1.0 && used.fds > Some(2), "{used:?} {sum}");
    }
}
