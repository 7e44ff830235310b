//! What the client programs print: one JSON object per line.

use serde::{Deserialize, Serialize};

/// A peer as a client saw it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Peer {
    /// The peer id in base58.
    pub id: String,
    /// The addresses, without the `/p2p` part.
    pub addrs: Vec<String>,
}

/// One answer that the Go client read from its stream.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Answer {
    /// The message type by its name in the specification, for example `FIND_NODE`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The key of the answer, in hex.
    pub key_hex: String,
    /// The closer peers.
    pub closer: Vec<Peer>,
    /// The providers.
    pub providers: Vec<Peer>,
}

/// A value record as a server told it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Told {
    /// Its key, in hex.
    pub key_hex: String,
    /// Its value, in hex.
    pub value_hex: String,
    /// When the server received it, as it says.
    pub time_received: String,
}

/// A value record and a verdict on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judged {
    /// What it is.
    pub name: String,
    /// Its key, in hex.
    pub key_hex: String,
    /// Its value, in hex.
    pub value_hex: String,
    /// Whether it is valid.
    pub valid: bool,
    /// The names of the records of the same key that are worse, where the client tells them.
    pub worse: Vec<String>,
}

/// What a client printed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The Go client serves a DHT.
    Listening {
        /// The server.
        peer: Peer,
    },
    /// A record was sent.
    Provided {
        /// The content id as it was given.
        cid: String,
        /// The client itself, as it announced itself.
        provider: Peer,
    },
    /// A search for providers ended.
    Found {
        /// The content id as it was given.
        cid: String,
        /// The providers, with the addresses the server told.
        providers: Vec<Peer>,
        /// The closer peers of the server's answer.
        closer: Vec<Peer>,
    },
    /// A search for a peer ended.
    FoundNode {
        /// The peer id as it was given.
        target: String,
        /// What the client's library made of the answers.
        found: Option<Peer>,
        /// The peers of the server's answer.
        peers: Vec<Peer>,
    },
    /// Several requests on one stream: FIND_NODE, ADD_PROVIDER, FIND_NODE, GET_PROVIDERS, then half-closed.
    Stream {
        /// The types sent, in order.
        sent: Vec<String>,
        /// The answers, in order.
        answers: Vec<Answer>,
        /// How the server ended its side: `eof`, `reset`, `extra` (one answer too many) or an error.
        end: String,
        /// The client itself, as its ADD_PROVIDER announced it.
        provider: Peer,
    },
    /// A value record was put.
    Put {
        /// Its key, in hex.
        key_hex: String,
        /// Its value, in hex.
        value_hex: String,
        /// Why the client's library does not take it; empty when it does.
        library: String,
        /// Why the server does not take it; empty when it does.
        server: String,
    },
    /// A search for a value record ended.
    Got {
        /// The record of the server's own answer.
        told: Option<Told>,
        /// The closer peers of that answer.
        closer: Vec<Peer>,
        /// The value that the client's library selected, in hex.
        best: Option<String>,
        /// Each value that the library found better than those before, in hex; Go alone tells it.
        searched: Vec<String>,
    },
    /// A value record with the verdict of the client's libraries.
    ValueRecord(Judged),
    /// A private key.
    Key {
        /// Its kind, for example `rsa-2048`.
        kind: String,
        /// Its protobuf form, in hex.
        private_hex: String,
    },
    /// What the server says of itself.
    Identified {
        /// The server with the addresses it listens on.
        peer: Peer,
        /// Its agent version.
        agent: String,
        /// Its protocol version.
        protocol_version: String,
        /// Its protocols, sorted.
        protocols: Vec<String>,
        /// The security protocol of the connection; Go says nothing for QUIC, js says `native`.
        security: String,
        /// The multiplexer of the connection; Go says nothing for QUIC, js says `quic`.
        muxer: String,
        /// `tcp` or `quic-v1`.
        transport: String,
        /// The round trip of a ping, in microseconds.
        ping_us: u64,
    },
}
