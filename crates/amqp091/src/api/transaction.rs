//! The classes `confirm` and `tx`: what becomes of publishes.

use crate::{
    channel::{Mode, Settled, Transaction},
    client::{Client, Completion, Step, outcome},
    error::Refusal,
};
use std::sync::Arc;
use tramline_broker::{Outcome, Queue, Settle, Unit};
use tramline_wire_amqp091::method::{confirm, tx};

/// confirm.select: every publish from here on is confirmed.
pub(super) fn confirm(client: &mut Client, number: u16, nowait: bool) -> Result<Step, Refusal> {
    let channel = client.channel(number)?;
    match channel.mode {
        Mode::Plain => channel.mode = Mode::Confirm(1),
        Mode::Confirm(_) => {}
        Mode::Transaction(_) => {
            return Err(Refusal::precondition("cannot switch from tx to confirm mode"));
        }
    }
    if !nowait {
        client.send(number, confirm::SelectOk {});
    }
    Ok(Step::Done)
}

pub(super) fn select(client: &mut Client, number: u16) -> Result<Step, Refusal> {
    let channel = client.channel(number)?;
    match channel.mode {
        Mode::Plain => channel.mode = Mode::Transaction(Box::default()),
        Mode::Transaction(_) => {}
        Mode::Confirm(_) => {
            return Err(Refusal::precondition("cannot switch from confirm to tx mode"));
        }
    }
    client.send(number, tx::SelectOk {});
    Ok(Step::Done)
}

fn take(client: &mut Client, number: u16) -> Result<Transaction, Refusal> {
    match &mut client.channel(number)?.mode {
        Mode::Transaction(transaction) => {
            let taken = std::mem::take(&mut **transaction);
            client.uncommitted_bytes -= taken.bytes;
            Ok(taken)
        }
        Mode::Plain | Mode::Confirm(_) => {
            Err(Refusal::precondition("channel is not transactional"))
        }
    }
}

/// What is settled, by queue. A queue that is deleted has nothing left to settle.
type ByQueue = Vec<(Arc<Queue>, Vec<Settle>)>;

fn by_queue(client: &mut Client, number: u16, settles: &[Settled]) -> Result<ByQueue, Refusal> {
    let broker = client.broker().clone();
    let channel = client.channel(number)?;
    let mut by_queue = ByQueue::new();
    for (_, out, ending) in settles {
        channel.prefetched -= usize::from(out.consumer.is_some());
        let queue = usize::try_from(out.queue).ok().and_then(|of| channel.queues.get(of));
        let Some(queue) = queue else { continue };
        let settle = (out.token, outcome(*ending));
        match by_queue.iter_mut().find(|(of, _)| Arc::ptr_eq(of, queue)) {
            Some((_, settles)) => settles.push(settle),
            None => by_queue.push((Arc::clone(queue), vec![settle])),
        }
    }
    let is_there = |queue: &Arc<Queue>| {
        broker.queue(queue.name()).is_ok_and(|current| Arc::ptr_eq(&current, queue))
    };
    by_queue.retain(|(queue, _)| is_there(queue));
    for (_, out, _) in settles {
        client.subscribers.handle_settled(out);
    }
    client.schedule_channel(number);
    Ok(by_queue)
}

/// A commit failed: what it would have settled is given back.
fn give_back(settles: ByQueue) {
    for (queue, mut settles) in settles {
        for (_, outcome) in &mut settles {
            *outcome = Outcome::Released { count: true, delay_ms: None };
        }
        drop(queue.settle(&settles));
    }
}

/// Publishes and settles as one unit, and answers when that is durable.
pub(super) fn commit(client: &mut Client, number: u16) -> Result<Step, Refusal> {
    let Transaction { publishes, settles, bytes } = take(client, number)?;
    let settles = by_queue(client, number, &settles)?;
    let opening = client.channel(number)?.opening;
    let broker = client.broker().clone();
    let unit = Unit { publishes, settles: settles.clone(), result: None };
    client.publishes.set_entering(bytes);
    Ok(Step::Wait(Box::pin(async move {
        let committed = match broker.commit_unit_and_follow(unit).await {
            Ok(enqueuing) => Ok(enqueuing.await),
            Err(error) => Err(error),
        };
        let completion: Completion = Box::new(move |client| {
            client.publishes.set_entering(0);
            let results = committed.inspect_err(|_| give_back(settles))?;
            if let Some(Err(error)) = results.into_iter().find(Result::is_err) {
                return Err(Refusal::precondition(format!("partial tx completion: {error}")));
            }
            client.answer(number, opening, tx::CommitOk {});
            Ok(())
        });
        completion
    })))
}

/// Forgets the publishes; what was settled is out again.
pub(super) fn rollback(client: &mut Client, number: u16) -> Result<Step, Refusal> {
    let transaction = take(client, number)?;
    let again = transaction.settles.into_iter().map(|(tag, out, _)| (tag, out));
    client.channel(number)?.unacked.put_back(again);
    client.send(number, tx::RollbackOk {});
    Ok(Step::Done)
}
