//! From a message to one buffer: the length prefix, then the message, written once.

use super::encoded_peer::{Extent, connection_len, field_len, put_bytes};
use super::{Connection, Echo, EncodedPeer, Kind, ListedPeer, Peer, Record, Request, Response};
use bytes::{BufMut, Bytes, BytesMut};
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};

/// A message with its length prefix.
pub(crate) struct Framed {
    pub(crate) bytes: Bytes,
    pub(crate) prefix_len: usize,
}

/// Closer peers that an answer which is trimmed keeps in any case, when there are so many (V17).
const CLOSER_KEPT: usize = 10;
/// The key and the length of a peer's field, when the peer has fewer than 16 KiB.
const FIELD_HEAD_LEN: usize = 3;

/// How much of an answer fits: decided before a byte is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fitting {
    closer: usize,
    providers: usize,
    extent: Extent,
    /// The message without its length prefix.
    pub(crate) len: usize,
}

impl Fitting {
    /// Whether something of the answer is left out.
    pub(crate) fn is_cut(&self, response: &Response) -> bool {
        self.extent != Extent::Whole
            || (self.closer, self.providers) != (response.closer.len(), response.providers.len())
    }
}

/// What fits into a frame of this many bytes. `None` when not even the record does.
///
/// An answer with a limit of its own that is too long is trimmed (V17): of each peer the first addresses alone, then
/// fewer providers, then fewer closer peers; when that would leave less than [`CLOSER_KEPT`] of them, these share the
/// frame evenly, and their addresses are cut further.
pub(crate) fn fitting(echo: &Echo, response: &Response, frame_bytes_max: usize) -> Option<Fitting> {
    let mut len = int_len(echo.kind as i32) + int_len(answered_level(echo.cluster_level));
    if !echo.key.is_empty() {
        len += field_len(echo.key.len());
    }
    if let Some(record) = &response.record {
        len += field_len(record_len(record));
    }
    let room = frame_bytes_max.checked_sub(len)?;
    let whole = peers_fitting(response, Extent::Whole, len, frame_bytes_max);
    if response.frame_bytes_max.is_none() || !whole.is_cut(response) {
        return Some(whole);
    }
    let small = peers_fitting(response, Extent::Small, len, frame_bytes_max);
    let kept = CLOSER_KEPT.min(response.closer.len());
    if small.closer >= kept {
        return Some(small);
    }
    let share = (room / kept).saturating_sub(FIELD_HEAD_LEN);
    Some(peers_fitting(response, Extent::Within(share), len, frame_bytes_max))
}

/// The peers that fit after `len` bytes: closer ones first, then providers.
fn peers_fitting(response: &Response, extent: Extent, len: usize, len_max: usize) -> Fitting {
    let (closer, len) = count_fitting(response.closer.iter(), extent, len, len_max);
    let (providers, len) = if closer == response.closer.len() {
        count_fitting(response.providers.iter(), extent, len, len_max)
    } else {
        (0, len)
    };
    Fitting { closer, providers, extent, len }
}

/// Writes so much of the answer.
pub(crate) fn encode_answer(echo: &Echo, response: &Response, fitting: Fitting) -> Framed {
    let mut out = frame(fitting.len);
    let prefix_len = out.len();
    put_int(1, echo.kind as i32, &mut out);
    if !echo.key.is_empty() {
        put_bytes(2, &echo.key, &mut out);
    }
    put_int(10, answered_level(echo.cluster_level), &mut out);
    if let Some(record) = &response.record {
        put_record(record, &mut out);
    }
    for listed in &response.closer[..fitting.closer] {
        put_listed(8, listed, fitting.extent, &mut out);
    }
    for listed in response.providers.iter().take(fitting.providers) {
        put_listed(9, listed, fitting.extent, &mut out);
    }
    debug_assert_eq!(out.len(), prefix_len + fitting.len);
    Framed { bytes: out.freeze(), prefix_len }
}

/// Writes a request.
pub(crate) fn encode_request(request: &Request) -> Framed {
    let (key, kind) = (request.key(), request.kind());
    let (providers, record): (&[Peer], _) = match request {
        Request::AddProvider { providers, .. } => (providers, None),
        Request::PutValue { record, .. } => (&[], record.as_ref()),
        Request::FindNode { .. }
        | Request::GetProviders { .. }
        | Request::GetValue { .. }
        | Request::Ping { .. } => (&[], None),
    };
    let len = int_len(kind as i32)
        + if key.is_empty() { 0 } else { field_len(key.len()) }
        + record.map_or(0, |record| field_len(record_len(record)))
        + providers.iter().map(|peer| field_len(peer_len(peer))).sum::<usize>();
    let mut out = frame(len);
    let prefix_len = out.len();
    put_int(1, kind as i32, &mut out);
    if !key.is_empty() {
        put_bytes(2, key, &mut out);
    }
    if let Some(record) = record {
        put_record(record, &mut out);
    }
    for peer in providers {
        put_peer(9, peer, &mut out);
    }
    debug_assert_eq!(out.len(), prefix_len + len);
    Framed { bytes: out.freeze(), prefix_len }
}

