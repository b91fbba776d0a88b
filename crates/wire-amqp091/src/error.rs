//! Why bytes could not become a frame, a method or a table.

/// Malformed input. The connection that sent it cannot be trusted any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end before the value does.
    #[error("the bytes end before the value does")]
    Truncated,
    /// Bytes are left where the value should have ended.
    #[error("{0} bytes are left after the value")]
    TrailingBytes(usize),
    /// A name or a text that is not UTF-8.
    #[error("malformed UTF-8 in a short string")]
    InvalidUtf8,
    /// A letter that stands for no type of field.
    #[error("unknown field type {0:#04x}")]
    UnknownFieldType(u8),
    /// Tables and arrays nested deeper than [`crate::DEPTH_MAX`].
    #[error("tables are nested too deep")]
    TooDeep,
    /// A method that this protocol does not have.
    #[error("unknown method {class}.{method}")]
    UnknownMethod {
        /// The class's id.
        class: u16,
        /// The method's id.
        method: u16,
    },
    /// A frame of a type that this protocol does not have.
    #[error("unknown frame type {0}")]
    UnknownFrame(u8),
    /// A frame larger than was agreed.
    #[error("a frame of {bytes} bytes is larger than the limit of {limit}")]
    FrameTooLarge {
        /// The declared payload.
        bytes: usize,
        /// What is allowed.
        limit: usize,
    },
    /// The byte after the payload is not the end mark.
    #[error("invalid end of frame: {0:#04x}")]
    InvalidFrameEnd(u8),
    /// Property flags that go on: no class has more than 15 properties.
    #[error("property flags go on")]
    InvalidPropertyFlags,
}
