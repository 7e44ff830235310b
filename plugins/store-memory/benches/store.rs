//! What a record costs: `cargo bench -p hydra-store-memory`.
fn main() {}
