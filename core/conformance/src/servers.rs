//! Real servers for the tests of stores: started on a free port of 127.0.0.1 in a temporary directory, and stopped with
//! the value that they are.
//!
//! Each runs below a shell that waits for the end of its standard input: however a test ends, the server is stopped.

mod pgbouncer;
mod postgres;
mod redis;
mod silent_link;

pub use pgbouncer::PgBouncer;
pub use postgres::Postgres;
pub use redis::{Redis, RedisCluster, RedisSentinel};
pub use silent_link::SilentLink;

use std::io::{self, Read};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Whether a server that is missing fails a test instead of showing it as ignored: with `CI=true`, or with `TEST_REQUIRE=all`.
pub fn required() -> bool {
    let is = |name: &str, wanted: &str| std::env::var_os(name).is_some_and(|value| value == wanted);
    is("CI", "true") || is("TEST_REQUIRE", "all")
}

/// How long a server has to start, and to stop.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);

/// Runs the command after it as its child, prints the child's pid, and stops it with the signal `$1` when its standard input
/// ends.
const UNTIL_INPUT_ENDS: &str = "signal=$1; shift; \"$@\" </dev/null >&2 & pid=$!; echo $pid; read -r _ignored; kill -s $signal $pid; wait $pid";

/// A server that runs.
#[derive(Debug)]
struct Process {
    shell: Child,
    pid: u32,
}

impl Process {
    /// Starts a server; its output goes to `log`.
    fn start(command: &Command, stop: &str, log: std::fs::File) -> io::Result<Self> {
        let mut shell = Command::new("sh");
        shell.args(["-c", UNTIL_INPUT_ENDS, "sh", stop]).arg(command.get_program()).args(command.get_args());
        let mut shell = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).spawn()?;
        let mut pid = [0; 16];
        let out = shell.stdout.as_mut().ok_or_else(|| io::Error::other("no standard output"))?;
        let len = out.read(&mut pid)?;
        let pid = String::from_utf8_lossy(&pid[..len]).trim().parse().map_err(io::Error::other)?;
        Ok(Self { shell, pid })
    }

    fn has_ended(&mut self) -> bool {
        !matches!(self.shell.try_wait(), Ok(None))
    }

    /// True if the server has ended by itself: the shell waits for its input all the same.
    fn is_gone(&self) -> bool {
        // The state follows the name of the program, which is in parentheses; a process that nobody has waited for is a `Z`.
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid));
        stat.map_or(true, |stat| {
            stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'))
        })
    }

    /// Sends it a signal, such as `KILL` or `STOP`.
    fn signal(&self, signal: &str) -> io::Result<()> {
        complete(Command::new("kill").args(["-s", signal, &self.pid.to_string()]))
    }

    /// Stops it, and waits until it has ended.
    fn stop(&mut self) {
        drop(self.shell.stdin.take());
        let since = Instant::now();
        while !self.has_ended() && since.elapsed() < PATIENCE {
            std::thread::sleep(PAUSE);
        }
        // It has ended, or does not end: then nothing more can be done.
        let _killed = self.shell.kill();
        let _ended = self.shell.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

fn not_running() -> io::Error {
    io::Error::other("the server does not run")
}

/// Waits until `is_ready`.
fn wait(process: &mut Process, mut is_ready: impl FnMut() -> bool) -> io::Result<()> {
    let since = Instant::now();
    while !is_ready() {
        if process.has_ended() || process.is_gone() {
            return Err(io::Error::other("the server has ended"));
        }
        if since.elapsed() > PATIENCE {
            return Err(io::ErrorKind::TimedOut.into());
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

/// A port that is free now.
fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Gives a directory to the user as whom [`postgres`] runs.
fn own(directory: &std::path::Path) -> io::Result<()> {
    if is_root() { complete(Command::new("chown").arg(postgres::USER).arg(directory)) } else { Ok(()) }
}

/// True for the user root, as whom some servers do not run.
fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

/// Runs a command to its end.
fn complete(command: &mut Command) -> io::Result<()> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr))))
}
