//! Memory in use, compared with its limit.

use crate::control_group::ControlGroup;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Memory in use, and the limit that it counts against, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Of a control group without its file cache, else the resident memory of the process.
    pub used: u64,
    /// The limit.
    pub limit: u64,
    /// Where the limit comes from.
    pub source: Source,
}

/// Where a limit comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The caller has given it.
    Given,
    /// A control group of the process.
    ControlGroup,
    /// The memory of the machine: there is no other limit.
    Machine,
}

impl Usage {
    /// The use in percent of the limit.
    pub fn percent(self) -> f64 {
        self.used as f64 * 100.0 / self.limit.max(1) as f64
    }

    /// The use in thousandths of the limit, rounded down.
    pub fn permille(self) -> u32 {
        let permille = u128::from(self.used) * 1_000 / u128::from(self.limit.max(1));
        u32::try_from(permille).unwrap_or(u32::MAX)
    }
}

/// Reads the use, again and again: limits may change while the process runs.
#[derive(Debug)]
pub struct Gauge {
    limit_given: Option<u64>,
    /// `/proc`.
    proc: PathBuf,
    /// Those whose files can be read: the use of one further out may be hidden from the process.
    groups: Vec<ControlGroup>,
}

impl Gauge {
    /// For this process, with a limit in bytes that is compared with its resident memory, or with those of the system.
    pub fn new(limit_given: Option<u64>) -> Self {
        Self::from_proc(Path::new("/proc"), limit_given)
    }

    /// The same, with the files of `/proc` in another directory. For tests.
    pub fn from_proc(proc: &Path, limit_given: Option<u64>) -> Self {
        let mut groups = match limit_given {
            Some(_) => Vec::new(),
            None => ControlGroup::all_of(&proc.join("self")),
        };
        groups.retain(|group| group.read().is_ok());
        Self { limit_given, proc: proc.to_owned(), groups }
    }

    /// The use now. Of several limits that one counts of which the largest part is used. Blocks, as long as files of the kernel
    /// take, which are in memory.
    ///
    /// # Errors
    /// If the system does not say.
    pub fn read(&self) -> io::Result<Usage> {
        if let Some(limit) = self.limit_given {
            return Ok(Usage { used: self.resident()?, limit, source: Source::Given });
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

    fn read(machine: &TempDir, limit_given: Option<u64>) -> (u64, u64, Source) {
        let usage = Gauge::from_proc(machine.path(), limit_given).read().unwrap();
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
    fn a_given_limit_takes_precedence() {
        assert_eq!(read(&machine("200", "400"), Some(1 << 20)), (512 << 20, 1 << 20, Source::Given));
    }

    #[test]
    fn a_limit_that_changes_is_followed() {
        let machine = machine("200", "max");
        let gauge = Gauge::from_proc(machine.path(), None);
        assert_eq!(gauge.read().unwrap().limit, 200);
        fs::write(machine.path().join("cgroup/a/memory.max"), "400").unwrap();
        assert_eq!(gauge.read().unwrap().limit, 400);
    }

    #[test]
    fn a_system_that_does_not_say_is_an_error() {
        assert!(Gauge::from_proc(Path::new("/nowhere"), None).read().is_err());
        assert!(Gauge::from_proc(Path::new("/nowhere"), Some(1)).read().is_err());
    }

    #[test]
    fn a_group_further_out_whose_use_is_hidden_does_not_count() {
        let machine = machine("200", "400");
        fs::remove_file(machine.path().join("cgroup/memory.current")).unwrap();
        assert_eq!(read(&machine, None), (100, 200, Source::ControlGroup));
    }

    #[test]
    fn a_use_that_is_hidden_later_is_an_error() {
        let machine = machine("200", "max");
        let gauge = Gauge::from_proc(machine.path(), None);
        fs::remove_file(machine.path().join("cgroup/a/memory.current")).unwrap();
        assert!(gauge.read().is_err());
    }

    #[test]
    fn parts_of_a_limit_are_rounded_down_and_bounded() {
        let permille = |used, limit| Usage { used, limit, source: Source::Given }.permille();
        assert_eq!(
            [(849, 1_000), (8_499, 10_000), (3, 0)].map(|(used, limit)| permille(used, limit)),
            [849, 849, 3_000]
        );
        assert_eq!(permille(u64::MAX, 1), u32::MAX);
        assert_eq!(permille(u64::MAX, u64::MAX), 1_000);
    }

    /// As when the process has no file descriptor left between two files: the page cache of a store on disk fills a container to
    /// its limit, and is no memory in use.
    #[test]
    fn statistics_that_cannot_be_read_for_a_moment_are_an_error_and_no_use() {
        let machine = machine("200", "max");
        let (current, stat) =
            (machine.path().join("cgroup/a/memory.current"), machine.path().join("cgroup/a/memory.stat"));
        fs::write(current, "198").unwrap();
        fs::write(&stat, "inactive_file 100\nactive_file 48\n").unwrap();
        let gauge = Gauge::from_proc(machine.path(), None);
        assert_eq!(gauge.read().unwrap().used, 50);
        fs::remove_file(&stat).unwrap();
        fs::create_dir(&stat).unwrap();
        assert!(gauge.read().is_err(), "{:?}", gauge.read());
    }

    #[test]
    fn the_machine_of_this_test_is_measured() {
        if cfg!(target_os = "linux") {
            assert!(
                Gauge::new(Some(1 << 20)).read().unwrap().permille() > 1_000,
                "this process takes more than a MiB"
            );
            let usage = Gauge::new(None).read().unwrap();
            assert!(usage.used > 0 && usage.used < usage.limit, "{usage:?}");
        }
    }
}
