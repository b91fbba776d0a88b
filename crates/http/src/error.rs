//! The only place where an error becomes an HTTP status and a JSON body:
//! `{"error": {"kind": "NOT_FOUND", "message": "...", "hint": "..."}}`.

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use std::borrow::Cow;
use tramline_broker as broker;
use tramline_types::{ErrorKind, NameError};

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The broker refuses.
    #[error(transparent)]
    Broker(#[from] broker::Error),
    /// A name in the path or the body is none.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The request is malformed.
    #[error("{message}")]
    Malformed {
        /// What is wrong.
        message: String,
        /// What would be right.
        hint: &'static str,
    },
    /// The body is larger than the limit in bytes.
    #[error("the body is larger than {0} bytes")]
    BodyTooLarge(usize),
    /// Other requests have taken up the memory for bodies.
    #[error("too many large requests at once")]
    Busy,
    /// The body did not arrive in time.
    #[error("the body did not arrive in time")]
    BodyTooSlow,
    /// A web page of another origin sent it.
    #[error("a page of another origin may not change anything here")]
    CrossSite,
    /// The `Host` header names neither this machine nor an allowed name.
    #[error("host `{0}` is not served here")]
    HostRefused(String),
    /// No such path.
    #[error("there is nothing at `{0}`")]
    UnknownPath(String),
    /// The path does not take this method.
    #[error("`{0}` does not take this method")]
    MethodRefused(String),
    /// The group has members; its offsets are theirs to move.
    #[error("group `{0}` has members")]
    GroupActive(String),
    /// No open connection has this id.
    #[error("there is no connection {0}")]
    UnknownConnection(u64),
    /// No message of the queue has this place, or it is not as the request has it.
    #[error("there is no such message at `{0}`")]
    UnknownMessage(String),
    /// Somebody works on it.
    #[error("the message at `{0}` is locked")]
    MessageLocked(String),
    /// The job is not there, or not as the request has it.
    #[error(transparent)]
    Job(#[from] broker::JobError),
    /// A token that is no good, or not any more.
    #[error("the token is not good for this job, or not any more")]
    TokenRefused,
    /// Pushed configuration is not changed, or not there.
    #[error(transparent)]
    Config(#[from] broker::ConfigError),
    /// A message does not go into its queue.
    #[error(transparent)]
    Enqueue(#[from] broker::EnqueueError),
}

impl Error {
    /// A malformed request: what is wrong, and what would be right.
    pub(crate) fn malformed(message: impl Into<String>, hint: &'static str) -> Self {
        Self::Malformed { message: message.into(), hint }
    }

    /// What the caller should do, as a code.
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::Broker(error) => error.kind(),
            Self::Name(_) | Self::Malformed { .. } | Self::BodyTooLarge(_) => {
                ErrorKind::InvalidArgument
            }
            Self::Busy => ErrorKind::Unavailable,
            Self::BodyTooSlow => ErrorKind::DeadlineExceeded,
            Self::CrossSite | Self::HostRefused(_) | Self::TokenRefused => {
                ErrorKind::PermissionDenied
            }
            Self::Job(error) => kind_of_job(error),
            Self::UnknownPath(_) | Self::UnknownConnection(_) | Self::UnknownMessage(_) => {
                ErrorKind::NotFound
            }
            Self::MethodRefused(_) => ErrorKind::Unimplemented,
            Self::GroupActive(_) | Self::MessageLocked(_) => ErrorKind::FailedPrecondition,
            Self::Config(error) => kind_of_config(error),
            Self::Enqueue(error) => kind_of_enqueue(error),
        }
    }

    /// The status line and the advice.
    pub(crate) fn status_and_hint(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Broker(error) => from_broker(error),
            Self::Name(_) => (StatusCode::BAD_REQUEST, "correct the name"),
            Self::Malformed { hint, .. } => (StatusCode::BAD_REQUEST, hint),
            Self::BodyTooLarge(_) => {
                (StatusCode::PAYLOAD_TOO_LARGE, "send fewer or smaller messages per request")
            }
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, "retry in a moment"),
            Self::BodyTooSlow => (StatusCode::REQUEST_TIMEOUT, "send the whole body at once"),
            Self::CrossSite => (
                StatusCode::FORBIDDEN,
                "call the API from the same origin or from outside a browser",
            ),
            Self::HostRefused(_) => (
                StatusCode::MISDIRECTED_REQUEST,
                "use an IP address or `localhost`, or add the name to `http.hosts_allowed`",
            ),
            Self::UnknownPath(_) => (StatusCode::NOT_FOUND, "see `/v1/openapi.json` for all paths"),
            Self::MethodRefused(_) => {
                (StatusCode::METHOD_NOT_ALLOWED, "see `/v1/openapi.json` for its methods")
            }
            Self::GroupActive(_) => (StatusCode::CONFLICT, "stop its consumers, then retry"),
            Self::UnknownConnection(_) => {
                (StatusCode::NOT_FOUND, "list the connections to see which are open")
            }
            Self::UnknownMessage(_) => {
                (StatusCode::NOT_FOUND, "peek to see which messages there are, and their states")
            }
            Self::MessageLocked(_) => {
                (StatusCode::CONFLICT, "settle its delivery, or wait for the end of its lock")
            }
            Self::Job(error) => advise_job(error),
            Self::TokenRefused => (StatusCode::FORBIDDEN, "ask for a fresh token"),
            Self::Config(error) => advise_config(error),
            Self::Enqueue(error) => advise_enqueue(error),
        }
    }

    /// The `error` object of an answer.
    pub(crate) fn body(&self) -> ErrorBody {
        let (_, hint) = self.status_and_hint();
        ErrorBody {
            kind: Cow::Borrowed(self.kind().as_str()),
            message: self.to_string(),
            hint: Cow::Borrowed(hint),
        }
    }
}

