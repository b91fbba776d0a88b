//! Why a queue or an exchange refuses.

use tramline_types::ErrorKind;

/// Why a queue or an exchange refuses. [`crate::Error::Queue`] carries it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueueError {
    /// No queue of this name.
    #[error("queue `{0}` does not exist")]
    UnknownQueue(String),
    /// No exchange of this name.
    #[error("exchange `{0}` does not exist")]
    UnknownExchange(String),
    /// A topic or another queue has the name.
    #[error("the name `{0}` is taken by a {1}")]
    NameTaken(String, &'static str),
    /// Declared again with something else.
    #[error("`{name}` exists with `{setting}` = {have}, not {wanted}")]
    Inequivalent {
        /// The queue or exchange.
        name: String,
        /// What differs.
        setting: &'static str,
        /// The value in force.
        have: String,
        /// The value asked for.
        wanted: String,
    },
    /// A setting's value is wrong.
    #[error("`{setting}`: {detail}")]
    InvalidSetting {
        /// The setting.
        setting: &'static str,
        /// What is wrong and what is allowed.
        detail: String,
    },
    /// Exclusive to another connection.
    #[error("queue `{0}` is exclusive to another connection")]
    Locked(String),
    /// A consumer has it for itself, or none may be added.
    #[error("queue `{0}` has an exclusive consumer")]
    ExclusiveConsumer(String),
    /// Still consumed from, or bound.
    #[error("`{0}` is in use")]
    InUse(String),
    /// Messages are there.
    #[error("queue `{0}` is not empty")]
    NotEmpty(String),
    /// Not for clients: predeclared names, the default exchange, internal exchanges.
    #[error("{0}")]
    AccessRefused(String),
    /// The lock expired or was settled before.
    #[error("the delivery's lock is lost: it expired or was settled before")]
    LockLost,
    /// The queue was deleted under its consumer.
    #[error("queue `{0}` was deleted")]
    Deleted(String),
    /// A bound on count, size or number of something.
    #[error("{0}")]
    LimitExceeded(String),
}

impl QueueError {
    /// What the caller should do.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::UnknownQueue(_) | Self::UnknownExchange(_) | Self::Deleted(_) => {
                ErrorKind::NotFound
            }
            Self::NameTaken(..) => ErrorKind::AlreadyExists,
            Self::InvalidSetting { .. } => ErrorKind::InvalidArgument,
            Self::Inequivalent { .. }
            | Self::InUse(_)
            | Self::NotEmpty(_)
            | Self::ExclusiveConsumer(_)
            | Self::LockLost => ErrorKind::FailedPrecondition,
            Self::Locked(_) | Self::AccessRefused(_) => ErrorKind::PermissionDenied,
            Self::LimitExceeded(_) => ErrorKind::ResourceExhausted,
        }
    }
}
