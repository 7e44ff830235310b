//! The overload laboratory: offers nodes more than their database can take, lets happen to it what happens in production, and counts at
//! the database what becomes of it.
//!
//! `just overload` runs it; docs/overload/README.md says what it measures, docs/OVERLOAD.md what it found.

mod args;
mod arm;
mod booster;
mod chart;
mod csv;
mod curve;
mod figures;
mod form;
mod ground;
mod judge;
mod load;
mod memory;
mod place;
mod preload;
mod quota;
mod report;
mod results;
mod run;
mod sample;
mod server;
mod soak;
mod stairs;
mod trigger;
mod warm_up;

use args::Args;
use arm::Arm;
use clap::Parser;
use results::Results;
use std::io;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    // What runs is dropped, and with it go servers and control groups.
    let done = tokio::select! {
        done = all(&args) => done,
        stopped = stopped() => Err(stopped.err().unwrap_or_else(|| io::Error::other("stopped"))),
    };
    match done {
        Ok(wrong) if wrong.is_empty() => ExitCode::SUCCESS,
        Ok(wrong) => {
            wrong.iter().for_each(|what| eprintln!("{what}"));
            ExitCode::from(2)
        }
        Err(cause) => {
            eprintln!("{cause}");
            ExitCode::FAILURE
        }
    }
}

/// Measures what was asked for, one after the other, and writes the reports; what is wrong.
async fn all(args: &Args) -> io::Result<Vec<String>> {
    let (arms, results) = (Arm::all()?, Results::of(&args.out())?);
    eprintln!("the results are in {}", args.out().display());
    let mut wrong = Vec::new();
    if !args.redraw {
        let program = args.program()?;
        for place in args.places() {
            wrong.extend(run::measure(args, &place, &arms, &program, &results).await?);
        }
    }
    wrong.extend(report::write(&results, &arms, args.summary().as_deref())?);
    Ok(wrong)
}

/// Returns when the program is told to stop.
async fn stopped() -> io::Result<()> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}
