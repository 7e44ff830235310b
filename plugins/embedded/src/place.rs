//! Where a scan of an embedded store goes on.

use hydra_api::{ContentKey, Cursor, StoreError};

/// After the record of a key and a provider number; the numbers of a key are in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScanPlace {
    /// The key.
    pub key: ContentKey,
    /// The provider number.
    pub number: u32,
}

impl ScanPlace {
    /// The cursor of a store of one kind, which `tag` names.
    pub fn cursor(&self, tag: u8) -> Option<Cursor> {
        let bytes = [&[tag][..], &self.number.to_be_bytes(), self.key.as_bytes()].concat();
        Cursor::new(bytes).ok()
    }

    /// The place of a cursor.
    ///
    /// # Errors
    /// [`StoreError::foreign_cursor`] when it is none of this kind of store.
    pub fn of_cursor(cursor: &Cursor, tag: u8) -> Result<Self, StoreError> {
        let place = || {
            let rest = cursor.as_bytes().strip_prefix(&[tag])?;
            let (number, key) = rest.split_first_chunk::<4>()?;
            Some(Self { key: ContentKey::new(key).ok()?, number: u32::from_be_bytes(*number) })
        };
        place().ok_or_else(|| StoreError::foreign_cursor("scan"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hydra_conformance::given::key;

    #[test]
    fn a_cursor_names_its_place_and_its_kind_of_store() {
        let place = ScanPlace { key: key(1), number: 9 };
        let cursor = place.cursor(b'x').unwrap();
        assert_eq!(ScanPlace::of_cursor(&cursor, b'x').unwrap(), place);
        assert!(ScanPlace::of_cursor(&cursor, b'y').is_err());
        let short = Cursor::new(cursor.as_bytes()[..5].to_vec()).unwrap();
        assert!(ScanPlace::of_cursor(&short, b'x').is_err());
    }
}
