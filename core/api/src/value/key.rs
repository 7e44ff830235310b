//! The key of a value record.

use crate::{ContentKey, KeyError};
use std::borrow::Borrow;
use std::fmt;

/// The key of a value record as it travels on the wire: `/pk/` or `/ipns/` and a binary peer id, 1 to [`ValueKey::LEN_MAX`] bytes.
/// They are not looked into.
///
/// Kept inline, so that copying a key allocates nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueKey(ContentKey);

impl ValueKey {
    /// The longest key accepted, in bytes: room for a namespace beside the longest peer id.
    pub const LEN_MAX: usize = ContentKey::LEN_MAX;

    /// A key of these bytes.
    ///
    /// # Errors
    /// [`ValueKeyError`] when there are none, or more than [`Self::LEN_MAX`].
    pub fn new(bytes: &[u8]) -> Result<Self, ValueKeyError> {
        Ok(Self(ContentKey::new(bytes)?))
    }

    /// The bytes of the key.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// Why bytes are no [`ValueKey`].
pub type ValueKeyError = KeyError;

impl TryFrom<&[u8]> for ValueKey {
    type Error = ValueKeyError;
    fn try_from(bytes: &[u8]) -> Result<Self, ValueKeyError> {
        Self::new(bytes)
    }
}
impl AsRef<[u8]> for ValueKey {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}
impl Borrow<[u8]> for ValueKey {
    fn borrow(&self) -> &[u8] {
        self.as_bytes()
    }
}
impl fmt::Debug for ValueKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ValueKey({self})")
    }
}
/// Lower-case hexadecimal.
impl fmt::Display for ValueKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
