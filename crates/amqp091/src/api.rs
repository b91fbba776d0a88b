//! What every method does: one file per class.

mod basic;
mod channel;
mod connection;
mod exchange;
mod queue;
mod transaction;

pub(crate) use connection::{handle as handle_connection, start};

use crate::{
    client::{Client, Step},
    error::Refusal,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use tramline_wire_amqp091::{Frame, Method, ReplyCode, method::access};

/// A method on a channel that is not open: only the one that opens it.
pub(crate) fn handle_unopened(client: &mut Client, frame: &Frame<'_>) -> Result<Step, Refusal> {
    match Method::decode(frame.payload)? {
        Method::ChannelOpen(_) => channel::open(client, frame.channel),
        // Both sides closed it at once.
        Method::ChannelCloseOk(_) => Ok(Step::Done),
        _ => Err(crate::client::not_open()),
    }
}

/// A method on an open channel that is not about a single message.
pub(crate) fn handle(client: &mut Client, channel: u16, method: Method) -> Result<Step, Refusal> {
    match method {
        Method::AccessRequest(_) => {
            client.send(channel, access::RequestOk { ticket: 1 });
            Ok(Step::Done)
        }
        Method::ExchangeDeclare(method) => exchange::declare(client, channel, method),
        Method::ExchangeDelete(method) => exchange::delete(client, channel, method),
        Method::ExchangeBind(method) => exchange::bind(client, channel, method),
        Method::ExchangeUnbind(method) => exchange::unbind(client, channel, method),
        Method::QueueDeclare(method) => queue::declare(client, channel, method),
        Method::QueueBind(method) => queue::bind(client, channel, method),
        Method::QueueUnbind(method) => queue::unbind(client, channel, method),
        Method::QueuePurge(method) => queue::purge(client, channel, &method),
        Method::QueueDelete(method) => queue::delete(client, channel, &method),
        Method::BasicQos(method) => basic::qos(client, channel, &method),
        Method::BasicConsume(method) => basic::consume(client, channel, method),
        Method::BasicCancel(method) => basic::cancel(client, channel, method),
        Method::BasicGet(method) => basic::get(client, channel, &method),
        Method::BasicRecover(method) => basic::recover(client, channel, method.requeue, true),
        Method::BasicRecoverAsync(method) => basic::recover(client, channel, method.requeue, false),
        // The client agrees to a cancellation by the broker.
        Method::BasicCancelOk(_) | Method::ChannelFlowOk(_) => Ok(Step::Done),
        Method::ConfirmSelect(method) => transaction::confirm(client, channel, method.nowait),
        Method::TxSelect(_) => transaction::select(client, channel),
        Method::TxCommit(_) => transaction::commit(client, channel),
        Method::TxRollback(_) => transaction::rollback(client, channel),
        Method::ChannelOpen(_) => {
            Err(Refusal::new(ReplyCode::ChannelError, "second 'channel.open' seen"))
        }
        Method::ChannelFlow(method) => channel::flow(client, channel, method.active),
        Method::ChannelClose(_) => channel::close(client, channel),
        other => Err(invalid(&other)),
    }
}

/// A method that has no meaning here.
fn invalid(method: &Method) -> Refusal {
    let text = format!("unimplemented method: {}", method.name());
    Refusal::new(ReplyCode::CommandInvalid, text)
}

/// A name that nobody has: `amq.gen-…`, `amq.ctag-…`.
fn generated(prefix: &str) -> String {
    format!("{prefix}-{}", URL_SAFE_NO_PAD.encode(uuid::Uuid::new_v4().as_bytes()))
}