/// The `error` object of an answer.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ErrorBody {
    kind: Cow<'static, str>,
    message: String,
    hint: Cow<'static, str>,
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        #[derive(Serialize)]
        struct Answer {
            error: ErrorBody,
        }
        let (status, _) = self.status_and_hint();
        (status, axum::Json(Answer { error: self.body() })).into_response()
    }
}

/// Status and advice of the broker's errors. No `_` arm: a new one must be placed here before
/// anything compiles.
fn from_broker(error: &broker::Error) -> (StatusCode, &'static str) {
    use broker::Error as E;
    match error {
        E::UnknownTopic(_) | E::UnknownTopicId => {
            (StatusCode::NOT_FOUND, "create the topic, or correct its name")
        }
        E::UnknownPartition { .. } => {
            (StatusCode::NOT_FOUND, "describe the topic to see its partitions; they count from 0")
        }
        E::UnknownGroup(_) => (StatusCode::NOT_FOUND, "list the groups to see their names"),
        E::OrderedView { .. } => (StatusCode::CONFLICT, "use the topic that it is a view of"),
        E::RecordsNotDeletable(_) => {
            (StatusCode::CONFLICT, "add `delete` to the topic's `cleanup.policy`")
        }
        E::TopicExists(_) => (StatusCode::CONFLICT, "use it, or choose another name"),
        E::InvalidTopicName(_) => (
            StatusCode::BAD_REQUEST,
            "use 1 to 249 letters, digits, `.`, `_` and `-`; not `.` or `..`",
        ),
        E::InvalidPartitions(_) => {
            (StatusCode::BAD_REQUEST, "the number of partitions can only grow, up to the limit")
        }
        E::InvalidReplicationFactor(_) => {
            (StatusCode::BAD_REQUEST, "leave it out: this node keeps one copy")
        }
        E::InvalidSetting { .. } => {
            (StatusCode::BAD_REQUEST, "describe a topic to see every setting with its type")
        }
        E::OffsetOutOfRange { .. } => (
            StatusCode::RANGE_NOT_SATISFIABLE,
            "describe the topic to see the offsets that it holds",
        ),
        E::MessageTooLarge { .. } => {
            (StatusCode::PAYLOAD_TOO_LARGE, "send a smaller one, or raise `max.message.bytes`")
        }
        E::CorruptBatch(_) | E::InvalidRecord(_) => {
            (StatusCode::BAD_REQUEST, "correct the message: a retry fails the same way")
        }
        E::InvalidRecords(errors) => advise_record(errors.rule),
        E::TopicDeletionDisabled => (StatusCode::CONFLICT, "set `delete.topic.enable` to true"),
        E::UnsupportedCompression => (StatusCode::BAD_REQUEST, "choose another compression"),
        E::OutOfOrderSequence(_) | E::InvalidProducerEpoch(_) => {
            (StatusCode::CONFLICT, "start the producer again")
        }
        E::StorageFull => {
            (StatusCode::INSUFFICIENT_STORAGE, "free disk space or lower the retention, then retry")
        }
        E::Storage(_) => (StatusCode::INTERNAL_SERVER_ERROR, "see the broker's log"),
        E::DataDamaged(_) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            "restore the range from a backup; other data is served",
        ),
        E::UnknownMember | E::IllegalGeneration | E::RebalanceInProgress | E::FencedInstance => {
            (StatusCode::CONFLICT, "the group changed meanwhile: describe it, then retry")
        }
        E::InconsistentProtocol | E::InvalidSessionTimeout | E::InvalidGroup(_) => {
            (StatusCode::BAD_REQUEST, "correct the request: a retry fails the same way")
        }
        E::MemberIdRequired(_) => (StatusCode::CONFLICT, "join again with the given member id"),
        E::GroupFull | E::LimitExceeded(_) => {
            (StatusCode::TOO_MANY_REQUESTS, "use less, or raise the limit")
        }
        E::NonEmptyGroup => (StatusCode::CONFLICT, "stop its consumers, then retry"),
        E::OffsetMetadataTooLarge => (StatusCode::BAD_REQUEST, "shorten the metadata"),
        E::Queue(error) => advise_queue(error),
        E::Busy(_) => (StatusCode::SERVICE_UNAVAILABLE, "retry in a moment"),
        E::Closed => (StatusCode::SERVICE_UNAVAILABLE, "the broker is stopping: retry elsewhere"),
    }
}

