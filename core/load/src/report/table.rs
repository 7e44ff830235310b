//! The report as a table, for people.

use super::{Ended, Report, StepReport};
use crate::figures::{Counts, Figures, Latency};
use crate::outcome::Outcome;
use crate::process::StepUse;
use std::fmt;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let setup = &self.setup;
        let (clients, heads) = (setup.clients, setup.heads.len());
        write!(f, "{} of {clients} clients connected to {heads} head(s), {}", self.connected, setup.mix)?;
        writeln!(f, ", {} keys, late after {} ms", setup.keys, setup.late_after_ms)?;
        if let Some(done) = &self.preloaded {
            writeln!(
                f,
                "preloaded {} keys in {:.1} s, {} failed",
                done.announced, done.duration_s, done.failed
            )?;
        }
        for step in &self.steps {
            write!(f, "\n{step}")?;
        }
        if self.steps.len() > 1 {
            write!(f, "\ntotal: {}", self.total)?;
        }
        match self.ended {
            Ended::Finished => Ok(()),
            Ended::Stopped => writeln!(f, "\nstopped before the end of the plan"),
        }
    }
}

impl fmt::Display for StepReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.rate, self.concurrency) {
            (Some(rate), _) => write!(f, "open loop, {rate} requests/s")?,
            (None, Some(concurrency)) => write!(f, "closed loop, {concurrency} requests in flight")?,
            (None, None) => write!(f, "all steps")?,
        }
        writeln!(f, ", {:.1} s", self.duration_s)?;
        figures(f, &self.ordinary)?;
        if let Some(abusive) = &self.abusive {
            writeln!(f, "  the abusive client:")?;
            figures(f, abusive)?;
        }
        if let Some(lag) = &self.lag {
            let (p50, p99, max) = (lag.p50_ms, lag.p99_ms, lag.max_ms);
            writeln!(f, "  generator lag ms: p50 {p50:.2}  p99 {p99:.2}  max {max:.2}")?;
        }
        process(f, "server", self.server.as_ref())?;
        process(f, "generator", self.generator.as_ref())
    }
}

fn figures(f: &mut fmt::Formatter<'_>, figures: &Figures) -> fmt::Result {
    let (offered, sent, retries) = (figures.offered, figures.sent, figures.retries);
    let (share, goodput) = (100.0 * figures.success_share, figures.goodput_per_second);
    writeln!(f, "  offered {offered}  sent {sent}  full {share:.2} % ({goodput:.1}/s)  retries {retries}")?;
    if figures.unfinished > 0 {
        writeln!(f, "  unfinished {}", figures.unfinished)?;
    }
    writeln!(
        f,
        "  {:<14}{:>9}{:>10}{:>10}{:>10}{:>10}{:>10}",
        "ms", "count", "mean", "p50", "p99", "p99.9", "max"
    )?;
    for (operation, figures) in &figures.operations {
        let classes = [
            ("full", figures.full),
            ("empty", figures.empty),
            ("late", figures.late),
            ("failed", figures.failed),
        ];
        for (class, latency) in classes {
            if let Some(latency) = latency {
                row(f, &format!("{operation} {class}"), &latency)?;
            }
        }
        if let Some(failures) = failures(&figures.outcomes) {
            writeln!(f, "  {:<14}{failures}", format!("{operation} failures"))?;
        }
    }
    Ok(())
}

fn row(f: &mut fmt::Formatter<'_>, name: &str, latency: &Latency) -> fmt::Result {
    let Latency { count, mean_ms, p50_ms, p90_ms: _, p99_ms, p999_ms, max_ms } = latency;
    write!(f, "  {name:<14}{count:>9}{mean_ms:>10.2}{p50_ms:>10.2}{p99_ms:>10.2}")?;
    writeln!(f, "{p999_ms:>10.2}{max_ms:>10.2}")
}

/// The failures by kind, if there are any.
fn failures(counts: &Counts) -> Option<String> {
    let failures = [Outcome::Reset, Outcome::Timeout, Outcome::Refused, Outcome::Unsent];
    let some = failures.into_iter().filter(|outcome| counts.of(*outcome) > 0);
    let parts: Vec<_> = some.map(|outcome| format!("{} {}", outcome.name(), counts.of(outcome))).collect();
    (!parts.is_empty()).then(|| parts.join("  "))
}

fn process(f: &mut fmt::Formatter<'_>, name: &str, used: Option<&StepUse>) -> fmt::Result {
    let Some(used) = used else { return Ok(()) };
    let (cpu, each) = (used.cpu_cores, used.cpu_us_per_request);
    write!(f, "  {name}: {cpu:.2} cores, {each:.0} µs CPU per request, {:.0} MiB", used.rss_mib_max)?;
    match used.fds_max {
        Some(fds) => writeln!(f, ", {fds} descriptors"),
        None => writeln!(f),
    }
}
