//! From an error of a server or a connection to what the node does about it.

use super::address::{Address, of_redirect};
use hydra_api::{StoreError, StoreErrorKind};
use redis::{RedisError, ServerError};
use std::time::Duration;

/// Why one request failed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{node}: {text}")]
pub(crate) struct Fault {
    pub(crate) class: Class,
    /// The server, for operators.
    node: String,
    text: String,
    pub(crate) retry_after: Option<Duration>,
}

/// What an error means, by the first word of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Class {
    /// The connection failed, or the server is not asked before it answers again.
    Connection,
    /// The time limit passed.
    Timeout,
    /// The slot has another master.
    Moved(u16, Address),
    /// The slot is on its way, and this request is for its next master.
    Ask(Address),
    /// Some keys of the request are on their way to another master.
    TryAgain,
    /// No master has the slot, or too few masters are left.
    ClusterDown,
    /// The server is a replica.
    ReadOnly,
    /// The server reads its data after a start.
    Loading,
    /// No memory is left for a write.
    OutOfMemory,
    /// The server refuses writes because it cannot persist them.
    Misconfigured,
    /// A script of someone holds up the server.
    Busy,
    /// The login is wrong or missing.
    Login,
    /// The user lacks a right.
    Forbidden,
    /// The script is not loaded.
    NoScript,
    /// The server does not know the command.
    UnknownCommand,
    /// Anything else.
    Other,
}

/// The classes by which errors are counted: the first words of replies, and what is no reply.
pub(crate) const CLASSES: [&str; 16] = [
    "io",
    "timeout",
    "MOVED",
    "ASK",
    "TRYAGAIN",
    "CLUSTERDOWN",
    "READONLY",
    "LOADING",
    "OOM",
    "MISCONF",
    "BUSY",
    "NOAUTH",
    "NOPERM",
    "NOSCRIPT",
    "unknown_command",
    "other",
];

impl Class {
    /// The name by which it is counted, one of [`CLASSES`].
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Connection => "io",
            Self::Timeout => "timeout",
            Self::Moved(..) => "MOVED",
            Self::Ask(_) => "ASK",
            Self::TryAgain => "TRYAGAIN",
            Self::ClusterDown => "CLUSTERDOWN",
            Self::ReadOnly => "READONLY",
            Self::Loading => "LOADING",
            Self::OutOfMemory => "OOM",
            Self::Misconfigured => "MISCONF",
            Self::Busy => "BUSY",
            Self::Login => "NOAUTH",
            Self::Forbidden => "NOPERM",
            Self::NoScript => "NOSCRIPT",
            Self::UnknownCommand => "unknown_command",
            Self::Other => "other",
        }
    }

    /// True if it is a fault of one node or of some slots, and says nothing of the others. What a node refuses by its settings or the
    /// login is not: the others most likely refuse it too, though none of them is down.
    pub(crate) const fn is_of_a_part(&self) -> bool {
        match self {
            Self::Connection
            | Self::Timeout
            | Self::Moved(..)
            | Self::Ask(_)
            | Self::TryAgain
            | Self::ClusterDown
            | Self::ReadOnly
            | Self::Loading => true,
            Self::OutOfMemory
            | Self::Misconfigured
            | Self::Busy
            | Self::Login
            | Self::Forbidden
            | Self::NoScript
            | Self::UnknownCommand
            | Self::Other => false,
        }
    }
}

impl Fault {
    pub(crate) fn new(class: Class, node: &Address, text: impl Into<String>) -> Self {
        Self { class, node: node.to_string(), text: text.into(), retry_after: None }
    }

    /// The server did not answer in time.
    pub(crate) fn timeout(node: &Address, text: impl Into<String>) -> Self {
        Self::new(Class::Timeout, node, text)
    }

    /// An answer of another form than the command has.
    pub(crate) fn unreadable(cause: impl std::fmt::Display) -> Self {
        let text = format!("an answer that cannot be read: {cause}");
        Self { class: Class::Other, node: "redis".into(), text, retry_after: None }
    }

    /// Others were first, time and again.
    pub(crate) fn busy(text: &str) -> Self {
        Self { class: Class::Busy, node: "redis".into(), text: text.into(), retry_after: None }
    }

    /// No server can be asked at all.
    pub(crate) fn nobody(text: &str) -> Self {
        Self { class: Class::Connection, node: "redis".into(), text: text.into(), retry_after: None }
    }

    /// No master of the cluster has the slot.
    pub(crate) fn unserved(slot: u16) -> Self {
        let text = format!("no master has slot {slot}");
        Self { class: Class::ClusterDown, node: "redis".into(), text, retry_after: None }
    }

    pub(crate) fn retry_after(self, pause: Duration) -> Self {
        Self { retry_after: Some(pause), ..self }
    }

    /// The error of a reply.
    pub(crate) fn of_reply(error: &ServerError, node: &Address) -> Self {
        let details = error.details().unwrap_or_default();
        let (code, rest) = (error.code(), details);
        let class = class(code, rest, node);
        // A reply names commands, keys and users, and never a password.
        Self::new(class, node, format!("{code} {rest}").trim_end())
    }

