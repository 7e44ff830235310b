//! How much memory is in use, and of what limit.

use super::control_group::ControlGroup;
use std::fmt;
use std::fs;
use std::io;
use std::path::PathBuf;

/// Memory in use, and the limit that it counts against, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) used: u64,
    pub(crate) limit: u64,
    pub(crate) source: Source,
}

/// Where a limit comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Config,
    ControlGroup,
    Machine,
}

impl Usage {
    /// The use in percent of the limit.
    pub(crate) fn percent(self) -> f64 {
        self.used as f64 * 100.0 / self.limit.max(1) as f64
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Config => "memory.limit_mib",
            Self::ControlGroup => "control group",
            Self::Machine => "memory of the machine",
        })
    }
}

/// Reads the use, again and again: limits may change while the process runs.
#[derive(Debug)]
pub(super) struct Gauge {
    limit_configured: Option<u64>,
    /// `/proc`.
    proc: PathBuf,
    groups: Vec<ControlGroup>,
}

impl Gauge {
    /// For this process, with the limit of the config if it sets one.
    pub(super) fn new(limit_configured: Option<u64>) -> Self {
        Self::in_system(limit_configured, PathBuf::from("/proc"))
    }

    fn in_system(limit_configured: Option<u64>, proc: PathBuf) -> Self {
        let groups =
            if limit_configured.is_some() { Vec::new() } else { ControlGroup::all_of(&proc.join("self")) };
        Self { limit_configured, proc, groups }
    }

    /// The use now. Of several limits that one counts of which the largest part is used.
    ///
    /// # Errors
    /// If the system does not say.
    pub(super) fn read(&self) -> io::Result<Usage> {
        if let Some(limit) = self.limit_configured {
            return Ok(Usage { used: self.resident()?, limit, source: Source::Config });
        }
        let mut nearest: Option<Usage> = None;
        for group in &self.groups {
            let Some((limit, used)) = group.read()? else { continue };
            let usage = Usage { used, limit, source: Source::ControlGroup };
            if nearest.is_none_or(|nearest| usage.percent() > nearest.percent()) {
                nearest = Some(usage);
            }
        }
        match nearest {
            Some(nearest) => Ok(nearest),
            None => {
                let limit = self.kib("meminfo", "MemTotal:")?;
                Ok(Usage { used: self.resident()?, limit, source: Source::Machine })
            }
        }
    }

    fn resident(&self) -> io::Result<u64> {
        self.kib("self/status", "VmRSS:")
    }

    /// The bytes of a field that is given in kB.
    fn kib(&self, file: &str, field: &str) -> io::Result<u64> {
        let text = fs::read_to_string(self.proc.join(file))?;
        let value = text.lines().find_map(|line| line.strip_prefix(field));
        let kib = value.and_then(|value| value.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
        kib.map(|kib| kib << 10).ok_or_else(|| io::Error::other(format!("/proc/{file} has no {field}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    /// A machine with 1 GiB on which this process has 512 MiB, in a group that has a limit and one above.
    fn machine(limit: &str, above: &str) -> TempDir {
        let machine = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = machine.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("meminfo", "MemTotal:        1048576 kB\nMemFree: 1 kB\n");
        write("self/status", "Name:\thydra\nVmPeak:\t 9 kB\nVmRSS:\t  524288 kB\n");
        write("self/cgroup", "0::/a\n");
        let mount =
            format!("30 23 0:26 / {} rw - cgroup2 none rw\n", machine.path().join("cgroup").display());
        write("self/mountinfo", &mount);
        for (group, limit, used) in [("cgroup/a", limit, "100"), ("cgroup", above, "300")] {
            write(&format!("{group}/memory.max"), limit);
            write(&format!("{group}/memory.current"), used);
            write(&format!("{group}/memory.stat"), "inactive_file 0\n");
        }
        machine
    }

    fn read(machine: &TempDir, limit_configured: Option<u64>) -> (u64, u64, Source) {
        let usage = Gauge::in_system(limit_configured, machine.path().to_owned()).read().unwrap();
        (usage.used, usage.limit, usage.source)
    }

    #[test]
    fn the_group_counts_of_which_the_largest_part_is_used() {
        assert_eq!(read(&machine("200", "max"), None), (100, 200, Source::ControlGroup));
        assert_eq!(read(&machine("200", "1000"), None), (100, 200, Source::ControlGroup));
        assert_eq!(read(&machine("200", "400"), None), (300, 400, Source::ControlGroup));
        assert_eq!(read(&machine("max", "1000"), None), (300, 1_000, Source::ControlGroup));
    }

    #[test]
    fn without_a_group_that_has_a_limit_the_process_counts_against_the_machine() {
        assert_eq!(read(&machine("max", "max"), None), (512 << 20, 1 << 30, Source::Machine));
    }

    #[test]
    fn a_limit_of_the_config_takes_precedence() {
        assert_eq!(read(&machine("200", "400"), Some(1 << 20)), (512 << 20, 1 << 20, Source::Config));
    }

    #[test]
    fn a_limit_that_changes_is_followed() {
        let machine = machine("200", "max");
        let gauge = Gauge::in_system(None, machine.path().to_owned());
        assert_eq!(gauge.read().unwrap().limit, 200);
        fs::write(machine.path().join("cgroup/a/memory.max"), "400").unwrap();
        assert_eq!(gauge.read().unwrap().limit, 400);
    }

    #[test]
    fn a_system_that_does_not_say_is_an_error() {
        assert!(Gauge::in_system(None, PathBuf::from("/nowhere")).read().is_err());
    }
}
