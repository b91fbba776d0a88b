//! Why a request is refused, with the names that AWS gives it. The only mapping of errors to
//! codes: each has the shape that JSON clients see, the code of the Query protocol, and a status.

use axum::http::StatusCode;
use std::borrow::Cow;
use tramline_broker::{self as broker, EnqueueError, QueueError};

/// How the two protocols tell a [`Code`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spelling {
    /// What stands in `__type`.
    pub(crate) shape: &'static str,
    /// The code of the Query protocol.
    pub(crate) code: &'static str,
    pub(crate) status: StatusCode,
}

/// The service's model has these.
macro_rules! own {
    ($shape:literal) => {
        concat!("com.amazonaws.sqs#", $shape)
    };
}

/// Every service has these.
macro_rules! common {
    ($shape:literal) => {
        concat!("com.amazon.coral.service#", $shape)
    };
}

/// Most codes of the Query protocol are the shape's name behind a prefix.
macro_rules! simple {
    ($name:literal) => {
        concat!("AWS.SimpleQueueService.", $name)
    };
}

macro_rules! codes {
    ($($name:ident => $shape:expr, $code:expr, $status:ident;)*) => {
        /// What kind of refusal.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Code {
            $($name,)*
        }

        impl Code {
            pub(crate) const fn spelling(self) -> Spelling {
                match self {
                    $(Self::$name => {
                        Spelling { shape: $shape, code: $code, status: StatusCode::$status }
                    })*
                }
            }
        }
    };
}

codes! {
    AccessDenied => common!("AccessDeniedException"), "AccessDenied", FORBIDDEN;
    BatchEntryIdsNotDistinct =>
        own!("BatchEntryIdsNotDistinct"), simple!("BatchEntryIdsNotDistinct"), BAD_REQUEST;
    BatchRequestTooLong => own!("BatchRequestTooLong"), simple!("BatchRequestTooLong"), BAD_REQUEST;
    EmptyBatchRequest => own!("EmptyBatchRequest"), simple!("EmptyBatchRequest"), BAD_REQUEST;
    InternalFailure => common!("InternalFailure"), "InternalFailure", INTERNAL_SERVER_ERROR;
    InvalidAddress => own!("InvalidAddress"), "InvalidAddress", NOT_FOUND;
    InvalidAttributeName => own!("InvalidAttributeName"), "InvalidAttributeName", BAD_REQUEST;
    InvalidAttributeValue => own!("InvalidAttributeValue"), "InvalidAttributeValue", BAD_REQUEST;
    InvalidBatchEntryId => own!("InvalidBatchEntryId"), simple!("InvalidBatchEntryId"), BAD_REQUEST;
    InvalidClientTokenId => common!("UnrecognizedClientException"), "InvalidClientTokenId", FORBIDDEN;
    InvalidMessageContents => own!("InvalidMessageContents"), "InvalidMessageContents", BAD_REQUEST;
    InvalidParameterValue =>
        common!("InvalidParameterValueException"), "InvalidParameterValue", BAD_REQUEST;
    MessageNotInflight => own!("MessageNotInflight"), simple!("MessageNotInflight"), BAD_REQUEST;
    MissingAction => common!("MissingActionException"), "MissingAction", BAD_REQUEST;
    MissingAuthenticationToken =>
        common!("MissingAuthenticationTokenException"), "MissingAuthenticationToken", FORBIDDEN;
    MissingParameter =>
        common!("MissingRequiredParameterException"), "MissingParameter", BAD_REQUEST;
    OverLimit => own!("OverLimit"), "OverLimit", FORBIDDEN;
    PurgeQueueInProgress =>
        own!("PurgeQueueInProgress"), simple!("PurgeQueueInProgress"), FORBIDDEN;
    QueueDeletedRecently =>
        own!("QueueDeletedRecently"), simple!("QueueDeletedRecently"), BAD_REQUEST;
    QueueDoesNotExist => own!("QueueDoesNotExist"), simple!("NonExistentQueue"), BAD_REQUEST;
    QueueNameExists => own!("QueueNameExists"), "QueueAlreadyExists", BAD_REQUEST;
    ReceiptHandleIsInvalid => own!("ReceiptHandleIsInvalid"), "ReceiptHandleIsInvalid", BAD_REQUEST;
    RequestEntityTooLarge =>
        common!("RequestEntityTooLargeException"), "RequestEntityTooLarge", PAYLOAD_TOO_LARGE;
    RequestTimeout => common!("RequestTimeoutException"), "RequestTimeout", REQUEST_TIMEOUT;
    Serialization => common!("SerializationException"), "MalformedInput", BAD_REQUEST;
    ResourceNotFound =>
        own!("ResourceNotFoundException"), "ResourceNotFoundException", NOT_FOUND;
    ServiceUnavailable =>
        common!("ServiceUnavailableException"), "ServiceUnavailable", SERVICE_UNAVAILABLE;
    SignatureDoesNotMatch =>
        common!("InvalidSignatureException"), "SignatureDoesNotMatch", FORBIDDEN;
    TooManyEntriesInBatchRequest =>
        own!("TooManyEntriesInBatchRequest"), simple!("TooManyEntriesInBatchRequest"), BAD_REQUEST;
    UnknownOperation => common!("UnknownOperationException"), "InvalidAction", BAD_REQUEST;
    UnsupportedOperation =>
        own!("UnsupportedOperation"), simple!("UnsupportedOperation"), BAD_REQUEST;
}

