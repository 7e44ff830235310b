//! The serialized IPNS entry: a protobuf message whose fields are left where they are.

use crate::{Error, IPNS_BYTES_MAX};
use prost::encoding::{WireType, decode_key, decode_varint};

/// The most fields that an entry may have, unknown ones and those within groups included. It has nine known ones.
pub(crate) const FIELDS_MAX: usize = 64;

/// The fields of an `IpnsEntry`, borrowed from its bytes. A field that comes twice has its last value, and one of another wire type is
/// as good as unknown, as in every protobuf.
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

    fn fields(bytes: &'a [u8]) -> Option<Self> {
        use WireType::{LengthDelimited, Varint};
        let (mut entry, mut fields) = (Self::default(), Fields { rest: bytes, left: FIELDS_MAX });
        while !fields.rest.is_empty() {
            match fields.key()? {
                (1, LengthDelimited) => entry.value = Some(fields.bytes()?),
                (2, LengthDelimited) => entry.signature_v1 = Some(fields.bytes()?),
                // An enum is an int32: what does not fit is cut off, as protobuf has it.
                (3, Varint) => entry.validity_type = Some(fields.int()? as i32),
                (4, LengthDelimited) => entry.validity = Some(fields.bytes()?),
                (5, Varint) => entry.sequence = Some(fields.int()?),
                (6, Varint) => entry.ttl = Some(fields.int()?),
                (7, LengthDelimited) => entry.public_key = Some(fields.bytes()?),
                (8, LengthDelimited) => entry.signature_v2 = fields.bytes()?,
                (9, LengthDelimited) => entry.data = fields.bytes()?,
                (tag, wire) => fields.skip(tag, wire)?,
            }
        }
        Some(entry)
    }
}

/// What is left of a message, and how many fields it may still have.
struct Fields<'a> {
    rest: &'a [u8],
    left: usize,
}

impl<'a> Fields<'a> {
    fn key(&mut self) -> Option<(u32, WireType)> {
        self.left = self.left.checked_sub(1)?;
        decode_key(&mut self.rest).ok()
    }

    fn int(&mut self) -> Option<u64> {
        decode_varint(&mut self.rest).ok()
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.int()?).ok()?;
        self.take(len)
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(taken)
    }

    /// Skips the value of a field. A group is nested no deeper than there may be fields.
    fn skip(&mut self, tag: u32, wire: WireType) -> Option<()> {
        match wire {
            WireType::Varint => self.int().map(drop),
            WireType::SixtyFourBit => self.take(8).map(drop),
            WireType::LengthDelimited => self.bytes().map(drop),
            WireType::ThirtyTwoBit => self.take(4).map(drop),
            WireType::StartGroup => loop {
                match self.key()? {
                    (end, WireType::EndGroup) => return (end == tag).then_some(()),
                    (tag, wire) => self.skip(tag, wire)?,
                }
            },
            WireType::EndGroup => None,
        }
    }
}
