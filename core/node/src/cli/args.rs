//! The arguments of the command line.

mod store;

pub(crate) use store::{CopyArgs, DeleteArgs, GetArgs, ImportArgs, StoreCommand, TransferArgs};

use crate::config::{LogFormat, PeerAddress, Setting, Sources};
use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use multiaddr::Multiaddr;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  hydra                                    run with the built-in defaults: 3 heads, data in ./hydra-data
  hydra run --config config/amino.toml     join the public IPFS DHT
  hydra config check --config my.toml      find all mistakes of a config; opens nothing
  hydra check --config my.toml             connect to everything that the config names, then exit
  hydra config show --set heads.count=10   print the effective values and their sources
  hydra ask providers <cid>                ask the heads of the node on this machine
  hydra store get <cid>                    print the records of a key in the store
  HYDRA_HEADS__COUNT=10 hydra              the environment overrides the file, flags override both

Exit codes: 0 success, 1 failure, 2 invalid config or command line, 3 a backend that cannot be reached.";

/// Serves many Kademlia DHT identities over one store of provider records.
#[derive(Debug, Parser)]
#[command(name = "hydra", version, after_help = EXAMPLES, max_term_width = 110)]
pub(crate) struct Invocation {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// The sources of the config other than the environment.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Config")]
pub(crate) struct ConfigArgs {
    /// The config file, in TOML. Without it the built-in defaults apply.
    #[arg(long, global = true, value_name = "FILE", env = Sources::FILE_VARIABLE, value_parser = config_file())]
    config: Option<PathBuf>,
    /// Sets one key of the config, given as a dotted path; can be repeated.
    #[arg(long, global = true, value_name = "KEY=VALUE", value_parser = key_value)]
    set: Vec<(String, String)>,
    /// The directory of the node's files (`data_dir`).
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<String>,
    /// The level of the log (`log.level`), such as `info` or `info,hydra_node=debug`.
    #[arg(long, global = true, value_name = "LEVEL")]
    log_level: Option<String>,
    /// The format of the log (`log.format`).
    #[arg(long, global = true, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs the node until SIGTERM or Ctrl-C; the default command.
    ///
    /// Once all heads listen, it prints to standard output: one line per head and address, `head <index>
    /// <multiaddr>/p2p/<peer id>`; the line `http <url>` of the HTTP endpoints; and the line `ready`. The log goes to
    /// standard error. SIGTERM and Ctrl-C stop the node gracefully; a second one, a second or more
    /// later, ends the process at once.
    Run,
    /// Connects to everything that the config names, changes nothing, prints what would run, and exits.
    ///
    /// It reads, and creates and migrates nothing. The last line is `ok` and what was not checked: the files
    /// of an embedded store are not opened. Beside a running node it leaves out the store that the node uses.
    /// `hydra config check` connects to nothing.
    Check,
    /// Checks or prints the config, prints its schema or its reference.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Prints the peer ids of the heads and the first bits of their Kademlia ids, without starting them.
    ///
    /// Creates the seed of the identities if it does not exist, as the first start does.
    Ids {
        /// The number of heads (`heads.count`).
        #[arg(long, value_name = "N")]
        count: Option<u32>,
        /// Prints JSON. This is the default if standard output is not a terminal.
        #[arg(long)]
        json: bool,
    },
    /// Prints what the node that runs on `data_dir` does: its heads with their addresses, connections and requests per second,
    /// the rungs of reads and writes, the store and the peer table.
    ///
    /// It reads the HTTP endpoints `/api/v1/status` and `/api/v1/heads`, and takes a second, in which the node counts requests.
    Status(StatusArgs),
    /// Sends one request to a head, as a client of the network does.
    #[command(subcommand)]
    Ask(AskCommand),
    /// Inspects and changes the store of the config, and copies its records. An embedded store must not be in use by a node.
    #[command(subcommand)]
    Store(StoreCommand),
    /// Lists the plugins that the config can name.
    Plugins {
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
    /// Prints a completion script for a shell.
    #[command(
        after_help = "Example:\n  hydra completions bash > ~/.local/share/bash-completion/completions/hydra"
    )]
    Completions {
        /// The shell.
        shell: Shell,
    },
}

/// The requests.
#[derive(Debug, Subcommand)]
pub(crate) enum AskCommand {
    /// Finds the providers of a key. Exits with code 1 if there are none.
    #[command(
        after_help = "Example:\n  hydra ask providers bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"
    )]
    Providers {
        /// A CID (version 0 or 1), or a multihash in hexadecimal.
        #[arg(value_name = "CID")]
        key: String,
        #[command(flatten)]
        ask: AskArgs,
    },
    /// Announces a provider of a key, under a new identity, and reads it back. Exits with code 1 if it is not found.
    #[command(
        after_help = "Example:\n  hydra ask provide QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1n \\\n    --peer /ip4/127.0.0.1/tcp/20000/p2p/12D3Koo…"
    )]
    Provide {
        /// A CID (version 0 or 1), or a multihash in hexadecimal.
        #[arg(value_name = "CID")]
        key: String,
        /// An address of the provider in the record; can be repeated.
        #[arg(long, value_name = "ADDR", default_value = "/ip4/127.0.0.1/tcp/4001")]
        address: Vec<Multiaddr>,
        #[command(flatten)]
        ask: AskArgs,
    },
    /// Finds the record of an IPNS name or a public key, and checks its signature. Exits with code 1 if there is none.
    #[command(
        after_help = "Example:\n  hydra ask value k51qzi5uqu5dlvj2baxnqndepeb86cbk3ng7n3i46uzyxzyqj2xjonzllnv0v8 --to record"
    )]
    Value {
        /// A peer id (12D3Koo… or k51…), with or without `/ipns/` before it; `/pk/` and a peer id stand for
        /// its public key.
        #[arg(value_name = "NAME")]
        name: String,
        /// The file that the record is written to, unchanged.
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
        #[command(flatten)]
        ask: AskArgs,
    },
    /// Puts a record that the owner of a name has signed. Exits with code 1 if it is not stored.
    #[command(
        after_help = "Example:\n  hydra ask put k51qzi5uqu5dlvj2baxnqndepeb86cbk3ng7n3i46uzyxzyqj2xjonzllnv0v8 record"
    )]
    Put {
        /// A peer id (12D3Koo… or k51…), with or without `/ipns/` before it; `/pk/` and a peer id stand for
        /// its public key.
        #[arg(value_name = "NAME")]
        name: String,
        /// The record, as `hydra ask value --to` or `ipfs routing get` writes it.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        ask: AskArgs,
    },
    /// Finds the peers closest to a key. Exits with code 1 if there are none.
    Closest {
        /// A CID, a multihash in hexadecimal, or a peer id.
        #[arg(value_name = "CID|PEER ID")]
        key: String,
        #[command(flatten)]
        ask: AskArgs,
    },
}

