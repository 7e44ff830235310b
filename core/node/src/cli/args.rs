//! What the command line may say.

use crate::config::{LogFormat, PeerAddress, Setting, Sources};
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use multiaddr::Multiaddr;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  hydra                                    run with the built-in defaults: 3 heads, data in ./hydra-data
  hydra run --config config/amino.toml     join the public IPFS DHT
  hydra check --config my.toml             open everything that the config names, and stop again
  hydra config show --set heads.count=10   what would count, and who said so
  hydra ask providers <cid>                ask the heads of the node that runs here
  HYDRA_HEADS__COUNT=10 hydra              the environment goes over the file, flags over both

Exit codes: 0 done, 1 failed, 2 the config or the command line is wrong.";

/// Serves many Kademlia DHT identities over one store of provider records.
#[derive(Debug, Parser)]
#[command(name = "hydra", version, after_help = EXAMPLES, max_term_width = 110)]
pub(crate) struct Invocation {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// Where the config comes from, beside the environment.
#[derive(Debug, Args)]
#[command(next_help_heading = "Config")]
pub(crate) struct ConfigArgs {
    /// The TOML file; without one the defaults count.
    #[arg(long, global = true, value_name = "FILE", env = Sources::FILE_VARIABLE)]
    config: Option<PathBuf>,
    /// Set one key, dotted; may be repeated.
    #[arg(long, global = true, value_name = "KEY=VALUE", value_parser = key_value)]
    set: Vec<(String, String)>,
    /// Where the node keeps its files (`data_dir`).
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<String>,
    /// What is logged (`log.level`), such as `info` or `info,hydra_node=debug`.
    #[arg(long, global = true, value_name = "LEVEL")]
    log_level: Option<String>,
    /// How the log looks (`log.format`).
    #[arg(long, global = true, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
}

/// What is to be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve until told to stop; this is what happens when no command is given.
    ///
    /// Once a head is reachable, there is one line per listen address on standard output: `head <index>
    /// <multiaddr>/p2p/<peer id>`; when all are, `http <url>` for the operator pages, and the line `ready`. Logs go to
    /// standard error. SIGTERM and Ctrl-C stop it in order.
    Run,
    /// Open everything that the config names, say what would run, and stop.
    Check,
    /// Show the config.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print the peer ids of the heads and where their Kademlia ids begin, without starting them.
    ///
    /// The first time, this makes what they follow from, as the first start would.
    Ids {
        /// How many heads (`heads.count`).
        #[arg(long, value_name = "N")]
        count: Option<u32>,
        /// Print JSON, as when standard output is no terminal.
        #[arg(long)]
        json: bool,
    },
    /// Ask a head, as any client would: a small client for trying things out.
    #[command(subcommand)]
    Ask(AskCommand),
    /// List the plugins that the config can name.
    Plugins {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print a script that completes hydra's command line in a shell.
    #[command(
        after_help = "Example:\n  hydra completions bash > ~/.local/share/bash-completion/completions/hydra"
    )]
    Completions {
        /// The shell.
        shell: Shell,
    },
}

/// What is asked.
#[derive(Debug, Subcommand)]
pub(crate) enum AskCommand {
    /// Who provides this? Exit code 1 when nobody is known.
    #[command(
        after_help = "Example:\n  hydra ask providers bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"
    )]
    Providers {
        /// A CID (version 0 or 1), or a multihash in hexadecimal.
        #[arg(value_name = "CID")]
        key: String,
        #[command(flatten)]
        whom: Whom,
    },
    /// Store a record that somebody provides this, under a fresh identity. Exit code 1 unless it is found afterwards.
    #[command(
        after_help = "Example:\n  hydra ask provide QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1n \\\n    --peer /ip4/127.0.0.1/tcp/30000/p2p/12D3Koo…"
    )]
    Provide {
        /// A CID (version 0 or 1), or a multihash in hexadecimal.
        #[arg(value_name = "CID")]
        key: String,
        /// The address that the record says the provider has; may be repeated.
        #[arg(long, value_name = "ADDR", default_value = "/ip4/127.0.0.1/tcp/4001")]
        address: Vec<Multiaddr>,
        #[command(flatten)]
        whom: Whom,
    },
    /// Which peers are closest to this? Exit code 1 when none is known.
    Closest {
        /// A CID, a multihash in hexadecimal, or a peer id.
        #[arg(value_name = "CID|PEER ID")]
        key: String,
        #[command(flatten)]
        whom: Whom,
    },
}

/// Whom to ask, and how the answer looks.
#[derive(Debug, Args)]
pub(crate) struct Whom {
    /// The peer to ask, as a multiaddr that ends in `/p2p/<peer id>`. Without it the heads of the node that runs on the
    /// same `data_dir` are asked, until one answers.
    #[arg(long, value_name = "ADDR")]
    pub(crate) peer: Option<PeerAddress>,
    /// How long to wait for an answer, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=600_000))]
    pub(crate) timeout_ms: u64,
    /// Print JSON, as when standard output is no terminal.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What of the config is shown.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// The values that count, and who said so: default, file with line, variable or flag.
    Show {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// The JSON schema of the config file, for editors.
    Schema,
    /// The reference of every key, in Markdown.
    Docs,
}

impl ConfigArgs {
    /// All that the config is made from; `count` is the number of heads, if the command says one.
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

fn setting(key: &str, value: String, flag: String) -> Setting {
    Setting { key: key.to_owned(), value, flag }
}

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.trim().to_owned(), value.trim().to_owned())),
        _ => Err("expected KEY=VALUE, such as heads.count=10".to_owned()),
    }
}
