//! The kinds of failure, by what the caller should do about them.

/// gRPC's canonical codes: serves HTTP status, metrics labels and retry advice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request is wrong in itself: change it, a retry fails the same way.
    InvalidArgument,
    /// The named thing does not exist: create it or correct the name.
    NotFound,
    /// The named thing exists: use it, or choose another name.
    AlreadyExists,
    /// The caller may not do this: ask for the right.
    PermissionDenied,
    /// The caller is not known: authenticate.
    Unauthenticated,
    /// A limit or a quota is used up: wait or raise it, then retry.
    ResourceExhausted,
    /// The state forbids it: change the state first, a plain retry fails.
    FailedPrecondition,
    /// Somebody else got in between: start the whole operation again.
    Aborted,
    /// The position lies outside what is stored: choose another one.
    OutOfRange,
    /// This broker does not do that.
    Unimplemented,
    /// The broker is at fault: report it.
    Internal,
    /// Not now: retry with a back-off.
    Unavailable,
    /// Stored data is damaged: restore it, other data is served.
    DataLoss,
    /// The time ran out, the outcome is not known: check, then retry.
    DeadlineExceeded,
    /// The caller gave up.
    Cancelled,
}

impl ErrorKind {
    /// The code's canonical name, as in gRPC.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::NotFound => "NOT_FOUND",
            Self::AlreadyExists => "ALREADY_EXISTS",
            Self::PermissionDenied => "PERMISSION_DENIED",
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::ResourceExhausted => "RESOURCE_EXHAUSTED",
            Self::FailedPrecondition => "FAILED_PRECONDITION",
            Self::Aborted => "ABORTED",
            Self::OutOfRange => "OUT_OF_RANGE",
            Self::Unimplemented => "UNIMPLEMENTED",
            Self::Internal => "INTERNAL",
            Self::Unavailable => "UNAVAILABLE",
            Self::DataLoss => "DATA_LOSS",
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Self::Cancelled => "CANCELLED",
        }
    }
}
