//! Holds a server and its children to a part of a core: by a control group, or by stopping and continuing them in turn.

use hydra_integration_tests::measure;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// The controllers of version 1 of control groups that are used: the quota, and the CPU that was used under it.
const CONTROLLERS: [&str; 2] = ["/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpuacct"];
/// Tells the groups of one process apart.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// A part of a core: so many microseconds of CPU in each period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Share {
    /// The least that the kernel accepts is 1,000.
    pub(crate) quota_us: u64,
    pub(crate) period_us: u64,
}

impl Share {
    /// The part of a core, 0.25 for a quarter.
    pub(crate) fn cores(self) -> f64 {
        self.quota_us as f64 / self.period_us as f64
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (quota, period) = (self.quota_us as f64 / 1e3, self.period_us as f64 / 1e3);
        write!(f, "{:.1} % of a core ({quota} ms in every {period} ms)", 100.0 * self.cores())
    }
}

/// Processes that are held to their share until this is dropped.
#[derive(Debug)]
pub(crate) struct Quota {
    server: u32,
    holder: Holder,
}

#[derive(Debug)]
enum Holder {
    Group(Group),
    Turns { _running: Turns },
}

impl Quota {
    /// Holds this process, its children, and those that it starts later. Without the right to make a control group they are stopped
    /// and continued in turn; `exempt` is a child that is left out in both cases.
    ///
    /// # Errors
    /// If the process has ended.
    pub(crate) fn hold(server: u32, exempt: Option<u32>, share: Share) -> io::Result<Self> {
        let holder = match Group::create(share) {
            Ok(group) => {
                // The parent first: what it starts from then on is in the group already.
                group.add(server)?;
                for child in children(server)?.into_iter().filter(|child| Some(*child) != exempt) {
                    // A child that ends meanwhile needs no quota.
                    let _has_ended = group.add(child).is_err();
                }
                Holder::Group(group)
            }
            Err(_) => Holder::Turns { _running: Turns::start(server, exempt, share)? },
        };
        Ok(Self { server, holder })
    }

    /// How the processes are held, for the report.
    pub(crate) fn means(&self) -> &'static str {
        match self.holder {
            Holder::Group(_) => "cgroup v1 cpu.cfs_quota_us",
            Holder::Turns { .. } => "SIGSTOP and SIGCONT in turn",
        }
    }

    /// The CPU that the processes have used: since the group was made, or ever.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn cpu_time(&self) -> io::Result<Duration> {
        match &self.holder {
            Holder::Group(group) => group.cpu_time(),
            Holder::Turns { .. } => {
                let children = children(self.server)?;
                let used = children.iter().filter_map(|child| measure::cpu_time(*child).ok());
                Ok(measure::cpu_time(self.server)? + used.sum::<Duration>())
            }
        }
    }
}

/// A control group, removed when dropped.
#[derive(Debug)]
struct Group(Vec<PathBuf>);

impl Group {
    fn create(share: Share) -> io::Result<Self> {
        let name = format!("hydra-overload-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let mut group = Self(Vec::new());
        for controller in CONTROLLERS {
            let path = Path::new(controller).join(&name);
            match fs::create_dir(&path) {
                // Both controllers may be one hierarchy.
                Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => {}
                Err(cause) => return Err(cause),
                Ok(()) => group.0.push(path),
            }
        }
        group.write("cpu.cfs_period_us", share.period_us)?;
        group.write("cpu.cfs_quota_us", share.quota_us)?;
        Ok(group)
    }

    fn add(&self, pid: u32) -> io::Result<()> {
        self.0.iter().try_for_each(|path| fs::write(path.join("cgroup.procs"), pid.to_string()))
    }

    fn cpu_time(&self) -> io::Result<Duration> {
        let path = self.0.iter().map(|path| path.join("cpuacct.usage")).find(|path| path.exists());
        let path = path.ok_or_else(|| io::Error::other("no cpuacct.usage"))?;
        Ok(Duration::from_nanos(fs::read_to_string(path)?.trim().parse().map_err(io::Error::other)?))
    }

    fn write(&self, file: &str, value: u64) -> io::Result<()> {
        let path = self.0.first().ok_or_else(|| io::Error::other("no group"))?;
        fs::write(path.join(file), value.to_string())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for path in &self.0 {
            // A group is removed when it is empty: what still runs goes back to the group above.
            let left = fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
            let above = path.parent().map(|above| above.join("cgroup.procs"));
            for pid in left.lines() {
                // What has ended meanwhile is gone from the group too.
                let _has_ended = above.as_ref().is_some_and(|above| fs::write(above, pid).is_err());
            }
            if let Err(cause) = fs::remove_dir(path) {
                eprintln!("cannot remove {}: {cause}", path.display());
            }
        }
    }
}

/// Stops and continues processes in turn.
#[derive(Debug)]
struct Turns {
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Turns {
    fn start(server: u32, exempt: Option<u32>, share: Share) -> io::Result<Self> {
        let ended = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&ended);
        let run = Duration::from_micros(share.quota_us);
        let rest = Duration::from_micros(share.period_us.saturating_sub(share.quota_us));
        let turns = move || {
            while !over.load(Ordering::Acquire) {
                // Of its children those that are there at the beginning of the turn.
                let mut all = children(server).unwrap_or_default();
                all.retain(|child| Some(*child) != exempt);
                all.push(server);
                send(&all, Signal::SIGSTOP);
                std::thread::sleep(rest);
                send(&all, Signal::SIGCONT);
                std::thread::sleep(run);
            }
        };
        let thread = std::thread::Builder::new().name("turns".to_owned()).spawn(turns)?;
        Ok(Self { ended, thread: Some(thread) })
    }
}

impl Drop for Turns {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        // It ends with its turn, and leaves all processes running.
        let _ended = self.thread.take().map(JoinHandle::join);
    }
}

