//! A control group with a memory limit, of the version that this machine has.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

/// Where control groups of both versions are mounted, with the name of the file that has the limit.
const MOUNTS: [(&str, &str); 2] =
    [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")];

/// A group that is removed with the test.
pub(crate) struct Group(PathBuf);

impl Group {
    /// A new group with this limit; processes in it do not swap.
    ///
    /// # Errors
    /// Where there are no groups, or no right to make one.
    pub(crate) fn new(name: &str, bytes_max: u64) -> io::Result<Self> {
        let name = format!("hydra-test-{}-{name}", std::process::id());
        let mut cause = io::Error::other("no control groups");
        for (mount, limit) in MOUNTS {
            if !Path::new(mount).join("cgroup.procs").exists() {
                continue;
            }
            let group = Self(Path::new(mount).join(&name));
            let made = fs::create_dir(&group.0);
            match made.and_then(|()| fs::write(group.0.join(limit), bytes_max.to_string())) {
                Ok(()) => {
                    // Without accounting of swap there is no such file.
                    let _has_swap = fs::write(group.0.join("memory.swap.max"), "0").is_ok();
                    return Ok(group);
                }
                Err(failed) => cause = failed,
            }
        }
        Err(cause)
    }

    /// The command, in this group from its first instruction on.
    pub(crate) fn holding(&self, command: &Command) -> Command {
        let mut held = Command::new("sh");
        held.args(["-c", "echo $$ > \"$0\" && exec \"$@\""]);
        held.arg(self.0.join("cgroup.procs")).arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => held.env(name, value),
                None => held.env_remove(name),
            };
        }
        if let Some(dir) = command.get_current_dir() {
            held.current_dir(dir);
        }
        held
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // A group is busy until its last process is gone.
        for _ in 0..100 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            sleep(Duration::from_millis(50));
        }
    }
}
