//! A strict reader of DAG-CBOR (RFC 8949 with the restrictions of <https://ipld.io/specs/codecs/dag-cbor/spec/>).
//!
//! Libraries either let non-minimal numbers and repeated keys pass, or build a tree of what is skipped here. This reader borrows and
//! allocates nothing, and a length is compared with what is left before it is used. Refused are indefinite lengths, numbers and
//! lengths longer than need be, repeated keys, keys that are not text, text that is not UTF-8, floats other than finite ones of 64
//! bits, `undefined`, tags other than CIDs, nesting deeper than [`DEPTH_MAX`], and bytes after the end.
//!
//! The order of keys is not enforced, as neither boxo nor js-ipns enforces it. What a document costs is bounded by [`ITEMS_MAX`]: each
//! item is visited once, and its text, if it is one, is checked to be UTF-8; a key is compared with those of its map alone, which are
//! fewer than half as many.

/// The deepest nesting of maps and lists. An IPNS document needs one level, a namespace of metadata two.
const DEPTH_MAX: usize = 16;

/// The most items that a document may have, in the sense of RFC 8949: itself, and all keys and values in it, nested ones included. An
/// IPNS document has 11, and two for each entry of metadata.
pub(crate) const ITEMS_MAX: usize = 64;

/// The most keys of all maps that are open at a time: each has a value.
const KEYS_MAX: usize = ITEMS_MAX / 2;

const MANY_ITEMS: &str = "more than 64 items";

/// The value of a key, as far as an IPNS record needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Unsigned(u64),
    Bytes(&'a [u8]),
    Other,
}

type Result<T> = std::result::Result<T, &'static str>;

/// Calls `each` with every key and value of the one map that `bytes` hold.
pub(crate) fn map<'a>(bytes: &'a [u8], mut each: impl FnMut(&'a str, Value<'a>)) -> Result<()> {
    Reader::new(bytes).document(&mut each)
}

#[derive(Clone, Copy)]
enum Major {
    Unsigned,
    Negative,
    Bytes,
    Text,
    List,
    Map,
    Tag,
    Simple(u8),
}

struct Reader<'a> {
    rest: &'a [u8],
    items_left: usize,
    keys: Keys<'a>,
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, items_left: ITEMS_MAX, keys: Keys::default() }
    }

    fn document(&mut self, each: &mut dyn FnMut(&'a str, Value<'a>)) -> Result<()> {
        match self.head()? {
            (Major::Map, len) => self.entries(len, DEPTH_MAX, each)?,
            _ => return Err("not a map"),
        }
        if self.rest.is_empty() { Ok(()) } else { Err("bytes after the end") }
    }

    /// The type of the next item and its number, which must be in its shortest form.
    fn head(&mut self) -> Result<(Major, u64)> {
        self.items_left = self.items_left.checked_sub(1).ok_or(MANY_ITEMS)?;
        let initial = self.take(1)?[0];
        let info = initial & 0x1f;
        let number = match info {
            0..24 => u64::from(info),
            24..28 => {
                let bytes = self.take(1 << (info - 24))?;
                bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
            }
            31 => return Err("an indefinite length"),
            _ => return Err("a reserved type"),
        };
        let major = match initial >> 5 {
            0 => Major::Unsigned,
            1 => Major::Negative,
            2 => Major::Bytes,
            3 => Major::Text,
            4 => Major::List,
            5 => Major::Map,
            6 => Major::Tag,
            _ => return Ok((Major::Simple(info), number)),
        };
        let shortest = match number {
            0..24 => 0..=23,
            24..0x100 => 24..=24,
            0x100..0x1_0000 => 25..=25,
            0x1_0000..0x1_0000_0000 => 26..=26,
            _ => 27..=27,
        };
        if shortest.contains(&info) { Ok((major, number)) } else { Err("a number longer than need be") }
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or("cut short")?;
        self.rest = rest;
        Ok(taken)
    }

    fn bytes(&mut self, len: u64) -> Result<&'a [u8]> {
        self.take(usize::try_from(len).map_err(|_| "cut short")?)
    }

    fn text(&mut self, len: u64) -> Result<&'a str> {
        std::str::from_utf8(self.bytes(len)?).map_err(|_| "text that is not UTF-8")
    }

    fn entries(&mut self, len: u64, depth: usize, each: &mut dyn FnMut(&'a str, Value<'a>)) -> Result<()> {
        // An entry has two bytes at least: what is declared beyond that ends as "cut short", not in a long loop.
        if len > self.rest.len() as u64 / 2 {
            return Err("cut short");
        }
        let mut map = KeysOfMap { from: self.keys.len, unordered: false };
        for _ in 0..len {
            let key = match self.head()? {
                (Major::Text, len) => self.text(len)?,
                _ => return Err("a key that is not text"),
            };
            self.keys.add(key, &mut map)?;
            let value = self.value(depth)?;
            each(key, value);
        }
        self.keys.len = map.from;
        Ok(())
    }

    fn value(&mut self, depth: usize) -> Result<Value<'a>> {
        match self.head()? {
            (Major::Unsigned, number) => return Ok(Value::Unsigned(number)),
            (Major::Bytes, len) => return Ok(Value::Bytes(self.bytes(len)?)),
            (Major::Negative, _) => {}
            (Major::Text, len) => self.text(len).map(|_| ())?,
            (Major::List, len) => {
                let depth = depth.checked_sub(1).ok_or("nested too deep")?;
                if len > self.rest.len() as u64 {
                    return Err("cut short");
                }
                for _ in 0..len {
                    self.value(depth)?;
                }
            }
            (Major::Map, len) => {
                let depth = depth.checked_sub(1).ok_or("nested too deep")?;
                self.entries(len, depth, &mut |_, _| {})?;
            }
            (Major::Tag, 42) => match self.head()? {
                (Major::Bytes, len) if self.bytes(len)?.first() == Some(&0) => {}
                _ => return Err("a link that is not a CID"),
            },
            (Major::Tag, _) => return Err("a tag other than that of a CID"),
            // False, true and null.
            (Major::Simple(20..=22), _) => {}
            (Major::Simple(27), bits) if f64::from_bits(bits).is_finite() => {}
            (Major::Simple(_), _) => return Err("a simple value or float that DAG-CBOR does not have"),
        }
        Ok(Value::Other)
    }
}

/// The keys of the maps that are open, those of an inner one after those of the outer ones.
#[derive(Default)]
struct Keys<'a> {
    all: [&'a str; KEYS_MAX],
    len: usize,
}

/// Where the keys of a map begin.
struct KeysOfMap {
    from: usize,
    unordered: bool,
}

impl<'a> Keys<'a> {
    /// Adds a key to the innermost map; a repeated one is found.
    fn add(&mut self, key: &'a str, map: &mut KeysOfMap) -> Result<()> {
        let before = &self.all[map.from..self.len];
        map.unordered |= before.last().is_some_and(|last| (key.len(), key) <= (last.len(), last));
        if map.unordered && before.contains(&key) {
            return Err("a repeated key");
        }
        *self.all.get_mut(self.len).ok_or(MANY_ITEMS)? = key;
        self.len += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
