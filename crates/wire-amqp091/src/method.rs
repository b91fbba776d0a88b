//! Every method as a plain struct: one list makes the structs, the numbers and the codec.
//!
//! A method's payload is its class and its number, 16 bits each, and its arguments. `bool`s are
//! packed; `String` is a short string; `Vec<u8>` is a long one. Reserved arguments stand here
//! under their old names because clients of RabbitMQ's still send them.

use crate::{
    DecodeError, Field, Reader, Table, Writer,
    frame::{self, FrameKind},
};

macro_rules! methods {
    ($($class:ident $class_id:literal { $(
        $(#[$doc:meta])*
        $name:ident $variant:ident $id:literal { $($field:ident: $type:ty),* $(,)? }
    )* })*) => {
        $(
            #[doc = concat!("The class `", stringify!($class), "`.")]
            pub mod $class {
                use super::*;
                $(
                    $(#[$doc])*
                    #[derive(Clone, Debug, Default, PartialEq)]
                    #[allow(missing_docs, reason = "the fields are the specification's")]
                    pub struct $name { $(pub $field: $type,)* }

                    impl From<$name> for Method {
                        fn from(method: $name) -> Self {
                            Self::$variant(method)
                        }
                    }

                    impl $name {
                        #[allow(unused_variables, reason = "some have no arguments")]
                        pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
                            Ok(Self { $($field: Field::read(reader)?,)* })
                        }

                        #[allow(unused_variables, reason = "some have no arguments")]
                        pub(super) fn encode_into(&self, writer: &mut Writer) {
                            $(self.$field.write(writer);)*
                        }
                    }
                )*
            }
        )*

        /// Any method.
        #[derive(Clone, Debug, PartialEq)]
        #[allow(missing_docs, reason = "each is named after its struct")]
        pub enum Method {
            $($($variant($class::$name),)*)*
        }

        impl Method {
            /// The class's and the method's numbers.
            pub const fn ids(&self) -> (u16, u16) {
                match self {
                    $($(Self::$variant(_) => ($class_id, $id),)*)*
                }
            }

            /// `class.method`, as in the specification less its hyphens.
            pub const fn name(&self) -> &'static str {
                match self {
                    $($(Self::$variant(_) => {
                        concat!(stringify!($class), ".", stringify!($name))
                    })*)*
                }
            }

            /// Reads a method frame's payload.
            pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
                let mut reader = Reader::new(payload);
                let (class, method) = (reader.u16()?, reader.u16()?);
                let decoded = match (class, method) {
                    $($(($class_id, $id) => {
                        Self::$variant($class::$name::decode(&mut reader)?)
                    })*)*
                    _ => return Err(DecodeError::UnknownMethod { class, method }),
                };
                reader.finish()?;
                Ok(decoded)
            }

            /// Writes a whole method frame.
            pub fn encode_into(&self, writer: &mut Writer, channel: u16) {
                let (class, method) = self.ids();
                frame::encode(writer, FrameKind::Method, channel, |writer| {
                    writer.u16(class);
                    writer.u16(method);
                    match self {
                        $($(Self::$variant(method) => method.encode_into(writer),)*)*
                    }
                });
            }
        }
    };
}

