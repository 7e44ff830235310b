//! A row of hydra-booster's datastore, as the providers manager of go-libp2p-kad-dht writes it (`mkProvKeyFor` and
//! `writeProviderEntry` in `providers_manager.go`).

use hydra_api::{ContentKey, ImportedRecord, PeerId, UnixSeconds};

/// `/providers/` ‖ key in base32 ‖ `/` ‖ peer id in base32.
const PREFIX: &str = "/providers/";

/// The record of a row; none if it is no provider record.
pub(super) fn record(key: &str, data: &[u8]) -> Option<ImportedRecord> {
    let (content, peer) = key.strip_prefix(PREFIX)?.split_once('/')?;
    let key = ContentKey::new(&base32(content)?).ok()?;
    let provider = PeerId::new(&base32(peer)?).ok()?;
    let nanoseconds = u64::try_from(varint(data)?).ok()?;
    let received = UnixSeconds(u32::try_from(nanoseconds / 1_000_000_000).ok()?);
    Some(ImportedRecord { key, provider, received })
}

/// The bytes of RFC 4648 base32 in upper case without padding (Go's `base32.RawStdEncoding`).
fn base32(text: &str) -> Option<Vec<u8>> {
    // Each letter has five bits; these lengths are no whole number of bytes and a rest of less than a letter.
    if matches!(text.len() % 8, 1 | 3 | 6) {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len() * 5 / 8);
    let (mut bits, mut len) = (0_u32, 0);
    for letter in text.bytes() {
        let five = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'2'..=b'7' => letter - b'2' + 26,
            _ => return None,
        };
        bits = (bits << 5 | u32::from(five)) & 0xfff;
        len += 5;
        if len >= 8 {
            len -= 8;
            bytes.push((bits >> len) as u8);
        }
    }
    Some(bytes)
}

/// A signed number in Go's `binary.PutVarint`: seven bits a byte, the lowest first, zigzag.
fn varint(bytes: &[u8]) -> Option<i64> {
    let mut number = 0_u64;
    for (at, byte) in bytes.iter().enumerate().take(10) {
        let part = u64::from(byte & 0x7f);
        if at == 9 && part > 1 {
            return None;
        }
        number |= part << (7 * at);
        if byte & 0x80 == 0 {
            return Some((number >> 1) as i64 ^ -((number & 1) as i64));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_test_vectors_of_rfc_4648_are_read() {
        let vectors = [("", ""), ("MY", "f"), ("MZXQ", "fo"), ("MZXW6", "foo"), ("MZXW6YQ", "foob")];
        for (text, bytes) in vectors.into_iter().chain([("MZXW6YTB", "fooba"), ("MZXW6YTBOI", "foobar")]) {
            assert_eq!(base32(text).unwrap(), bytes.as_bytes(), "{text}");
        }
        for wrong in ["M", "MZX", "MZXW6Y", "mzxq", "MZX1", "MY======"] {
            assert_eq!(base32(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn numbers_of_gos_encoding_are_read() {
        let cases: [(&[u8], i64); 5] = [
            (&[0], 0),
            (&[1], -1),
            (&[2], 1),
            (&[0x80, 1], 64),
            (&[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], i64::MAX),
        ];
        for (bytes, number) in cases {
            assert_eq!(varint(bytes), Some(number), "{bytes:?}");
        }
        for wrong in [&[][..], &[0x80], &[0xff; 11]] {
            assert_eq!(varint(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_row_is_a_record_or_is_skipped() {
        // 1,700,000,000 s in nanoseconds, doubled.
        let mut data = Vec::new();
        let mut rest = 1_700_000_000_u64 * 1_000_000_000 * 2;
        while rest > 0x7f {
            data.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        data.push(rest as u8);
        let read = record("/providers/MZXW6/MZXW6YQ", &data).unwrap();
        assert_eq!((read.key.as_bytes(), read.provider.as_bytes()), (&b"foo"[..], &b"foob"[..]));
        assert_eq!(read.received, UnixSeconds(1_700_000_000));
        let wrong = [
            "/pk/MZXW6",
            "/providers/MZXW6",
            "/providers//MZXW6",
            "/providers/MZXW6/",
            "/providers/foo/MZXW6",
        ];
        for key in wrong {
            assert_eq!(record(key, &data), None, "{key}");
        }
        for data in [&[][..], &[1], &[0x80]] {
            assert_eq!(record("/providers/MZXW6/MZXW6YQ", data), None, "{data:?}");
        }
    }
}
