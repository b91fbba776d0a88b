//! A bare AMQP 0-9-1 client for load: frames made beforehand, several in one write, and of what
//! comes only as much is read as has to be counted.

use super::wire::Wire;
use anyhow::{bail, ensure};
use std::{net::TcpStream, time::Duration};

const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;
const END: u8 = 0xCE;
const FRAME_MAX: usize = 131_072;

/// Class and method ids.
pub(crate) const PUBLISH_ACK: (u16, u16) = (60, 80);
pub(crate) const PUBLISH_NACK: (u16, u16) = (60, 120);
pub(crate) const DELIVER: (u16, u16) = (60, 60);

/// A connection with one channel.
pub(crate) struct Client {
    wire: Wire,
}

/// A frame as far as the load looks at it.
pub(crate) struct Frame<'a> {
    /// Class and method; `None` for anything but a method.
    pub(crate) method: Option<(u16, u16)>,
    /// A method's arguments, or a body's bytes.
    pub(crate) payload: &'a [u8],
    /// Whether it is a body.
    pub(crate) is_body: bool,
}

/// A method's arguments in the making.
#[derive(Default)]
pub(crate) struct Arguments(Vec<u8>);

impl Arguments {
    pub(crate) fn u8(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    pub(crate) fn u16(mut self, value: u16) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub(crate) fn u32(mut self, value: u32) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub(crate) fn short(mut self, text: &str) -> Self {
        self.0.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
        self.0.extend(text.as_bytes());
        self
    }

    fn long(mut self, bytes: &[u8]) -> Self {
        self.0.extend(u32::try_from(bytes.len()).unwrap_or(0).to_be_bytes());
        self.0.extend(bytes);
        self
    }

    /// A table of texts.
    pub(crate) fn table(self, pairs: &[(&str, &str)]) -> Self {
        let mut table = Self::default();
        for (name, value) in pairs {
            table = table.short(name).u8(b'S').long(value.as_bytes());
        }
        self.long(&table.0)
    }
}

fn frame(out: &mut Vec<u8>, kind: u8, channel: u16, payload: &[u8]) {
    out.push(kind);
    out.extend(channel.to_be_bytes());
    out.extend(u32::try_from(payload.len()).unwrap_or(0).to_be_bytes());
    out.extend(payload);
    out.push(END);
}

pub(crate) fn method(out: &mut Vec<u8>, channel: u16, id: (u16, u16), arguments: &Arguments) {
    let mut payload = Vec::with_capacity(4 + arguments.0.len());
    payload.extend(id.0.to_be_bytes());
    payload.extend(id.1.to_be_bytes());
    payload.extend(&arguments.0);
    frame(out, METHOD, channel, &payload);
}

/// A header frame's payload up to the properties that `flags` tell.
fn content_header(flags: u16, body: &[u8]) -> Vec<u8> {
    let mut header = Vec::new();
    header.extend(60_u16.to_be_bytes());
    header.extend(0_u16.to_be_bytes());
    header.extend(u64::try_from(body.len()).unwrap_or(0).to_be_bytes());
    header.extend(flags.to_be_bytes());
    header
}

/// The content of a message: header and body frame.
pub(crate) fn content(out: &mut Vec<u8>, persistent: bool, body: &[u8]) {
    // Only delivery-mode is there.
    let mut header = content_header(0x1000, body);
    header.push(if persistent { 2 } else { 1 });
    frame(out, HEADER, 1, &header);
    frame(out, BODY, 1, body);
}

/// A whole publish. Its body is the last thing in it but the end octet.
pub(crate) fn publish(exchange: &str, key: &str, persistent: bool, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let arguments = Arguments::default().u16(0).short(exchange).short(key).u8(0);
    method(&mut out, 1, (60, 40), &arguments);
    content(&mut out, persistent, body);
    out
}

/// Bytes of a message id.
pub(crate) const ID_BYTES: usize = 16;

/// A whole publish of a persistent message with room for a message id, and where that is.
pub(crate) fn publish_identified(key: &str, body: &[u8]) -> (Vec<u8>, usize) {
    let mut out = Vec::new();
    method(&mut out, 1, (60, 40), &Arguments::default().u16(0).short("").short(key).u8(0));
    // delivery-mode and message-id.
    let mut header = content_header(0x1080, body);
    header.push(2);
    header.push(u8::try_from(ID_BYTES).unwrap_or(0));
    // Behind the header of the frame itself.
    let id_at = out.len() + 7 + header.len();
    header.extend([b'0'; ID_BYTES]);
    frame(&mut out, HEADER, 1, &header);
    frame(&mut out, BODY, 1, body);
    (out, id_at)
}

/// One `basic.nack` that gives one delivery back.
pub(crate) fn requeue(out: &mut Vec<u8>, tag: u64) {
    out.extend([1, 0, 1, 0, 0, 0, 13, 0, 60, 0, 120]);
    out.extend(tag.to_be_bytes());
    out.extend([2, END]);
}

impl Client {
    /// Connects as `guest` and opens channel 1.
    pub(crate) fn connect(address: &str) -> anyhow::Result<Self> {
        let mut client = Self { wire: Wire::connect(address, Duration::from_secs(30))? };
        client.send(b"AMQP\0\0\x09\x01")?;
        client.expect((10, 10))?;
        let start = Arguments::default()
            .table(&[("product", "tramline-bench")])
            .short("PLAIN")
            .long(b"\0guest\0guest")
            .short("en_US");
        client.call_on(0, (10, 11), &start, (10, 30))?;
        let frame_max = u32::try_from(FRAME_MAX)?;
        let tune = Arguments::default().u16(2047).u32(frame_max).u16(0);
        client.tell_on(0, (10, 31), &tune)?;
        client.call_on(0, (10, 40), &Arguments::default().short("/").short("").u8(0), (10, 41))?;
        client.call((20, 10), &Arguments::default().short(""), (20, 11))?;
        Ok(client)
    }

