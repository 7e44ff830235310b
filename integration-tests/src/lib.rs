//! What the integration tests share: nodes, servers and foreign clients that end with the test that started them.

pub mod exposition;
pub mod faketime;
pub mod foreign;
pub mod http;
pub mod measure;
pub mod names;
pub mod network;
pub mod node;
pub mod peer;
pub mod policies;
pub mod raw;
pub mod stores;
