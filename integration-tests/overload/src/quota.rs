//! Holds a server and its children to a part of a core: by a control group, or by stopping and continuing them in turn.

use hydra_integration_tests::measure;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The controllers of version 1 of control groups that are used: the quota, and the CPU that was used under it.
const CONTROLLERS: [&str; 2] = ["/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpuacct"];
/// The bounds of the kernel.
const QUOTA_US_MIN: u64 = 1_000;
const PERIOD_US_MAX: u64 = 1_000_000;
/// How often is looked whether processes in turn are to be stopped again.
const LOOK: Duration = Duration::from_millis(5);
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

    /// So small a part of it; none if the kernel cannot hold that.
    fn slower(self, times: u32) -> Option<Self> {
        let period_us = self.period_us * u64::from(times);
        if period_us <= PERIOD_US_MAX {
            return Some(Self { period_us, ..self });
        }
        let quota_us = self.quota_us * PERIOD_US_MAX / period_us;
        (quota_us >= QUOTA_US_MIN).then_some(Self { quota_us, period_us: PERIOD_US_MAX })
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (quota, period) = (self.quota_us as f64 / 1e3, self.period_us as f64 / 1e3);
        write!(f, "{:.1} % of a core ({quota} ms in every {period} ms)", 100.0 * self.cores())
    }
}

/// How fast held processes may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speed {
    /// By their share.
    Usual,
    /// As fast as the machine lets them.
    Lifted,
    /// As somebody else stops and continues them: no signal is sent.
    Frozen,
    /// By so small a part of their share.
    Slower(u32),
}

/// Processes that are held to their share until this is dropped.
#[derive(Debug)]
pub(crate) struct Quota {
    held: Arc<Held>,
    share: Share,
    holder: Holder,
    /// What is slower than a group can hold is stopped and continued besides.
    slowed: Mutex<Option<Turns>>,
}

/// Whose processes are held, and how.
#[derive(Debug)]
struct Held {
    server: AtomicU32,
    /// A child that is left out; 0 is none.
    exempt: AtomicU32,
    speed: Mutex<Speed>,
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
        let held = Held {
            server: AtomicU32::new(server),
            exempt: AtomicU32::new(exempt.unwrap_or_default()),
            speed: Mutex::new(Speed::Usual),
        };
        let held = Arc::new(held);
        let holder = match Group::create(share) {
            Ok(group) => Holder::Group(group),
            Err(_) => Holder::Turns { _running: Turns::start(Arc::clone(&held), share)? },
        };
        let quota = Self { held, share, holder, slowed: Mutex::default() };
        quota.gather()?;
        Ok(quota)
    }

    /// Holds the process that has taken the place of the first one, and its children but for another one.
    ///
    /// # Errors
    /// If it has ended.
    pub(crate) fn hold_again(&self, server: u32, exempt: Option<u32>) -> io::Result<()> {
        self.held.server.store(server, Ordering::Release);
        self.held.exempt.store(exempt.unwrap_or_default(), Ordering::Release);
        self.gather()?;
        if let (Holder::Group(group), Some(exempt)) = (&self.holder, exempt) {
            group.release(exempt);
        }
        Ok(())
    }

    /// Adds the children that are not held yet.
    fn gather(&self) -> io::Result<()> {
        let Holder::Group(group) = &self.holder else { return Ok(()) };
        // The parent first: what it starts from then on is in the group already.
        group.add(self.held.server.load(Ordering::Acquire))?;
        for child in self.held.children()? {
            // A child that ends meanwhile needs no quota.
            let _has_ended = group.add(child).is_err();
        }
        Ok(())
    }

    /// Lets the processes run at another speed.
    ///
    /// # Errors
    /// If the kernel refuses it.
    pub(crate) fn set(&self, speed: Speed) -> io::Result<()> {
        *lock(&self.held.speed) = speed;
        *lock(&self.slowed) = None;
        let Holder::Group(group) = &self.holder else { return Ok(()) };
        match speed {
            Speed::Usual => group.limit(Some(self.share)),
            Speed::Lifted => group.limit(None),
            Speed::Frozen => Ok(()),
            Speed::Slower(times) => match self.share.slower(times) {
                Some(share) => group.limit(Some(share)),
                None => {
                    group.limit(None)?;
                    *lock(&self.slowed) = Some(Turns::start(Arc::clone(&self.held), self.share)?);
                    Ok(())
                }
            },
        }
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
                let all = self.held.all().unwrap_or_default();
                Ok(all.iter().filter_map(|pid| measure::cpu_time(*pid).ok()).sum())
            }
        }
    }

    /// Sends a signal to all processes but the exempt one.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        let server = self.held.server.load(Ordering::Acquire);
        // One that is stopped starts no child while the others are looked for.
        send(&[server], signal);
        send(&self.held.children()?, signal);
        Ok(())
    }
}

impl Held {
    /// The children but for the exempt one.
    fn children(&self) -> io::Result<Vec<u32>> {
        let exempt = self.exempt.load(Ordering::Acquire);
        let mut children = children(self.server.load(Ordering::Acquire))?;
        children.retain(|child| *child != exempt);
        Ok(children)
    }

    fn all(&self) -> io::Result<Vec<u32>> {
        let mut all = self.children()?;
        all.push(self.server.load(Ordering::Acquire));
        Ok(all)
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
        group.limit(Some(share))?;
        Ok(group)
    }

