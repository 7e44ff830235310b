//! A PostgreSQL server.

use super::{PATIENCE, Process, complete, free_port, is_root, not_running, wait};
use std::fs::File;
use std::io;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// The user as whom the server runs when the tests run as root: PostgreSQL refuses root.
pub(super) const USER: &str = "postgres";

/// A PostgreSQL server with the superuser and the database `hydra`, which trusts every connection. Stopped when dropped.
#[derive(Debug)]
pub struct Postgres {
    process: Option<Process>,
    programs: PathBuf,
    port: u16,
    home: TempDir,
    settings: Vec<String>,
}

impl Postgres {
    /// The directory of the programs of PostgreSQL: that of the variable `HYDRA_TEST_POSTGRES`, or the newest of Debian's. None
    /// if it is not installed.
    pub fn installed() -> Option<PathBuf> {
        std::env::var_os("HYDRA_TEST_POSTGRES").map(PathBuf::from).or_else(Self::of_debian)
    }

    fn of_debian() -> Option<PathBuf> {
        let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
        let mut versions: Vec<(u32, PathBuf)> = versions
            .filter_map(|entry| {
                let path = entry.ok()?.path();
                Some((path.file_name()?.to_str()?.parse().ok()?, path.join("bin")))
            })
            .filter(|(_, programs)| programs.join("initdb").exists())
            .collect();
        versions.sort();
        Some(versions.pop()?.1)
    }

    /// The major version of the programs in a directory. None if it has none.
    pub fn version(programs: &Path) -> Option<u32> {
        // "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"
        let said = Command::new(programs.join("postgres")).arg("--version").output().ok()?;
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        said.split_once("(PostgreSQL) ")?.1.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    }

    /// Starts a server with these settings, each as `name=value`.
    ///
    /// # Errors
    /// If it is not installed or does not start.
    pub fn start(settings: &[&str]) -> io::Result<Self> {
        let programs = Self::installed().ok_or_else(|| io::Error::other("PostgreSQL is not installed"))?;
        let home = tempfile::tempdir()?;
        super::own(home.path())?;
        let data = home.path().join("data");
        let mut init = as_user(&programs.join("initdb"));
        init.args(["--auth=trust", "--no-sync", "--username=hydra", "--encoding=UTF8", "--locale=C", "-D"])
            .arg(&data);
        complete(&mut init)?;
        let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let mut server = Self { process: None, programs, port: free_port()?, home, settings };
        server.launch()?;
        server.execute("postgres", "CREATE DATABASE hydra")?;
        Ok(server)
    }

    /// Starts it again on the same port after it was stopped or killed.
    ///
    /// # Errors
    /// If it does not start.
    pub fn launch(&mut self) -> io::Result<()> {
        let home = self.home.path();
        let mut command = as_user(&self.programs.join("postgres"));
        command.arg("-D").arg(home.join("data")).arg("-k").arg(home);
        command.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-c", "fsync=off"]);
        for setting in &self.settings {
            command.args(["-c", setting]);
        }
        // SIGINT is a fast shutdown: clients are disconnected.
        let log = File::options().create(true).append(true).open(home.join("log"))?;
        let mut process = Process::start(&command, "INT", log)?;
        let port = self.port;
        wait(&mut process, || TcpStream::connect(("127.0.0.1", port)).is_ok())?;
        self.process = Some(process);
        // It listens before it accepts logins.
        let since = std::time::Instant::now();
        while let Err(cause) = self.execute("postgres", "SELECT 1") {
            if since.elapsed() > PATIENCE {
                return Err(cause);
            }
            std::thread::sleep(super::PAUSE);
        }
        Ok(())
    }

    /// Runs one statement as the superuser.
    ///
    /// # Errors
    /// If it fails.
    pub fn execute(&self, database: &str, statement: &str) -> io::Result<()> {
        complete(self.psql("hydra", database).args(["-c", statement]))
    }

    /// Runs one query as the superuser; the first column of its rows as text.
    ///
    /// # Errors
    /// If it fails.
    pub fn query(&self, database: &str, query: &str) -> io::Result<Vec<String>> {
        let mut psql = self.psql("hydra", database);
        let output = psql.args(["-A", "-t", "-c", query]).output()?;
        if !output.status.success() {
            return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
        }
        Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
    }

    /// The client `psql` as this user, without a statement yet. Some distributions of the server have none: then it is Debian's
    /// or that of the `PATH`.
    pub fn psql(&self, user: &str, database: &str) -> Command {
        let places = [Some(self.programs.clone()), Self::of_debian()];
        let found = places.into_iter().flatten().map(|place| place.join("psql")).find(|psql| psql.exists());
        let mut psql = Command::new(found.unwrap_or_else(|| "psql".into()));
        psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U", user]);
        psql.args(["-p", &self.port.to_string(), "-d", database]);
        psql
    }

    /// Copies a file into its data directory under this name, for the server alone to read.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn install(&self, file: &Path, name: &str) -> io::Result<()> {
        let copy = self.home.path().join("data").join(name);
        std::fs::copy(file, &copy)?;
        std::fs::set_permissions(&copy, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        super::own(&copy)
    }

    /// Gives a directory to the user as whom it runs.
    ///
    /// # Errors
    /// If that is not permitted.
    pub fn own(&self, directory: &Path) -> io::Result<()> {
        super::own(directory)
    }

    /// Sends a signal to its first process: `STOP` freezes that one alone, so connections that are open go on.
    ///
    /// # Errors
    /// If it does not run.
    pub fn signal(&self, signal: &str) -> io::Result<()> {
        self.process.as_ref().ok_or_else(not_running)?.signal(signal)
    }

    /// Sends a signal to all its processes.
    ///
    /// # Errors
    /// If it does not run.
    pub fn signal_all(&self, signal: &str) -> io::Result<()> {
        let process = self.process.as_ref().ok_or_else(not_running)?;
        // One that is stopped starts no session while the others are looked for, and one that is killed has no children any more.
        if signal == "STOP" {
            process.signal(signal)?;
        }
        let children = Command::new("pgrep").args(["-P", &process.pid.to_string()]).output()?;
        let children = String::from_utf8_lossy(&children.stdout).into_owned();
        if !children.is_empty() {
            // A session may end meanwhile: then it needs no signal.
            let _some_are_gone = Command::new("kill").args(["-s", signal]).args(children.lines()).output()?;
        }
        process.signal(signal)
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The pid of its first process; none while it is stopped.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(|process| process.pid)
    }

    /// The directory of its Unix socket, and of its log in the file `log`.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Stops it in order; [`Self::launch`] starts it again.
    pub fn stop(&mut self) {
        self.process = None;
    }
}

pub(super) fn as_user(program: &Path) -> Command {
    if is_root() {
        // It becomes the program, so that the pid is the server's own.
        let mut command = Command::new("setpriv");
        command.args(["--reuid", USER, "--regid", USER, "--clear-groups", "--"]).arg(program);
        return command;
    }
    Command::new(program)
}
