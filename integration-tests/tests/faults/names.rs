//! A name of a host that moves.

use super::link::Link;
use hydra_integration_tests::node::Home;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tempfile::NamedTempFile;
use tokio::process::Command;

/// The name of the server.
pub(crate) const NAME: &str = "store.hydra.test";
/// Puts the file `$0` in the place of `/etc/hosts`, and becomes the program after it.
const WITH_HOSTS: &str = "mount --bind \"$0\" /etc/hosts && exec \"$@\"";

/// Two addresses of one server, and a file of names with one of them.
#[derive(Debug)]
pub(crate) struct Names {
    file: NamedTempFile,
    before: Link,
    after: Link,
}

impl Names {
    /// The name stands for 127.0.0.1, from where a link leads to the server at this port.
    ///
    /// # Errors
    /// If the file cannot be written or no port is free.
    pub(crate) fn new(server: u16) -> io::Result<Self> {
        let before = Link::open(([127, 0, 0, 1], 0).into(), server)?;
        let after = Link::closed(([127, 0, 0, 2], before.port()).into(), server);
        let names = Self { file: NamedTempFile::new()?, before, after };
        names.point_to("127.0.0.1")?;
        Ok(names)
    }

    pub(crate) fn file(&self) -> &Path {
        self.file.path()
    }

    pub(crate) const fn port(&self) -> u16 {
        self.before.port()
    }

    /// The server goes to another address, and some time later its name follows.
    ///
    /// # Errors
    /// If the file cannot be written or the port is not free there.
    pub(crate) fn move_away(&mut self, during: Duration) -> io::Result<()> {
        self.before.cut();
        self.after.restore()?;
        std::thread::sleep(during);
        self.point_to("127.0.0.2")
    }

    /// The file is the same one, so that who has mounted it sees the change.
    fn point_to(&self, address: &str) -> io::Result<()> {
        let mut file = std::fs::File::create(self.file.path())?;
        write!(file, "127.0.0.1 localhost\n{address} {NAME}\n")
    }
}

/// True if a process may have its own view of files here.
pub(crate) fn is_permitted() -> bool {
    let tried = std::process::Command::new(unshare()[0]).args(&unshare()[1..]).arg("true").output();
    tried.is_ok_and(|output| output.status.success())
}

/// True for the user root.
pub(crate) fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|process| std::os::unix::fs::MetadataExt::uid(&process) == 0)
}

fn unshare() -> &'static [&'static str] {
    if is_root() {
        return &["unshare", "--mount"];
    }
    &["unshare", "--mount", "--map-root-user"]
}

/// The same command, with this file as `/etc/hosts`.
pub(crate) fn with_hosts(inner: &Command, home: &Home, hosts: PathBuf) -> Command {
    let inner = inner.as_std();
    let mut command = Command::new(unshare()[0]);
    command.args(&unshare()[1..]).args(["sh", "-c", WITH_HOSTS]).arg(hosts);
    command.arg(inner.get_program()).args(inner.get_args());
    command.current_dir(home.path()).stdin(Stdio::null()).kill_on_drop(true);
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}
