//! Server or client.

/// Whether requests are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// The protocol is offered: identify lists it, and streams are served.
    Server,
    /// The protocol is not offered, and new inbound streams are refused (N1). Those that are open are served to their
    /// end.
    Client,
}