    /// From here on an empty read is no error: see [`Client::read`].
    pub(crate) fn set_read_timeout(&mut self, time: Duration) -> anyhow::Result<()> {
        self.wire.set_read_timeout(time)
    }

    /// The socket, for another thread to write to.
    pub(crate) fn writer(&self) -> anyhow::Result<TcpStream> {
        self.wire.writer()
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.wire.send(bytes)
    }

    fn tell_on(
        &mut self,
        channel: u16,
        id: (u16, u16),
        arguments: &Arguments,
    ) -> anyhow::Result<()> {
        let mut out = Vec::new();
        method(&mut out, channel, id, arguments);
        self.send(&out)
    }

    fn call_on(
        &mut self,
        channel: u16,
        id: (u16, u16),
        arguments: &Arguments,
        answer: (u16, u16),
    ) -> anyhow::Result<()> {
        self.tell_on(channel, id, arguments)?;
        self.expect(answer)
    }

    /// Calls a method on channel 1 and waits for this answer.
    pub(crate) fn call(
        &mut self,
        id: (u16, u16),
        arguments: &Arguments,
        answer: (u16, u16),
    ) -> anyhow::Result<()> {
        self.call_on(1, id, arguments, answer)
    }

    fn expect(&mut self, wanted: (u16, u16)) -> anyhow::Result<()> {
        loop {
            while let Some(frame) = self.next() {
                match frame.method {
                    Some(id) if id == wanted => return Ok(()),
                    Some(id @ ((10, 50) | (20, 40))) => {
                        let text = String::from_utf8_lossy(frame.payload).into_owned();
                        bail!("{id:?} instead of {wanted:?}: {text}")
                    }
                    _ => {}
                }
            }
            ensure!(self.read()? > 0, "no answer {wanted:?}");
        }
    }

    /// The next whole frame that has come.
    pub(crate) fn next(&mut self) -> Option<Frame<'_>> {
        let have = self.wire.have();
        let length = u32::from_be_bytes(have.get(3..7)?.try_into().ok()?) as usize;
        have.get(7 + length)?;
        let kind = have[0];
        let payload = &self.wire.take(length + 8)[7..7 + length];
        let method = (kind == METHOD && length >= 4).then(|| {
            (
                u16::from_be_bytes([payload[0], payload[1]]),
                u16::from_be_bytes([payload[2], payload[3]]),
            )
        });
        let payload = if method.is_some() { &payload[4..] } else { payload };
        Some(Frame { method, payload, is_body: kind == BODY })
    }

    /// Waits for more bytes; none when the read timed out.
    pub(crate) fn read(&mut self) -> anyhow::Result<usize> {
        self.wire.read()
    }

    /// Reads what has come without waiting.
    pub(crate) fn try_read(&mut self) -> anyhow::Result<usize> {
        self.wire.try_read()
    }

    /// Declares a queue that only this name says something about.
    pub(crate) fn declare(&mut self, queue: &str, durable: bool) -> anyhow::Result<()> {
        // passive 1, durable 2, exclusive 4, auto-delete 8, no-wait 16.
        let bits = if durable { 2 } else { 0 };
        let arguments = Arguments::default().u16(0).short(queue).u8(bits).table(&[]);
        self.call((50, 10), &arguments, (50, 11))
    }

    /// Declares a durable queue that makes jobs of its messages.
    pub(crate) fn declare_tracked(&mut self, queue: &str) -> anyhow::Result<()> {
        let table = Arguments::default().short("x-track").u8(b't').u8(1);
        let arguments = Arguments::default().u16(0).short(queue).u8(2).long(&table.0);
        self.call((50, 10), &arguments, (50, 11))
    }

    pub(crate) fn delete(&mut self, queue: &str) -> anyhow::Result<()> {
        self.call((50, 40), &Arguments::default().u16(0).short(queue).u8(0), (50, 41))
    }

    pub(crate) fn declare_exchange(&mut self, name: &str, kind: &str) -> anyhow::Result<()> {
        let arguments = Arguments::default().u16(0).short(name).short(kind).u8(2).table(&[]);
        self.call((40, 10), &arguments, (40, 11))
    }

    pub(crate) fn delete_exchange(&mut self, name: &str) -> anyhow::Result<()> {
        self.call((40, 20), &Arguments::default().u16(0).short(name).u8(0), (40, 21))
    }

    pub(crate) fn bind(&mut self, queue: &str, exchange: &str, key: &str) -> anyhow::Result<()> {
        let arguments = Arguments::default();
        let arguments = arguments.u16(0).short(queue).short(exchange).short(key).u8(0).table(&[]);
        self.call((50, 20), &arguments, (50, 21))
    }

    pub(crate) fn select_confirms(&mut self) -> anyhow::Result<()> {
        self.call((85, 10), &Arguments::default().u8(0), (85, 11))
    }

    /// Starts to consume, with acknowledgements where there is a prefetch.
    pub(crate) fn consume(&mut self, queue: &str, prefetch: Option<u16>) -> anyhow::Result<()> {
        if let Some(prefetch) = prefetch {
            let arguments = Arguments::default().u32(0).u16(prefetch).u8(0);
            self.call((60, 10), &arguments, (60, 11))?;
        }
        // no-local 1, no-ack 2, exclusive 4, no-wait 8.
        let bits = if prefetch.is_some() { 0 } else { 2 };
        let arguments = Arguments::default().u16(0).short(queue).short("c").u8(bits).table(&[]);
        self.call((60, 20), &arguments, (60, 21))
    }
}