    /// Holds it to a share, or to none.
    fn limit(&self, share: Option<Share>) -> io::Result<()> {
        self.write("cpu.cfs_quota_us", "-1")?;
        let Some(share) = share else { return Ok(()) };
        self.write("cpu.cfs_period_us", &share.period_us.to_string())?;
        self.write("cpu.cfs_quota_us", &share.quota_us.to_string())
    }

    fn add(&self, pid: u32) -> io::Result<()> {
        self.0.iter().try_for_each(|path| fs::write(path.join("cgroup.procs"), pid.to_string()))
    }

    /// Moves a process to the group above.
    fn release(&self, pid: u32) {
        for above in self.0.iter().filter_map(|path| path.parent()) {
            // What has ended meanwhile is in no group.
            let _has_ended = fs::write(above.join("cgroup.procs"), pid.to_string()).is_err();
        }
    }

    fn cpu_time(&self) -> io::Result<Duration> {
        let path = self.0.iter().map(|path| path.join("cpuacct.usage")).find(|path| path.exists());
        let path = path.ok_or_else(|| io::Error::other("no cpuacct.usage"))?;
        Ok(Duration::from_nanos(fs::read_to_string(path)?.trim().parse().map_err(io::Error::other)?))
    }

    fn write(&self, file: &str, value: &str) -> io::Result<()> {
        let path = self.0.first().ok_or_else(|| io::Error::other("no group"))?;
        fs::write(path.join(file), value)
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
    fn start(held: Arc<Held>, share: Share) -> io::Result<Self> {
        let ended = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&ended);
        let turns = move || {
            while !over.load(Ordering::Acquire) {
                turn(&held, share, &over);
            }
        };
        let thread = std::thread::Builder::new().name("turns".to_owned()).spawn(turns)?;
        Ok(Self { ended, thread: Some(thread) })
    }
}

/// Stops the processes, and lets them run for their share of the period.
fn turn(held: &Held, share: Share, over: &AtomicBool) {
    let speed = *lock(&held.speed);
    let times = match speed {
        Speed::Usual => 1,
        Speed::Slower(times) => times,
        Speed::Lifted | Speed::Frozen => {
            std::thread::sleep(LOOK);
            return;
        }
    };
    let run = Duration::from_micros(share.quota_us);
    let rest = Duration::from_micros(share.period_us.saturating_mul(times.into())).saturating_sub(run);
    send(&held.all().unwrap_or_default(), Signal::SIGSTOP);
    let since = Instant::now();
    while since.elapsed() < rest && !over.load(Ordering::Acquire) && *lock(&held.speed) == speed {
        std::thread::sleep(LOOK.min(rest.saturating_sub(since.elapsed())));
    }
    // Looked for while none of them runs: that takes longer than a turn of some shares.
    let all = held.all().unwrap_or_default();
    // Locked, so that nobody freezes them in between.
    let speed = lock(&held.speed);
    if *speed != Speed::Frozen {
        send(&all, Signal::SIGCONT);
    }
    drop(speed);
    std::thread::sleep(run);
}

impl Drop for Turns {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        // It ends with its turn, and leaves all processes running.
        let _ended = self.thread.take().map(JoinHandle::join);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
        let held = |speed| {
            Arc::new(Held {
                server: AtomicU32::new(busy.0.id()),
                exempt: AtomicU32::new(0),
                speed: Mutex::new(speed),
            })
        };
        for speed in [Speed::Usual, Speed::Slower(50)] {
            let turns = Turns::start(held(speed), share).unwrap();
            let used = used_in_a_second(&busy);
            drop(turns);
            assert!(used < Duration::from_millis(300), "{used:?} in turns, {speed:?}");
        }
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
    fn what_is_held_can_be_slowed_and_frozen() {
        let busy = Busy::start();
        while children(busy.0.id()).unwrap().is_empty() {
            std::thread::sleep(Duration::from_millis(1));
        }
        let quota = Quota::hold(busy.0.id(), None, Share { quota_us: 4_000, period_us: 20_000 }).unwrap();
        for slower in [2, 10, 2_000] {
            quota.set(Speed::Slower(slower)).unwrap();
            let used = used_in_a_second(&busy);
            assert!(used < Duration::from_millis(300), "{used:?} at {slower} times slower");
        }
        quota.set(Speed::Frozen).unwrap();
        quota.signal(Signal::SIGSTOP).unwrap();
        assert!(used_in_a_second(&busy) < Duration::from_millis(50));
        quota.signal(Signal::SIGCONT).unwrap();
        quota.set(Speed::Lifted).unwrap();
        assert!(used_in_a_second(&busy) > Duration::from_millis(100));
    }

    #[test]
    fn a_part_of_a_share_is_within_the_bounds_of_the_kernel() {
        let share = Share { quota_us: 4_000, period_us: 40_000 };
        assert_eq!(share.slower(10), Some(Share { quota_us: 4_000, period_us: 400_000 }));
        assert_eq!(share.slower(100), Some(Share { quota_us: 1_000, period_us: 1_000_000 }));
        assert_eq!(share.slower(101), None);
    }

    #[test]
    fn a_share_says_what_it_is() {
        let share = Share { quota_us: 2_500, period_us: 10_000 };
        assert_eq!(share.to_string(), "25.0 % of a core (2.5 ms in every 10 ms)");
    }
}
