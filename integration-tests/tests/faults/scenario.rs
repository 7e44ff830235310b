//! A fault, and what may come of it.

use std::io;
use std::path::Path;
use std::time::Duration;

/// One fault of one backend.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scenario {
    /// As the table names it.
    pub(crate) backend: &'static str,
    /// What is done to the server.
    pub(crate) fault: &'static str,
    /// Starts the servers.
    pub(crate) start: fn() -> io::Result<Box<dyn Ground>>,
    /// A line of the log must have one of these; empty if the node need not notice anything.
    pub(crate) cause: &'static [&'static str],
    pub(crate) loss: Loss,
    pub(crate) needs: Needs,
}

/// Which announcements may be missing in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// None.
    Nothing,
    /// Those that the server took in the last seconds before it died, as its documentation says.
    Last(Duration),
    /// Those for which it had no room. They are counted.
    Counted,
}

/// What the machine must permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    Nothing,
    /// To mount a small disk.
    Root,
    /// To give a process names of hosts of its own.
    MountNamespace,
}

/// Servers, and the fault that befalls them.
pub(crate) trait Ground: Send {
    /// The config file that the node starts with.
    fn config(&self) -> &'static str;

    /// What is set on top of it, each as for `--set`.
    fn settings(&self) -> Vec<String>;

    /// What the node sees as `/etc/hosts`.
    fn hosts_file(&self) -> Option<&Path> {
        None
    }

    /// Does the fault for about so long. Its cause has gone when this returns.
    ///
    /// # Errors
    /// If the fault cannot be made.
    fn inflict(&mut self, during: Duration) -> io::Result<()>;
}

impl Scenario {
    /// The name of its test.
    pub(crate) fn name(&self) -> String {
        let words = |text: &str| {
            let letters =
                text.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { ' ' });
            let letters: String = letters.collect();
            letters.to_lowercase().split_whitespace().collect::<Vec<_>>().join("_")
        };
        format!("{}::a_node_outlives_{}", words(self.backend), words(self.fault))
    }

    /// True if this machine permits what the scenario needs.
    pub(crate) fn is_permitted(&self) -> bool {
        match self.needs {
            Needs::Nothing => true,
            Needs::Root => super::names::is_root(),
            Needs::MountNamespace => super::names::is_permitted(),
        }
    }
}