/// The peer to ask, and the format of the output.
#[derive(Debug, Args)]
pub(crate) struct AskArgs {
    /// The peer to ask, as a multiaddr that ends in `/p2p/<peer id>`. Without it, the command tries the heads of the node
    /// that runs on the same `data_dir` in turn until one answers.
    #[arg(long, value_name = "ADDR")]
    pub(crate) peer: Option<PeerAddress>,
    /// The time limit for the answer, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=600_000))]
    pub(crate) timeout_ms: u64,
    /// Prints JSON. This is the default if standard output is not a terminal.
    #[arg(long)]
    pub(crate) json: bool,
}

/// The node to look at, and the format of the output.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// The address of the HTTP endpoints of a node (`telemetry.http.listen`), instead of the node that runs on `data_dir`.
    #[arg(long, value_name = "IP:PORT")]
    pub(crate) http: Option<std::net::SocketAddr>,
    /// Prints JSON. This is the default if standard output is not a terminal.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What to do with the config.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Finds all mistakes of the config at once, without opening anything; works beside a running node.
    ///
    /// Looks at keys and values, at files and variables that must exist, at slots and ports, at announced addresses, at the
    /// limit of file descriptors, and at variables that begin with `HYDRA_` and name no key. Exits with code 2 if there are
    /// mistakes.
    Check,
    /// Prints the effective values and the source of each: default, file and line, variable or flag.
    Show {
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
    /// Prints the JSON schema of the config file, for editors.
    Schema,
    /// Prints the reference of every key, in Markdown.
    Docs,
}

impl ConfigArgs {
    /// The sources of the config; `count` is the number of heads, if the command sets it.
    pub(crate) fn sources(&self, count: Option<u32>) -> Sources {
        let mut settings = Vec::new();
        for (key, value) in &self.set {
            settings.push(setting(key, value.clone(), format!("--set {key}")));
        }
        let text = |value: &str| toml::Value::from(value).to_string();
        if let Some(dir) = &self.data_dir {
            settings.push(setting("data_dir", text(dir), "--data-dir".to_owned()));
        }
        if let Some(level) = &self.log_level {
            settings.push(setting("log.level", text(level), "--log-level".to_owned()));
        }
        if let Some(format) = self.log_format {
            settings.push(setting("log.format", text(format.as_str()), "--log-format".to_owned()));
        }
        if let Some(count) = count {
            settings.push(setting("heads.count", count.to_string(), "--count".to_owned()));
        }
        Sources { file: self.config.clone(), environment: Sources::process_environment(), settings }
    }
}

impl ConfigArgs {
    /// One file as the only source of a config, for a command that names its files itself.
    ///
    /// # Errors
    /// The flag that has no meaning for such a command.
    pub(crate) fn only_file(&self, file: &Path) -> Result<Sources, &'static str> {
        if let Some(flag) = self.given() {
            return Err(flag);
        }
        let log = Self { config: None, set: Vec::new(), data_dir: None, ..self.clone() };
        Ok(Sources { file: Some(file.to_owned()), environment: Vec::new(), ..log.sources(None) })
    }
}

impl ConfigArgs {
    /// A flag of the command line that says something of the config, if there is one.
    pub(crate) fn given(&self) -> Option<&'static str> {
        let named = self.config.as_ref().filter(|_| std::env::var_os(Sources::FILE_VARIABLE).is_none());
        let flags = [
            (named.is_some(), "--config"),
            (!self.set.is_empty(), "--set"),
            (self.data_dir.is_some(), "--data-dir"),
        ];
        flags.into_iter().find(|(given, _)| *given).map(|(_, flag)| flag)
    }
}

fn setting(key: &str, value: String, flag: String) -> Setting {
    Setting { key: key.to_owned(), value, flag }
}

/// An empty path is most of the time that of a variable without a value.
fn config_file() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().try_map(|path| match path.is_empty() {
        true => Err(format!("it is empty: name a file, or unset the variable {}", Sources::FILE_VARIABLE)),
        false => Ok(PathBuf::from(path)),
    })
}

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.trim().to_owned(), value.trim().to_owned())),
        _ => Err("expected KEY=VALUE, such as heads.count=10".to_owned()),
    }
}
