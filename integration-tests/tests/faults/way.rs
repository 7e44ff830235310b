//! How a node reaches its server.

use super::link::Link;
use super::names::{NAME, Names};
use std::io;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

/// What lies between a node and the port of its server on 127.0.0.1.
#[derive(Debug)]
pub(crate) enum Way {
    /// Nothing.
    Straight(u16),
    /// A port that can be closed.
    Link(Link),
    /// A name that can move.
    Name(Names),
}

impl Way {
    /// Needs a runtime.
    ///
    /// # Errors
    /// If no port is free.
    pub(crate) fn by_link(server: u16) -> io::Result<Self> {
        Link::open(([127, 0, 0, 1], 0).into(), server).map(Self::Link)
    }

    /// Needs a runtime.
    ///
    /// # Errors
    /// If no port is free or the file of names cannot be written.
    pub(crate) fn by_name(server: u16) -> io::Result<Self> {
        Names::new(server).map(Self::Name)
    }

    /// Where the node is to look for the server.
    pub(crate) fn host(&self) -> String {
        match self {
            Self::Straight(port) => format!("127.0.0.1:{port}"),
            Self::Link(link) => format!("127.0.0.1:{}", link.port()),
            Self::Name(names) => format!("{NAME}:{}", names.port()),
        }
    }

    /// What the node has to see as `/etc/hosts`.
    pub(crate) fn hosts_file(&self) -> Option<&Path> {
        match self {
            Self::Name(names) => Some(names.file()),
            Self::Straight(_) | Self::Link(_) => None,
        }
    }

    /// Closes the port for so long, or lets the server move, and so much later its name.
    ///
    /// # Errors
    /// If nothing can be done to this way.
    pub(crate) fn fail(&mut self, during: Duration) -> io::Result<()> {
        match self {
            Self::Straight(_) => Err(io::Error::other("nothing is on the way")),
            Self::Link(link) => {
                link.cut();
                sleep(during);
                link.restore()
            }
            Self::Name(names) => names.move_away(during),
        }
    }
}