fn send(pids: &[u32], signal: Signal) {
    for pid in pids.iter().filter_map(|pid| i32::try_from(*pid).ok()) {
        // What has ended needs no signal.
        let _has_ended = kill(Pid::from_raw(pid), signal).is_err();
    }
}

/// The processes whose parent this one is.
pub(crate) fn children(parent: u32) -> io::Result<Vec<u32>> {
    let pids = fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let parent_of = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name of the program, which may have blanks, ends with the last parenthesis; the state follows.
        stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse::<u32>().ok()
    };
    Ok(pids.filter(|pid| parent_of(pid) == Some(parent)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Command};

    struct Busy(Child);

    impl Busy {
        /// A process with a child, which does nothing but use CPU.
        fn start() -> Self {
            Self(Command::new("sh").args(["-c", "sh -c 'while :; do :; done'; :"]).spawn().unwrap())
        }

        fn used(&self) -> Duration {
            let all = children(self.0.id()).unwrap();
            all.iter().map(|child| measure::cpu_time(*child).unwrap()).sum()
        }
    }

    impl Drop for Busy {
        fn drop(&mut self) {
            send(&children(self.0.id()).unwrap(), Signal::SIGKILL);
            self.0.wait().unwrap();
        }
    }

    fn used_in_a_second(busy: &Busy) -> Duration {
        let before = busy.used();
        std::thread::sleep(Duration::from_secs(1));
        busy.used().saturating_sub(before)
    }

    #[test]
    fn processes_and_their_children_use_no_more_than_their_share() {
        let busy = Busy::start();
        while children(busy.0.id()).unwrap().is_empty() {
            std::thread::sleep(Duration::from_millis(1));
        }
        let share = Share { quota_us: 2_000, period_us: 20_000 };
        let turns = Turns::start(busy.0.id(), None, share).unwrap();
        let used = used_in_a_second(&busy);
        drop(turns);
        assert!(used < Duration::from_millis(300), "{used:?} in turns");
        let quota = Quota::hold(busy.0.id(), None, share).unwrap();
        let used = used_in_a_second(&busy);
        assert!(used < Duration::from_millis(300), "{used:?} by {}", quota.means());
    }

    #[test]
    fn a_group_is_removed_although_processes_are_in_it() {
        let busy = Busy::start();
        let quota = Quota::hold(busy.0.id(), None, Share { quota_us: 2_000, period_us: 20_000 }).unwrap();
        let Holder::Group(group) = &quota.holder else { return };
        let paths = group.0.clone();
        assert!(!paths.is_empty() && paths.iter().all(|path| path.exists()));
        drop(quota);
        assert!(!paths.iter().any(|path| path.exists()));
    }

    #[test]
    fn a_share_says_what_it_is() {
        let share = Share { quota_us: 2_500, period_us: 10_000 };
        assert_eq!(share.to_string(), "25.0 % of a core (2.5 ms in every 10 ms)");
    }
}
