//! A bare AMQP 0-9-1 connection with one channel: blocking, frames read one by one.

use bytes::Bytes;
use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};
use tramline_wire_amqp091::{
    ContentHeader, FRAME_END, FrameKind, Method, PROTOCOL_HEADER, Properties, Table, Value, Writer,
    content, frame,
    method::{basic, channel, confirm, connection, exchange, queue, tx},
};

/// Longer than this, and an answer's outcome is unknown.
const ANSWER_MAX: Duration = Duration::from_secs(15);
const CHANNEL: u16 = 1;
const PERSISTENT: u8 = 2;

/// A message that was handed out.
#[derive(Debug)]
pub struct Delivery {
    /// Names it in its channel.
    pub tag: u64,
    /// It was handed out before.
    pub redelivered: bool,
    /// How often before, where the queue says so.
    pub count: Option<u32>,
    /// The body.
    pub body: Bytes,
}

/// What comes without being asked for.
#[derive(Debug)]
pub enum Incoming {
    /// Publishes were confirmed, or refused; all up to this one, or this one.
    Confirmed {
        /// The publish.
        tag: u64,
        /// Those before it as well.
        multiple: bool,
        /// Refused.
        refused: bool,
    },
    /// A message.
    Delivered(Delivery),
    /// Publishing waits, or goes on.
    Blocked(bool),
}

/// A connection to a broker's AMQP port.
pub struct AmqpConnection {
    stream: TcpStream,
    received: Vec<u8>,
    /// What came while something else was waited for.
    aside: VecDeque<Incoming>,
}

impl AmqpConnection {
    /// Connects as `guest` and opens channel 1.
    pub fn open(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        stream.set_write_timeout(Some(ANSWER_MAX))?;
        let mut connection = Self { stream, received: Vec::new(), aside: VecDeque::new() };
        connection.stream.write_all(&PROTOCOL_HEADER)?;
        connection.answer(|method| matches!(method, Method::ConnectionStart(_)))?;
        let blocked = Table(vec![("connection.blocked".to_owned(), Value::Bool(true))]);
        let capabilities = ("capabilities".to_owned(), Value::Table(blocked));
        let start_ok = connection::StartOk {
            client_properties: Table(vec![capabilities]),
            mechanism: "PLAIN".to_owned(),
            response: b"\0guest\0guest".to_vec(),
            locale: "en_US".to_owned(),
        };
        connection.send(0, start_ok)?;
        connection.answer(|method| matches!(method, Method::ConnectionTune(_)))?;
        connection.send(0, connection::TuneOk::default())?;
        let open = connection::Open { virtual_host: "/".to_owned(), ..Default::default() };
        connection.send(0, open)?;
        connection.answer(|method| matches!(method, Method::ConnectionOpenOk(_)))?;
        connection.send(CHANNEL, channel::Open::default())?;
        connection.answer(|method| matches!(method, Method::ChannelOpenOk(_)))?;
        Ok(connection)
    }

    /// How long a read waits.
    pub fn set_patience(&self, patience: Duration) -> io::Result<()> {
        self.stream.set_read_timeout(Some(patience))
    }

    /// Makes a durable queue with these arguments.
    pub fn declare(&mut self, name: &str, arguments: Vec<(&str, Value)>) -> io::Result<()> {
        let arguments = arguments.into_iter().map(|(name, value)| (name.to_owned(), value));
        let declare = queue::Declare {
            queue: name.to_owned(),
            durable: true,
            arguments: Table(arguments.collect()),
            ..Default::default()
        };
        self.send(CHANNEL, declare)?;
        self.answer(|method| matches!(method, Method::QueueDeclareOk(_))).map(drop)
    }

    /// Makes a durable fanout exchange to these queues.
    pub fn declare_fanout(&mut self, name: &str, queues: &[&str]) -> io::Result<()> {
        let declare = exchange::Declare {
            exchange: name.to_owned(),
            kind: "fanout".to_owned(),
            durable: true,
            ..Default::default()
        };
        self.send(CHANNEL, declare)?;
        self.answer(|method| matches!(method, Method::ExchangeDeclareOk(_)))?;
        for queue in queues {
            let bind = queue::Bind {
                queue: (*queue).to_owned(),
                exchange: name.to_owned(),
                ..Default::default()
            };
            self.send(CHANNEL, bind)?;
            self.answer(|method| matches!(method, Method::QueueBindOk(_)))?;
        }
        Ok(())
    }

