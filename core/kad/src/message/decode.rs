//! From a frame to a message, without copying and within limits.
//!
//! Decoding into derived structs would turn a frame of 4 MiB, full of peers of two bytes each, into more than
//! 100 MiB. Here what is over a limit is skipped where it stands.

use super::{Connection, Kind, Peer, Record};
use bytes::{Buf, Bytes};
use prost::encoding::{DecodeContext, WireType, check_wire_type, decode_key, decode_varint, skip_field};

/// Why a frame is no message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// It is no valid protobuf, or a known field has another wire type.
    #[error("the message is not valid protobuf")]
    Protobuf(#[from] prost::DecodeError),
    /// The field at this place is longer than what is left.
    #[error("a field is longer than its message")]
    Truncated,
    /// The type is not one of the six known ones.
    #[error("unknown message type {0}")]
    UnknownKind(i32),
}

/// Everything that a message can carry, decoded under limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) kind: Kind,
    pub(crate) key: Bytes,
    pub(crate) record: Option<Record>,
    pub(crate) closer: Vec<Peer>,
    pub(crate) providers: Vec<Peer>,
    pub(crate) cluster_level: i32,
}

impl Message {
    /// Decodes a frame; lists are cut at the limits given, and what is cut is not looked into.
    pub(crate) fn decode(
        mut frame: Bytes,
        closer_max: usize,
        providers_max: usize,
        addresses_max: usize,
    ) -> Result<Self, DecodeError> {
        let (mut kind, mut key, mut record, mut cluster_level) = (0, Bytes::new(), None, 0);
        let (mut closer, mut providers) = (Vec::new(), Vec::new());
        while frame.has_remaining() {
            let (tag, wire) = decode_key(&mut frame)?;
            match tag {
                1 => kind = int_field(wire, &mut frame)?,
                2 => key = bytes_field(wire, &mut frame)?,
                3 => merge_record(record.get_or_insert_default(), bytes_field(wire, &mut frame)?)?,
                8 => push_peer(&mut closer, closer_max, addresses_max, wire, &mut frame)?,
                9 => push_peer(&mut providers, providers_max, addresses_max, wire, &mut frame)?,
                10 => cluster_level = int_field(wire, &mut frame)?,
                _ => skip_field(wire, tag, &mut frame, DecodeContext::default())?,
            }
        }
        let kind = Kind::from_wire(kind).ok_or(DecodeError::UnknownKind(kind))?;
        Ok(Self { kind, key, record, closer, providers, cluster_level })
    }
}

fn push_peer(
    list: &mut Vec<Peer>,
    list_max: usize,
    addresses_max: usize,
    wire: WireType,
    buf: &mut Bytes,
) -> Result<(), DecodeError> {
    check_wire_type(WireType::LengthDelimited, wire)?;
    if list.len() < list_max {
        list.push(peer(bytes_field(wire, buf)?, addresses_max)?);
        return Ok(());
    }
    skip_bytes(buf)
}

fn peer(mut body: Bytes, addresses_max: usize) -> Result<Peer, DecodeError> {
    let mut peer = Peer::default();
    while body.has_remaining() {
        let (tag, wire) = decode_key(&mut body)?;
        match tag {
            1 => peer.id = bytes_field(wire, &mut body)?,
            2 if peer.addresses.len() < addresses_max => peer.addresses.push(bytes_field(wire, &mut body)?),
            2 => {
                check_wire_type(WireType::LengthDelimited, wire)?;
                skip_bytes(&mut body)?;
            }
            3 => peer.connection = Connection::from_wire(int_field(wire, &mut body)?),
            _ => skip_field(wire, tag, &mut body, DecodeContext::default())?,
        }
    }
    Ok(peer)
}

/// A record that comes in several pieces is put together, as protobuf has it.
fn merge_record(record: &mut Record, mut body: Bytes) -> Result<(), DecodeError> {
    while body.has_remaining() {
        let (tag, wire) = decode_key(&mut body)?;
        match tag {
            1 => record.key = bytes_field(wire, &mut body)?,
            2 => record.value = bytes_field(wire, &mut body)?,
            5 => record.time_received = bytes_field(wire, &mut body)?,
            _ => skip_field(wire, tag, &mut body, DecodeContext::default())?,
        }
    }
    Ok(())
}

/// An int32 or an enum: what does not fit is cut off, as protobuf has it.
fn int_field(wire: WireType, buf: &mut Bytes) -> Result<i32, DecodeError> {
    check_wire_type(WireType::Varint, wire)?;
    Ok(decode_varint(buf)? as i32)
}

fn bytes_field(wire: WireType, buf: &mut Bytes) -> Result<Bytes, DecodeError> {
    check_wire_type(WireType::LengthDelimited, wire)?;
    let len = len_within(buf)?;
    Ok(buf.split_to(len))
}

fn skip_bytes(buf: &mut Bytes) -> Result<(), DecodeError> {
    let len = len_within(buf)?;
    buf.advance(len);
    Ok(())
}

fn len_within(buf: &mut Bytes) -> Result<usize, DecodeError> {
    let len = usize::try_from(decode_varint(buf)?).map_err(|_| DecodeError::Truncated)?;
    if len > buf.remaining() { Err(DecodeError::Truncated) } else { Ok(len) }
}
