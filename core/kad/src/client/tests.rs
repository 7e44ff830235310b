//! What failed dials mean.

use super::*;

/// How a dial to one address ended.
#[derive(Debug, Clone, Copy)]
enum Ended {
    NotDialed,
    FilesUsedUp,
    NoRoute,
    NotSupported,
    Refused,
}

fn failure(ended: &[Ended]) -> DialError {
    let address: Multiaddr = "/ip4/1.1.1.1/tcp/1".parse().unwrap();
    let error = |ended: &Ended| match ended {
        Ended::NotDialed => TransportError::Other(io::Error::other(NotDialed)),
        Ended::FilesUsedUp => TransportError::Other(io::Error::from_raw_os_error(24)),
        Ended::NoRoute => TransportError::Other(io::ErrorKind::NetworkUnreachable.into()),
        Ended::NotSupported => TransportError::MultiaddrNotSupported(address.clone()),
        Ended::Refused => TransportError::Other(io::ErrorKind::ConnectionRefused.into()),
    };
    DialError::Transport(ended.iter().map(|ended| (address.clone(), error(ended))).collect())
}

#[test]
fn a_dial_failed_at_this_end_if_no_address_failed_at_the_other() {
    use Ended::{FilesUsedUp, NoRoute, NotDialed, NotSupported, Refused};
    let local: [&[Ended]; 5] = [
        &[NotDialed],
        &[FilesUsedUp, NotDialed],
        &[NotDialed, NotSupported],
        &[NoRoute, NotDialed],
        &[NotDialed, NotDialed, NoRoute, NotSupported],
    ];
    for ended in local {
        assert_eq!(AskError::of_dial(&failure(ended)), AskError::Busy, "{ended:?}");
    }
    let far: [&[Ended]; 6] = [
        &[Refused],
        &[Refused, NotDialed],
        &[NotDialed, Refused],
        &[FilesUsedUp, Refused, NoRoute],
        // Nothing is known of a peer that is only at addresses of a kind which this node does not have.
        &[NoRoute],
        &[NotSupported, NoRoute],
    ];
    for ended in far {
        assert!(matches!(AskError::of_dial(&failure(ended)), AskError::Dial(_)), "{ended:?}");
    }
}
