//! From a publish to a stored message.
//!
//! Everything that a client sent is kept as it came, in the one header [`COMPACT`]: the length of
//! the exchange's name, the name, the property flags and values. Beside it, for readers of other
//! protocols, stand the properties and the plain application headers as text.

use crate::error::Refusal;
use bytes::{BufMut, Bytes, BytesMut};
use tramline_broker::EnqueueOptions;
use tramline_types::{Header, Message, limits::AMQP_FURTHER_KEYS_MAX};
use tramline_wire_amqp091::{Properties, ReplyCode, Table, Value, hot::Publish};

/// The header that keeps what came.
pub(crate) const COMPACT: &[u8] = b"amqp091";

/// Headers that have a meaning of their own in a stored message: an application's header of such
/// a name stands in [`COMPACT`] alone.
pub(crate) const RESERVED: [&str; 13] = [
    "amqp091",
    "sqs",
    "dead-letter",
    "expires-at",
    "content-type",
    "content-encoding",
    "correlation-id",
    "reply-to",
    "message-id",
    "type",
    "app-id",
    "user-id",
    "priority",
];

/// Where a publish goes, in one piece of memory.
pub(crate) struct Address {
    /// The exchange's name, and the routing key from `key_at` on.
    bytes: Bytes,
    exchange_len: usize,
    key_at: usize,
}

impl Address {
    /// As a slice of what `publish` borrows from, where both are in it.
    fn new(frames: &Bytes, publish: &Publish<'_>) -> Self {
        let (exchange, key) = (publish.exchange.as_bytes(), publish.routing_key.as_bytes());
        let offset = |part: &[u8]| part.as_ptr().addr().checked_sub(frames.as_ptr().addr());
        let places = offset(exchange).zip(offset(key));
        let slice = places.and_then(|(start, key_at)| {
            let end = key_at.checked_add(key.len()).filter(|end| *end <= frames.len())?;
            let key_at = key_at.checked_sub(start).filter(|at| *at >= exchange.len())?;
            Some((frames.slice(start..end), key_at))
        });
        let (bytes, key_at) =
            slice.unwrap_or_else(|| ([exchange, key].concat().into(), exchange.len()));
        Self { bytes, exchange_len: exchange.len(), key_at }
    }

    fn detach(&mut self) {
        self.bytes = Bytes::copy_from_slice(&self.bytes);
    }

    pub(crate) fn exchange(&self) -> &[u8] {
        &self.bytes[..self.exchange_len]
    }

    pub(crate) fn routing_key(&self) -> &[u8] {
        &self.bytes[self.key_at..]
    }

    /// The routing key, to be kept.
    pub(crate) fn shared_key(&self) -> Bytes {
        self.bytes.slice(self.key_at..)
    }
}

/// A publish whose header and body come in.
pub(crate) struct Content {
    address: Address,
    pub(crate) mandatory: bool,
    /// The header frame's: the properties and the whole body's size.
    pub(crate) header: Option<(Bytes, usize)>,
    body: Body,
    /// Whether nothing is a slice of what was read.
    is_detached: bool,
}

/// A body: a slice of what was read as long as it is in one frame.
enum Body {
    None,
    One(Bytes),
    Many(BytesMut),
}

impl Content {
    /// `frames` is what `publish` borrows from.
    pub(crate) fn new(frames: &Bytes, publish: &Publish<'_>) -> Self {
        Self {
            address: Address::new(frames, publish),
            mandatory: publish.mandatory,
            header: None,
            body: Body::None,
            is_detached: false,
        }
    }

    /// The properties, and the whole body's size.
    pub(crate) fn set_header(&mut self, properties: Bytes, size: usize) {
        self.header = Some((properties, size));
        self.is_detached = false;
    }

    /// Lets go of the reads that it came in: they may be much larger than what is kept of them.
    pub(crate) fn detach(&mut self) {
        if std::mem::replace(&mut self.is_detached, true) {
            return;
        }
        self.address.detach();
        if let Some((properties, _)) = &mut self.header {
            *properties = Bytes::copy_from_slice(properties);
        }
        if let Body::One(first) = &self.body {
            self.body = Body::Many(BytesMut::from(&**first));
        }
    }

