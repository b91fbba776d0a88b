//! The methods that come once a message, read and written without allocating.
//!
//! ```text
//! basic.publish 60,40 | reserved: u16 | exchange | routing key | bits: mandatory, immediate
//! basic.deliver 60,60 | consumer tag | delivery tag: u64 | bits: redelivered | exchange | routing key
//! basic.get-ok  60,71 | delivery tag: u64 | bits: redelivered | exchange | routing key | count: u32
//! basic.return  60,50 | code: u16 | text | exchange | routing key
//! basic.ack     60,80 | delivery tag: u64 | bits: multiple
//! basic.reject  60,90 | delivery tag: u64 | bits: requeue
//! basic.nack   60,120 | delivery tag: u64 | bits: multiple, requeue
//! ```

use crate::{
    DecodeError, Reader, ReplyCode, Writer,
    content::BASIC,
    frame::{self, FrameKind},
};

const PUBLISH: u16 = 40;
const RETURN: u16 = 50;
const DELIVER: u16 = 60;
const GET_OK: u16 = 71;
const ACK: u16 = 80;
const REJECT: u16 = 90;
const NACK: u16 = 120;

/// basic.publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publish<'a> {
    /// Where it goes to; empty is the default exchange.
    pub exchange: &'a str,
    /// What is routed by.
    pub routing_key: &'a str,
    /// Comes back where no queue takes it.
    pub mandatory: bool,
    /// Comes back where no consumer waits: not done by RabbitMQ since 3.0.
    pub immediate: bool,
}

/// basic.ack, basic.nack and basic.reject, in either direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settle {
    /// Of which delivery or publish.
    pub delivery_tag: u64,
    /// All up to this one as well.
    pub multiple: bool,
    /// What is to become of it.
    pub how: How,
}

/// What a settling method says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// basic.ack
    Ack,
    /// basic.nack, and whether it is to be queued again.
    Nack {
        /// Back into the queue.
        requeue: bool,
    },
    /// basic.reject, and whether it is to be queued again.
    Reject {
        /// Back into the queue.
        requeue: bool,
    },
}

/// What a method frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hot<'a> {
    /// A publish; its header and body follow.
    Publish(Publish<'a>),
    /// The end of a delivery.
    Settle(Settle),
    /// Any other method, not looked into.
    Other,
}

/// Reads a method frame's payload.
pub fn decode(payload: &[u8]) -> Result<Hot<'_>, DecodeError> {
    let mut reader = Reader::new(payload);
    let (class, method) = (reader.u16()?, reader.u16()?);
    if class != BASIC {
        return Ok(Hot::Other);
    }
    let hot = match method {
        PUBLISH => {
            let _reserved = reader.u16()?;
            Hot::Publish(Publish {
                exchange: reader.short_str()?,
                routing_key: reader.short_str()?,
                mandatory: reader.bit()?,
                immediate: reader.bit()?,
            })
        }
        ACK => Hot::Settle(Settle {
            delivery_tag: reader.u64()?,
            multiple: reader.bit()?,
            how: How::Ack,
        }),
        NACK => Hot::Settle(Settle {
            delivery_tag: reader.u64()?,
            multiple: reader.bit()?,
            how: How::Nack { requeue: reader.bit()? },
        }),
        REJECT => Hot::Settle(Settle {
            delivery_tag: reader.u64()?,
            multiple: false,
            how: How::Reject { requeue: reader.bit()? },
        }),
        _ => return Ok(Hot::Other),
    };
    reader.finish()?;
    Ok(hot)
}

/// Where a message came from, as every method that hands one over says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin<'a> {
    /// The exchange it was published to.
    pub exchange: &'a [u8],
    /// Its routing key.
    pub routing_key: &'a [u8],
}

/// basic.deliver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deliver<'a> {
    /// To which consumer.
    pub consumer_tag: &'a str,
    /// The delivery's number in its channel.
    pub delivery_tag: u64,
    /// It was handed out before.
    pub redelivered: bool,
    /// Where it came from.
    pub origin: Origin<'a>,
}

fn head(writer: &mut Writer, channel: u16, method: u16, arguments_bytes: usize) {
    frame::encode_head(writer, FrameKind::Method, channel, 4 + arguments_bytes);
    writer.u16(BASIC);
    writer.u16(method);
}

fn origin(writer: &mut Writer, origin: &Origin<'_>) {
    writer.short_bytes(origin.exchange);
    writer.short_bytes(origin.routing_key);
}

fn short(bytes: &[u8]) -> usize {
    1 + bytes.len().min(255)
}

impl Deliver<'_> {
    /// Writes a whole method frame.
    pub fn encode_into(&self, writer: &mut Writer, channel: u16) {
        let Origin { exchange, routing_key } = self.origin;
        let tag = self.consumer_tag.as_bytes();
        head(writer, channel, DELIVER, 9 + short(tag) + short(exchange) + short(routing_key));
        writer.short_bytes(tag);
        writer.u64(self.delivery_tag);
        writer.u8(u8::from(self.redelivered));
        origin(writer, &self.origin);
        writer.u8(frame::FRAME_END);
    }
}

/// basic.get-ok.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GetOk<'a> {
    /// The delivery's number in its channel.
    pub delivery_tag: u64,
    /// It was handed out before.
    pub redelivered: bool,
    /// Where it came from.
    pub origin: Origin<'a>,
    /// How many more are ready.
    pub message_count: u32,
}

impl GetOk<'_> {
    /// Writes a whole method frame.
    pub fn encode_into(&self, writer: &mut Writer, channel: u16) {
        let Origin { exchange, routing_key } = self.origin;
        head(writer, channel, GET_OK, 13 + short(exchange) + short(routing_key));
        writer.u64(self.delivery_tag);
        writer.u8(u8::from(self.redelivered));
        origin(writer, &self.origin);
        writer.u32(self.message_count);
        writer.u8(frame::FRAME_END);
    }
}

/// basic.return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Return<'a> {
    /// Why.
    pub code: ReplyCode,
    /// Where it was published to.
    pub origin: Origin<'a>,
}

impl Return<'_> {
    /// Writes a whole method frame.
    pub fn encode_into(&self, writer: &mut Writer, channel: u16) {
        let Origin { exchange, routing_key } = self.origin;
        let text = self.code.name().as_bytes();
        head(writer, channel, RETURN, 2 + short(text) + short(exchange) + short(routing_key));
        writer.u16(self.code.code());
        writer.short_bytes(text);
        origin(writer, &self.origin);
        writer.u8(frame::FRAME_END);
    }
}

impl Settle {
    /// Writes a whole method frame.
    pub fn encode_into(&self, writer: &mut Writer, channel: u16) {
        let bit = |bit: bool, place: u32| u8::from(bit) << place;
        let (method, bits) = match self.how {
            How::Ack => (ACK, bit(self.multiple, 0)),
            How::Nack { requeue } => (NACK, bit(self.multiple, 0) | bit(requeue, 1)),
            How::Reject { requeue } => (REJECT, bit(requeue, 0)),
        };
        head(writer, channel, method, 9);
        writer.u64(self.delivery_tag);
        writer.u8(bits);
        writer.u8(frame::FRAME_END);
    }
}