    /// Publishes are confirmed from here on.
    pub fn select_confirms(&mut self) -> io::Result<()> {
        self.send(CHANNEL, confirm::Select::default())?;
        self.answer(|method| matches!(method, Method::ConfirmSelectOk(_))).map(drop)
    }

    /// Settles wait for a commit from here on.
    pub fn select_transactions(&mut self) -> io::Result<()> {
        self.send(CHANNEL, tx::Select {})?;
        self.answer(|method| matches!(method, Method::TxSelectOk(_))).map(drop)
    }

    /// Does what was settled since the last commit; durable on return.
    pub fn commit(&mut self) -> io::Result<()> {
        self.send(CHANNEL, tx::Commit {})?;
        self.answer(|method| matches!(method, Method::TxCommitOk(_))).map(drop)
    }

    /// Starts a consumer with so many deliveries out at a time.
    pub fn consume(&mut self, queue: &str, prefetch_count: u16) -> io::Result<()> {
        self.send(CHANNEL, basic::Qos { prefetch_count, ..Default::default() })?;
        self.answer(|method| matches!(method, Method::BasicQosOk(_)))?;
        self.send(CHANNEL, basic::Consume { queue: queue.to_owned(), ..Default::default() })?;
        self.answer(|method| matches!(method, Method::BasicConsumeOk(_))).map(drop)
    }

    /// Publishes a persistent message, without waiting.
    pub fn publish(&mut self, exchange: &str, key: &str, body: &Bytes) -> io::Result<()> {
        let mut writer = Writer::new();
        let publish = basic::Publish {
            exchange: exchange.to_owned(),
            routing_key: key.to_owned(),
            ..Default::default()
        };
        Method::from(publish).encode_into(&mut writer, CHANNEL);
        let properties = Properties { delivery_mode: Some(PERSISTENT), ..Properties::default() };
        let properties = properties.to_bytes();
        let body_size = u64::try_from(body.len()).expect("a length fits 64 bits");
        let header = ContentHeader { class: content::BASIC, body_size, properties: &properties };
        header.encode_into(&mut writer, CHANNEL);
        const PIECE: usize = 100_000;
        for piece in body.chunks(PIECE) {
            content::encode_body_head(&mut writer, CHANNEL, piece.len());
            writer.slice(piece);
            writer.u8(FRAME_END);
        }
        self.stream.write_all(writer.as_slice())
    }

    /// Asks for one message.
    pub fn get(&mut self, queue: &str) -> io::Result<Option<Delivery>> {
        self.send(CHANNEL, basic::Get { queue: queue.to_owned(), ..Default::default() })?;
        let answered =
            |method: &Method| matches!(method, Method::BasicGetOk(_) | Method::BasicGetEmpty(_));
        match self.answer(answered)? {
            Method::BasicGetOk(got) => {
                let (count, body) = self.content()?;
                let (tag, redelivered) = (got.delivery_tag, got.redelivered);
                Ok(Some(Delivery { tag, redelivered, count, body }))
            }
            _ => Ok(None),
        }
    }

    /// A delivery is done.
    pub fn ack(&mut self, delivery_tag: u64) -> io::Result<()> {
        self.send(CHANNEL, basic::Ack { delivery_tag, multiple: false })
    }

    /// A delivery goes back, or is dead.
    pub fn reject(&mut self, delivery_tag: u64, requeue: bool) -> io::Result<()> {
        self.send(CHANNEL, basic::Reject { delivery_tag, requeue })
    }

