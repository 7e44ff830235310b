//! A port before a server, which can be closed.

use std::io;
use std::net::{SocketAddr, TcpListener};
use tokio::net::TcpStream;
use tokio::task::{JoinHandle, JoinSet};

/// Carries what its clients send to a server, and its answers back.
#[derive(Debug)]
pub(crate) struct Link {
    at: SocketAddr,
    to: u16,
    task: Option<JoinHandle<()>>,
}

impl Link {
    /// A link from this address to a server at a port of 127.0.0.1; from a free port if it has port 0. It is open. Needs a
    /// runtime.
    ///
    /// # Errors
    /// If it cannot listen.
    pub(crate) fn open(at: SocketAddr, to: u16) -> io::Result<Self> {
        let mut link = Self { at, to, task: None };
        link.restore()?;
        Ok(link)
    }

    /// A link that is not open yet.
    pub(crate) fn closed(at: SocketAddr, to: u16) -> Self {
        Self { at, to, task: None }
    }

    pub(crate) const fn port(&self) -> u16 {
        self.at.port()
    }

    /// Closes the port and all connections.
    pub(crate) fn cut(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            while !task.is_finished() {
                std::thread::yield_now();
            }
        }
    }

    /// Opens the port again.
    ///
    /// # Errors
    /// If it cannot listen.
    pub(crate) fn restore(&mut self) -> io::Result<()> {
        let listener = TcpListener::bind(self.at)?;
        listener.set_nonblocking(true)?;
        self.at = listener.local_addr()?;
        let runtime = tokio::runtime::Handle::current();
        let _guard = runtime.enter();
        self.task = Some(runtime.spawn(carry_all(tokio::net::TcpListener::from_std(listener)?, self.to)));
        Ok(())
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

async fn carry_all(listener: tokio::net::TcpListener, to: u16) {
    // Connections end with this task.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Ok((client, _)) = listener.accept() => {
                connections.spawn(carry(client, to));
            }
            Some(_ended) = connections.join_next() => {}
        }
    }
}

async fn carry(mut client: TcpStream, to: u16) -> io::Result<()> {
    let mut server = TcpStream::connect(("127.0.0.1", to)).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    tokio::io::copy_bidirectional(&mut client, &mut server).await.map(drop)
}
