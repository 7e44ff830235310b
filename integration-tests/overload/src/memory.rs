//! Limits the memory of a process by a control group, which kills it when it needs more.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The controller of version 1 of control groups.
const CONTROLLER: &str = "/sys/fs/cgroup/memory";

/// A limit of memory, lifted when dropped.
#[derive(Debug)]
pub(crate) struct MemoryLimit(PathBuf);

impl MemoryLimit {
    /// Lets a process have so much memory, what it has already included.
    ///
    /// # Errors
    /// Without the right to make a control group.
    pub(crate) fn of(pid: u32, mib: u64) -> io::Result<Self> {
        let path = Path::new(CONTROLLER).join(format!("hydra-overload-{}-{pid}", std::process::id()));
        fs::create_dir(&path)?;
        let limit = Self(path);
        fs::write(limit.0.join("memory.limit_in_bytes"), (mib << 20).to_string())?;
        // What the process had before it came into the group counts as well.
        fs::write(limit.0.join("memory.move_charge_at_immigrate"), "3")?;
        fs::write(limit.0.join("cgroup.procs"), pid.to_string())?;
        Ok(limit)
    }
}

impl Drop for MemoryLimit {
    fn drop(&mut self) {
        for pid in fs::read_to_string(self.0.join("cgroup.procs")).unwrap_or_default().lines() {
            // What has ended meanwhile is gone from the group too.
            let _has_ended = fs::write(Path::new(CONTROLLER).join("cgroup.procs"), pid).is_err();
        }
        if let Err(cause) = fs::remove_dir(&self.0) {
            eprintln!("cannot remove {}: {cause}", self.0.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, Stdio};

    #[test]
    fn a_process_that_needs_more_is_killed() {
        // It doubles a text whenever it reads a line.
        let script = "text=0123456789abcdef; while read -r _; do text=$text$text; done";
        let mut grows = Command::new("sh").args(["-c", script]).stdin(Stdio::piped()).spawn().unwrap();
        let Ok(_limit) = MemoryLimit::of(grows.id(), 32) else {
            grows.kill().unwrap();
            grows.wait().unwrap();
            return;
        };
        let mut input = grows.stdin.take().unwrap();
        // Once it is killed nobody reads what is written.
        let _written = std::io::Write::write_all(&mut input, &b"\n".repeat(24));
        drop(input);
        assert_eq!(grows.wait().unwrap().signal(), Some(9));
    }
}