    /// What comes next without being asked for; nothing when it takes too long.
    pub fn receive(&mut self) -> io::Result<Option<Incoming>> {
        if let Some(incoming) = self.aside.pop_front() {
            return Ok(Some(incoming));
        }
        match self.frame(Duration::ZERO) {
            Ok(frame) => self.incoming(method(&frame)),
            Err(error) if is_time_out(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether something is there already.
    pub fn has_more(&self) -> bool {
        !self.aside.is_empty()
            || frame::split(&self.received, usize::MAX).is_ok_and(|f| f.is_some())
    }

    fn incoming(&mut self, method: Method) -> io::Result<Option<Incoming>> {
        Ok(Some(match method {
            Method::BasicAck(ack) => Incoming::Confirmed {
                tag: ack.delivery_tag,
                multiple: ack.multiple,
                refused: false,
            },
            Method::BasicNack(nack) => Incoming::Confirmed {
                tag: nack.delivery_tag,
                multiple: nack.multiple,
                refused: true,
            },
            Method::BasicDeliver(deliver) => {
                let (tag, redelivered) = (deliver.delivery_tag, deliver.redelivered);
                let (count, body) = self.content()?;
                Incoming::Delivered(Delivery { tag, redelivered, count, body })
            }
            Method::ConnectionBlocked(_) => Incoming::Blocked(true),
            Method::ConnectionUnblocked(_) => Incoming::Blocked(false),
            // The broker stops, or is about to.
            Method::ConnectionClose(close) => return Err(io::Error::other(close.reply_text)),
            other => panic!("the broker sent {other:?}"),
        }))
    }

    fn send(&mut self, channel: u16, method: impl Into<Method>) -> io::Result<()> {
        let mut writer = Writer::new();
        method.into().encode_into(&mut writer, channel);
        self.stream.write_all(writer.as_slice())
    }

    /// Waits for a method; what comes before it is kept.
    fn answer(&mut self, is_it: impl Fn(&Method) -> bool) -> io::Result<Method> {
        loop {
            let method = method(&self.frame(ANSWER_MAX)?);
            if is_it(&method) {
                return Ok(method);
            }
            let incoming = self.incoming(method)?;
            self.aside.extend(incoming);
        }
    }

    /// A message's delivery count and body.
    fn content(&mut self) -> io::Result<(Option<u32>, Bytes)> {
        let (kind, payload) = self.frame(ANSWER_MAX)?;
        assert_eq!(kind, FrameKind::Header, "a content header is expected");
        let header = ContentHeader::decode(&payload).expect("the broker's headers can be read");
        let properties = Properties::decode(header.properties).expect("as they were sent");
        let table = properties.table().expect("a table");
        let count = match table.get("x-delivery-count") {
            Some(Value::I64(count)) => u32::try_from(*count).ok(),
            _ => None,
        };
        let size = usize::try_from(header.body_size).expect("a size fits");
        let mut body = Vec::new();
        while body.len() < size {
            let (kind, payload) = self.frame(ANSWER_MAX)?;
            assert_eq!(kind, FrameKind::Body, "a body is expected");
            body.extend_from_slice(&payload);
        }
        Ok((count, body.into()))
    }

    /// The next frame that is no heartbeat. Reads that take too long are tried again for so long.
    fn frame(&mut self, patience: Duration) -> io::Result<(FrameKind, Vec<u8>)> {
        let started = Instant::now();
        loop {
            let split = frame::split(&self.received, usize::MAX).expect("frames");
            if let Some(frame) = split {
                let (kind, length, payload) = (frame.kind, frame.len(), frame.payload.to_vec());
                self.received.drain(..length);
                if kind != FrameKind::Heartbeat {
                    return Ok((kind, payload));
                }
                continue;
            }
            let mut piece = [0; 64 * 1024];
            match self.stream.read(&mut piece) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => self.received.extend_from_slice(&piece[..n]),
                Err(error) if is_time_out(&error) && started.elapsed() < patience => {}
                Err(error) => return Err(error),
            }
        }
    }
}

fn method((kind, payload): &(FrameKind, Vec<u8>)) -> Method {
    assert_eq!(*kind, FrameKind::Method, "a method is expected");
    Method::decode(payload).expect("the broker's methods can be read")
}

/// Whether a read took too long.
pub fn is_time_out(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}
