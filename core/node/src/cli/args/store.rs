//! The arguments of `hydra store`.

use clap::{Args, Subcommand};
use std::num::NonZeroU32;
use std::path::PathBuf;

const COPY_EXAMPLE: &str = "\
Example:
  hydra store copy --from old.toml --to new.toml

Both files are read as they are: variables HYDRA_… and --set do not apply. Progress is saved in a file in the data
directory of --to, so the same command continues after Ctrl-C, kill -9 or a failure.";

const IMPORT_EXAMPLE: &str = "\
Example:
  hydra store import --config new.toml --from hydra-booster-postgres postgres://hydra@db.example/hydra

Reads the table `records` of hydra-booster and writes to the store of the config. Imported records have no addresses until
their providers announce them again. A password that is not in the URL is read from PGPASSWORD. Progress is saved in a
file in the data directory, so the same command continues after Ctrl-C, kill -9 or a failure.";

/// What to do with the store of a config.
#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Checks whether the store could be opened and prints its properties. Changes nothing, and says what it
    /// did not check.
    Check,
    /// Migrates the files or tables of the store to the form that this version needs, and creates those that are missing.
    Migrate,
    /// Prints an estimate of the number of records, and the properties of the store.
    Stats {
        /// Prints JSON. This is the default if standard output is not a terminal.
        #[arg(long)]
        json: bool,
    },
    /// Prints the providers of a key, or the value record of a name. Exits with code 1 if there are none.
    #[command(
        after_help = "Example:\n  hydra store get bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"
    )]
    Get(GetArgs),
    /// Deletes the records of a key, only the record of one provider, or the value record of a name. Exits with code 1 if there are none.
    ///
    /// Nodes that run on the same store may answer from their caches for some time (`engine.cache`), and store a record again
    /// when it is announced again.
    Delete(DeleteArgs),
    /// Copies all provider records, then all value records, from the store of one config to that of another,
    /// of any kinds.
    #[command(after_help = COPY_EXAMPLE)]
    Copy(CopyArgs),
    /// Imports provider records that another program has stored.
    #[command(after_help = IMPORT_EXAMPLE)]
    Import(ImportArgs),
}

/// What to print.
#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// A CID (version 0 or 1) or a multihash in hexadecimal; or `/ipns/<peer id>` or `/pk/<peer id>` for a
    /// value record.
    #[arg(value_name = "CID|NAME")]
    pub(crate) key: String,
    /// The maximum number of providers.
    #[arg(long, value_name = "N", default_value = "100", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) limit: u32,
    /// Prints JSON. This is the default if standard output is not a terminal.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What to remove.
#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    /// A CID (version 0 or 1) or a multihash in hexadecimal; or `/ipns/<peer id>` or `/pk/<peer id>` for a
    /// value record.
    #[arg(value_name = "CID|NAME")]
    pub(crate) key: String,
    /// The provider whose record is deleted. Without it, the records of all providers are deleted.
    #[arg(long, value_name = "PEER ID")]
    pub(crate) provider: Option<String>,
    /// Prints JSON. This is the default if standard output is not a terminal.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What to copy.
#[derive(Debug, Args)]
pub(crate) struct CopyArgs {
    /// The config file of the store to read.
    #[arg(long, value_name = "FILE")]
    pub(crate) from: PathBuf,
    /// The config file of the store to write.
    #[arg(long, value_name = "FILE")]
    pub(crate) to: PathBuf,
    #[command(flatten)]
    pub(crate) transfer: TransferArgs,
}

/// What to import.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// The kind of the source. `hydra plugins` lists the kinds.
    #[arg(long, value_name = "KIND")]
    pub(crate) from: String,
    /// The URL of the source.
    #[arg(value_name = "URL")]
    pub(crate) url: String,
    #[command(flatten)]
    pub(crate) transfer: TransferArgs,
}

/// How records are moved.
#[derive(Debug, Args)]
pub(crate) struct TransferArgs {
    /// Starts from the beginning, even if an earlier run was interrupted. Records that it wrote stay in the store.
    #[arg(long)]
    pub(crate) restart: bool,
    /// The number of records that are read at a time, from 1 to 10000. Memory and repeated work after an
    /// interruption grow with it.
    #[arg(long, value_name = "N", default_value = "1024", value_parser = page_len)]
    pub(crate) page: NonZeroU32,
    /// Prints JSON. This is the default if standard output is not a terminal.
    #[arg(long)]
    pub(crate) json: bool,
}

/// The longest page: each of its records may have 8 KiB of addresses.
const PAGE_MAX: u32 = 10_000;

fn page_len(text: &str) -> Result<NonZeroU32, String> {
    let number = text.parse().ok().filter(|number: &NonZeroU32| number.get() <= PAGE_MAX);
    number.ok_or_else(|| format!("expected a whole number from 1 to {PAGE_MAX}"))
}
