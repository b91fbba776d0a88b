//! Why bytes could not become a message, or a message could not become bytes.

/// Malformed or unsupported input. The connection that sent it cannot be trusted any further,
/// except after [`DecodeError::UnsupportedVersion`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end before the value does.
    #[error("the bytes end before the value does")]
    Truncated,
    /// Bytes are left where the message should have ended.
    #[error("{0} bytes are left after the message")]
    TrailingBytes(usize),
    /// A declared length that is negative, too large for its type, or larger than what is there.
    #[error("invalid length {0}")]
    InvalidLength(i64),
    /// A variable-length integer longer than its type allows.
    #[error("invalid variable-length integer")]
    InvalidVarint,
    /// A string that is not UTF-8.
    #[error("a string is not UTF-8")]
    InvalidUtf8,
    /// Null where this version of the message does not allow it.
    #[error("null where it is not allowed")]
    UnexpectedNull,
    /// More array elements in one message than a reader accepts.
    #[error("too many array elements")]
    TooManyItems,
    /// An API that is not known here.
    #[error("unknown API key {0}")]
    UnknownApi(i16),
    /// A version that this message does not have.
    #[error("unsupported version {0}")]
    UnsupportedVersion(i16),
}

/// A message that cannot be spelled as asked. All of these are mistakes of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// A version that this message does not have.
    #[error("unsupported version {0}")]
    UnsupportedVersion(i16),
    /// A field is set that this version cannot carry and that must not be dropped silently.
    #[error("version {version} cannot carry `{field}`")]
    NotCarried {
        /// `Struct.field`.
        field: &'static str,
        /// The version asked for.
        version: i16,
    },
    /// Null where this version of the message does not allow it.
    #[error("null where it is not allowed")]
    UnexpectedNull,
    /// A value longer than its length prefix can say.
    #[error("a value of {0} bytes or elements is too long")]
    TooLong(usize),
}
