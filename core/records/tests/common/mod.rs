//! Records of boxo, and a maker of records that break one rule.

#![allow(dead_code, reason = "not every test uses all of it")]

use bytes::Bytes;
use hydra_records::{Entry, Error, Namespace, Record, RecordKey, Timestamp};
use libp2p_identity::Keypair;
use serde::Deserialize;

/// A record and what boxo says of it.
#[derive(Debug, Deserialize)]
pub(crate) struct Vector {
    pub(crate) name: String,
    key_hex: String,
    value_hex: String,
    pub(crate) valid: bool,
    pub(crate) worse: Vec<String>,
}

impl Vector {
    pub(crate) fn key(&self) -> RecordKey {
        RecordKey::parse(&unhex(&self.key_hex)).unwrap()
    }

    pub(crate) fn value(&self) -> Bytes {
        unhex(&self.value_hex).into()
    }
}

/// The records in `vectors/boxo.jsonl`, or those that `integration-tests/go records` has just printed to a file.
pub(crate) fn vectors() -> Vec<Vector> {
    let printed =
        std::env::var("HYDRA_TEST_VALUE_RECORDS").map(|file| std::fs::read_to_string(file).unwrap());
    let lines = printed.unwrap_or_else(|_| include_str!("../vectors/boxo.jsonl").to_owned());
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// When `vectors/boxo.jsonl` was made, or now for records that were just printed.
pub(crate) fn vectors_now() -> Timestamp {
    match std::env::var("HYDRA_TEST_VALUE_RECORDS") {
        Ok(_) => std::time::SystemTime::now().into(),
        Err(_) => now(),
    }
}

pub(crate) fn now() -> Timestamp {
    Timestamp::parse_rfc3339(b"2026-11-28T06:16:00Z").unwrap()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

pub(crate) fn check(key: &RecordKey, bytes: impl Into<Bytes>) -> Result<Record, Error> {
    Entry::parse(key, bytes)?.verify(now())
}

/// What an IPNS entry is made of; each part may be spoilt.
#[derive(Debug, Clone)]
pub(crate) struct Maker {
    pub(crate) keys: Keypair,
    /// Key and encoded value.
    pub(crate) document: Vec<(String, Vec<u8>)>,
    /// Field number and content, before the signature and the data.
    pub(crate) fields: Vec<u8>,
}

impl Maker {
    pub(crate) fn new(keys: Keypair, sequence: u64, eol: &str) -> Self {
        let document = [
            ("TTL", number(60)),
            ("Value", byte_string(b"/ipfs/bafkqaddwgevxmmraojswg33smq")),
            ("Sequence", number(sequence)),
            ("Validity", byte_string(eol.as_bytes())),
            ("ValidityType", number(0)),
        ];
        let document = document.map(|(key, value)| (key.to_owned(), value)).to_vec();
        Self { keys, document, fields: Vec::new() }
    }

    pub(crate) fn set(mut self, key: &str, value: Option<Vec<u8>>) -> Self {
        self.document.retain(|(other, _)| other != key);
        self.document.extend(value.map(|value| (key.to_owned(), value)));
        self
    }

    pub(crate) fn key(&self) -> RecordKey {
        RecordKey::new(Namespace::Ipns, self.keys.public().to_peer_id())
    }

    pub(crate) fn data(&self) -> Vec<u8> {
        let mut data = vec![0xa0 + self.document.len() as u8];
        for (key, value) in &self.document {
            data.push(0x60 + key.len() as u8);
            data.extend(key.as_bytes());
            data.extend(value);
        }
        data
    }

    pub(crate) fn make(&self) -> Vec<u8> {
        let data = self.data();
        let signature = self.keys.sign(&[b"ipns-signature:", &*data].concat()).unwrap();
        [self.fields.clone(), field(8, &signature), field(9, &data)].concat()
    }
}

/// A length-delimited protobuf field.
pub(crate) fn field(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag << 3 | 2];
    let mut len = content.len();
    while len > 0x7f {
        bytes.push(len as u8 | 0x80);
        len >>= 7;
    }
    bytes.push(len as u8);
    bytes.extend(content);
    bytes
}

pub(crate) fn number(number: u64) -> Vec<u8> {
    head(0, number)
}

pub(crate) fn byte_string(content: &[u8]) -> Vec<u8> {
    [head(0x40, content.len() as u64), content.to_vec()].concat()
}

fn head(major: u8, number: u64) -> Vec<u8> {
    let bytes = number.to_be_bytes();
    match number {
        0..24 => vec![major + number as u8],
        24..0x100 => vec![major + 24, bytes[7]],
        0x100..0x1_0000 => [&[major + 25], &bytes[6..]].concat(),
        0x1_0000..0x1_0000_0000 => [&[major + 26], &bytes[4..]].concat(),
        _ => [&[major + 27], &bytes[..]].concat(),
    }
}
