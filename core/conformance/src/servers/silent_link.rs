//! A link to a server that falls silent.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

/// What is carried at once: longer messages count as several.
const MESSAGE_BYTES_MAX: usize = 1 << 16;

/// Carries some messages of its clients to a server and then nothing any more, while all connections stay open: to its clients the
/// server freezes at that moment. Accepts no more connections once it is dropped.
#[derive(Debug)]
pub struct SilentLink {
    port: u16,
    ended: Arc<AtomicBool>,
}

impl SilentLink {
    /// A link to the server at a port of 127.0.0.1, for this many messages of all its clients together.
    ///
    /// # Errors
    /// If it cannot listen.
    pub fn start(to: u16, messages: usize) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let link = Self { port: listener.local_addr()?.port(), ended: Arc::default() };
        let (ended, left) = (Arc::clone(&link.ended), Arc::new(AtomicUsize::new(messages)));
        thread::Builder::new().name("silent-link".to_owned()).spawn(move || {
            while let Ok((client, _)) = listener.accept()
                && !ended.load(Ordering::Acquire)
            {
                let left = Arc::clone(&left);
                // A connection that ends early is one that the server has ended.
                thread::spawn(move || drop(carry(client, to, &left)));
            }
        })?;
        Ok(link)
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for SilentLink {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        // It looks after the next connection.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

/// One connection, until the client ends it.
fn carry(mut client: TcpStream, to: u16, left: &AtomicUsize) -> io::Result<()> {
    let mut server = TcpStream::connect(("127.0.0.1", to))?;
    let (mut answers, mut asker) = (server.try_clone()?, client.try_clone()?);
    thread::spawn(move || io::copy(&mut answers, &mut asker));
    let mut message = vec![0; MESSAGE_BYTES_MAX];
    loop {
        let len = client.read(&mut message)?;
        if len == 0 {
            return server.shutdown(Shutdown::Both);
        }
        let one_less = |left: usize| left.checked_sub(1);
        if left.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_less).is_ok() {
            server.write_all(&message[..len])?;
        }
    }
}
