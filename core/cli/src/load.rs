//! `hydra load`: loads heads as clients of the network do.

mod args;
mod duration;
mod progress;

use args::LoadArgs;
use clap::{ArgMatches, CommandFactory, FromArgMatches};
use hydra_api::Causes;
use hydra_load::{Plan, Report, RunError};
use hydra_node::ExtraCommand;
use progress::Watcher;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

const FAILED: u8 = 1;
const WRONG: u8 = 2;

/// The command.
pub(crate) fn command() -> ExtraCommand {
    ExtraCommand::new(LoadArgs::command(), execute)
}

fn execute(matches: &ArgMatches) -> ExitCode {
    let args = match LoadArgs::from_arg_matches(matches) {
        Ok(args) => args,
        Err(answer) => return failed(&answer, WRONG),
    };
    let plan = match args.plan() {
        Ok(plan) => plan,
        Err(message) => return failed(message, WRONG),
    };
    match load(&args, plan) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Plan(message)) => failed(message, WRONG),
        Err(Failure::Failed(message)) => failed(message, FAILED),
    }
}

/// Why the command failed.
enum Failure {
    /// An argument is invalid.
    Plan(String),
    /// The work failed.
    Failed(String),
}

fn load(args: &LoadArgs, plan: Plan) -> Result<(), Failure> {
    // A client takes up to four descriptors. Where the limit stays low, some clients report that they cannot connect.
    drop(rlimit::increase_nofile_limit(u64::MAX));
    let mut watcher = Watcher::new(args.csv.as_deref())
        .map_err(|cause| Failure::Failed(format!("cannot write the CSV file: {cause}")))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|cause| Failure::Failed(format!("cannot start the runtime: {cause}")))?;
    let stop = async {
        // Without a handler for Ctrl-C, the signal ends the process.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    let report = runtime.block_on(hydra_load::run(plan, |progress| watcher.observe(&progress), stop));
    // The report is complete; requests that were given up must not hold the process.
    runtime.shutdown_background();
    let report = report.map_err(|error| match error {
        RunError::Plan(error) => Failure::Plan(error.to_string()),
        RunError::Client(_) | RunError::NotConnected(_) => Failure::Failed(Causes(&error).to_string()),
    })?;
    watcher.finish().map_err(|cause| Failure::Failed(format!("cannot write the CSV file: {cause}")))?;
    print(args, &report).map_err(|cause| Failure::Failed(format!("cannot write the report: {cause}")))
}

fn print(args: &LoadArgs, report: &Report) -> io::Result<()> {
    let text = match args.json {
        true => serde_json::to_string_pretty(report)? + "\n",
        false => report.to_string(),
    };
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(cause) if cause.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

fn failed(message: impl std::fmt::Display, code: u8) -> ExitCode {
    // A closed standard error cannot be reported anywhere.
    drop(writeln!(io::stderr().lock(), "error: {message}"));
    ExitCode::from(code)
}
