//! A running node, its files and its pages.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Generous: many tests share two cores.
const PATIENCE: Duration = Duration::from_secs(60);

/// A node in a directory of its own. It ends with the test.
pub(crate) struct Node {
    child: Child,
    dir: tempfile::TempDir,
    pub(crate) tcp: String,
    http: String,
}

/// An answer of the HTTP endpoints.
pub(crate) struct Page {
    pub(crate) status: String,
    pub(crate) body: Vec<u8>,
}

/// The program, with no setting of the machine's own.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hydra"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("HYDRA_")) {
        command.env_remove(name);
    }
    command
}

impl Node {
    /// Starts a node with one head; `within` makes the command that is run of that of the node.
    pub(crate) fn start(settings: &[&str], within: impl FnOnce(Command) -> Command) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut command = program();
        command.current_dir(dir.path()).arg("run");
        let common = [
            "heads.listen=['127.0.0.1']",
            "heads.count=1",
            "heads.transports=['tcp']",
            "ids.port_base=0",
            "store.kind=memory",
            "log.format=pretty",
            "telemetry.http.listen='127.0.0.1:0'",
        ];
        for setting in common.iter().chain(settings) {
            command.args(["--set", setting]);
        }
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        let mut child = within(command).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let (mut tcp, mut http) = (String::new(), String::new());
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            match line.unwrap().split_once(' ') {
                Some(("head", line)) => tcp = line.split(' ').nth(1).unwrap().to_owned(),
                Some(("http", url)) => http = url.trim_start_matches("http://").to_owned(),
                _ => break,
            }
        }
        let node = Self { child, dir, tcp, http };
        assert!(!node.http.is_empty(), "{}", node.log());
        node
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// The profiles, the oldest first.
    pub(crate) fn profiles(&self) -> Vec<PathBuf> {
        let dir = self.dir.path().join("hydra-data/heap-profiles");
        let files = std::fs::read_dir(dir).into_iter().flatten().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> = files.filter(|path| path.is_file()).collect();
        files.sort();
        files
    }

    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    pub(crate) fn page(&self, path: &str) -> io::Result<Page> {
        let mut stream = TcpStream::connect(&self.http)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.http)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let end = answer.windows(4).position(|part| part == b"\r\n\r\n");
        let end = end.ok_or_else(|| io::Error::other("no HTTP"))?;
        let head = String::from_utf8_lossy(&answer[..end]).into_owned();
        let status = head.lines().next().unwrap_or_default().to_owned();
        Ok(Page { status, body: answer.split_off(end + 4) })
    }

    pub(crate) fn text(&self, path: &str) -> String {
        String::from_utf8(self.page(path).unwrap().body).unwrap()
    }

    /// The value of a series, given as it stands on the page.
    pub(crate) fn metric(&self, series: &str) -> f64 {
        let page = self.text("/metrics");
        let value = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("{series} is missing")).parse().unwrap()
    }

    /// Waits until this is so.
    pub(crate) fn until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !is_so(self) {
            assert!(self.has_not_ended(), "{what}: the node has ended\n{}", self.log());
            assert!(begun.elapsed() < PATIENCE, "{what}: it took too long\n{}", self.log());
            sleep(Duration::from_millis(50));
        }
    }

    pub(crate) fn has_not_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Asks it to stop, and waits until it has.
    pub(crate) fn stop(mut self) {
        self.signal("-TERM");
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}\n{}", self.log());
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
