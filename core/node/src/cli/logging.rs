//! Where log lines go: standard error, for people on a terminal and as JSON otherwise.

use crate::config::{Log, LogFormat};
use std::io::{self, IsTerminal};
use tracing_subscriber::EnvFilter;

/// Libraries whose everyday talk nobody needs: they warn, unless the level names them.
const LIBRARIES: &str =
    "fjall=warn,lsm_tree=warn,libp2p=warn,quinn=warn,hickory=warn,yamux=warn,multistream_select=warn";

/// Starts logging as the config says.
pub(crate) fn start(log: &Log) {
    install(&log.level, log.format);
}

/// Starts logging for a command that ends soon: warnings, unless the config asks for something of its own.
pub(crate) fn start_quiet(log: &Log) {
    let level = if log.level == Log::LEVEL { "warn" } else { &log.level };
    install(level, log.format);
}

fn install(level: &str, format: LogFormat) {
    let pretty = match format {
        LogFormat::Auto => io::stderr().is_terminal(),
        LogFormat::Pretty => true,
        LogFormat::Json => false,
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(format!("{LIBRARIES},{level}")))
        .with_writer(io::stderr);
    let installed = match pretty {
        true => builder.with_ansi(io::stderr().is_terminal()).try_init(),
        false => builder.json().flatten_event(true).try_init(),
    };
    // A program that embeds the node may have its own subscriber, which then stays.
    drop(installed);
}
