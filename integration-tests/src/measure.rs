//! What a process uses, as Linux tells it.

use std::io;
use std::time::Duration;

/// The unit of CPU time in `/proc`, the same on every architecture of Linux that Rust has.
const TICK: Duration = Duration::from_millis(10);

/// Memory that a process holds, in bytes (`VmRSS`).
///
/// # Errors
/// When the process has ended.
pub fn memory_bytes(pid: u32) -> io::Result<u64> {
    Ok(1024 * status(pid, "VmRSS:")?)
}

/// Threads of a process.
///
/// # Errors
/// When the process has ended.
pub fn threads(pid: u32) -> io::Result<u64> {
    status(pid, "Threads:")
}

/// The names of the threads of a process, each cut to 15 bytes. One that ends meanwhile is left out.
///
/// # Errors
/// When the process has ended.
pub fn thread_names(pid: u32) -> io::Result<Vec<String>> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task"))?;
    let name = |path: std::path::PathBuf| std::fs::read_to_string(path.join("comm")).ok();
    Ok(threads.flatten().filter_map(|thread| Some(name(thread.path())?.trim_end().to_owned())).collect())
}

fn status(pid: u32, name: &str) -> io::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let value =
        status.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok());
    value.ok_or_else(|| io::Error::other(format!("no {name}")))
}

/// CPU time that a process has used, in steps of 10 ms: its own and what the kernel did for it.
///
/// # Errors
/// When the process has ended.
pub fn cpu_time(pid: u32) -> io::Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is the name, which may hold spaces; `utime` and `stime` are the 14th and the 15th.
    let ticks = stat.rsplit_once(") ").and_then(|(_, rest)| {
        let mut fields = rest.split(' ').skip(11);
        let (user, system): (u32, u32) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        Some(user + system)
    });
    ticks.map(|ticks| ticks * TICK).ok_or_else(|| io::Error::other("no CPU time"))
}
