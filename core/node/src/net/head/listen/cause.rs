//! Why a listener cannot be opened, down to the root of it, and what an operator can do.

use crate::config::RAISE;
use hydra_api::Causes;
use libp2p::Multiaddr;
use libp2p::core::transport::TransportError;
use libp2p::multiaddr::Protocol;
use socket2::{Domain, Socket, Type};
use std::error::Error;
use std::io;

/// `AF_NETLINK` and `EMFILE`, `ENFILE`, `EAFNOSUPPORT` of Linux.
const NETLINK: i32 = 16;
const NO_DESCRIPTORS: [i32; 2] = [24, 23];
const NO_FAMILY: i32 = 97;

/// The cause of this failure to listen, in words, and whether another try may succeed.
pub(super) fn of(failure: &TransportError<io::Error>, address: &Multiaddr) -> (io::Error, bool) {
    let TransportError::Other(cause) = failure else { return (io::Error::other(failure.to_string()), false) };
    let (code, kind) = (code_of(cause), cause.kind());
    let told = Causes(cause).to_string();
    let watch = (cfg!(target_os = "linux") && is_wildcard(address)).then(watch_refused).flatten();
    let (told, is_supported) = match (code, watch) {
        (Some(code), _) if NO_DESCRIPTORS.contains(&code) => (format!("{told}: {RAISE}"), true),
        (_, Some(refused)) => (without_netlink(&refused), true),
        (Some(NO_FAMILY), None) => (told, false),
        _ => (told, true),
    };
    (io::Error::new(kind, told), is_supported)
}

fn without_netlink(refused: &io::Error) -> String {
    format!(
        "a listener on all interfaces learns their addresses by netlink, and the system refuses a netlink socket \
         ({refused}): permit AF_NETLINK (`RestrictAddressFamilies=` of systemd, the seccomp profile of a container), or list \
         the addresses of the interfaces in `heads.listen`"
    )
}

/// The error of the system at the root of an error.
fn code_of(cause: &io::Error) -> Option<i32> {
    let mut below: Option<&(dyn Error + 'static)> = Some(cause);
    for _ in 0..Causes::DEPTH_MAX {
        let error = below?;
        if let Some(error) = error.downcast_ref::<io::Error>() {
            if let Some(code) = error.raw_os_error() {
                return Some(code);
            }
            // What an error of `io` wraps is not its source.
            below = error.get_ref().map(|inner| inner as &(dyn Error + 'static));
        } else {
            below = error.source();
        }
    }
    None
}

fn is_wildcard(address: &Multiaddr) -> bool {
    match address.iter().next() {
        Some(Protocol::Ip4(ip)) => ip.is_unspecified(),
        Some(Protocol::Ip6(ip)) => ip.is_unspecified(),
        _ => false,
    }
}

/// Why the interfaces cannot be watched, if so.
fn watch_refused() -> Option<io::Error> {
    Socket::new(Domain::from(NETLINK), Type::RAW, None).err()
}
