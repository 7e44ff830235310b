//! All records of a store, page by page.

use crate::{ContentKey, Provider};
use bytes::Bytes;
use std::fmt;

/// One page of a scan.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Page {
    /// The records of the page. There may be none of them on a page that is not the last.
    pub records: Vec<KeyProvider>,
    /// Where the next page begins; `None` on the last page.
    pub next: Option<Cursor>,
}

impl Page {
    /// A page of these records.
    pub const fn new(records: Vec<KeyProvider>, next: Option<Cursor>) -> Self {
        Self { records, next }
    }
}

/// A record as a scan returns it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyProvider {
    /// What is provided.
    pub key: ContentKey,
    /// Its provider.
    pub provider: Provider,
}

/// Where a scan goes on: bytes of the store's own, 1 to [`Cursor::LEN_MAX`] of them.
///
/// To be kept in a file and given back to the same store; they mean nothing to anybody else.
#[derive(Clone, PartialEq, Eq)]
pub struct Cursor(Bytes);

impl Cursor {
    /// The longest cursor, in bytes.
    pub const LEN_MAX: usize = 4096;

    /// A cursor of these bytes.
    ///
    /// # Errors
    /// [`CursorError`] when there are none, or more than [`Self::LEN_MAX`].
    pub fn new(bytes: impl Into<Bytes>) -> Result<Self, CursorError> {
        let bytes = bytes.into();
        if (1..=Self::LEN_MAX).contains(&bytes.len()) {
            Ok(Self(bytes))
        } else {
            Err(CursorError { len: bytes.len() })
        }
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cursor(")?;
        crate::peer::hex(&self.0, f)?;
        f.write_str(")")
    }
}

/// Bytes that are no [`Cursor`]: none, or too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a cursor has 1 to {max} bytes, not {len}", max = Cursor::LEN_MAX)]
pub struct CursorError {
    /// How many there are.
    pub len: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_neither_empty_nor_long() {
        assert_eq!(Cursor::new(Vec::new()), Err(CursorError { len: 0 }));
        assert_eq!(Cursor::new(vec![1; 4096]).unwrap().as_bytes(), [1; 4096]);
        assert_eq!(Cursor::new(vec![1; 4097]), Err(CursorError { len: 4097 }));
    }
}
