//! Why a node cannot start.

use crate::config::TooFew;
use crate::node::leases::{BeginError, HeadError};
use hydra_api::IdError;
use std::io;
use std::net::SocketAddr;

/// A node that could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The allocator gave no identities.
    #[error("cannot acquire identities: {0}")]
    Ids(#[from] IdError),
    /// An identity is not what it should be.
    #[error("the private key of slot {slot} does not belong to its peer id")]
    Identity {
        /// The slot.
        slot: u32,
    },
    /// No port can be listened on.
    #[error("head {slot} cannot listen on {on}: {cause}")]
    Listen {
        /// The slot.
        slot: u32,
        /// The addresses.
        on: String,
        /// Why not.
        cause: String,
    },
    /// The limit of open files is too low.
    #[error("{0}: {remedy}", remedy = .0.remedy())]
    Descriptors(TooFew),
    /// The address of the operator pages cannot be listened on.
    #[error("telemetry.http.listen: cannot listen on {listen}: {cause}{remedy}", remedy = http_remedy(cause))]
    Http {
        /// The address.
        listen: SocketAddr,
        /// Why not.
        cause: io::Error,
    },
    /// The protocol's name begins with no slash.
    #[error("`{0}` is not a protocol name: it does not begin with a slash")]
    Protocol(String),
    /// The stop came first.
    #[error("stopped before the start was complete")]
    Stopped,
    /// The system refused something.
    #[error("{what}: {cause}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        cause: io::Error,
    },
}

/// What to do where the address is not free.
fn http_remedy(cause: &io::Error) -> &'static str {
    match cause.kind() {
        io::ErrorKind::AddrInUse => {
            "; another process, maybe another node, listens there: stop it, set another address, or set \
             `telemetry.http.enabled = false`"
        }
        io::ErrorKind::AddrNotAvailable => "; set an address of this machine",
        _ => "",
    }
}

impl From<HeadError> for StartError {
    fn from(error: HeadError) -> Self {
        match error {
            HeadError::Identity { slot } => Self::Identity { slot },
            HeadError::Listen { slot, on, cause } => Self::Listen { slot, on, cause: cause.to_string() },
        }
    }
}

impl From<BeginError<HeadError>> for StartError {
    fn from(error: BeginError<HeadError>) -> Self {
        match error {
            BeginError::Ids(cause) => cause.into(),
            BeginError::Head(cause) => cause.into(),
        }
    }
}
