//! The connections to the operator pages: a new one always has a place.

use std::net::IpAddr;
use tokio::task::AbortHandle;

/// The connections, the oldest first, each with the address of its client.
#[derive(Debug, Default)]
pub(super) struct Clients(Vec<(IpAddr, AbortHandle)>);

impl Clients {
    /// Adds the newest one.
    pub(super) fn add(&mut self, from: IpAddr, connection: AbortHandle) {
        self.forget_ended();
        self.0.push((from.to_canonical(), connection));
    }

    /// Ends one connection: of the address with the most, the oldest. A probe is answered in a moment, and those that read
    /// slowly, or ask for nothing, must not keep it out.
    pub(super) fn make_room(&mut self) {
        self.forget_ended();
        let of = |from: IpAddr| self.0.iter().filter(|(other, _)| *other == from).count();
        // The last of equal ones is found, so the oldest is looked at last.
        if let Some(least) = (0..self.0.len()).rev().max_by_key(|at| of(self.0[*at].0)) {
            self.0.remove(least).1.abort();
        }
    }

    /// What is kept of a task keeps its memory.
    fn forget_ended(&mut self) {
        self.0.retain(|(_, connection)| !connection.is_finished());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[tokio::test]
    async fn nothing_is_kept_of_connections_that_have_ended() {
        let mut clients = Clients::default();
        for _ in 0..100 {
            let connection = tokio::spawn(async {});
            clients.add(Ipv4Addr::LOCALHOST.into(), connection.abort_handle());
            connection.await.unwrap();
        }
        assert_eq!(clients.0.len(), 1);
    }
}
