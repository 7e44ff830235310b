//! The scripts. Each changes the keys of one partition, so that it has one slot, and is atomic: a crash leaves all of it or
//! nothing.

use redis::Cmd;
use std::sync::LazyLock;

/// A script that servers keep by its digest.
#[derive(Debug)]
pub(crate) struct Script {
    text: &'static str,
    digest: String,
}

/// Merges records into a bucket.
pub(crate) static WRITE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/write.lua")));
/// Removes what has expired from a bucket.
pub(crate) static SWEEP: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/sweep.lua")));
/// Removes records of one key from a bucket.
pub(crate) static DELETE: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("scripts/delete.lua")));
/// Writes a peer's row.
pub(crate) static PEER: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/peer.lua")));

/// Puts a value record.
pub(crate) static PUT_VALUE: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("scripts/put_value.lua")));
/// Removes value records that have expired from a partition.
pub(crate) static PURGE_VALUES: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("scripts/purge_values.lua")));
/// Removes a value record.
pub(crate) static DELETE_VALUE: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("scripts/delete_value.lua")));

/// The value of a key whose providers are in a sorted set.
pub(crate) const MANY: &[u8] = b"z";
/// The bytes of one provider in a value: its fingerprint and an expiry.
pub(crate) const ENTRY_LEN: usize = 10;

impl Script {
    fn new(text: &'static str) -> Self {
        Self { text, digest: redis::Script::new(text).get_hash().to_owned() }
    }

    /// Runs it for these keys; the arguments follow.
    pub(crate) fn call(&self, keys: &[&[u8]]) -> Cmd {
        let mut command = redis::cmd("EVALSHA");
        command.arg(&self.digest).arg(keys.len());
        for key in keys {
            command.arg(*key);
        }
        command
    }

    /// Makes a server keep it.
    pub(crate) fn load(&self) -> Cmd {
        let mut command = redis::cmd("SCRIPT");
        command.arg("LOAD").arg(self.text);
        command
    }
}
