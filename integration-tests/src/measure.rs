//! What a process uses, as Linux tells it.

use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use std::io;
use std::time::Duration;

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

/// CPU time that a process has used: its own and what the kernel did for it.
///
/// # Errors
/// When the process has ended.
pub fn cpu_time(pid: u32) -> io::Result<Duration> {
    let pid = i32::try_from(pid).map_err(io::Error::other)?;
    Ok(clock_gettime(clock_getcpuclockid(Pid::from_raw(pid))?)?.into())
}
