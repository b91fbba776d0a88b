//! The class `exchange`: declaring, deleting, and binding to each other.

use crate::{
    client::{Client, Completion, Step},
    error::Refusal,
    from_wire,
};
use bytes::Bytes;
use tramline_broker::{Binding, Destination};
use tramline_types::ExchangeName;
use tramline_wire_amqp091::{ReplyCode, Table, method::exchange};

/// An exchange's name, which is never too long to be one.
pub(super) fn name(text: &str) -> Result<ExchangeName, Refusal> {
    ExchangeName::parse(text).map_err(|error| Refusal::precondition(error.to_string()))
}

pub(super) fn declare(
    client: &mut Client,
    channel: u16,
    declare: exchange::Declare,
) -> Result<Step, Refusal> {
    let exchange = name(&declare.exchange)?;
    if exchange.is_default() {
        return Err(on_default());
    }
    if declare.passive {
        client.broker().exchange(&exchange)?;
        if !declare.nowait {
            client.send(channel, exchange::DeclareOk {});
        }
        return Ok(Step::Done);
    }
    let settings = from_wire::exchange_settings(&declare)?;
    let (broker, opening) = (client.broker().clone(), client.channel(channel)?.opening);
    Ok(Step::Wait(Box::pin(async move {
        let declared = broker.declare_exchange(&exchange, settings).await;
        let completion: Completion = Box::new(move |client| {
            declared.map_err(|error| Refusal::from(error).of_exchange())?;
            if !declare.nowait {
                client.answer(channel, opening, exchange::DeclareOk {});
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
    delete: exchange::Delete,
) -> Result<Step, Refusal> {
    let exchange = name(&delete.exchange)?;
    if exchange.is_default() {
        return Err(on_default());
    }
    let (broker, opening) = (client.broker().clone(), client.channel(channel)?.opening);
    Ok(Step::Wait(Box::pin(async move {
        let deleted = match broker.exchange(&exchange) {
            Ok(_) => broker.delete_exchange(&exchange, delete.if_unused).await,
            Err(_) => Ok(()),
        };
        let completion: Completion = Box::new(move |client| {
            deleted.map_err(|error| Refusal::from(error).of_exchange())?;
            if !delete.nowait {
                client.answer(channel, opening, exchange::DeleteOk {});
            }
            Ok(())
        });
        completion
    })))
}

pub(super) fn bind(
    client: &mut Client,
    channel: u16,
    bind: exchange::Bind,
) -> Result<Step, Refusal> {
    let binding = binding(&bind.source, &bind.destination, &bind.routing_key, &bind.arguments)?;
    let (broker, opening) = (client.broker().clone(), client.channel(channel)?.opening);
    Ok(Step::Wait(Box::pin(async move {
        let bound = broker.bind(binding).await;
        let completion: Completion = Box::new(move |client| {
            bound.map_err(|error| Refusal::from(error).of_exchange())?;
            if !bind.nowait {
                client.answer(channel, opening, exchange::BindOk {});
            }
            Ok(())
        });
        completion
    })))
}

pub(super) fn unbind(
    client: &mut Client,
    channel: u16,
    unbind: exchange::Unbind,
) -> Result<Step, Refusal> {
    let binding =
        binding(&unbind.source, &unbind.destination, &unbind.routing_key, &unbind.arguments)?;
    let (broker, opening) = (client.broker().clone(), client.channel(channel)?.opening);
    Ok(Step::Wait(Box::pin(async move {
        let unbound = broker.unbind(&binding).await;
        let completion: Completion = Box::new(move |client| {
            unbound.map_err(|error| Refusal::from(error).of_exchange())?;
            if !unbind.nowait {
                client.answer(channel, opening, exchange::UnbindOk {});
            }
            Ok(())
        });
        completion
    })))
}

fn binding(source: &str, to: &str, key: &str, arguments: &Table) -> Result<Binding, Refusal> {
    let (source, to) = (name(source)?, name(to)?);
    if source.is_default() || to.is_default() {
        return Err(on_default());
    }
    Ok(Binding {
        source,
        destination: Destination::Exchange(to),
        key: Bytes::from(key.to_owned()),
        arguments: from_wire::arguments(arguments),
    })
}

pub(super) fn on_default() -> Refusal {
    Refusal::new(ReplyCode::AccessRefused, "operation not permitted on the default exchange")
}
