//! The class `basic`, less what comes once a message: credit, consumers, single gets, recovery.

use super::{generated, queue};
use crate::{
    channel::Out,
    client::{Client, Completion, Step, Subscriber, shown},
    error::Refusal,
    from_wire, reply_to, to_wire,
    wakes::ConsumerWake,
};
use std::{sync::Arc, time::Duration};
use tramline_broker::{ConsumerOptions, Delivery, Lock, Outcome, Queue, Receive};
use tramline_types::limits::AMQP_CONSUMERS_MAX;
use tramline_wire_amqp091::{
    ReplyCode,
    hot::GetOk,
    method::basic::{self, GetEmpty},
};

/// `global` is the whole channel, as RabbitMQ has it; else every consumer from here on.
pub(super) fn qos(client: &mut Client, number: u16, qos: &basic::Qos) -> Result<Step, Refusal> {
    if qos.prefetch_size != 0 {
        let text = format!("prefetch_size!=0 ({})", qos.prefetch_size);
        return Err(Refusal::new(ReplyCode::NotImplemented, text));
    }
    let channel = client.channel(number)?;
    if qos.global {
        channel.prefetch = qos.prefetch_count.into();
    } else {
        channel.prefetch_consumer = qos.prefetch_count.into();
    }
    client.schedule_channel(number);
    client.send(number, basic::QosOk {});
    Ok(Step::Done)
}

pub(super) fn consume(
    client: &mut Client,
    number: u16,
    mut consume: basic::Consume,
) -> Result<Step, Refusal> {
    if from_wire::rejects_stream(&consume.arguments) {
        return Err(Refusal::precondition("invalid arg 'x-stream-offset': not a stream"));
    }
    if consume.consumer_tag.is_empty() {
        consume.consumer_tag = generated("amq.ctag");
    }
    let tag = consume.consumer_tag.clone();
    let channel = client.channel(number)?;
    let is_reply = channel.reply_consumer.as_ref().is_some_and(|(of, _)| *of == tag);
    if is_reply || channel.consumers.contains_key(&tag) {
        let text = format!("attempt to reuse consumer tag '{tag}'");
        return Err(Refusal::new(ReplyCode::NotAllowed, text));
    }
    if channel.consumers.len() >= AMQP_CONSUMERS_MAX {
        return Err(Refusal::precondition(format!(
            "a channel has at most {AMQP_CONSUMERS_MAX} consumers"
        )));
    }
    if consume.queue == reply_to::PSEUDO_QUEUE {
        return consume_replies(client, number, consume);
    }
    let queue = queue::find(client, number, &consume.queue)?;
    let slot = client.subscribers.reserve();
    let lock = if consume.no_ack { Lock::None } else { Lock::Connection(client.id) };
    let options = ConsumerOptions {
        tag: tag.clone(),
        priority: from_wire::consume_priority(&consume.arguments)?,
        exclusive: consume.exclusive,
        lock,
        connection: client.id,
    };
    let wake = ConsumerWake::new(&client.wakes, slot);
    let source = match queue.attach(options, wake) {
        Ok(source) => source,
        Err(error) => {
            client.subscribers.give_back(slot);
            return Err(error.into());
        }
    };
    let timeout = client.consumer_timeout(&queue);
    let queue = client.queue_index(number, &queue);
    let channel = client.channel(number)?;
    channel.consumers.insert(tag.clone(), slot);
    let mut subscriber = Subscriber::new(number, tag.clone(), source, consume.no_ack);
    subscriber.prefetch = channel.prefetch_consumer;
    subscriber.queue = queue;
    subscriber.timeout = timeout;
    if !consume.nowait {
        client.send(number, basic::ConsumeOk { consumer_tag: tag });
    }
    client.subscribers.insert(slot, subscriber);
    Ok(Step::Done)
}

