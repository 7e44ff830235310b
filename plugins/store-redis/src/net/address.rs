//! Where a server is, as the config and other servers say it.

pub(crate) use hydra_remote::ServerAddress as Address;

const PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// The server of a `hosts` entry.
pub(crate) fn of_server(host: &str) -> Address {
    Address::parse(host, PORT)
}

/// The sentinel of a `hosts` entry.
pub(crate) fn of_sentinel(host: &str) -> Address {
    Address::parse(host, SENTINEL_PORT)
}

/// The node that an error such as `MOVED 1 10.0.0.1:6379` names; the host is left out for the node that was asked.
pub(crate) fn of_redirect(named: &str, asked: &Address) -> Option<Address> {
    let (host, port) = named.rsplit_once(':')?;
    of_answer(host, port.parse().ok()?, asked)
}

/// A node that a server names; without a host it is the one that was asked.
pub(crate) fn of_answer(host: &str, port: u16, asked: &Address) -> Option<Address> {
    match (host, asked) {
        ("" | "?", Address::Network(asked, _)) => Some(Address::Network(asked.clone(), port)),
        ("" | "?", Address::Socket(_)) => None,
        (host, _) => Some(Address::Network(host.to_owned(), port)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(host: &str, port: u16) -> Address {
        Address::Network(host.to_owned(), port)
    }

    #[test]
    fn servers_and_sentinels_have_ports_of_their_own() {
        assert_eq!(of_server("one"), network("one", 6379));
        assert_eq!(of_sentinel("one"), network("one", 26379));
    }

    #[test]
    fn redirects_name_a_node_or_mean_the_one_that_was_asked() {
        let asked = network("10.0.0.1", 6379);
        assert_eq!(of_redirect("10.0.0.2:7001", &asked), Some(network("10.0.0.2", 7001)));
        assert_eq!(of_redirect("2001:db8::1:7001", &asked), Some(network("2001:db8::1", 7001)));
        assert_eq!(of_redirect(":7001", &asked), Some(network("10.0.0.1", 7001)));
        assert_eq!(of_redirect("nonsense", &asked), None);
    }
}
