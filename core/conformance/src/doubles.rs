//! Stores that misbehave on purpose.