    /// What it holds.
    pub(crate) fn bytes(&self) -> usize {
        let properties = self.header.as_ref().map_or(0, |(properties, _)| properties.len());
        size_of::<Self>() + self.address.bytes.len() + properties + self.received()
    }

    /// What is announced and has not come.
    pub(crate) fn missing(&self) -> usize {
        self.header.as_ref().map_or(0, |(_, size)| size - self.received())
    }

    /// How much of the body is there.
    fn received(&self) -> usize {
        match &self.body {
            Body::None => 0,
            Body::One(body) => body.len(),
            Body::Many(body) => body.len(),
        }
    }

    /// Whether nothing of the body is missing.
    pub(crate) fn is_complete(&self) -> bool {
        self.header.as_ref().is_some_and(|(_, size)| self.received() == *size)
    }

    /// A part of the body came. More than was announced is refused.
    pub(crate) fn push(&mut self, part: Bytes) -> Result<(), Refusal> {
        let Some((_, size)) = self.header else {
            return Err(unexpected("expected content header for class 60, got non content header"));
        };
        if part.len() > size - self.received() {
            return Err(unexpected("a body is longer than its header says"));
        }
        self.body = match std::mem::replace(&mut self.body, Body::None) {
            Body::None => {
                self.is_detached = false;
                Body::One(part)
            }
            Body::One(first) => {
                // Grows as the body comes in: a size that is only announced takes no memory.
                let mut all = BytesMut::with_capacity(first.len() + part.len());
                all.put(first);
                all.put(part);
                Body::Many(all)
            }
            Body::Many(mut all) => {
                all.put(part);
                Body::Many(all)
            }
        };
        Ok(())
    }

    /// Where it goes, the properties and the body.
    pub(crate) fn finish(self) -> (Address, Bytes, Bytes) {
        let properties = self.header.map(|(properties, _)| properties).unwrap_or_default();
        let body = match self.body {
            Body::None => Bytes::new(),
            Body::One(body) => body,
            Body::Many(body) => body.freeze(),
        };
        (self.address, properties, body)
    }
}

fn unexpected(text: &str) -> Refusal {
    Refusal::new(ReplyCode::UnexpectedFrame, text)
}

/// The routing keys of a message with `CC` or `BCC`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Keys {
    pub(crate) more: Vec<Vec<u8>>,
    /// `BCC` was there: it is not to be seen by who receives the message.
    pub(crate) blind: bool,
}

/// The further routing keys in a message's headers.
pub(crate) fn keys(table: &Table) -> Result<Keys, Refusal> {
    let mut keys = Keys::default();
    for name in ["CC", "BCC"] {
        let Some(value) = table.get(name) else { continue };
        keys.blind |= name == "BCC";
        let wrong = || Refusal::precondition(format!("unsupported type of '{name}' header"));
        let Value::Array(list) = value else { return Err(wrong()) };
        if keys.more.len() + list.len() > AMQP_FURTHER_KEYS_MAX {
            let text = format!("a message has at most {AMQP_FURTHER_KEYS_MAX} further keys");
            return Err(Refusal::precondition(text));
        }
        for key in list {
            let Value::Text(key) = key else { return Err(wrong()) };
            keys.more.push(key.clone());
        }
    }
    Ok(keys)
}

/// A complete publish on its way into queues.
pub(crate) struct Published<'a> {
    pub(crate) exchange: &'a [u8],
    pub(crate) routing_key: &'a [u8],
    /// Flags and values as they are to be stored.
    pub(crate) raw: &'a [u8],
    /// The application's headers, where anything looked into them.
    pub(crate) table: &'a Table,
    pub(crate) body: Bytes,
    /// Whether the message may be read by other protocols: not from a queue in memory.
    pub(crate) with_text: bool,
}

