//! One command to a Redis server, by hand: the server comes without a client where it comes from no distribution.

use super::super::PATIENCE;
use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpStream;

/// Sends a command to the server at a port of 127.0.0.1; the values of its answer, each on a line of its own.
pub(super) fn ask(port: u16, command: &[&str]) -> io::Result<String> {
    let mut server = TcpStream::connect(("127.0.0.1", port))?;
    server.set_read_timeout(Some(PATIENCE))?;
    let arguments = command.iter().map(|argument| format!("${}\r\n{argument}\r\n", argument.len()));
    server.write_all(format!("*{}\r\n{}", command.len(), arguments.collect::<String>()).as_bytes())?;
    let mut values = Vec::new();
    read(&mut BufReader::new(server), &mut values)
        .map_err(|cause| io::Error::new(cause.kind(), format!("{}: {cause}", command.join(" "))))?;
    Ok(values.join("\n").trim_end().to_owned())
}

/// Reads one value, and those in it (Redis documentation, *Redis serialization protocol*, version 2).
fn read(from: &mut impl BufRead, values: &mut Vec<String>) -> io::Result<()> {
    let mut line = String::new();
    if from.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let line = line.trim_end();
    let strange = || io::Error::other(format!("an answer of another protocol: {line}"));
    let (kind, rest) = line.split_at_checked(1).ok_or_else(strange)?;
    match kind {
        "+" | ":" => values.push(rest.to_owned()),
        "-" => return Err(io::Error::other(rest)),
        "$" | "*" => {
            // -1 is the length of what is not there.
            let len = rest.parse::<i64>().map_err(|_| strange())?;
            match usize::try_from(len) {
                Err(_) => values.push(String::new()),
                Ok(len) if kind == "$" => values.push(text(from, len)?),
                Ok(len) => (0..len).try_for_each(|_| read(from, values))?,
            }
        }
        _ => return Err(strange()),
    }
    Ok(())
}

fn text(from: &mut impl BufRead, len: usize) -> io::Result<String> {
    let mut bytes = vec![0; len + 2];
    from.read_exact(&mut bytes)?;
    bytes.truncate(len);
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
