//! The program, run for one command at a time.

use hydra_integration_tests::node::{Home, program};
use serde_json::Value;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

/// How long a command may take, and a file may take to appear. Generous: many tests share two cores.
const PATIENCE: Duration = Duration::from_secs(240);

/// The command for these arguments in a directory, without settings of the machine's own.
pub(crate) fn command(home: &Home, args: &[&str]) -> Command {
    let mut command = Command::new(program().unwrap());
    command.current_dir(home.path()).args(args).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if [&b"HYDRA_"[..], b"OTEL_", b"PG"].iter().any(|prefix| name.as_encoded_bytes().starts_with(prefix))
        {
            command.env_remove(name);
        }
    }
    command
}

pub(crate) fn run(home: &Home, args: &[&str]) -> Output {
    command(home, args).output().unwrap()
}

/// What it prints when it succeeds, as JSON.
pub(crate) fn prints(home: &Home, args: &[&str]) -> Value {
    let output = run(home, args);
    assert!(output.status.success(), "{args:?}: {}", stderr(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Fails with this code, and one line that contains this text.
pub(crate) fn fails(home: &Home, args: &[&str], code: i32, text: &str) {
    let output = run(home, args);
    let errors = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {errors}");
    // Beside what libraries and stores log.
    let lines: Vec<_> = errors.lines().filter(|line| !line.starts_with('{')).collect();
    let [line] = lines[..] else { panic!("{args:?}: not one line: {errors}") };
    assert!(line.starts_with("error: ") && line.contains(text), "{args:?}: {text} is not in: {line}");
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A config file with this `[store]` table; its data directory is beside it, named alike.
pub(crate) fn config(home: &Home, name: &str, store: &Value) -> String {
    let store = serde_json::from_value::<toml_like::Table>(store.clone()).unwrap();
    let text = format!("data_dir = \"{name}-data\"\n[store]\n{store}");
    let file = format!("{name}.toml");
    std::fs::write(home.path().join(&file), text).unwrap();
    file
}

/// A table as TOML: texts, numbers, lists of texts.
mod toml_like {
    use serde_json::{Map, Value};

    #[derive(serde::Deserialize)]
    pub(super) struct Table(Map<String, Value>);

    impl std::fmt::Display for Table {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            // These values are written alike in JSON and in TOML.
            self.0.iter().try_for_each(|(key, value)| writeln!(f, "{key} = {value}"))
        }
    }
}

/// The text of the file of progress in a data directory, if there is one.
pub(crate) fn progress(dir: &Path) -> Option<Vec<u8>> {
    let paths = std::fs::read_dir(dir).ok()?.flatten().map(|entry| entry.path());
    let mut found = paths.filter(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.starts_with("store-") && name.ends_with(".json")
    });
    std::fs::read(found.next()?).ok()
}

/// A command under way.
pub(crate) struct Running(Child);

impl Running {
    pub(crate) fn start(home: &Home, args: &[&str]) -> Self {
        let log = std::fs::File::create(home.path().join("running.log")).unwrap();
        Self(command(home, args).stdout(Stdio::null()).stderr(log).spawn().unwrap())
    }

    /// Waits until the text of the file of progress is another than before. Fails if the command ends first.
    pub(crate) fn until_progress(&mut self, dir: &Path, before: Option<&[u8]>) {
        let since = Instant::now();
        loop {
            match progress(dir) {
                Some(text) if Some(&text[..]) != before => return,
                _ => {}
            }
            assert!(self.0.try_wait().unwrap().is_none(), "it ended before it was interrupted");
            assert!(since.elapsed() < PATIENCE, "no file of progress in {}", dir.display());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends it a signal and waits for its end.
    pub(crate) fn end(mut self, signal: &str) -> ExitStatus {
        let sent = Command::new("kill").args(["-s", signal, &self.0.id().to_string()]).status().unwrap();
        assert!(sent.success(), "the command runs");
        self.0.wait().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended, as a rule.
        let _killed = self.0.kill();
        let _ended = self.0.wait();
    }
}