const fn advise_record(rule: broker::RecordRule) -> (StatusCode, &'static str) {
    match rule {
        broker::RecordRule::Timestamp => {
            (StatusCode::BAD_REQUEST, "leave the timestamp out, or correct the sender's clock")
        }
        broker::RecordRule::Key => (StatusCode::BAD_REQUEST, "give every message a key"),
    }
}

fn kind_of_job(error: &broker::JobError) -> ErrorKind {
    use broker::JobError as J;
    match error {
        J::Unknown(_) => ErrorKind::NotFound,
        J::WrongState { .. } | J::AttemptOver { .. } => ErrorKind::FailedPrecondition,
        J::Invalid(_) => ErrorKind::InvalidArgument,
        J::Broker(error) => error.kind(),
    }
}

fn advise_job(error: &broker::JobError) -> (StatusCode, &'static str) {
    use broker::JobError as J;
    match error {
        J::Unknown(_) => (
            StatusCode::NOT_FOUND,
            "correct the id; messages are tracked with `track` on their queue or by the header \
             `job-id`, and what is over is kept for `result_ttl_ms`",
        ),
        J::WrongState { .. } => (StatusCode::CONFLICT, "ask for the job to see how it is"),
        J::AttemptOver { .. } => (StatusCode::CONFLICT, "stop: another worker has the job"),
        J::Invalid(_) => (StatusCode::BAD_REQUEST, "correct the report"),
        J::Broker(error) => from_broker(error),
    }
}

const fn kind_of_config(error: &broker::ConfigError) -> ErrorKind {
    use broker::ConfigError as E;
    match error {
        E::InvalidKey(_) | E::InvalidSchema(_) | E::InvalidChange(_) | E::TooLarge { .. } => {
            ErrorKind::InvalidArgument
        }
        E::UnknownKey(_) | E::UnknownRevision { .. } | E::UnknownRule(_) => ErrorKind::NotFound,
        E::Conflict { .. } | E::SchemaViolated { .. } => ErrorKind::FailedPrecondition,
        E::LimitExceeded(_) => ErrorKind::ResourceExhausted,
        E::Broker(error) => error.kind(),
    }
}

