//! Clients that take connections away from the node, and do nothing with them.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// How long a server has to take a connection or to refuse it.
const PATIENCE: Duration = Duration::from_secs(30);
/// Version 3.0 of PostgreSQL's protocol.
const VERSION: u32 = 196_608;

/// A session of the role `stranger` at a PostgreSQL server on this port of 127.0.0.1, which trusts it; none if there is no room
/// for one more.
///
/// # Errors
/// If the server does not answer.
pub(crate) fn of_postgres(port: u16) -> io::Result<Option<TcpStream>> {
    let mut stream = connect(port)?;
    let parameters = b"user\0stranger\0database\0hydra\0\0";
    let len = u32::try_from(8 + parameters.len()).map_err(io::Error::other)?;
    stream.write_all(&[&len.to_be_bytes()[..], &VERSION.to_be_bytes(), parameters].concat())?;
    loop {
        let (mut kind, mut len) = ([0], [0; 4]);
        stream.read_exact(&mut kind)?;
        stream.read_exact(&mut len)?;
        let len = u64::from(u32::from_be_bytes(len)).saturating_sub(4);
        io::copy(&mut (&mut stream).take(len), &mut io::sink())?;
        match kind {
            // It is ready for queries.
            [b'Z'] => return Ok(Some(stream)),
            [b'E'] => return Ok(None),
            _ => {}
        }
    }
}

/// A connection to a Redis server on this port of 127.0.0.1; none if there is no room for one more.
///
/// # Errors
/// If the server does not answer.
pub(crate) fn of_redis(port: u16) -> io::Result<Option<TcpStream>> {
    let mut stream = connect(port)?;
    // A server that refuses the connection may have closed it already.
    let Ok(answer) = redis(&mut stream, "PING") else { return Ok(None) };
    Ok(answer.starts_with("+PONG").then_some(stream))
}

/// One command without blanks in its words, and the text of its answer: a line, or a text of several.
///
/// # Errors
/// If the connection is lost.
pub(crate) fn redis(stream: &mut TcpStream, command: &str) -> io::Result<String> {
    stream.write_all(format!("{command}\r\n").as_bytes())?;
    let line = line(stream)?;
    let Some(len) = line.strip_prefix('$') else { return Ok(line) };
    let mut text = vec![0; len.parse::<usize>().map_err(io::Error::other)? + 2];
    stream.read_exact(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn line(stream: &mut TcpStream) -> io::Result<String> {
    let (mut line, mut byte) = (Vec::new(), [0]);
    while !line.ends_with(b"\r\n") {
        stream.read_exact(&mut byte)?;
        line.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
}

fn connect(port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}
