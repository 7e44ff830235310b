//! The signed data of an IPNS record: a DAG-CBOR map with five known fields.

use crate::cbor::{self, Value};
use crate::envelope::Envelope;
use crate::{Error, Timestamp};

/// The fields of the data, borrowed from it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Document<'a> {
    pub(crate) value: &'a [u8],
    pub(crate) sequence: u64,
    pub(crate) eol: Timestamp,
    /// Missing in some records without V1 fields; boxo accepts these.
    pub(crate) ttl: Option<u64>,
    validity: &'a [u8],
}

impl<'a> Document<'a> {
    /// Reads the data strictly and checks the fields. Other keys are allowed and ignored.
    pub(crate) fn parse(data: &'a [u8]) -> Result<Self, Error> {
        let (mut value, mut validity, mut kind, mut sequence, mut ttl) = (None, None, None, None, None);
        cbor::map(data, |key, found| match key {
            "Value" => value = Some(found),
            "Validity" => validity = Some(found),
            "ValidityType" => kind = Some(found),
            "Sequence" => sequence = Some(found),
            "TTL" => ttl = Some(found),
            _ => {}
        })
        .map_err(Error::Cbor)?;
        let value = bytes("Value", value)?;
        if unsigned("ValidityType", kind)? != 0 {
            return Err(Error::ValidityType);
        }
        let validity = bytes("Validity", validity)?;
        let eol = Timestamp::parse_rfc3339(validity).ok_or(Error::Validity)?;
        let sequence = unsigned("Sequence", sequence)?;
        let ttl = ttl.map(|ttl| unsigned("TTL", Some(ttl))).transpose()?;
        Ok(Self { value, sequence, eol, ttl, validity })
    }

    /// Compares the legacy fields of the entry with the data. In an entry with a V1 signature or value a missing field counts as
    /// empty or 0, as the specification has it (step 7), and numbers must fit an int64, as boxo reads them so; in others every field
    /// that is present must agree.
    pub(crate) fn agrees_with(&self, entry: &Envelope<'_>) -> Result<(), Error> {
        let present = |field: Option<&[u8]>| field.is_some_and(|bytes| !bytes.is_empty());
        if present(entry.signature_v1) || present(entry.value) {
            let ttl = self.ttl.ok_or(Error::Field("TTL"))?;
            int64("Sequence", self.sequence)?;
            int64("TTL", ttl)?;
            agree("value", entry.value.unwrap_or_default(), self.value)?;
            agree("validity", entry.validity.unwrap_or_default(), self.validity)?;
            agree("validityType", entry.validity_type.unwrap_or(0), 0)?;
            agree("sequence", entry.sequence.unwrap_or(0), self.sequence)?;
            return agree("ttl", entry.ttl.unwrap_or(0), ttl);
        }
        entry.value.map_or(Ok(()), |value| agree("value", value, self.value))?;
        entry.validity.map_or(Ok(()), |validity| agree("validity", validity, self.validity))?;
        entry.validity_type.map_or(Ok(()), |kind| agree("validityType", kind, 0))?;
        entry.sequence.map_or(Ok(()), |sequence| agree("sequence", sequence, self.sequence))?;
        entry.ttl.map_or(Ok(()), |ttl| agree("ttl", Some(ttl), self.ttl))
    }
}

fn int64(field: &'static str, number: u64) -> Result<(), Error> {
    i64::try_from(number).map(drop).map_err(|_| Error::Field(field))
}

fn agree<T: PartialEq>(field: &'static str, entry: T, data: T) -> Result<(), Error> {
    if entry == data { Ok(()) } else { Err(Error::Mismatch(field)) }
}

fn bytes<'a>(field: &'static str, found: Option<Value<'a>>) -> Result<&'a [u8], Error> {
    match found {
        Some(Value::Bytes(bytes)) => Ok(bytes),
        Some(Value::Unsigned(_) | Value::Other) | None => Err(Error::Field(field)),
    }
}

fn unsigned(field: &'static str, found: Option<Value<'_>>) -> Result<u64, Error> {
    match found {
        Some(Value::Unsigned(number)) => Ok(number),
        Some(Value::Bytes(_) | Value::Other) | None => Err(Error::Field(field)),
    }
}
