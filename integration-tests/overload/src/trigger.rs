//! The triggers: what happens to the server or the nodes, or is sent to them, during a steady load.

mod act;
mod extra;
mod trial;

pub(crate) use trial::{DURING, RECOVERY, Trial, measure};

use crate::form::Form;
use crate::server::Backend;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// As long as it takes until a node without bounds has used up its memory.
const MEMORY: Duration = Duration::from_secs(45);

/// What happens during a steady load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trigger {
    /// The server is stopped by SIGSTOP for so many seconds.
    Freeze(u64),
    /// The server has so small a part of its share.
    Slow(u32),
    /// The server is stopped at once, and starts again.
    Restart,
    /// A foreign client takes all connections of the server but two of the node's.
    Connections,
    /// 80 % of the GET_PROVIDERS are for one key with many providers.
    HotKey,
    /// One peer sends fifty times as much as another.
    AbusivePeer,
    /// A thousand peers of one /24 send as much as others do, each.
    Network,
    /// One peer announces ever new keys, ten times as many requests as all others send.
    Reprovide,
    /// The load is ten times as high from one moment to the next.
    Burst,
    /// One of three nodes is killed, and its clients go to the others.
    KillNode,
    /// The server is ten times slower and the load twenty-five times as high, while the node has little memory.
    Memory,
}

impl Trigger {
    /// All that take less than a minute.
    pub(crate) const ALL: &'static [Self] = &[
        Self::Freeze(1),
        Self::Freeze(10),
        Self::Slow(2),
        Self::Slow(10),
        Self::Slow(50),
        Self::Restart,
        Self::Connections,
        Self::HotKey,
        Self::AbusivePeer,
        Self::Network,
        Self::Reprovide,
        Self::Burst,
        Self::KillNode,
        Self::Memory,
    ];

    /// How many nodes it needs.
    pub(crate) const fn nodes(self) -> usize {
        match self {
            Self::KillNode => 3,
            Self::Freeze(_)
            | Self::Slow(_)
            | Self::Restart
            | Self::Connections
            | Self::HotKey
            | Self::AbusivePeer
            | Self::Network
            | Self::Reprovide
            | Self::Burst
            | Self::Memory => 1,
        }
    }

    /// Whether it may leave nodes behind that have ended.
    pub(crate) const fn is_last(self) -> bool {
        matches!(self, Self::KillNode | Self::Memory)
    }

    /// Whether there is such a thing with this backend.
    pub(crate) fn is_of(self, backend: Backend) -> bool {
        self != Self::Connections || backend == Backend::Postgres
    }

    /// How long it lasts.
    pub(crate) fn lasts(self, form: &Form) -> Duration {
        match self {
            Self::Freeze(seconds) => Duration::from_secs(seconds),
            Self::Memory => MEMORY,
            Self::Slow(_)
            | Self::Restart
            | Self::Connections
            | Self::HotKey
            | Self::AbusivePeer
            | Self::Network
            | Self::Reprovide
            | Self::Burst
            | Self::KillNode => form.during,
        }
    }
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Freeze(seconds) => write!(f, "freeze-{seconds}"),
            Self::Slow(times) => write!(f, "slow-{times}"),
            Self::Restart => f.write_str("restart"),
            Self::Connections => f.write_str("connections"),
            Self::HotKey => f.write_str("hot-key"),
            Self::AbusivePeer => f.write_str("abusive-peer"),
            Self::Network => f.write_str("network"),
            Self::Reprovide => f.write_str("reprovide"),
            Self::Burst => f.write_str("burst"),
            Self::KillNode => f.write_str("kill-node"),
            Self::Memory => f.write_str("memory"),
        }
    }
}

impl FromStr for Trigger {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(found) = Self::ALL.iter().find(|trigger| trigger.to_string() == text) {
            return Ok(*found);
        }
        let number = |name: &str| text.strip_prefix(name)?.parse::<u32>().ok().filter(|number| *number > 0);
        let freeze = number("freeze-").map(|seconds| Self::Freeze(seconds.into()));
        freeze.or_else(|| number("slow-").map(Self::Slow)).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(Self::to_string).collect();
            format!("expected one of {}", names.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trigger_is_read_as_it_is_written() {
        for trigger in Trigger::ALL {
            assert_eq!(trigger.to_string().parse(), Ok(*trigger));
        }
        assert_eq!("freeze-60".parse(), Ok(Trigger::Freeze(60)));
        assert!("freeze-0".parse::<Trigger>().is_err() && "flood".parse::<Trigger>().is_err());
    }
}
