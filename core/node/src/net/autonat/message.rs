//! The messages of AutoNAT v2, each with its length before it.

use super::{CheckError, Verdict};
use crate::net::protobuf::{Value, field, put_bytes, put_fixed64, put_varint};
use libp2p::Multiaddr;

/// Bytes of one message with data: rust-libp2p reads 4,104 with all around them.
const DATA_LEN: usize = 4_000;
/// The longest data that a server may want (the specification: 30,000 to 100,000 bytes).
pub(super) const DATA_BYTES_MAX: u64 = 100_000;

/// What a server says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Response {
    /// It wants so many bytes before it dials, so that nobody has it flood others.
    WantsData(u64),
    /// It is done.
    Ended(Result<Verdict, CheckError>),
}

/// The request to test one address.
pub(super) fn dial_request(tested: &Multiaddr, nonce: u64) -> Vec<u8> {
    let mut request = Vec::new();
    put_bytes(&mut request, 1, tested.as_ref());
    put_fixed64(&mut request, 2, nonce);
    let mut message = Vec::new();
    put_bytes(&mut message, 1, &request);
    framed(&message)
}

/// Messages that carry so many bytes together.
pub(super) fn data(mut bytes: u64) -> impl Iterator<Item = Vec<u8>> {
    std::iter::from_fn(move || {
        let len = bytes.min(DATA_LEN as u64);
        bytes -= len;
        (len > 0).then(|| {
            let (mut data, mut message) = (Vec::new(), Vec::new());
            put_bytes(&mut data, 1, &[0; DATA_LEN][..len as usize]);
            put_bytes(&mut message, 4, &data);
            framed(&message)
        })
    })
}

/// The acknowledgement of a number, whose only field has its default.
pub(super) fn dial_back_response() -> Vec<u8> {
    framed(&[])
}

impl Response {
    /// Decodes a message to a client that asked about one address; nothing when it is none.
    pub(super) fn decode(mut message: &[u8]) -> Option<Self> {
        match field(&mut message)? {
            (2, Value::Bytes(response)) => Self::ended(response),
            (3, Value::Bytes(request)) => {
                let [index, bytes] = numbers(request, [1, 2])?;
                (index == 0 && bytes <= DATA_BYTES_MAX).then_some(Self::WantsData(bytes))
            }
            _ => None,
        }
    }

    fn ended(response: &[u8]) -> Option<Self> {
        const OK: u64 = 200;
        let [status, index, dial_status] = numbers(response, [1, 2, 3])?;
        Some(Self::Ended(match (status, dial_status) {
            (OK, OK) if index == 0 => Ok(Verdict::Reachable),
            // E_DIAL_ERROR: no connection.
            (OK, 100) if index == 0 => Ok(Verdict::Unreachable),
            // E_DIAL_BACK_ERROR: a connection, and no stream on it.
            (OK, 101) if index == 0 => Err(CheckError::Unfinished),
            // E_REQUEST_REJECTED, as when it was asked too often, and E_DIAL_REFUSED.
            (100 | 101, _) => Err(CheckError::Refused),
            (0, _) => Err(CheckError::Unfinished),
            _ => return None,
        }))
    }
}

/// The number in a message that hands it over.
pub(super) fn dial_back(mut message: &[u8]) -> Option<u64> {
    match field(&mut message)? {
        (1, Value::Fixed64(nonce)) => Some(nonce),
        _ => None,
    }
}

/// The fields of these numbers, each of which is 0 if it is not there; nothing when the message is none.
fn numbers<const LEN: usize>(mut message: &[u8], wanted: [u64; LEN]) -> Option<[u64; LEN]> {
    let mut found = [0; LEN];
    while !message.is_empty() {
        let (number, value) = field(&mut message)?;
        if let (Value::Varint(value), Some(at)) = (value, wanted.iter().position(|one| *one == number)) {
            found[at] = value;
        }
    }
    Some(found)
}

fn framed(message: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(message.len() + 2);
    put_varint(&mut frame, message.len() as u64);
    frame.extend_from_slice(message);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(fields: &[(u64, u64)], kind: u64) -> Vec<u8> {
        let (mut inner, mut message) = (Vec::new(), Vec::new());
        for (number, value) in fields {
            put_varint(&mut inner, number << 3);
            put_varint(&mut inner, *value);
        }
        put_bytes(&mut message, kind, &inner);
        message
    }

    #[test]
    fn what_a_server_says_is_understood() {
        let ended = |fields: &[(u64, u64)]| Response::decode(&response(fields, 2));
        assert_eq!(ended(&[(1, 200), (3, 200)]), Some(Response::Ended(Ok(Verdict::Reachable))));
        assert_eq!(ended(&[(1, 200), (3, 100)]), Some(Response::Ended(Ok(Verdict::Unreachable))));
        assert_eq!(ended(&[(1, 200), (3, 101)]), Some(Response::Ended(Err(CheckError::Unfinished))));
        assert_eq!(ended(&[(1, 100)]), Some(Response::Ended(Err(CheckError::Refused))));
        assert_eq!(ended(&[(1, 101)]), Some(Response::Ended(Err(CheckError::Refused))));
        assert_eq!(ended(&[]), Some(Response::Ended(Err(CheckError::Unfinished))));
        assert_eq!(
            ended(&[(1, 200), (2, 1), (3, 200)]),
            None,
            "about an address that it was not asked about"
        );
        assert_eq!(ended(&[(1, 300)]), None);
        let wants = |fields: &[(u64, u64)]| Response::decode(&response(fields, 3));
        assert_eq!(wants(&[(2, 30_000)]), Some(Response::WantsData(30_000)));
        assert_eq!(wants(&[(2, DATA_BYTES_MAX + 1)]), None, "a server must not have the node send anything");
        assert_eq!(Response::decode(b""), None);
        assert_eq!(Response::decode(&[0xff; 20]), None);
    }

    #[test]
    fn data_is_sent_in_messages_that_others_read() {
        let frames: Vec<_> = data(100_000).collect();
        assert!(frames.iter().all(|frame| frame.len() <= 4_104));
        assert_eq!(frames.len(), 25);
        assert_eq!(data(0).count(), 0);
    }
}
