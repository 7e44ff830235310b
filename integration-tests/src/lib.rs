//! What the integration tests share: nodes, servers and foreign clients that end with the test that started them.

pub mod foreign;
pub mod measure;
pub mod node;
pub mod peer;
pub mod stores;
