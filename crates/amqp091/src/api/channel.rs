//! The class `channel`: opening, closing, stopping deliveries.

use crate::{
    client::{Client, Step},
    error::Refusal,
};
use tramline_wire_amqp091::method::channel;

pub(super) fn open(client: &mut Client, number: u16) -> Result<Step, Refusal> {
    client.insert_channel(number)?;
    client.send(number, channel::OpenOk::default());
    Ok(Step::Done)
}

pub(super) fn close(client: &mut Client, number: u16) -> Result<Step, Refusal> {
    client.remove_channel(number);
    client.send(number, channel::CloseOk {});
    Ok(Step::Done)
}

/// The client stops or starts its deliveries.
pub(super) fn flow(client: &mut Client, number: u16, active: bool) -> Result<Step, Refusal> {
    client.channel(number)?.flows = active;
    if active {
        client.schedule_channel(number);
    }
    client.send(number, channel::FlowOk { active });
    Ok(Step::Done)
}
