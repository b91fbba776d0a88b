//! One HTTP request at a time, each on a connection of its own.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    time::Duration,
};

const ANSWER_MAX: Duration = Duration::from_secs(15);

/// The status code and what follows the head.
pub fn get(address: &str, path: &str) -> io::Result<(u16, Vec<u8>)> {
    let head = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    exchange(address, head.as_bytes())
}

/// Posts JSON; the status code and what follows the head.
pub fn post(address: &str, path: &str, body: &str) -> io::Result<(u16, Vec<u8>)> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    exchange(address, format!("{head}{body}").as_bytes())
}

/// Sends these bytes and reads all that comes back.
pub fn exchange(address: &str, bytes: &[u8]) -> io::Result<(u16, Vec<u8>)> {
    exchange_for(address, bytes, ANSWER_MAX)
}

/// The same; what has come is the answer when nothing more comes for this long.
pub fn exchange_for(
    address: &str,
    bytes: &[u8],
    silence_max: Duration,
) -> io::Result<(u16, Vec<u8>)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(silence_max))?;
    stream.set_write_timeout(Some(silence_max))?;
    stream.write_all(bytes)?;
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
        _ => {}
    }
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let status = answer.get(9..12).and_then(|code| std::str::from_utf8(code).ok()?.parse().ok());
    match (status, end) {
        (Some(status), Some(end)) => Ok((status, answer.split_off(end + 4))),
        _ => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
    }
}
