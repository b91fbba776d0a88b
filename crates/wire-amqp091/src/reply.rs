//! Reply codes, with the names that RabbitMQ puts before their texts.

macro_rules! reply_codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal $text:literal $scope:ident,)*) => {
        /// Why a message came back, or a channel or the connection was closed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ReplyCode {
            $($(#[$doc])* $name,)*
        }

        impl ReplyCode {
            /// The number on the wire.
            pub const fn code(self) -> u16 {
                match self {
                    $(Self::$name => $code,)*
                }
            }

            /// The name before the text.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// Whether it costs the connection, and not the channel alone.
            pub const fn is_hard(self) -> bool {
                match self {
                    $(Self::$name => reply_codes!(@hard $scope),)*
                }
            }
        }
    };
    (@hard hard) => { true };
    (@hard soft) => { false };
}

reply_codes! {
    /// All is well: an orderly close.
    Success = 200 "OK" soft,
    /// A message larger than the limit.
    ContentTooLarge = 311 "PRECONDITION_FAILED" soft,
    /// A mandatory message that no queue is bound for.
    NoRoute = 312 "NO_ROUTE" soft,
    /// An immediate message that no consumer waits for.
    NoConsumers = 313 "NO_CONSUMERS" soft,
    /// An operator closed the connection, or the broker stops.
    ConnectionForced = 320 "CONNECTION_FORCED" hard,
    /// No such virtual host.
    InvalidPath = 402 "INVALID_PATH" hard,
    /// Not allowed to this user, or to anybody.
    AccessRefused = 403 "ACCESS_REFUSED" soft,
    /// No such queue or exchange.
    NotFound = 404 "NOT_FOUND" soft,
    /// Another connection's exclusive queue.
    ResourceLocked = 405 "RESOURCE_LOCKED" soft,
    /// The state or the arguments forbid it.
    PreconditionFailed = 406 "PRECONDITION_FAILED" soft,
    /// A frame that is none.
    FrameError = 501 "FRAME_ERROR" hard,
    /// A frame with what is no method.
    SyntaxError = 502 "SYNTAX_ERROR" hard,
    /// A method that makes no sense here.
    CommandInvalid = 503 "COMMAND_INVALID" hard,
    /// A channel that is not open, or was not closed properly.
    ChannelError = 504 "CHANNEL_ERROR" hard,
    /// A frame that does not belong here.
    UnexpectedFrame = 505 "UNEXPECTED_FRAME" hard,
    /// A limit is reached.
    ResourceError = 506 "RESOURCE_ERROR" hard,
    /// Not allowed in this way.
    NotAllowed = 530 "NOT_ALLOWED" hard,
    /// Not done here.
    NotImplemented = 540 "NOT_IMPLEMENTED" hard,
    /// The broker is at fault.
    InternalError = 541 "INTERNAL_ERROR" hard,
}
