//! Why bytes are no batch, or no batch that a producer may send.

use crate::Compression;
use tramline_types::ErrorKind;

/// What is wrong with a batch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Fewer bytes than a header, or than the header's length says.
    #[error("a batch of {needed} bytes has only {present}")]
    Truncated {
        /// Bytes that must be there.
        needed: usize,
        /// Bytes that are there.
        present: usize,
    },
    /// Bytes beyond the batch's declared end.
    #[error("{0} bytes follow the batch")]
    TrailingBytes(usize),
    /// Another format: 0 and 1 are Kafka's message sets before 0.11.
    #[error("message format {0} is not supported, only format 2 is")]
    Magic(i8),
    /// A declared length that no batch can have.
    #[error("a batch cannot have a length of {0}")]
    Length(i32),
    /// The bytes changed on their way, or in the store.
    #[error("the batch's CRC is {stored:#010x}, its bytes have {computed:#010x}")]
    Crc {
        /// As in the header.
        stored: u32,
        /// Of the bytes.
        computed: u32,
    },
    /// A codec id that Kafka has not assigned.
    #[error("compression codec {0} is not known")]
    UnknownCompression(u8),
    /// Header fields contradict each other.
    #[error("the batch header is invalid: {0}")]
    InvalidHeader(&'static str),
    /// A batch that may be stored, but that a producer may not send.
    #[error("a producer may not send this batch: {0}")]
    InvalidProducerBatch(&'static str),
    /// A producer claims that the broker set the timestamps.
    #[error("a producer may not send a batch with log append time")]
    ProducerLogAppendTime,
    /// The records' bytes are not what they say.
    #[error("record {index} of the batch is invalid: {detail}")]
    InvalidRecord {
        /// Which one, from 0.
        index: usize,
        /// What is wrong.
        detail: &'static str,
    },
    /// The codec refuses the records' bytes.
    #[error("the {codec} data of the batch is damaged: {detail}")]
    Decompress {
        /// The batch's codec.
        codec: Compression,
        /// In the codec's words.
        detail: String,
    },
    /// Opening the batch would take more memory than allowed.
    #[error("the opened batch exceeds {0} bytes")]
    OpenedTooLarge(usize),
    /// A batch under construction exceeds the format's 2 GiB.
    #[error("a batch of {0} bytes exceeds the format")]
    BuiltTooLarge(usize),
    /// A batch under construction has no record.
    #[error("a batch needs at least one record")]
    Empty,
    /// The codec failed on a batch under construction.
    #[error("the batch cannot be compressed with {codec}: {detail}")]
    Compress {
        /// The batch's codec.
        codec: Compression,
        /// In the codec's words.
        detail: String,
    },
}

impl Error {
    /// What the caller should do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Magic(_) | Self::UnknownCompression(_) => ErrorKind::Unimplemented,
            Self::OpenedTooLarge(_) => ErrorKind::ResourceExhausted,
            Self::Compress { .. } => ErrorKind::Internal,
            Self::Truncated { .. }
            | Self::TrailingBytes(_)
            | Self::Length(_)
            | Self::Crc { .. }
            | Self::InvalidHeader(_)
            | Self::InvalidProducerBatch(_)
            | Self::ProducerLogAppendTime
            | Self::InvalidRecord { .. }
            | Self::Decompress { .. }
            | Self::BuiltTooLarge(_)
            | Self::Empty => ErrorKind::InvalidArgument,
        }
    }
}
