//! A broker that does nothing: answers every request at once with what the load wants to read.
//! What the load generator reaches against it is the generator's own ceiling.

use crate::sink::serve_each;
use serde_json::json;
use std::{
    io::{Read, Write},
    net::TcpStream,
};

/// Serves on a free port until the process ends; gives the address.
pub(super) fn serve(body_bytes: usize) -> anyhow::Result<String> {
    serve_each(move |stream| connection(stream, body_bytes))
}

/// An answer with so many messages; empty of what no load reads.
fn answer(messages: usize, body_bytes: usize) -> Vec<u8> {
    let message = json!({
        "MessageId": "x", "ReceiptHandle": "x".repeat(47), "Body": "x".repeat(body_bytes),
        "MD5OfBody": "x".repeat(32),
    });
    let body = json!({ "Messages": vec![message; messages], "QueueUrl": "x" }).to_string();
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn connection(mut stream: TcpStream, body_bytes: usize) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let answers = [answer(0, 0), answer(1, body_bytes), answer(10, body_bytes)];
    let (mut have, mut chunk) = (Vec::new(), vec![0; 256 * 1024]);
    loop {
        let Some(length) = whole(&have) else {
            let n = stream.read(&mut chunk)?;
            if n == 0 {
                return Ok(());
            }
            have.extend_from_slice(&chunk[..n]);
            continue;
        };
        let head = &have[..length.min(1024)];
        let has = |text: &[u8]| head.windows(text.len()).any(|window| window == text);
        let answer = match (has(b"ReceiveMessage\r"), has(b"\"MaxNumberOfMessages\":10")) {
            (true, true) => &answers[2],
            (true, false) => &answers[1],
            (false, _) => &answers[0],
        };
        stream.write_all(answer)?;
        have.drain(..length);
    }
}

/// The length of the first request, when all of it is there.
fn whole(have: &[u8]) -> Option<usize> {
    let head = have.windows(4).take(1024).position(|window| window == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&have[..head]).ok()?;
    let length = text.split("Content-Length: ").nth(1)?.split('\r').next()?;
    let whole = head + length.parse::<usize>().ok()?;
    (have.len() >= whole).then_some(whole)
}
