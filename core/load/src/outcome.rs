//! The requests, and how each can end.

use serde::Serialize;
use std::fmt;

/// A kind of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// GET_PROVIDERS
    Get,
    /// ADD_PROVIDER. It has no reply: it is full once its frame is written.
    Add,
    /// FIND_NODE
    Find,
    /// PING
    Ping,
}

impl Operation {
    /// Every operation, in the order of their declaration.
    pub const ALL: [Self; 4] = [Self::Get, Self::Add, Self::Find, Self::Ping];

    /// Its name in the mix, in CSV and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Add => "add",
            Self::Find => "find",
            Self::Ping => "ping",
        }
    }

    pub(crate) const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How a request ended. Only [`Self::Full`] is a success.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The answer came in time and is complete.
    Full,
    /// GET_PROVIDERS came back in time without providers although the key has some.
    Empty,
    /// The answer came after [`Plan::late_after`](crate::Plan::late_after), whatever is in it.
    Late,
    /// The stream or its connection was reset or closed, or the answer was malformed, also after one retry.
    Reset,
    /// No answer came within [`Plan::timeout`](crate::Plan::timeout).
    Timeout,
    /// No connection could be made, or the peer does not serve the protocol.
    Refused,
    /// Not sent, because the generator had [`Plan::outstanding_max`](crate::Plan::outstanding_max) requests outstanding.
    Unsent,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 7] =
        [Self::Full, Self::Empty, Self::Late, Self::Reset, Self::Timeout, Self::Refused, Self::Unsent];

    /// Its name in CSV and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Empty => "empty",
            Self::Late => "late",
            Self::Reset => "reset",
            Self::Timeout => "timeout",
            Self::Refused => "refused",
            Self::Unsent => "unsent",
        }
    }
}
