//! Who gets small answers: clients that refuse long frames (requirement V17).
//!
//! A stock rust-libp2p client refuses a frame of more than 16 KiB, and has lost the whole answer then. Its agent tells,
//! which identify brings on every connection. But it asks as soon as it is connected, often before identify has told
//! of it, and asks each server once: that answer is the one that counts. So a peer of which nothing is known yet gets
//! small answers too, which are of use to everybody ([ADR 6](../../../../../docs/adr/0006-small-answers.md)).

use crate::config::SmallAnswers;

/// The longest frame that a stock rust-libp2p client reads, in bytes without its length prefix (libp2p-kad 0.49,
/// `DEFAULT_MAX_PACKET_SIZE`).
pub(crate) const FRAME_BYTES_MAX: usize = 16 * 1024;

/// The beginning of the agent that rust-libp2p has unless the application names another.
const RUST_AGENT: &str = "rust-libp2p";

/// What identify has told of the program at the other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Agent {
    /// Nothing yet.
    #[default]
    Unknown,
    /// It is rust-libp2p as it comes.
    RustLibp2p,
    /// It is something else.
    Other,
}

impl Agent {
    /// By the agent version that identify tells, of any length.
    pub fn of(agent_version: &str) -> Self {
        if agent_version.starts_with(RUST_AGENT) { Self::RustLibp2p } else { Self::Other }
    }
}

impl SmallAnswers {
    /// The limit of answers to this agent beside the limit of all frames.
    pub(crate) fn frame_bytes_max(self, to: Agent) -> Option<usize> {
        let small = match (self, to) {
            (Self::Always, _) | (Self::Auto, Agent::Unknown | Agent::RustLibp2p) => true,
            (Self::Never, _) | (Self::Auto, Agent::Other) => false,
        };
        small.then_some(FRAME_BYTES_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn v17_rust_clients_and_those_not_yet_known_get_small_answers() {
        let small = |told: Option<&str>| {
            let agent = told.map(Agent::of).unwrap_or_default();
            [SmallAnswers::Auto, SmallAnswers::Always, SmallAnswers::Never]
                .map(|setting| setting.frame_bytes_max(agent).is_some())
        };
        assert_eq!(small(None), [true, true, false]);
        assert_eq!(small(Some("rust-libp2p/0.48.0")), [true, true, false]);
        for other in ["kubo/0.36.0/", "js-libp2p/2.8.0", "hydra/0.1.0", "", "my rust-libp2p"] {
            assert_eq!(small(Some(other)), [false, true, false], "{other}");
        }
    }
}
