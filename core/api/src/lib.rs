//! What a hydra plugin implements, and nothing else.
//!
//! A node of hydra is put together from three kinds of part, each behind a trait of this crate and chosen by its
//! `kind` in TOML:
//!
//! | role | trait | says |
//! |---|---|---|
//! | store | [`ProviderStore`] | where provider records are kept |
//! | admission | [`AdmissionPolicy`] | which requests are served in full, degraded or declined |
//! | ids | [`IdAllocator`] | which identities and ports this process serves |
//!
//! Each trait numbers its rules in its documentation (S1, A1, I1 …); the crate `hydra-conformance` has a test for
//! every number. The values are hydra's own, not libp2p's: a release of libp2p does not break a plugin.
//!
//! A plugin is a type that implements [`Plugin`]; it is made known with [`Registry::add`].

mod addresses;
pub mod admission;
mod causes;
pub mod ids;
pub mod import;
mod key;
pub mod metrics;
mod nested;
mod peer;
mod plugin;
mod reconfigure;
mod record;
mod secret;
pub mod store;
mod time;
pub mod value;

pub use addresses::{Addresses, AddressesError};
pub use admission::{
    AdmissionPolicy, Judgement, Load, Operation, Outcome, ReasonId, Request, Rung, Token, Verdict,
};
pub use async_trait::async_trait;
pub use causes::Causes;
pub use ids::{
    HeadCount, HeadLease, HeadPreview, HeldSlot, IdAllocator, IdError, IdErrorKind, Identity, Progress,
    Renewal, Renewed,
};
pub use import::{ImportEntry, ImportPage, ImportSource, ImportedRecord, Importer};
pub use key::{ContentKey, KeyError};
pub use metrics::{Buckets, Figure, Histogram, Metric, MetricError};
pub use nested::Nested;
pub use peer::{PeerId, PeerIdError};
pub use plugin::{
    Admission, ConfigIssue, Entry, Ids, OpenError, OpenErrorKind, Plugin, Purpose, Registry, Role, Scope,
    Store,
};
pub use reconfigure::ReconfigureError;
pub use record::{Provider, ProviderRecord};
pub use secret::{Secret, SecretError, SecretSource};
pub use serde_json::Value;
pub use store::{
    Cursor, DeleteProgress, Deleted, Deletion, Durability, Estimate, EstimateMethod, Expiry, Found, Inserted,
    KeyProvider, Page, ProviderStore, PurgeProgress, Purged, RecordOutcome, Sharing, StoreError,
    StoreErrorKind, StoreProfile,
};
pub use time::UnixSeconds;
pub use value::{
    FoundValue, PutOutcome, ValueEstimate, ValueKey, ValuePage, ValuePut, ValueRecord, ValueStore,
};
