//! IPNS names, and requests for their records.

use crate::network::PROTOCOL;
use crate::node::Node;
use crate::peer::Peer;
use bytes::Bytes;
use futures::future::join_all;
use hydra_kad::{Record, Request};
use hydra_records::Draft;
use libp2p::identity::{Keypair, SigningError};
use std::io;
use std::time::{Duration, Instant};

/// An end that no test lives to see.
const EOL: &str = "2090-01-02T03:04:05.123456789Z";

/// A name and its owner.
#[derive(Debug)]
pub struct Name(Keypair);

impl Default for Name {
    fn default() -> Self {
        Self(Keypair::generate_ed25519())
    }
}

impl Name {
    /// The key of its records.
    #[must_use]
    pub fn key(&self) -> Bytes {
        [b"/ipns/", self.0.public().to_peer_id().to_bytes().as_slice()].concat().into()
    }

    /// A record with this sequence.
    ///
    /// # Errors
    /// None with the keys that are used here.
    pub fn record(&self, sequence: u64) -> Result<Bytes, SigningError> {
        self.until(sequence, EOL)
    }

    /// A record with this sequence and end.
    ///
    /// # Errors
    /// None with the keys that are used here.
    pub fn until(&self, sequence: u64, eol: &str) -> Result<Bytes, SigningError> {
        Draft { value: "/ipfs/bafkqaaa", sequence, eol, ttl: 0 }.sign(&self.0)
    }

    /// A record of this many bytes, enough of them for what a record needs.
    ///
    /// # Errors
    /// None with the keys that are used here.
    pub fn sized(&self, bytes: usize) -> Result<Bytes, SigningError> {
        let padded = |padding: usize| {
            let value = "x".repeat(padding);
            Draft { value: &value, sequence: 1, eol: EOL, ttl: 0 }.sign(&self.0)
        };
        // The lengths before the parts are those of long ones.
        let overhead = padded(bytes / 2)?.len() - bytes / 2;
        padded(bytes - overhead)
    }

    /// The request for its record.
    #[must_use]
    pub fn get(&self) -> Request {
        Request::GetValue { key: self.key() }
    }
}

/// The request that puts a value.
#[must_use]
pub fn put(key: &Bytes, value: &Bytes) -> Request {
    let record = Record { key: key.clone(), value: value.clone(), time_received: "then".into() };
    Request::PutValue { key: key.clone(), record: Some(record) }
}

/// How long a node may take to find the best record in the store that it shares.
const FOUND_WITHIN: Duration = Duration::from_secs(30);

/// Puts a hundred records of one name at two nodes on one store at a time, and waits until both have the best one (U10).
///
/// # Errors
/// When one of them does not get it.
pub async fn the_best_record_stays(nodes: &[Node; 2]) -> io::Result<()> {
    let name = Name::default();
    let heads = nodes.each_ref().map(|node| node.heads()[0].tcp());
    let best = name.record(99).map_err(io::Error::other)?;
    let puts = (0..100u64).map(|number| {
        let (head, record) = (heads[number as usize % 2], name.record(number * 37 % 100));
        let key = name.key();
        async move {
            let request = put(&key, &record.map_err(io::Error::other)?);
            // A worse one than is known by then is reset.
            drop(Peer::client(PROTOCOL).ask(head, request).await);
            Ok(())
        }
    });
    join_all(puts).await.into_iter().collect::<io::Result<()>>()?;
    let (client, since) = (Peer::client(PROTOCOL), Instant::now());
    for (node, head) in nodes.iter().zip(heads) {
        loop {
            let found = client.ask(head, name.get()).await.map_err(io::Error::other)?.record;
            if found.is_some_and(|record| record.value == best) {
                break;
            }
            if since.elapsed() > FOUND_WITHIN {
                let log = node.home().log();
                return Err(io::Error::other(format!("the best record is not there; the log:\n{log}")));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    Ok(())
}