    /// The error of a connection.
    pub(crate) fn of_connection(error: &RedisError, node: &Address) -> Self {
        let class = match error.code() {
            Some(code) => class(code, error.detail().unwrap_or_default(), node),
            None if error.kind() == redis::ErrorKind::AuthenticationFailed => Class::Login,
            None => Class::Connection,
        };
        Self::new(class, node, error.to_string())
    }

    /// True if the server says it of all its keys: it reads its data, or sees too little of its cluster.
    pub(crate) fn is_of_whole_server(&self) -> bool {
        match self.class {
            Class::Loading => true,
            // Other texts are about one slot, or about writes.
            Class::ClusterDown => self.text.ends_with("The cluster is down"),
            _ => false,
        }
    }

    /// True if the server is not asked for a while after it, and the log says so.
    pub(crate) fn pauses_server(&self) -> bool {
        matches!(self.class, Class::Connection | Class::Timeout) || self.is_of_whole_server()
    }

    /// What the node does about it.
    pub(crate) fn kind(&self) -> StoreErrorKind {
        match self.class {
            Class::Busy => StoreErrorKind::Overloaded,
            Class::Connection
            | Class::Timeout
            | Class::Moved(..)
            | Class::Ask(_)
            | Class::TryAgain
            | Class::ClusterDown
            | Class::ReadOnly
            | Class::Loading
            | Class::OutOfMemory
            | Class::Misconfigured
            | Class::Login
            | Class::Forbidden
            | Class::NoScript
            | Class::UnknownCommand
            | Class::Other => StoreErrorKind::Unavailable,
        }
    }

    /// The error of a whole call.
    pub(crate) fn into_error(self, operation: &'static str) -> StoreError {
        let (kind, pause) = (self.kind(), self.retry_after);
        let error = StoreError::because(kind, operation, self);
        match pause {
            Some(pause) => error.retry_after(pause),
            None => error,
        }
    }
}

fn class(code: &str, rest: &str, node: &Address) -> Class {
    let redirect = || {
        let (slot, named) = rest.split_once(' ')?;
        Some((slot.parse().ok()?, of_redirect(named.trim(), node)?))
    };
    match code {
        "MOVED" => redirect().map_or(Class::Other, |(slot, node)| Class::Moved(slot, node)),
        "ASK" => redirect().map_or(Class::Other, |(_, node): (u16, _)| Class::Ask(node)),
        "TRYAGAIN" => Class::TryAgain,
        "CLUSTERDOWN" => Class::ClusterDown,
        "READONLY" | "UNBLOCKED" => Class::ReadOnly,
        "LOADING" | "MASTERDOWN" => Class::Loading,
        "OOM" => Class::OutOfMemory,
        "MISCONF" | "NOREPLICAS" => Class::Misconfigured,
        "BUSY" => Class::Busy,
        "NOAUTH" | "WRONGPASS" => Class::Login,
        "NOPERM" => Class::Forbidden,
        "NOSCRIPT" => Class::NoScript,
        _ => within(rest, node),
    }
}

/// The class of an error within a script, which servers of version 6.2 wrap into one of their own.
fn within(rest: &str, node: &Address) -> Class {
    if rest.starts_with("unknown command") {
        return Class::UnknownCommand;
    }
    // A key of the script is on its way to another node.
    if rest.contains("non local key") {
        return Class::TryAgain;
    }
    let Some((_, error)) = rest.split_once(": -") else { return Class::Other };
    match error.split_once(' ') {
        Some((code, rest)) if code.bytes().all(|byte| byte.is_ascii_uppercase()) => class(code, rest, node),
        _ => Class::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::address::of_server;

    #[test]
    fn what_has_a_prefix_of_its_own_is_counted_by_it() {
        let node = of_server("one");
        for prefix in [
            "TRYAGAIN",
            "CLUSTERDOWN",
            "READONLY",
            "LOADING",
            "OOM",
            "MISCONF",
            "BUSY",
            "NOAUTH",
            "NOPERM",
            "NOSCRIPT",
        ] {
            assert_eq!(class(prefix, "", &node).name(), prefix);
            assert!(CLASSES.contains(&prefix));
        }
    }

    #[test]
    fn the_first_word_of_a_reply_decides() {
        let node = of_server("one");
        let other = of_server("10.0.0.2:7001");
        for (code, rest, expected) in [
            ("MOVED", "3999 10.0.0.2:7001", Class::Moved(3999, other.clone())),
            ("ASK", "3999 10.0.0.2:7001", Class::Ask(other)),
            ("MOVED", "nonsense", Class::Other),
            ("OOM", "command not allowed when used memory > 'maxmemory'.", Class::OutOfMemory),
            (
                "ERR",
                "Error running script (call to f_1): @user_script:1: @user_script: 1: -OOM command not allowed",
                Class::OutOfMemory,
            ),
            ("ERR", "unknown command 'EVALSHA'", Class::UnknownCommand),
            ("ERR", "Script attempted to access a non local key in a cluster node", Class::TryAgain),
            ("WRONGPASS", "invalid username-password pair", Class::Login),
            ("ERR", "syntax error", Class::Other),
        ] {
            assert_eq!(class(code, rest, &node), expected, "{code} {rest}");
        }
    }
}
