//! The overload laboratory: offers a node more than its database can take, and counts at the database what becomes of it.
//!
//! `just overload` runs it; docs/overload/README.md says what it measures and what it found.

mod args;
mod arm;
mod booster;
mod chart;
mod figures;
mod judge;
mod load;
mod preload;
mod quota;
mod report;
mod run;
mod sample;
mod server;
mod stairs;
mod warm_up;

use args::Args;
use arm::{Arm, Scale};
use clap::Parser;
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
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(2),
        Err(cause) => {
            eprintln!("{cause}");
            ExitCode::FAILURE
        }
    }
}

/// Measures all arms, one after the other; whether all figures are reached.
async fn all(args: &Args) -> io::Result<bool> {
    let out = args.out();
    std::fs::create_dir_all(&out)?;
    let scale = if args.short { Scale::SHORT } else { Scale::FULL };
    let mut arms = args.backends().into_iter().flat_map(Arm::of).filter(|arm| args.wants(&arm.name));
    if args.redraw {
        return arms.try_for_each(|arm| report::redraw(&arm, &out)).map(|()| true);
    }
    let (program, mut passed) = (args.program()?, true);
    for arm in arms {
        let measured = run::measure(&arm, &scale, &program).await?;
        passed &= report::write(&measured, &scale, &out)?;
    }
    Ok(passed)
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