/// The message as it is stored, and how it is to be treated.
pub(crate) fn published(published: Published<'_>) -> Result<(Message, EnqueueOptions), Refusal> {
    let kept = Kept::new(published.exchange, published.routing_key, published.raw, published.body);
    let mut headers = Vec::with_capacity(if published.with_text { 4 } else { 1 });
    // The first header, filled in when nothing reads in it any more.
    headers.push(Header { name: Bytes::from_static(COMPACT), value: None });
    let properties = Properties::decode(kept.raw())?;
    if published.with_text {
        text_headers((&kept.compact, &properties), published.table, &mut headers);
    }
    let options = EnqueueOptions {
        // A transient message in a durable queue is stored and waited for as any other: clients
        // expect to see what they published before, and it costs one sync for many.
        persistent: true,
        priority: properties.priority.unwrap_or(0),
        ttl_ms: properties.expiration.map(expiration).transpose()?,
        ..EnqueueOptions::default()
    };
    headers[0].value = Some(kept.compact);
    let message =
        Message { key: Some(kept.routing_key), value: Some(kept.body), headers, timestamp: None };
    Ok((message, options))
}

/// A body up to this size is copied, so that a message in a queue does not hold the whole read
/// that it came in, which may be [`KEPT_BODY_MAX`] times sixteen.
const KEPT_BODY_MAX: usize = 16 * 1024;

/// What is kept of a publish, in one piece of memory: the compact header, the key, the body.
struct Kept {
    compact: Bytes,
    /// Where in it the properties begin.
    raw_at: usize,
    routing_key: Bytes,
    body: Bytes,
}

impl Kept {
    fn new(exchange: &[u8], routing_key: &[u8], raw: &[u8], body: Bytes) -> Self {
        let is_small = body.len() <= KEPT_BODY_MAX;
        let compact_len = 1 + exchange.len() + raw.len();
        let copied = if is_small { body.len() } else { 0 };
        let mut all = Vec::with_capacity(compact_len + routing_key.len() + copied);
        all.extend(u8::try_from(exchange.len()));
        all.extend_from_slice(exchange);
        all.extend_from_slice(raw);
        all.extend_from_slice(routing_key);
        if is_small {
            all.extend_from_slice(&body);
        }
        let mut rest = Bytes::from(all);
        let compact = rest.split_to(compact_len);
        let routing_key = rest.split_to(routing_key.len());
        let body = if is_small { rest } else { body };
        Self { compact, raw_at: 1 + exchange.len(), routing_key, body }
    }

    /// The properties' flags and values.
    fn raw(&self) -> &[u8] {
        &self.compact[self.raw_at..]
    }
}

/// A time to live: milliseconds as text.
fn expiration(text: &[u8]) -> Result<u64, Refusal> {
    let number = str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    number.ok_or_else(|| {
        let text = String::from_utf8_lossy(text);
        Refusal::precondition(format!("invalid expiration '{text}': not a number of milliseconds"))
    })
}

fn text_headers(
    (compact, properties): (&Bytes, &Properties<'_>),
    table: &Table,
    headers: &mut Vec<Header>,
) {
    let texts = [
        ("content-type", properties.content_type),
        ("content-encoding", properties.content_encoding),
        ("correlation-id", properties.correlation_id),
        ("reply-to", properties.reply_to),
        ("message-id", properties.message_id),
        ("type", properties.kind),
        ("app-id", properties.app_id),
        ("user-id", properties.user_id),
    ];
    for (name, text) in texts {
        if let Some(text) = text.filter(|text| str::from_utf8(text).is_ok()) {
            let name = Bytes::from_static(name.as_bytes());
            headers.push(Header { name, value: Some(compact.slice_ref(text)) });
        }
    }
    if let Some(priority) = properties.priority {
        let name = Bytes::from_static(b"priority");
        headers.push(Header { name, value: Some(priority.to_string().into()) });
    }
    for (name, value) in &table.0 {
        if RESERVED.contains(&name.as_str()) {
            continue;
        }
        if let Some(text) = text(value) {
            headers.push(Header { name: name.clone().into(), value: text });
        }
    }
}

/// A header's value as text; `None` for what would lose its meaning.
fn text(value: &Value) -> Option<Option<Bytes>> {
    let text = match value {
        Value::Void => return Some(None),
        Value::Bool(value) => value.to_string(),
        Value::F32(value) => value.to_string(),
        Value::F64(value) => value.to_string(),
        Value::Timestamp(seconds) => seconds.to_string(),
        Value::Text(bytes) | Value::Binary(bytes) => return Some(Some(bytes.clone().into())),
        Value::Decimal(..) | Value::Array(_) | Value::Table(_) => return None,
        number => number.as_integer()?.to_string(),
    };
    Some(Some(text.into()))
}
