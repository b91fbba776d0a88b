//! Why the store refuses.

use tramline_types::{ErrorKind, LogId, Offset};

/// Why the store refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No such log.
    #[error("`{0}` does not exist")]
    UnknownLog(LogId),
    /// The offset was trimmed.
    #[error("offset {from} of `{log}` is below its start {start}")]
    BelowStart {
        /// The log.
        log: LogId,
        /// What was asked for.
        from: Offset,
        /// The first offset there is.
        start: Offset,
    },
    /// No space for this purpose.
    #[error("the disk is full: {free_bytes} bytes free; free space or lower the retention")]
    Full {
        /// What the file system has.
        free_bytes: u64,
    },
    /// Larger than one commit may be.
    #[error("a commit of {bytes} bytes is larger than the limit of {limit}")]
    TooLarge {
        /// The size asked for.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// A stored range is damaged.
    #[error("offset {offset} of `{log}` is damaged: {detail}")]
    Damaged {
        /// The log.
        log: LogId,
        /// Where.
        offset: Offset,
        /// The file and what is wrong with it.
        detail: String,
    },
    /// The directory cannot be used as it is.
    #[error("data directory: {0}")]
    Directory(String),
    /// The file system refuses.
    #[error("{action} `{path}`: {detail}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: String,
        /// The system's answer.
        detail: String,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

impl Error {
    /// What the caller should do.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::UnknownLog(_) => ErrorKind::NotFound,
            Self::BelowStart { .. } => ErrorKind::OutOfRange,
            Self::Full { .. } => ErrorKind::ResourceExhausted,
            Self::TooLarge { .. } => ErrorKind::InvalidArgument,
            Self::Damaged { .. } => ErrorKind::DataLoss,
            Self::Directory(_) => ErrorKind::FailedPrecondition,
            Self::Io { .. } => ErrorKind::Internal,
            Self::Closed => ErrorKind::Unavailable,
        }
    }
}
