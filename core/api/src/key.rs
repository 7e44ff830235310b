//! The key under which providers are found.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

/// The key of a provider record as it travels on the wire: a multihash of 1 to [`ContentKey::LEN_MAX`] bytes.
///
/// Kept inline, so that copying a key allocates nothing. Two keys are equal when their bytes are.
#[derive(Clone, Copy)]
pub struct ContentKey {
    len: u8,
    bytes: [u8; Self::LEN_MAX],
}

impl ContentKey {
    /// The longest key accepted, in bytes (go-libp2p-kad-dht `handlers.go`, requirement V1).
    pub const LEN_MAX: usize = 80;

    /// A key of these bytes.
    ///
    /// # Errors
    /// [`KeyError`] when there are none, or more than [`Self::LEN_MAX`].
    pub fn new(bytes: &[u8]) -> Result<Self, KeyError> {
        if bytes.is_empty() {
            return Err(KeyError::Empty);
        }
        if bytes.len() > Self::LEN_MAX {
            return Err(KeyError::TooLong { len: bytes.len() });
        }
        let mut key = Self { len: bytes.len() as u8, bytes: [0; Self::LEN_MAX] };
        key.bytes[..bytes.len()].copy_from_slice(bytes);
        Ok(key)
    }

    /// The bytes of the key.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// Why bytes are no [`ContentKey`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// There are no bytes.
    #[error("the key is empty")]
    Empty,
    /// There are more than [`ContentKey::LEN_MAX`] bytes.
    #[error("the key has {len} bytes, more than {max}", max = ContentKey::LEN_MAX)]
    TooLong {
        /// How many there are.
        len: usize,
    },
}

impl TryFrom<&[u8]> for ContentKey {
    type Error = KeyError;
    fn try_from(bytes: &[u8]) -> Result<Self, KeyError> {
        Self::new(bytes)
    }
}
impl AsRef<[u8]> for ContentKey {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}
impl Borrow<[u8]> for ContentKey {
    fn borrow(&self) -> &[u8] {
        self.as_bytes()
    }
}
impl PartialEq for ContentKey {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}
impl Eq for ContentKey {}
impl Hash for ContentKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}
impl PartialOrd for ContentKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for ContentKey {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}
impl fmt::Debug for ContentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContentKey({self})")
    }
}
/// Lower-case hexadecimal.
impl fmt::Display for ContentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        crate::peer::hex(self.as_bytes(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn v1_eighty_bytes_are_a_key_and_eighty_one_are_not() {
        assert_eq!(ContentKey::new(&[7; 80]).unwrap().as_bytes(), [7; 80]);
        assert_eq!(ContentKey::new(&[7; 81]), Err(KeyError::TooLong { len: 81 }));
        assert_eq!(ContentKey::new(&[]), Err(KeyError::Empty));
    }

    #[test]
    fn a_key_and_its_prefix_differ() {
        let (short, long) = (ContentKey::new(&[0]).unwrap(), ContentKey::new(&[0, 0]).unwrap());
        assert_ne!(short, long);
        assert!(short < long);
        assert_eq!(long.to_string(), "0000");
    }
}
