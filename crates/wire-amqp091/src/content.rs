//! The header of a message's content: its size and its properties.
//!
//! ```text
//! class: u16 | weight: u16, zero | body size: u64 | flags: u16 | the properties whose flag is set
//! ```
//!
//! The properties are kept as they came and looked into where something depends on them.

use crate::{
    DecodeError, Reader, Table, Writer,
    frame::{self, FrameKind},
};

/// The class of messages: `basic`.
pub const BASIC: u16 = 60;

/// What comes before a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentHeader<'a> {
    /// The class: [`BASIC`].
    pub class: u16,
    /// The body's size over all its frames.
    pub body_size: u64,
    /// Flags and values.
    pub properties: &'a [u8],
}

impl<'a> ContentHeader<'a> {
    /// Reads a header frame's payload; the properties are not looked into.
    pub fn decode(payload: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(payload);
        let class = reader.u16()?;
        let _weight = reader.u16()?;
        let body_size = reader.u64()?;
        Ok(Self { class, body_size, properties: reader.rest() })
    }

    /// Writes a whole header frame.
    pub fn encode_into(&self, writer: &mut Writer, channel: u16) {
        frame::encode_head(writer, FrameKind::Header, channel, 12 + self.properties.len());
        writer.u16(self.class);
        writer.u16(0);
        writer.u64(self.body_size);
        writer.slice(self.properties);
        writer.u8(frame::FRAME_END);
    }
}

/// The head of a body frame; the body's bytes and [`frame::FRAME_END`] follow.
pub fn encode_body_head(writer: &mut Writer, channel: u16, size: usize) {
    frame::encode_head(writer, FrameKind::Body, channel, size);
}

macro_rules! properties {
    ($($(#[$doc:meta])* $name:ident: $type:ty, $flag:literal, $read:ident, $write:ident;)*) => {
        /// A message's properties, borrowed. Texts are any bytes, as they came.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Properties<'a> {
            $($(#[$doc])* pub $name: Option<$type>,)*
        }

        impl<'a> Properties<'a> {
            /// Reads flags and values. No bytes at all are no properties.
            pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
                let mut reader = Reader::new(bytes);
                let mut properties = Self::default();
                let flags = reader.u16()?;
                if flags & 1 != 0 {
                    return Err(DecodeError::InvalidPropertyFlags);
                }
                $(if flags & (1 << $flag) != 0 {
                    properties.$name = Some(reader.$read()?);
                })*
                reader.finish()?;
                Ok(properties)
            }

            /// Writes flags and values.
            pub fn encode_into(&self, writer: &mut Writer) {
                let mut flags = 0;
                $(flags |= u16::from(self.$name.is_some()) << $flag;)*
                writer.u16(flags);
                $(if let Some(value) = self.$name {
                    writer.$write(value);
                })*
            }
        }
    };
}

properties! {
    /// MIME type of the body.
    content_type: &'a [u8], 15, short_bytes, short_bytes;
    /// MIME encoding of the body.
    content_encoding: &'a [u8], 14, short_bytes, short_bytes;
    /// The application's headers: a field table without its length, not looked into.
    headers: &'a [u8], 13, long_bytes, long_bytes;
    /// 2 is persistent.
    delivery_mode: u8, 12, u8, u8;
    /// Larger is earlier.
    priority: u8, 11, u8, u8;
    /// What a reply refers to.
    correlation_id: &'a [u8], 10, short_bytes, short_bytes;
    /// The queue that replies go to.
    reply_to: &'a [u8], 9, short_bytes, short_bytes;
    /// How long the message is of use: milliseconds as text.
    expiration: &'a [u8], 8, short_bytes, short_bytes;
    /// The application's id of the message.
    message_id: &'a [u8], 7, short_bytes, short_bytes;
    /// Seconds since the Unix epoch.
    timestamp: u64, 6, u64, u64;
    /// The application's name for this kind of message.
    kind: &'a [u8], 5, short_bytes, short_bytes;
    /// Who publishes; must be who logged in.
    user_id: &'a [u8], 4, short_bytes, short_bytes;
    /// The publishing application.
    app_id: &'a [u8], 3, short_bytes, short_bytes;
    /// Reserved by the specification, kept.
    cluster_id: &'a [u8], 2, short_bytes, short_bytes;
}

impl Properties<'_> {
    /// The application's headers; an empty table where there are none.
    pub fn table(&self) -> Result<Table, DecodeError> {
        self.headers.map_or_else(|| Ok(Table::new()), Table::decode)
    }

    /// Whether flags and values, headers included, are well-formed.
    pub fn check(bytes: &[u8]) -> Result<(), DecodeError> {
        Properties::decode(bytes)?.headers.map_or(Ok(()), Table::check)
    }

    /// Flags and values in a buffer of their own.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        self.encode_into(&mut writer);
        writer.into_bytes()
    }
}
