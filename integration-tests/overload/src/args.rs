//! The command line.

use crate::arm::Arm;
use crate::form::Form;
use crate::place::{Place, ShareName};
use crate::server::Backend;
use crate::trigger::Trigger;
use clap::Parser;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Offers nodes up to fifty times the load that saturates their database, lets happen to it what happens in production, counts at the
/// database, and writes the tables and charts of docs/overload.
#[derive(Debug, Parser)]
pub(crate) struct Args {
    /// The databases.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "postgres")]
    backend: Vec<Backend>,
    /// The share of a core that the database has.
    #[arg(long, value_enum, default_value = "sliver")]
    share: ShareName,
    /// The arms to run, by the names of their files; those of the form if none is named.
    #[arg(long, value_delimiter = ',')]
    arm: Vec<String>,
    /// The triggers of each arm, such as freeze-10, or none; those of the form if none is named.
    #[arg(long, value_delimiter = ',')]
    trigger: Vec<String>,
    /// Measures no curve, only triggers.
    #[arg(long)]
    pub(crate) no_curve: bool,
    /// Less than three minutes: the shipped default and one baseline, over few keys. Exits with 2 if a figure of safety is missed, or
    /// if the baseline does not fail.
    #[arg(long, conflicts_with = "full")]
    pub(crate) short: bool,
    /// All triggers with all arms, and long steps.
    #[arg(long)]
    full: bool,
    /// Runs triggers drawn by chance on one node for so many minutes instead, with the first of the arms.
    #[arg(long)]
    soak: Option<u64>,
    /// The rate of 1x in requests per second. By default a staircase finds it with the shipped default, or it is that of the results.
    #[arg(long)]
    pub(crate) base: Option<f64>,
    /// Measures nothing: draws the charts and writes the tables anew, from the CSV files.
    #[arg(long)]
    pub(crate) redraw: bool,
    /// The directory of the results. By default docs/overload, with --short a directory that is printed.
    #[arg(long)]
    out: Option<PathBuf>,
    /// The program hydra. By default the one beside this program.
    #[arg(long)]
    program: Option<PathBuf>,
}

impl Args {
    /// How long and large the run is.
    pub(crate) const fn form(&self) -> &'static Form {
        match (self.short, self.full) {
            (true, _) => &Form::SHORT,
            (false, true) => &Form::FULL,
            (false, false) => &Form::SET,
        }
    }

    /// Where is measured.
    pub(crate) fn places(&self) -> impl Iterator<Item = Place> {
        self.backend.iter().map(|backend| Place::new(*backend, self.share))
    }

    /// Of all arms those that run.
    ///
    /// # Errors
    /// If there is none of a name.
    pub(crate) fn arms<'a>(&self, all: &'a [Arm]) -> io::Result<Vec<&'a Arm>> {
        if let Some(unknown) = self.arm.iter().find(|name| !all.iter().any(|arm| arm.name == **name)) {
            return Err(io::Error::other(format!("there is no arm {unknown}")));
        }
        let wants = |arm: &&Arm| {
            if self.arm.is_empty() { self.form().has(&arm.name) } else { self.arm.contains(&arm.name) }
        };
        Ok(all.iter().filter(wants).collect())
    }

    /// The triggers of an arm.
    ///
    /// # Errors
    /// If there is none of a name.
    pub(crate) fn triggers(&self, arm: &Arm, backend: Backend) -> io::Result<Vec<Trigger>> {
        let named = self.trigger.iter().filter(|name| *name != "none");
        let named =
            named.map(|name| name.parse()).collect::<Result<Vec<Trigger>, _>>().map_err(io::Error::other)?;
        let of_form = self.form().triggers_of(&arm.name);
        let all = if self.trigger.is_empty() { of_form } else { &named };
        Ok(all.iter().copied().filter(|trigger| trigger.is_of(backend)).collect())
    }

    /// How long the soak lasts, if there is to be one.
    pub(crate) fn soak(&self) -> Option<Duration> {
        self.soak.map(|minutes| Duration::from_secs(60 * minutes))
    }

    /// The directory of the results.
    pub(crate) fn out(&self) -> PathBuf {
        match &self.out {
            Some(out) => out.clone(),
            None if self.short => std::env::temp_dir().join("hydra-overload"),
            None => docs().join("overload"),
        }
    }

    /// The document that has the table of all scenarios; none if the results go elsewhere.
    pub(crate) fn summary(&self) -> Option<PathBuf> {
        (self.out.is_none() && !self.short).then(|| docs().join("OVERLOAD.md"))
    }

    /// The program hydra.
    ///
    /// # Errors
    /// If it is not there.
    pub(crate) fn program(&self) -> io::Result<PathBuf> {
        let program = match &self.program {
            Some(program) => program.clone(),
            None => std::env::current_exe()?.with_file_name("hydra"),
        };
        if program.exists() {
            return Ok(program);
        }
        let message = format!("{} is not built: use `just overload`", program.display());
        Err(io::Error::new(io::ErrorKind::NotFound, message))
    }
}

fn docs() -> PathBuf {
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs").into()
}
