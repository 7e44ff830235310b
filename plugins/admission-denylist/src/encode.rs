//! Keys as the text that double-hashed rules are made of, without an allocation.

use hydra_api::ContentKey;

/// The longest key that is encoded.
pub(crate) const KEY_MAX: usize = ContentKey::LEN_MAX;

/// A text of up to `N` bytes.
#[derive(Debug)]
pub(crate) struct Text<const N: usize> {
    bytes: [u8; N],
    begin: usize,
    end: usize,
}

impl<const N: usize> Text<N> {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[self.begin..self.end]
    }
}

/// 80 bytes take 110 digits, and are made in groups of five.
pub(crate) type Base58 = Text<115>;

/// `b`, the digits of a CID around 80 bytes, and `/`.
pub(crate) type Base32 = Text<136>;

/// Base58 as Bitcoin has it, the way a multihash is written (CIDv0).
pub(crate) fn base58(key: &[u8; KEY_MAX], len: usize) -> Base58 {
    const DIGITS: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    const GROUP: u64 = 58 * 58 * 58 * 58 * 58;
    const WORDS_MAX: usize = KEY_MAX / 4;
    let len = len.min(KEY_MAX);
    let zeros = key[..len].iter().take_while(|byte| **byte == 0).count();
    // The number in words of 32 bits, the most significant first.
    let mut words = [0u32; WORDS_MAX];
    let mut padded = [0u8; KEY_MAX];
    padded[KEY_MAX - len..].copy_from_slice(&key[..len]);
    for (word, bytes) in words.iter_mut().zip(padded.as_chunks::<4>().0) {
        *word = u32::from_be_bytes(*bytes);
    }
    let mut text = Base58 { bytes: [0; 115], begin: 115, end: 115 };
    let mut first = words.iter().take_while(|word| **word == 0).count();
    while first < WORDS_MAX {
        // Five digits at a time.
        let mut rest = 0u64;
        for word in &mut words[first..] {
            let value = (rest << 32) | u64::from(*word);
            *word = (value / GROUP) as u32;
            rest = value % GROUP;
        }
        for _ in 0..5 {
            text.begin -= 1;
            text.bytes[text.begin] = DIGITS[(rest % 58) as usize];
            rest /= 58;
        }
        first += words[first..].iter().take_while(|word| **word == 0).count();
    }
    // The last group may have digits too many; each zero byte in front is a digit of its own.
    while text.begin < text.end && text.bytes[text.begin] == b'1' {
        text.begin += 1;
    }
    text.begin -= zeros;
    text.bytes[text.begin..text.begin + zeros].fill(b'1');
    text
}

/// The CIDv1 of a multihash in base32, with a slash at the end: what legacy rules are hashes of.
pub(crate) fn cid_base32(codec: u8, key: &[u8]) -> Base32 {
    const DIGITS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut text = Base32 { bytes: [0; 136], begin: 0, end: 0 };
    let mut push = |byte| {
        text.bytes[text.end] = byte;
        text.end += 1;
    };
    push(b'b');
    let (mut bits, mut held) = (0u32, 0);
    for byte in [1, codec].into_iter().chain(key.iter().copied().take(KEY_MAX)) {
        bits = (bits << 8) | u32::from(byte);
        held += 8;
        while held >= 5 {
            held -= 5;
            push(DIGITS[(bits >> held) as usize & 31]);
        }
        bits &= (1 << held) - 1;
    }
    if held > 0 {
        push(DIGITS[(bits << (5 - held)) as usize & 31]);
    }
    push(b'/');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use cid::multibase::Base;

    fn keys() -> impl Iterator<Item = Vec<u8>> {
        let byte = |seed: usize, place: usize| (seed * 131 + place * 89 + seed * place) as u8;
        let of_len = move |len| (0..20).map(move |seed| (0..len).map(|place| byte(seed, place)).collect());
        let zeros = (0..=KEY_MAX).flat_map(|len| [vec![0; len], vec![0xff; len]]);
        (0..=KEY_MAX).flat_map(of_len).chain(zeros)
    }

    #[test]
    fn base58_is_that_of_multibase() {
        for key in keys() {
            let mut padded = [7; KEY_MAX];
            padded[..key.len()].copy_from_slice(&key);
            let text = base58(&padded, key.len());
            assert_eq!(str::from_utf8(text.as_bytes()).unwrap(), Base::Base58Btc.encode(&key), "{key:?}");
        }
    }

    #[test]
    fn base32_is_that_of_multibase() {
        for key in keys() {
            let cid = [&[1, 0x70], &key[..]].concat();
            let expected = format!("b{}/", Base::Base32Lower.encode(cid));
            assert_eq!(str::from_utf8(cid_base32(0x70, &key).as_bytes()).unwrap(), expected);
        }
    }
}
