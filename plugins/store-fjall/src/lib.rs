//! A store of provider records.