methods! {
    connection 10 {
        /// The broker says what it is and how to log in.
        Start ConnectionStart 10 {
            version_major: u8, version_minor: u8, server_properties: Table,
            mechanisms: Vec<u8>, locales: Vec<u8>,
        }
        /// The client says what it is and logs in.
        StartOk ConnectionStartOk 11 {
            client_properties: Table, mechanism: String, response: Vec<u8>, locale: String,
        }
        /// A further question of a log-in.
        Secure ConnectionSecure 20 { challenge: Vec<u8> }
        /// Its answer.
        SecureOk ConnectionSecureOk 21 { response: Vec<u8> }
        /// The broker's limits.
        Tune ConnectionTune 30 { channel_max: u16, frame_max: u32, heartbeat: u16 }
        /// What the client makes of them.
        TuneOk ConnectionTuneOk 31 { channel_max: u16, frame_max: u32, heartbeat: u16 }
        /// The client names its virtual host.
        Open ConnectionOpen 40 { virtual_host: String, capabilities: String, insist: bool }
        /// It is open.
        OpenOk ConnectionOpenOk 41 { known_hosts: String }
        /// The end, and why.
        Close ConnectionClose 50 {
            reply_code: u16, reply_text: String, class_id: u16, method_id: u16,
        }
        /// The end is seen.
        CloseOk ConnectionCloseOk 51 {}
        /// Publishing waits, and why.
        Blocked ConnectionBlocked 60 { reason: String }
        /// It goes on.
        Unblocked ConnectionUnblocked 61 {}
        /// A log-in is renewed.
        UpdateSecret ConnectionUpdateSecret 70 { new_secret: Vec<u8>, reason: String }
        /// It is.
        UpdateSecretOk ConnectionUpdateSecretOk 71 {}
    }
    channel 20 {
        /// Opens a channel.
        Open ChannelOpen 10 { out_of_band: String }
        /// It is open.
        OpenOk ChannelOpenOk 11 { channel_id: Vec<u8> }
        /// Stops or starts the other side.
        Flow ChannelFlow 20 { active: bool }
        /// It did.
        FlowOk ChannelFlowOk 21 { active: bool }
        /// The end, and why.
        Close ChannelClose 40 {
            reply_code: u16, reply_text: String, class_id: u16, method_id: u16,
        }
        /// The end is seen.
        CloseOk ChannelCloseOk 41 {}
    }
    access 30 {
        /// Asks for access, as AMQP 0-8 did.
        Request AccessRequest 10 {
            realm: String, exclusive: bool, passive: bool, active: bool, write: bool, read: bool,
        }
        /// It is given.
        RequestOk AccessRequestOk 11 { ticket: u16 }
    }
    exchange 40 {
        /// Makes an exchange, or asks whether it is there.
        Declare ExchangeDeclare 10 {
            ticket: u16, exchange: String, kind: String, passive: bool, durable: bool,
            auto_delete: bool, internal: bool, nowait: bool, arguments: Table,
        }
        /// It is there.
        DeclareOk ExchangeDeclareOk 11 {}
        /// Removes an exchange.
        Delete ExchangeDelete 20 { ticket: u16, exchange: String, if_unused: bool, nowait: bool }
        /// It is gone.
        DeleteOk ExchangeDeleteOk 21 {}
        /// Binds an exchange to another.
        Bind ExchangeBind 30 {
            ticket: u16, destination: String, source: String, routing_key: String, nowait: bool,
            arguments: Table,
        }
        /// It is bound.
        BindOk ExchangeBindOk 31 {}
        /// Removes such a binding.
        Unbind ExchangeUnbind 40 {
            ticket: u16, destination: String, source: String, routing_key: String, nowait: bool,
            arguments: Table,
        }
        /// It is gone.
        UnbindOk ExchangeUnbindOk 51 {}
    }
    queue 50 {
        /// Makes a queue, or asks whether it is there.
        Declare QueueDeclare 10 {
            ticket: u16, queue: String, passive: bool, durable: bool, exclusive: bool,
            auto_delete: bool, nowait: bool, arguments: Table,
        }
        /// It is there.
        DeclareOk QueueDeclareOk 11 { queue: String, message_count: u32, consumer_count: u32 }
        /// Binds a queue to an exchange.
        Bind QueueBind 20 {
            ticket: u16, queue: String, exchange: String, routing_key: String, nowait: bool,
            arguments: Table,
        }
        /// It is bound.
        BindOk QueueBindOk 21 {}
        /// Removes every ready message.
        Purge QueuePurge 30 { ticket: u16, queue: String, nowait: bool }
        /// So many are gone.
        PurgeOk QueuePurgeOk 31 { message_count: u32 }
        /// Removes a queue.
        Delete QueueDelete 40 {
            ticket: u16, queue: String, if_unused: bool, if_empty: bool, nowait: bool,
        }
        /// It is gone, with so many messages.
        DeleteOk QueueDeleteOk 41 { message_count: u32 }
        /// Removes a binding.
        Unbind QueueUnbind 50 {
            ticket: u16, queue: String, exchange: String, routing_key: String, arguments: Table,
        }
        /// It is gone.
        UnbindOk QueueUnbindOk 51 {}
    }
    basic 60 {
        /// How many deliveries may be out.
        Qos BasicQos 10 { prefetch_size: u32, prefetch_count: u16, global: bool }
        /// It is set.
        QosOk BasicQosOk 11 {}
        /// Starts a consumer.
        Consume BasicConsume 20 {
            ticket: u16, queue: String, consumer_tag: String, no_local: bool, no_ack: bool,
            exclusive: bool, nowait: bool, arguments: Table,
        }
        /// It is started.
        ConsumeOk BasicConsumeOk 21 { consumer_tag: String }
        /// Ends a consumer; from the broker: its queue is gone.
        Cancel BasicCancel 30 { consumer_tag: String, nowait: bool }
        /// It is ended.
        CancelOk BasicCancelOk 31 { consumer_tag: String }
        /// A message comes in; its content follows.
        Publish BasicPublish 40 {
            ticket: u16, exchange: String, routing_key: String, mandatory: bool, immediate: bool,
        }
        /// A message comes back; its content follows.
        Return BasicReturn 50 {
            reply_code: u16, reply_text: String, exchange: String, routing_key: String,
        }
        /// A message goes to a consumer; its content follows.
        Deliver BasicDeliver 60 {
            consumer_tag: String, delivery_tag: u64, redelivered: bool, exchange: String,
            routing_key: String,
        }
        /// Asks for one message.
        Get BasicGet 70 { ticket: u16, queue: String, no_ack: bool }
        /// Here it is; its content follows.
        GetOk BasicGetOk 71 {
            delivery_tag: u64, redelivered: bool, exchange: String, routing_key: String,
            message_count: u32,
        }
        /// There is none.
        GetEmpty BasicGetEmpty 72 { cluster_id: String }
        /// Done, or confirmed.
        Ack BasicAck 80 { delivery_tag: u64, multiple: bool }
        /// Not done.
        Reject BasicReject 90 { delivery_tag: u64, requeue: bool }
        /// Hands out again what is out, without an answer.
        RecoverAsync BasicRecoverAsync 100 { requeue: bool }
        /// Hands out again what is out.
        Recover BasicRecover 110 { requeue: bool }
        /// It is.
        RecoverOk BasicRecoverOk 111 {}
        /// Not done, or not taken.
        Nack BasicNack 120 { delivery_tag: u64, multiple: bool, requeue: bool }
    }
    confirm 85 {
        /// Publishes are confirmed from here on.
        Select ConfirmSelect 10 { nowait: bool }
        /// They are.
        SelectOk ConfirmSelectOk 11 {}
    }
    tx 90 {
        /// Publishes and settles wait for a commit from here on.
        Select TxSelect 10 {}
        /// They do.
        SelectOk TxSelectOk 11 {}
        /// Does all of it.
        Commit TxCommit 20 {}
        /// It is done.
        CommitOk TxCommitOk 21 {}
        /// Forgets all of it.
        Rollback TxRollback 30 {}
        /// It is forgotten.
        RollbackOk TxRollbackOk 31 {}
    }
}