fn advise_config(error: &broker::ConfigError) -> (StatusCode, &'static str) {
    use broker::ConfigError as E;
    match error {
        E::InvalidKey(_) => (
            StatusCode::BAD_REQUEST,
            "use segments with `/` between them; a scope may end with `/`, or be empty for all keys",
        ),
        E::UnknownKey(_) => (StatusCode::NOT_FOUND, "list the keys, or put a value"),
        E::UnknownRevision { .. } => {
            (StatusCode::NOT_FOUND, "see its history for the revisions that are kept")
        }
        E::Conflict { .. } => {
            (StatusCode::PRECONDITION_FAILED, "read it again, then decide and retry")
        }
        E::SchemaViolated { .. } => {
            (StatusCode::UNPROCESSABLE_ENTITY, "correct the value, or change the rule")
        }
        E::InvalidSchema(_) => (
            StatusCode::BAD_REQUEST,
            "use the keywords that `docs/config-push.md` lists; nothing else would be checked",
        ),
        E::UnknownRule(_) => (StatusCode::NOT_FOUND, "list the rules to see their scopes"),
        E::InvalidChange(_) => (StatusCode::BAD_REQUEST, "correct the request"),
        E::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "send less, or raise the limit"),
        E::LimitExceeded(_) => {
            (StatusCode::TOO_MANY_REQUESTS, "delete what is not used, or raise the limit")
        }
        E::Broker(error) => from_broker(error),
    }
}

const fn kind_of_enqueue(error: &broker::EnqueueError) -> ErrorKind {
    use broker::EnqueueError as E;
    match error {
        E::Overflow | E::StorageFull => ErrorKind::ResourceExhausted,
        E::Subscription(_) => ErrorKind::FailedPrecondition,
        E::Deleted => ErrorKind::NotFound,
        E::TooLarge { .. } => ErrorKind::InvalidArgument,
        E::Storage(_) => ErrorKind::Internal,
    }
}

const fn advise_enqueue(error: &broker::EnqueueError) -> (StatusCode, &'static str) {
    use broker::EnqueueError as E;
    match error {
        E::Overflow => {
            (StatusCode::TOO_MANY_REQUESTS, "retry when its consumers have taken some, or raise it")
        }
        E::Subscription(_) => (StatusCode::CONFLICT, "describe the queue to see its topic"),
        E::Deleted => (StatusCode::NOT_FOUND, "declare it again"),
        E::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "send a smaller one"),
        E::StorageFull => {
            (StatusCode::INSUFFICIENT_STORAGE, "free disk space or consume, then retry")
        }
        E::Storage(_) => (StatusCode::INTERNAL_SERVER_ERROR, "see the broker's log"),
    }
}

const fn advise_queue(error: &broker::QueueError) -> (StatusCode, &'static str) {
    use broker::QueueError as Q;
    match error {
        Q::UnknownQueue(_) | Q::Deleted(_) => {
            (StatusCode::NOT_FOUND, "list the queues to see their names, or declare it")
        }
        Q::UnknownExchange(_) => {
            (StatusCode::NOT_FOUND, "list the exchanges to see their names, or declare it")
        }
        Q::NameTaken(..) => (StatusCode::CONFLICT, "choose another name"),
        Q::Inequivalent { .. } => {
            (StatusCode::CONFLICT, "declare it as it is, or delete it before")
        }
        Q::InvalidSetting { .. } => (StatusCode::BAD_REQUEST, "correct the setting"),
        Q::Locked(_) | Q::AccessRefused(_) => {
            (StatusCode::FORBIDDEN, "use another name or connection")
        }
        Q::ExclusiveConsumer(_) | Q::InUse(_) => {
            (StatusCode::CONFLICT, "stop its consumers and bindings, then retry")
        }
        Q::NotEmpty(_) => (StatusCode::CONFLICT, "purge it first"),
        Q::LockLost => (StatusCode::CONFLICT, "receive the message again"),
        Q::LimitExceeded(_) => (StatusCode::TOO_MANY_REQUESTS, "use less, or raise the limit"),
    }
}
