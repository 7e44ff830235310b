//! Foreign DHT clients: go-libp2p, js-libp2p and kubo as programs, and stock libp2p-kad in this process.
//!
//! A program of ours prints one JSON object per line and keeps a deadline of its own; a longer one here ends it in
//! any case. What a program needs may be missing from a machine: [`Client::go`], [`Client::js`] and
//! [`kubo::Program::find`] say so.

mod event;
pub mod kubo;
pub mod rust;

pub use event::{Answer, Event, Judged, Peer, Told};

use std::{
    env, fmt, io,
    path::{Path, PathBuf},
    process::Stdio,
    sync::OnceLock,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

/// How long a client may take, from its start to its exit.
pub const RUN_DEADLINE: Duration = Duration::from_secs(60);

/// Whether a missing client fails a test instead of showing it as ignored: with `CI=true`, or with
/// `TEST_REQUIRE=all`.
#[must_use]
pub fn required() -> bool {
    let is = |name: &str, wanted: &str| env::var(name).is_ok_and(|value| value == wanted);
    is("CI", "true") || is("TEST_REQUIRE", "all")
}

/// Why a client cannot run on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing(String);

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (.ci/install brings what the tests need)", self.0)
    }
}

impl std::error::Error for Missing {}

/// A client program that is ready to run.
#[derive(Debug, Clone)]
pub struct Client {
    program: PathBuf,
    before: Vec<PathBuf>,
}

impl Client {
    /// The go-libp2p client. The first call in a process builds it; Go's own cache makes the next one quick.
    ///
    /// # Errors
    ///
    /// There is no Go, or the client does not build.
    pub fn go() -> Result<Self, Missing> {
        static BUILT: OnceLock<Result<PathBuf, Missing>> = OnceLock::new();
        let program = BUILT.get_or_init(build_go).clone()?;
        Ok(Self { program, before: Vec::new() })
    }

    /// The js-libp2p client.
    ///
    /// # Errors
    ///
    /// There is no Node.js, or the client's packages are not installed.
    pub fn js() -> Result<Self, Missing> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("js");
        if !["@libp2p/kad-dht", "ipns"].iter().all(|name| folder.join("node_modules").join(name).exists()) {
            return Err(Missing("the npm packages of integration-tests/js are not installed".to_owned()));
        }
        Ok(Self { program: tool("node")?, before: vec![folder.join("client.mjs")] })
    }

    /// Runs the client to its end and returns what it printed last.
    ///
    /// # Errors
    ///
    /// The client failed, printed nothing that can be read, or took longer than [`RUN_DEADLINE`]; the message
    /// carries what it wrote on stderr.
    pub async fn run(&self, args: &[&str]) -> io::Result<Event> {
        let mut printed = self.run_with(args, String::new()).await?;
        printed.pop().ok_or_else(|| io::Error::other(format!("{args:?} printed nothing")))
    }

    /// Runs the client on this input to its end and returns all that it printed.
    ///
    /// # Errors
    ///
    /// As [`Client::run`].
    pub async fn run_with(&self, args: &[&str], input: String) -> io::Result<Vec<Event>> {
        let mut child = self.command(args).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let mut stdin = child.stdin.take().ok_or_else(|| io::Error::other("stdin is not piped"))?;
        // Both at a time: a client that prints while it reads would wait for ever otherwise. It closes stdin at its end.
        let fed = async move { stdin.write_all(input.as_bytes()).await };
        let both = async { tokio::join!(fed, child.wait_with_output()) };
        let (fed, output) = timeout(RUN_DEADLINE, both)
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, format!("{args:?} did not end")))?;
        let output = output?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(io::Error::other(format!("{args:?}: {}: {said}", output.status)));
        }
        fed?;
        let printed = String::from_utf8_lossy(&output.stdout);
        printed.lines().map(event).collect()
    }

    /// Starts the client and returns its first event and the running client, for `serve` and `--stay`.
    /// It ends when it is dropped.
    ///
    /// # Errors
    ///
    /// As [`Client::run`].
    pub async fn start(&self, args: &[&str]) -> io::Result<(Event, Running)> {
        let mut child = self.command(args).stdin(Stdio::piped()).spawn()?;
        let stdout = child.stdout.take().ok_or_else(|| io::Error::other("stdout is not piped"))?;
        let mut running = Running { child, lines: BufReader::new(stdout).lines() };
        Ok((running.next().await?, running))
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.before).args(args).stdout(Stdio::piped()).kill_on_drop(true);
        command
    }
}

/// A client that goes on running. It ends when this is dropped: it reads the end of its stdin as its own.
#[derive(Debug)]
pub struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    /// Waits for the next event, at most [`RUN_DEADLINE`].
    ///
    /// # Errors
    ///
    /// The client ended, or printed what cannot be read.
    pub async fn next(&mut self) -> io::Result<Event> {
        let line = timeout(RUN_DEADLINE, self.lines.next_line())
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "the client printed nothing"))??
            .ok_or_else(|| io::Error::other("the client ended"))?;
        event(&line)
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }
}

fn event(line: &str) -> io::Result<Event> {
    serde_json::from_str(line).map_err(|error| io::Error::other(format!("{error}: {line}")))
}

/// A program from the PATH, or from where `.ci/install` puts what it had to bring.
fn tool(name: &str) -> Result<PathBuf, Missing> {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/bin");
    let path = env::var_os("PATH").unwrap_or_default();
    std::iter::once(tools)
        .chain(env::split_paths(&path))
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
        .ok_or_else(|| Missing(format!("there is no {name}")))
}

/// Builds the Go client next to the test that runs.
fn build_go() -> Result<PathBuf, Missing> {
    let test = env::current_exe().map_err(|error| Missing(format!("no path of this test: {error}")))?;
    let program = test.with_file_name("hydra-test-go-client");
    let output = std::process::Command::new(tool("go")?)
        .args(["build", "-buildvcs=false", "-o"])
        .arg(&program)
        .arg(".")
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("go"))
        .output()
        .map_err(|error| Missing(format!("go does not run: {error}")))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Missing(format!("the Go client does not build: {said}")));
    }
    Ok(program)
}
