//! The command line.

use crate::server::Backend;
use clap::Parser;
use std::io;
use std::path::PathBuf;

/// Offers a node up to twenty times the load that saturates its database, counts at the database, and draws the charts of
/// docs/overload.
#[derive(Debug, Parser)]
pub(crate) struct Args {
    /// The databases; all if none is named.
    #[arg(long, value_enum, value_delimiter = ',')]
    backend: Vec<Backend>,
    /// The arms to run, by their names; all if none is named.
    #[arg(long, value_delimiter = ',')]
    arm: Vec<String>,
    /// Fewer keys and short steps, to try something out. Nothing is written but what --out names.
    #[arg(long)]
    pub(crate) short: bool,
    /// Measures nothing: draws the charts and judges the steps anew, from the CSV files.
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
    /// The databases to measure.
    pub(crate) fn backends(&self) -> Vec<Backend> {
        if self.backend.is_empty() { vec![Backend::Postgres, Backend::Redis] } else { self.backend.clone() }
    }

    /// Whether the arm of this name is to run.
    pub(crate) fn wants(&self, arm: &str) -> bool {
        self.arm.is_empty() || self.arm.iter().any(|wanted| wanted == arm)
    }

    /// The directory of the results.
    pub(crate) fn out(&self) -> PathBuf {
        match &self.out {
            Some(out) => out.clone(),
            None if self.short => std::env::temp_dir().join("hydra-overload"),
            None => concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/overload").into(),
        }
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
