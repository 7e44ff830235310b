//! The command line.

mod args;
mod ask;
mod check;
mod completions;
mod config_check;
mod extra;
mod failure;
mod ids;
mod key;
mod logging;
mod output;
mod panics;
mod plugins;
mod reload;
mod run;
mod search;
mod show;
mod status;
mod stop;
mod store;

pub use extra::ExtraCommand;
pub(crate) use failure::Failure;
pub(crate) use output::Output;

use crate::config::{Loaded, load};
use crate::memory::Heap;
use args::{Command, ConfigArgs, ConfigCommand, CopyArgs, Invocation, StoreCommand};
use clap::{CommandFactory, FromArgMatches};
use hydra_api::Registry;
use std::ffi::OsString;
use std::process::ExitCode;

/// Where extra commands stand in the help: after the node's own.
const EXTRA_ORDER: usize = 100;

/// Runs the command of the arguments, one of the node's or one of `extra`.
pub(crate) fn main(
    registry: Registry,
    extra: Vec<ExtraCommand>,
    heap: Option<Heap>,
    args: impl IntoIterator<Item = OsString>,
) -> ExitCode {
    let runs: Vec<_> = extra.iter().map(|extra| (extra.command.get_name().to_owned(), extra.run)).collect();
    let extras = extra.into_iter().map(|extra| extra.command.display_order(EXTRA_ORDER));
    let mut program = Invocation::command().subcommands(extras);
    let invocation = match program.try_get_matches_from_mut(args) {
        Ok(matches) => {
            let chosen = matches.subcommand();
            let run = chosen.and_then(|(name, args)| {
                let (_, run) = runs.iter().find(|(extra, _)| extra == name)?;
                Some((run, args))
            });
            if let Some((run, args)) = run {
                return match ConfigArgs::from_arg_matches(&matches).ok().and_then(|config| config.given()) {
                    Some(flag) => {
                        Failure::Usage(format!("{flag} has no meaning here: the command reads no config"))
                            .report()
                    }
                    None => run(args),
                };
            }
            Invocation::from_arg_matches(&matches)
        }
        Err(answer) => Err(answer),
    };
    let invocation = match invocation {
        Ok(invocation) => invocation,
        Err(answer) => return failure::usage(&answer),
    };
    let mut out = Output::stdout();
    match dispatch(registry, invocation, (program, heap), &mut out) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn dispatch(
    registry: Registry,
    invocation: Invocation,
    (program, heap): (clap::Command, Option<Heap>),
    out: &mut Output,
) -> Result<(), Failure> {
    let Invocation { config, command } = invocation;
    match command.unwrap_or(Command::Run) {
        Command::Run => {
            let sources = config.sources(None);
            let loaded = load(&registry, &sources)?;
            let exporter = loaded.exporter()?;
            let level = logging::start(&loaded.config.log, &exporter);
            panics::log();
            logging::warn_of(&loaded);
            for warning in config_check::address_warnings(&loaded) {
                tracing::warn!("{warning}");
            }
            let reload = reload::Inputs { registry: registry.clone(), sources, level };
            in_runtime(run::run(&loaded, reload, (exporter, heap), out))
        }
        Command::Check => {
            let loaded = quiet(&registry, &config.sources(None))?;
            in_runtime(check::check(&loaded, &registry, out))
        }
        Command::Ids { count, json } => {
            let loaded = quiet(&registry, &config.sources(count))?;
            in_runtime(ids::ids(&loaded, &registry, json, out))
        }
        Command::Status(args) => {
            let loaded = quiet(&registry, &config.sources(None))?;
            in_runtime(status::status(&loaded.config, &args, out))
        }
        Command::Ask(question) => {
            let loaded = quiet(&registry, &config.sources(None))?;
            in_runtime(ask::ask(&loaded.config, &question, out))
        }
        Command::Store(StoreCommand::Copy(args)) => copy(&registry, &config, &args, out),
        Command::Store(command) => {
            let loaded = quiet(&registry, &config.sources(None))?;
            in_runtime(store::run(&loaded, &registry, &command, out))
        }
        Command::Config(ConfigCommand::Show { json }) => {
            let loaded = load(&registry, &config.sources(None))?;
            loaded.warnings().iter().for_each(failure::warn);
            show::show(&loaded, json, out)
        }
        Command::Config(ConfigCommand::Check) => config_check::check(&registry, &config.sources(None), out),
        Command::Config(ConfigCommand::Schema) => show::schema(&registry, out),
        Command::Config(ConfigCommand::Docs) => show::docs(&registry, out),
        Command::Plugins { json } => plugins::plugins(&registry, json, out),
        Command::Completions { shell } => completions::completions(shell, program, out),
    }
}

/// A command with two configs.
fn copy(registry: &Registry, config: &ConfigArgs, args: &CopyArgs, out: &mut Output) -> Result<(), Failure> {
    let source = |file| {
        let refused = |flag| format!("{flag} has no meaning here: set it in the files of --from and --to");
        config.only_file(file).map_err(|flag| Failure::Usage(refused(flag)))
    };
    let from = load(registry, &source(&args.from)?)?;
    let to = quiet(registry, &source(&args.to)?)?;
    in_runtime(store::copy(&from, &to, registry, &args.transfer, out))
}

/// Loads the config for a short command, which logs warnings only.
fn quiet(registry: &Registry, sources: &crate::config::Sources) -> Result<Loaded, Failure> {
    let loaded = load(registry, sources)?;
    logging::start_quiet(&loaded.config.log);
    logging::warn_of(&loaded);
    Ok(loaded)
}

fn in_runtime<E: Into<Failure>>(work: impl Future<Output = Result<(), E>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|cause| Failure::failed("cannot start the runtime", cause))?;
    let ended = runtime.block_on(work);
    // The command has waited for its work, under a deadline, and the process ends. To drop the runtime would wait for every
    // blocking call: a disk that hangs would keep the process alive for ever. To shut it down in the background would abort
    // the calls that the store still runs, which would be counted and logged as panics of the store.
    std::mem::forget(runtime);
    ended.map_err(Into::into)
}
