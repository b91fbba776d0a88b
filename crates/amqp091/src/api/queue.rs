//! The class `queue`: declaring, binding, purging, deleting.

use super::{exchange, generated};
use crate::{
    client::{Client, Completion, Step},
    error::Refusal,
    from_wire, reply_to,
};
use bytes::Bytes;
use std::sync::Arc;
use tramline_broker::{Binding, DeleteOnly, Destination, Queue};
use tramline_types::QueueName;
use tramline_wire_amqp091::{ReplyCode, Table, method::queue};

/// What clients may not declare.
const RESERVED_PREFIX: &str = "amq.";

fn name(text: &str) -> Result<QueueName, Refusal> {
    QueueName::parse(text).map_err(|error| Refusal::precondition(error.to_string()))
}

/// The queue of this name, or the one declared last; it may be used by this connection.
pub(super) fn find(client: &mut Client, channel: u16, text: &str) -> Result<Arc<Queue>, Refusal> {
    let name = name(client.channel(channel)?.queue_name(text)?)?;
    let queue = client.broker().queue(&name)?;
    queue.check_owner(Some(client.id))?;
    Ok(queue)
}

fn declare_ok(queue: &Queue) -> queue::DeclareOk {
    let counts = queue.counts();
    queue::DeclareOk {
        queue: queue.name().to_string(),
        message_count: u32::try_from(counts.ready).unwrap_or(u32::MAX),
        consumer_count: u32::try_from(counts.consumers).unwrap_or(u32::MAX),
    }
}

pub(super) fn declare(
    client: &mut Client,
    channel: u16,
    mut declare: queue::Declare,
) -> Result<Step, Refusal> {
    if !client.publishes.is_settled() {
        // The count that is answered has what was published before.
        return Ok(Step::Settled);
    }
    if declare.queue.starts_with(reply_to::PSEUDO_QUEUE) {
        return declare_pseudo(client, channel, declare);
    }
    if declare.passive {
        let queue = find(client, channel, &declare.queue)?;
        client.channel(channel)?.last_queue = queue.name().to_string();
        if !declare.nowait {
            client.send(channel, declare_ok(&queue));
        }
        return Ok(Step::Done);
    }
    let is_generated = declare.queue.is_empty();
    if is_generated {
        declare.queue = generated("amq.gen");
    }
    let (name, settings) = (name(&declare.queue)?, from_wire::queue_settings(&declare, client.id)?);
    let is_new = client.broker().queue(&name).is_err();
    if is_new && !is_generated && declare.queue.starts_with(RESERVED_PREFIX) {
        let text = format!("queue name '{name}' contains reserved prefix 'amq.*'");
        return Err(Refusal::new(ReplyCode::AccessRefused, text));
    }
    let (broker, opening) = (client.broker().clone(), client.channel(channel)?.opening);
    Ok(Step::Wait(Box::pin(async move {
        let declared = broker.declare_queue(&name, settings).await;
        let completion: Completion = Box::new(move |client| {
            let (queue, _) = declared?;
            let Some(open) = client.open_channel(channel, opening) else { return Ok(()) };
            open.last_queue = queue.name().to_string();
            if !declare.nowait {
                client.send(channel, declare_ok(&queue));
            }
            Ok(())
        });
        completion
    })))
}

/// Clients ask in this way whether who wants a direct reply is there still.
fn declare_pseudo(
    client: &mut Client,
    channel: u16,
    declare: queue::Declare,
) -> Result<Step, Refusal> {
    let name = declare.queue;
    if name != reply_to::PSEUDO_QUEUE && !client.cx.reply_to.exists(&name) {
        return Err(Refusal::no_queue(&name));
    }
    if !declare.nowait {
        let answer = queue::DeclareOk { queue: name, message_count: 0, consumer_count: 1 };
        client.send(channel, answer);
    }
    Ok(Step::Done)
}

