//! The servers: how they are reached, which of them has which key, and what their errors mean.

mod address;
mod connector;
mod fault;
mod fleet;
mod map;
mod node;
mod operation;
mod report;
mod resolve;
mod slot;

pub(crate) use connector::{Connector, SYSTEM};
pub(crate) use fault::{Class, Fault};
pub(crate) use fleet::{Fleet, Request};
pub(crate) use node::Node;
pub(crate) use operation::during;
pub(crate) use slot::slot_of;
