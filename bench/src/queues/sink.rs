//! An AMQP broker that does nothing: confirms what it counts and delivers the same message for
//! ever. What the load generator reaches against it is the generator's own ceiling.

use super::amqp::{self, Arguments};
use crate::sink::serve_each;
use std::{
    io::{Read, Write},
    net::TcpStream,
    thread,
};

/// Serves on a free port until the process ends; gives the address.
pub(crate) fn serve(body_bytes: usize) -> anyhow::Result<String> {
    serve_each(move |stream| connection(stream, body_bytes))
}

/// What is answered to a method; `None` to one that needs no answer.
fn answer(id: (u16, u16)) -> Option<((u16, u16), Arguments)> {
    let none = Arguments::default;
    Some(match id {
        (10, 11) => ((10, 30), none().u16(2047).u32(131_072).u16(0)),
        (10, 40) => ((10, 41), none().short("")),
        (20, 10) => ((20, 11), none().u32(0)),
        (50, 10) => ((50, 11), none().short("q").u32(0).u32(0)),
        (50, 40) => ((50, 41), none().u32(0)),
        (60, 10) => ((60, 11), none()),
        (60, 20) => ((60, 21), none().short("c")),
        (85, 10) => ((85, 11), none()),
        _ => return None,
    })
}

fn connection(mut stream: TcpStream, body_bytes: usize) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut greeting = [0; 8];
    stream.read_exact(&mut greeting)?;
    let mut out = Vec::new();
    let start = Arguments::default().u8(0).u8(9).table(&[]).u32(5).u8(b'P');
    amqp::method(&mut out, 0, (10, 10), &start);
    stream.write_all(&out)?;
    let (mut have, mut chunk) = (Vec::new(), vec![0; 256 * 1024]);
    let mut published = 0_u64;
    loop {
        let n = stream.read(&mut chunk)?;
        if n == 0 {
            return Ok(());
        }
        have.extend_from_slice(&chunk[..n]);
        out.clear();
        let (before, mut consumes) = (published, false);
        let mut at = 0;
        while let Some(length) = have.get(at + 3..at + 7) {
            let length: [u8; 4] = length.try_into().unwrap_or_default();
            let end = at + 8 + u32::from_be_bytes(length) as usize;
            let Some(frame) = have.get(at..end) else { break };
            at = end;
            if frame[0] != 1 || frame.len() < 12 {
                continue;
            }
            let id = (
                u16::from_be_bytes([frame[7], frame[8]]),
                u16::from_be_bytes([frame[9], frame[10]]),
            );
            published += u64::from(id == (60, 40));
            if let Some((id, arguments)) = answer(id) {
                amqp::method(&mut out, u16::from(id.0 != 10), id, &arguments);
            }
            consumes |= id == (60, 20);
        }
        have.drain(..at);
        if published > before {
            let mut tag = Arguments::default();
            for byte in published.to_be_bytes() {
                tag = tag.u8(byte);
            }
            amqp::method(&mut out, 1, amqp::PUBLISH_ACK, &tag.u8(1));
        }
        stream.write_all(&out)?;
        // After the answer is written: from here on, another thread writes to a consumer.
        if consumes {
            let stream = stream.try_clone()?;
            thread::spawn(move || deliver(stream, body_bytes));
        }
    }
}

fn deliver(mut stream: TcpStream, body_bytes: usize) -> std::io::Result<()> {
    let mut one = Vec::new();
    let arguments = Arguments::default().short("c").u32(0).u32(1).u8(0).short("").short("q");
    amqp::method(&mut one, 1, amqp::DELIVER, &arguments);
    amqp::content(&mut one, true, &vec![b'x'; body_bytes]);
    let many = one.repeat((64 * 1024 / one.len()).max(1));
    loop {
        stream.write_all(&many)?;
    }
}
