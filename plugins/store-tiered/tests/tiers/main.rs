//! What a tiered store does with tiers that fail, lose, lag behind or come late.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod failures;
mod figures;
mod opening;
mod races;
mod random;
mod reads;
mod rig;
mod upkeep;
mod writes;
