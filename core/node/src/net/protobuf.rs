//! The little of protobuf that the node reads and writes itself: fields of short messages.

/// The value of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    /// A number.
    Varint(u64),
    /// A number of eight bytes.
    Fixed64(u64),
    /// Bytes, a text or a message.
    Bytes(&'a [u8]),
    /// A number of four bytes, which no message read here has.
    Fixed32,
}

/// Takes the next field, as its number and value; nothing when there is none.
pub(crate) fn field<'a>(rest: &mut &'a [u8]) -> Option<(u64, Value<'a>)> {
    let tag = varint(rest)?;
    let value = match tag & 7 {
        0 => Value::Varint(varint(rest)?),
        1 => Value::Fixed64(u64::from_le_bytes(take(rest, 8)?.try_into().ok()?)),
        2 => {
            let len = usize::try_from(varint(rest)?).ok()?;
            Value::Bytes(take(rest, len)?)
        }
        5 => take(rest, 4).map(|_| Value::Fixed32)?,
        _ => return None,
    };
    Some((tag >> 3, value))
}

/// Appends a number in as few bytes as it takes.
pub(crate) fn put_varint(to: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        to.push(value as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}

/// Appends a field of bytes, a text or a message.
pub(crate) fn put_bytes(to: &mut Vec<u8>, number: u64, bytes: &[u8]) {
    put_varint(to, number << 3 | 2);
    put_varint(to, bytes.len() as u64);
    to.extend_from_slice(bytes);
}

/// Appends a field that is a number of eight bytes.
pub(crate) fn put_fixed64(to: &mut Vec<u8>, number: u64, value: u64) {
    put_varint(to, number << 3 | 1);
    to.extend_from_slice(&value.to_le_bytes());
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(len)?;
    *rest = left;
    Some(taken)
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = take(rest, 1)?[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut bytes = Vec::new();
        put_bytes(&mut bytes, 3, &[7; 300]);
        put_fixed64(&mut bytes, 2, u64::MAX - 1);
        put_varint(&mut bytes, 4 << 3);
        put_varint(&mut bytes, u64::MAX);
        let mut rest = bytes.as_slice();
        assert_eq!(field(&mut rest), Some((3, Value::Bytes(&[7; 300]))));
        assert_eq!(field(&mut rest), Some((2, Value::Fixed64(u64::MAX - 1))));
        assert_eq!(field(&mut rest), Some((4, Value::Varint(u64::MAX))));
        assert_eq!((field(&mut rest), rest), (None, &[][..]));
    }
}