/// A binding of a queue that may be used. An empty key with an empty name means the queue's own.
fn binding(
    client: &mut Client,
    channel: u16,
    (queue, source): (&str, &str),
    (key, arguments): (&str, &Table),
) -> Result<Binding, Refusal> {
    let found = find(client, channel, queue)?;
    let source = exchange::name(source)?;
    if source.is_default() {
        return Err(exchange::on_default());
    }
    let key = if queue.is_empty() && key.is_empty() { found.name().as_str() } else { key };
    Ok(Binding {
        source,
        destination: Destination::Queue(found.name().clone()),
        key: Bytes::from(key.to_owned()),
        arguments: from_wire::arguments(arguments),
    })
}

pub(super) fn bind(client: &mut Client, channel: u16, bind: queue::Bind) -> Result<Step, Refusal> {
    let ends = (bind.queue.as_str(), bind.exchange.as_str());
    let binding = binding(client, channel, ends, (&bind.routing_key, &bind.arguments))?;
    let (broker, opening) = (client.broker().clone(), client.channel(channel)?.opening);
    Ok(Step::Wait(Box::pin(async move {
        let bound = broker.bind(binding).await;
        let completion: Completion = Box::new(move |client| {
            bound?;
            if !bind.nowait {
                client.answer(channel, opening, queue::BindOk {});
            }
            Ok(())
        });
        completion
    })))
}

/// Taking out what is not there is fine.
pub(super) fn unbind(
    client: &mut Client,
    channel: u16,
    unbind: queue::Unbind,
) -> Result<Step, Refusal> {
    let ends = (unbind.queue.as_str(), unbind.exchange.as_str());
    let binding = binding(client, channel, ends, (&unbind.routing_key, &unbind.arguments))?;
    let (broker, opening) = (client.broker().clone(), client.channel(channel)?.opening);
    Ok(Step::Wait(Box::pin(async move {
        let unbound = broker.unbind(&binding).await;
        let completion: Completion = Box::new(move |client| {
            unbound?;
            client.answer(channel, opening, queue::UnbindOk {});
            Ok(())
        });
        completion
    })))
}

pub(super) fn purge(
    client: &mut Client,
    channel: u16,
    purge: &queue::Purge,
) -> Result<Step, Refusal> {
    if !client.publishes.is_settled() {
        return Ok(Step::Settled);
    }
    let queue = find(client, channel, &purge.queue)?;
    let (opening, nowait) = (client.channel(channel)?.opening, purge.nowait);
    Ok(Step::Wait(Box::pin(async move {
        let purged = queue.purge().await;
        let completion: Completion = Box::new(move |client| {
            let message_count = u32::try_from(purged?).unwrap_or(u32::MAX);
            if !nowait {
                client.answer(channel, opening, queue::PurgeOk { message_count });
            }
            Ok(())
        });
        completion
    })))
}

/// Deleting what is not there is fine.
pub(super) fn delete(
    client: &mut Client,
    channel: u16,
    delete: &queue::Delete,
) -> Result<Step, Refusal> {
    if !client.publishes.is_settled() {
        return Ok(Step::Settled);
    }
    let nowait = delete.nowait;
    let name = name(client.channel(channel)?.queue_name(&delete.queue)?)?;
    let Ok(queue) = client.broker().queue(&name) else {
        if !nowait {
            client.send(channel, queue::DeleteOk::default());
        }
        return Ok(Step::Done);
    };
    queue.check_owner(Some(client.id))?;
    let only = DeleteOnly { if_unused: delete.if_unused, if_empty: delete.if_empty };
    let (broker, opening) = (client.broker().clone(), client.channel(channel)?.opening);
    Ok(Step::Wait(Box::pin(async move {
        let deleted = broker.delete_queue(&queue, only).await;
        let completion: Completion = Box::new(move |client| {
            let message_count = u32::try_from(deleted?).unwrap_or(u32::MAX);
            if !nowait {
                client.answer(channel, opening, queue::DeleteOk { message_count });
            }
            Ok(())
        });
        completion
    })))
}
