//! Why a listener cannot be opened, down to the root of it, and what an operator can do.

use crate::config::RAISE;
use crate::net::ports::NOT_OF_THIS_MACHINE;
use hydra_api::Causes;
use libp2p::Multiaddr;
use libp2p::core::transport::TransportError;
use libp2p::multiaddr::Protocol;
use socket2::{Domain, Socket, Type};
use std::io;

/// `AF_NETLINK` and `EMFILE`, `ENFILE`, `EAFNOSUPPORT` of Linux.
const NETLINK: i32 = 16;
const NO_DESCRIPTORS: [i32; 2] = [24, 23];
const NO_FAMILY: i32 = 97;
/// `EADDRNOTAVAIL` of Linux.
const NO_ADDRESS: i32 = 99;

/// The cause of this failure to listen, in words, and whether another try may succeed.
pub(super) fn of(failure: &TransportError<io::Error>, address: &Multiaddr) -> (io::Error, bool) {
    let TransportError::Other(cause) = failure else { return (io::Error::other(failure.to_string()), false) };
    let told = Causes(cause).to_string();
    let (code, kind) = (code_in(&told), cause.kind());
    let watch = (cfg!(target_os = "linux") && is_wildcard(address)).then(watch_refused).flatten();
    let (told, is_supported) = match (code, watch) {
        (Some(code), _) if NO_DESCRIPTORS.contains(&code) => (format!("{told}: {RAISE}"), true),
        (_, Some(refused)) => (without_netlink(&refused), true),
        (Some(NO_FAMILY), None) => (told, false),
        (Some(NO_ADDRESS), None) => (format!("{told}: {NOT_OF_THIS_MACHINE}"), true),
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

/// The error of the system that an error tells at its root. It is read from the text: transports within transports hide the
/// error itself, as they hand on its source in place of it.
fn code_in(told: &str) -> Option<i32> {
    let (_, code) = told.rsplit_once("(os error ")?;
    code.split_once(')')?.0.parse().ok()
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error;
    use std::fmt;

    /// As a transport over two others tells an error of one of them.
    #[derive(Debug)]
    struct Either(io::Error);

    impl fmt::Display for Either {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.fmt(f)
        }
    }

    impl Error for Either {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.0.source()
        }
    }

    fn told(code: i32) -> (String, bool) {
        let inner = io::Error::other(Either(io::Error::from_raw_os_error(code)));
        let failure = TransportError::Other(io::Error::other(inner));
        let (cause, is_supported) = of(&failure, &"/ip6/::1/tcp/1".parse().unwrap());
        (cause.to_string(), is_supported)
    }

    #[test]
    fn a_family_that_the_system_does_not_have_is_not_tried_again() {
        let (told, is_supported) = told(NO_FAMILY);
        assert!(told.contains("os error 97") && !is_supported, "{told}");
    }

    #[test]
    fn for_an_address_of_another_machine_the_remedy_is_told() {
        let (told, is_supported) = told(NO_ADDRESS);
        assert!(told.ends_with(NOT_OF_THIS_MACHINE) && is_supported, "{told}");
    }

    #[test]
    fn without_descriptors_the_remedy_is_told() {
        for code in NO_DESCRIPTORS {
            let (told, is_supported) = told(code);
            assert!(told.ends_with(RAISE) && is_supported, "{told}");
        }
    }
}
