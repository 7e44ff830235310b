//! The serialized IPNS entry: a protobuf message whose fields are left where they are.

use crate::{Error, IPNS_BYTES_MAX};
use prost::bytes::Buf;
use prost::encoding::{DecodeContext, WireType, check_wire_type, decode_key, decode_varint, skip_field};

/// The fields of an `IpnsEntry`, borrowed from its bytes. A field that comes twice has its last value, as in every protobuf.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Envelope<'a> {
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) signature_v1: Option<&'a [u8]>,
    pub(crate) validity_type: Option<i32>,
    pub(crate) validity: Option<&'a [u8]>,
    pub(crate) sequence: Option<u64>,
    pub(crate) ttl: Option<u64>,
    pub(crate) public_key: Option<&'a [u8]>,
    pub(crate) signature_v2: &'a [u8],
    pub(crate) data: &'a [u8],
}

impl<'a> Envelope<'a> {
    /// Checks the length, then walks over the fields once. Nothing is copied or allocated; unknown fields are skipped.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        if bytes.len() > IPNS_BYTES_MAX {
            return Err(Error::Size { len: bytes.len() });
        }
        let parsed = Self::fields(bytes).ok_or(Error::Protobuf)?;
        if parsed.signature_v2.is_empty() {
            return Err(Error::NoSignature);
        }
        if parsed.data.is_empty() { Err(Error::NoData) } else { Ok(parsed) }
    }

    fn fields(mut rest: &'a [u8]) -> Option<Self> {
        let mut entry = Self::default();
        while rest.has_remaining() {
            let (tag, wire) = decode_key(&mut rest).ok()?;
            match tag {
                1 => entry.value = Some(bytes_field(wire, &mut rest)?),
                2 => entry.signature_v1 = Some(bytes_field(wire, &mut rest)?),
                // An enum is an int32: what does not fit is cut off, as protobuf has it.
                3 => entry.validity_type = Some(int_field(wire, &mut rest)? as i32),
                4 => entry.validity = Some(bytes_field(wire, &mut rest)?),
                5 => entry.sequence = Some(int_field(wire, &mut rest)?),
                6 => entry.ttl = Some(int_field(wire, &mut rest)?),
                7 => entry.public_key = Some(bytes_field(wire, &mut rest)?),
                8 => entry.signature_v2 = bytes_field(wire, &mut rest)?,
                9 => entry.data = bytes_field(wire, &mut rest)?,
                _ => skip_field(wire, tag, &mut rest, DecodeContext::default()).ok()?,
            }
        }
        Some(entry)
    }
}

fn int_field(wire: WireType, rest: &mut &[u8]) -> Option<u64> {
    check_wire_type(WireType::Varint, wire).ok()?;
    decode_varint(rest).ok()
}

fn bytes_field<'a>(wire: WireType, rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    check_wire_type(WireType::LengthDelimited, wire).ok()?;
    let len = usize::try_from(decode_varint(rest).ok()?).ok()?;
    let (field, after) = rest.split_at_checked(len)?;
    *rest = after;
    Some(field)
}
