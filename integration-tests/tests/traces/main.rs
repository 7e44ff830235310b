//! Traces: what a collector is sent, and that a collector that is slow, hangs or is gone never matters.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod burden;
mod collector;
mod exporter;
mod node;
mod span;
mod tls;