/// Direct reply-to: no queue is behind it.
fn consume_replies(
    client: &mut Client,
    number: u16,
    consume: basic::Consume,
) -> Result<Step, Refusal> {
    if !consume.no_ack {
        return Err(Refusal::precondition("reply consumer cannot acknowledge"));
    }
    if client.channel(number)?.reply_consumer.is_some() {
        return Err(Refusal::precondition("reply consumer already set"));
    }
    let address = client.cx.reply_to.register(&client.mailbox, number);
    let consumer_tag = consume.consumer_tag;
    client.channel(number)?.reply_consumer = Some((consumer_tag.clone(), address));
    if !consume.nowait {
        client.send(number, basic::ConsumeOk { consumer_tag });
    }
    Ok(Step::Done)
}

/// What is out stays out; an unknown tag is fine.
pub(super) fn cancel(
    client: &mut Client,
    number: u16,
    cancel: basic::Cancel,
) -> Result<Step, Refusal> {
    let channel = client.channel(number)?;
    let of_replies = channel.reply_consumer.take_if(|(tag, _)| *tag == cancel.consumer_tag);
    let slot = channel.consumers.remove(&cancel.consumer_tag);
    if let Some((_, address)) = of_replies {
        client.cx.reply_to.remove(&address);
    }
    if let Some(slot) = slot {
        client.subscribers.remove(slot);
    }
    if !cancel.nowait {
        client.send(number, basic::CancelOk { consumer_tag: cancel.consumer_tag });
    }
    Ok(Step::Done)
}

pub(super) fn get(client: &mut Client, number: u16, get: &basic::Get) -> Result<Step, Refusal> {
    if !client.publishes.is_settled() {
        // What was published before can be got.
        return Ok(Step::Settled);
    }
    let queue = queue::find(client, number, &get.queue)?;
    let opening = client.channel(number)?.opening;
    let no_ack = get.no_ack;
    let request = Receive {
        n_max: 1,
        bytes_max: usize::MAX,
        lock: if no_ack { Lock::None } else { Lock::Connection(client.id) },
        wait: Duration::ZERO,
        connection: Some(client.id),
    };
    Ok(Step::Wait(Box::pin(async move {
        let received = queue.receive(request).await;
        let completion: Completion = Box::new(move |client| {
            let delivery = received?.into_iter().next();
            if client.open_channel(number, opening).is_none() {
                // Nobody is there to get it any more.
                let back = Outcome::Released { count: false, delay_ms: None };
                let settles = delivery.map(|delivery| (delivery.token, back));
                queue.settle_behind(settles.as_slice());
                return Ok(());
            }
            match delivery {
                Some(delivery) => got(client, number, (&queue, no_ack), &delivery),
                None => client.send(number, GetEmpty::default()),
            }
            Ok(())
        });
        completion
    })))
}

fn got(client: &mut Client, number: u16, from: (&Arc<Queue>, bool), delivery: &Delivery) {
    let (queue, no_ack) = from;
    let due = client.consumer_timeout(queue).map(|timeout| client.now.plus(timeout));
    let index = client.queue_index(number, queue);
    let Ok(channel) = client.channel(number) else { return };
    let delivery_tag = channel.next_delivery_tag();
    if !no_ack {
        let out = Out { queue: index, consumer: None, token: delivery.token, due };
        channel.unacked.push(delivery_tag, out);
    }
    let outgoing = to_wire::outgoing(&delivery.message, shown(queue, delivery));
    let get_ok = GetOk {
        delivery_tag,
        redelivered: delivery.redelivered,
        origin: outgoing.origin(),
        message_count: u32::try_from(queue.counts().ready).unwrap_or(u32::MAX),
    };
    get_ok.encode_into(client.outbox.writer(), number);
    let body = delivery.message.value.clone().unwrap_or_default();
    client.send_content(number, &outgoing.properties, body);
    client.cx.metrics.delivered.inc();
}

/// Gives everything that is out back, to be delivered again to whoever is next.
pub(super) fn recover(
    client: &mut Client,
    number: u16,
    requeue: bool,
    answer: bool,
) -> Result<Step, Refusal> {
    if !requeue {
        return Err(Refusal::new(ReplyCode::NotImplemented, "requeue=false"));
    }
    client.requeue_all(number);
    client.flush_settles();
    client.schedule_channel(number);
    if answer {
        client.send(number, basic::RecoverOk {});
    }
    Ok(Step::Done)
}
