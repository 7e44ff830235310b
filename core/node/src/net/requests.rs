//! From a request on the wire to its answer.

pub(crate) mod activity;
pub(crate) mod answer_size;
pub(crate) mod nearness;
pub(crate) mod proof;
pub(crate) mod request_handler;
