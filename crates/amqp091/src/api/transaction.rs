//! The classes `confirm` and `tx`: what becomes of publishes.

use crate::{
    channel::{Mode, Transaction},
    client::{Client, Completion, Step, outcome},
    error::Refusal,
};
use std::sync::Arc;
use tramline_broker::{Queue, Settle, Unit};
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
        Mode::Transaction(transaction) => Ok(std::mem::take(transaction)),
        Mode::Plain | Mode::Confirm(_) => {
            Err(Refusal::precondition("channel is not transactional"))
        }
    }
}

/// Publishes and settles as one unit, and answers when that is durable.
pub(super) fn commit(client: &mut Client, number: u16) -> Result<Step, Refusal> {
    let Transaction { publishes, settles, .. } = take(client, number)?;
    let channel = client.channel(number)?;
    let opening = channel.opening;
    let mut by_queue: Vec<(Arc<Queue>, Vec<Settle>)> = Vec::new();
    for (_, out, ending) in &settles {
        let queue = usize::try_from(out.queue).ok().and_then(|of| channel.queues.get(of));
        let Some(queue) = queue else { continue };
        let settle = (out.token, outcome(*ending));
        match by_queue.iter_mut().find(|(of, _)| Arc::ptr_eq(of, queue)) {
            Some((_, settles)) => settles.push(settle),
            None => by_queue.push((Arc::clone(queue), vec![settle])),
        }
    }
    for (_, out, _) in &settles {
        client.subscribers.handle_settled(out);
    }
    let broker = client.broker().clone();
    let unit = Unit { publishes, settles: by_queue, result: None };
    Ok(Step::Wait(Box::pin(async move {
        let committed = match broker.commit_unit(unit).await {
            Ok(enqueuing) => Ok(enqueuing.await),
            Err(error) => Err(error),
        };
        let completion: Completion = Box::new(move |client| {
            if let Some(Err(error)) = committed?.into_iter().find(Result::is_err) {
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