impl Code {
    /// Whether the caller is at fault.
    pub(crate) fn is_senders(self) -> bool {
        self.spelling().status.is_client_error()
    }
}

/// The longest message of a refusal.
const MESSAGE_BYTES_MAX: usize = 2_048;

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Error {
    pub(crate) code: Code,
    pub(crate) message: Cow<'static, str>,
}

impl Error {
    /// What a client sent may be part of the message, but not at any length.
    pub(crate) fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        let mut message = message.into();
        if message.len() > MESSAGE_BYTES_MAX {
            let text = message.to_mut();
            text.truncate(text.floor_char_boundary(MESSAGE_BYTES_MAX));
            text.push_str("...");
        }
        Self { code, message }
    }

    /// A parameter's value is outside what is allowed.
    pub(crate) fn value(
        name: &str,
        value: impl std::fmt::Display,
        reason: impl std::fmt::Display,
    ) -> Self {
        let message = format!("Value {value} for parameter {name} is invalid. Reason: {reason}.");
        Self::new(Code::InvalidParameterValue, message)
    }

    pub(crate) fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::InvalidParameterValue, message)
    }

    pub(crate) fn missing(name: &str) -> Self {
        let message = format!("The request must contain the parameter {name}.");
        Self::new(Code::MissingParameter, message)
    }

    pub(crate) fn no_queue() -> Self {
        Self::new(Code::QueueDoesNotExist, "The specified queue does not exist.")
    }
}

/// A parameter that must be there.
pub(crate) fn required<T>(value: Option<T>, name: &str) -> Result<T, Error> {
    value.ok_or_else(|| Error::missing(name))
}

impl From<EnqueueError> for Error {
    fn from(error: EnqueueError) -> Self {
        let code = match &error {
            EnqueueError::Overflow => Code::OverLimit,
            EnqueueError::Subscription(_) => Code::UnsupportedOperation,
            EnqueueError::Deleted => return Self::no_queue(),
            EnqueueError::TooLarge { .. } => Code::InvalidParameterValue,
            EnqueueError::StorageFull => Code::ServiceUnavailable,
            EnqueueError::Storage(_) => Code::InternalFailure,
        };
        Self::new(code, error.to_string())
    }
}

/// No `_` arm: a new error must be given a code here before anything compiles.
impl From<broker::Error> for Error {
    fn from(error: broker::Error) -> Self {
        use broker::Error as E;
        let code = match &error {
            E::Queue(error) => return from_queue(error),
            E::UnknownTopic(_)
            | E::UnknownTopicId
            | E::UnknownPartition { .. }
            | E::TopicExists(_)
            | E::OrderedView { .. }
            | E::RecordsNotDeletable(_)
            | E::InvalidTopicName(_)
            | E::InvalidPartitions(_)
            | E::InvalidReplicationFactor(_)
            | E::InvalidSetting { .. }
            | E::OffsetOutOfRange { .. }
            | E::MessageTooLarge { .. }
            | E::CorruptBatch(_)
            | E::InvalidRecord(_)
            | E::InvalidRecords(_)
            | E::UnsupportedCompression
            | E::OffsetMetadataTooLarge
            | E::InvalidGroup(_) => Code::InvalidParameterValue,
            E::TopicDeletionDisabled
            | E::OutOfOrderSequence(_)
            | E::InvalidProducerEpoch(_)
            | E::UnknownMember
            | E::IllegalGeneration
            | E::RebalanceInProgress
            | E::InconsistentProtocol
            | E::InvalidSessionTimeout
            | E::MemberIdRequired(_)
            | E::FencedInstance
            | E::NonEmptyGroup
            | E::UnknownGroup(_) => Code::UnsupportedOperation,
            E::GroupFull | E::LimitExceeded(_) => Code::OverLimit,
            E::Storage(_) | E::DataDamaged(_) => Code::InternalFailure,
            E::StorageFull | E::Busy(_) | E::Closed => Code::ServiceUnavailable,
        };
        Self::new(code, error.to_string())
    }
}

fn from_queue(error: &QueueError) -> Error {
    use QueueError as Q;
    let code = match error {
        Q::UnknownQueue(_) | Q::Deleted(_) => return Error::no_queue(),
        Q::NameTaken(..) | Q::Inequivalent { .. } => Code::QueueNameExists,
        Q::InvalidSetting { .. } => Code::InvalidAttributeValue,
        Q::Locked(_) | Q::ExclusiveConsumer(_) | Q::AccessRefused(_) => Code::AccessDenied,
        Q::UnknownExchange(_) | Q::InUse(_) | Q::NotEmpty(_) => Code::UnsupportedOperation,
        Q::LockLost => Code::MessageNotInflight,
        Q::LimitExceeded(_) => Code::OverLimit,
    };
    Error::new(code, error.to_string())
}