/// go-libp2p-kad-dht numbers the level from one and answers with at least that (F7).
fn answered_level(raw: i32) -> i32 {
    raw.saturating_sub(1).max(0) + 1
}

fn count_fitting<'a>(
    list: impl Iterator<Item = &'a ListedPeer>,
    extent: Extent,
    mut len: usize,
    len_max: usize,
) -> (usize, usize) {
    let mut count = 0;
    for listed in list {
        let with_it = len + field_len(listed_len(listed, extent));
        if with_it > len_max {
            break;
        }
        (count, len) = (count + 1, with_it);
    }
    (count, len)
}

fn frame(len: usize) -> BytesMut {
    let mut out = BytesMut::with_capacity(encoded_len_varint(len as u64) + len);
    encode_varint(len as u64, &mut out);
    out
}

fn listed_len(listed: &ListedPeer, extent: Extent) -> usize {
    listed.peer.body(listed.connection, extent).len() + connection_len(listed.connection)
}

fn put_listed(tag: u32, listed: &ListedPeer, extent: Extent, out: &mut BytesMut) {
    let body = listed.peer.body(listed.connection, extent);
    encode_key(tag, WireType::LengthDelimited, out);
    encode_varint((body.len() + connection_len(listed.connection)) as u64, out);
    out.put_slice(body);
    put_int(3, listed.connection as i32, out);
}

/// The length of a peer and how many of its addresses are sent: as in answers, no more than fit (Q9).
fn peer_len(peer: &Peer) -> usize {
    peer_fitting(peer).1 + connection_len(peer.connection)
}

fn peer_fitting(peer: &Peer) -> (usize, usize) {
    let len_max = EncodedPeer::BYTES_MAX - connection_len(Connection::Connected);
    let mut len = field_len(peer.id.len());
    for (nth, address) in peer.addresses.iter().enumerate() {
        if len + field_len(address.len()) > len_max {
            return (nth, len);
        }
        len += field_len(address.len());
    }
    (peer.addresses.len(), len)
}

fn put_peer(tag: u32, peer: &Peer, out: &mut BytesMut) {
    encode_key(tag, WireType::LengthDelimited, out);
    encode_varint(peer_len(peer) as u64, out);
    put_bytes(1, &peer.id, out);
    for address in &peer.addresses[..peer_fitting(peer).0] {
        put_bytes(2, address, out);
    }
    put_int(3, peer.connection as i32, out);
}

fn record_len(record: &Record) -> usize {
    [&record.key, &record.value, &record.time_received]
        .into_iter()
        .filter(|field| !field.is_empty())
        .map(|field| field_len(field.len()))
        .sum()
}

fn put_record(record: &Record, out: &mut BytesMut) {
    encode_key(3, WireType::LengthDelimited, out);
    encode_varint(record_len(record) as u64, out);
    for (tag, field) in [(1, &record.key), (2, &record.value), (5, &record.time_received)] {
        if !field.is_empty() {
            put_bytes(tag, field, out);
        }
    }
}

/// The length of a small, positive number's field; zero is not written.
fn int_len(number: i32) -> usize {
    if number == 0 { 0 } else { 1 + encoded_len_varint(number as u64) }
}

fn put_int(tag: u32, number: i32, out: &mut BytesMut) {
    if number != 0 {
        encode_key(tag, WireType::Varint, out);
        encode_varint(number as u64, out);
    }
}

impl Kind {
    /// Whether the one who asks waits for an answer (V5).
    pub(crate) fn is_answered(self) -> bool {
        self != Self::AddProvider
    }
}

impl Response {
    /// The longest frame that it may have where this is the limit.
    pub(crate) fn limit(&self, frame_bytes_max: usize) -> usize {
        self.frame_bytes_max.map_or(frame_bytes_max, |own| own.min(frame_bytes_max))
    }

    /// The answer to `request` in one frame, without its length prefix, cut to `frame_bytes_max`.
    ///
    /// Returns `None` when the record alone is too long. The cluster level is taken as not given. This is what the
    /// server writes, for tests and measurements.
    pub fn encode(&self, request: &Request, frame_bytes_max: usize) -> Option<Bytes> {
        let echo = Echo { kind: request.kind(), key: request.key().clone(), cluster_level: 0 };
        let framed = encode_answer(&echo, self, fitting(&echo, self, self.limit(frame_bytes_max))?);
        Some(framed.bytes.slice(framed.prefix_len..))
    }
}
