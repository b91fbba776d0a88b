//! The actions: which there are, and who answers them.

mod attribute;
mod batch;
mod identity;
mod move_task;
mod permission;
mod queue;
mod receive;
mod send;
mod settle;
mod tag;

pub(crate) use queue::{Create, create, create_missing};

use crate::{
    Context,
    caller::{Address, Caller},
    error::{Code, Error, required},
    from_wire::Input,
    profile::Profile,
    to_wire::{Output, Render},
};
use serde::de::DeserializeOwned;
use std::sync::Arc;
use tramline_broker::Queue;

/// The one action that is not of SQS: fixtures of tests ask STS who they are.
pub(crate) const CALLER_IDENTITY: &str = "GetCallerIdentity";

macro_rules! actions {
    ($($name:literal => $handle:path;)*) => {
        /// Every action.
        const ACTIONS: &[&str] = &[$($name),*];

        /// Runs an action.
        pub(crate) async fn call(
            cx: &Context,
            caller: &Caller,
            (action, input, render): (&'static str, &Input<'_>, Render),
        ) -> Result<Output, Error> {
            match action {
                $($name => {
                    let request = input.read()?;
                    // On the heap, so that a request takes what its own action needs.
                    let answer = Box::pin($handle(cx, caller, request)).await?;
                    render.take(&answer)
                })*
                _ => Err(Error::new(Code::UnsupportedOperation, "this action is not there")),
            }
        }

        /// Reads a request of the action at this place of the list, from the front again where
        /// that is shorter, and does nothing else.
        pub(crate) fn parse(at: usize, input: &Input<'_>) -> Result<(), Error> {
            match ACTIONS[at % ACTIONS.len()] {
                $($name => read_as($handle, input),)*
                _ => Ok(()),
            }
        }
    };
}

actions! {
    "AddPermission" => permission::add;
    "CancelMessageMoveTask" => move_task::cancel;
    "ChangeMessageVisibility" => settle::change;
    "ChangeMessageVisibilityBatch" => settle::change_batch;
    "CreateQueue" => create;
    "DeleteMessage" => settle::delete;
    "DeleteMessageBatch" => settle::delete_batch;
    "DeleteQueue" => queue::delete;
    "GetCallerIdentity" => identity::get;
    "GetQueueAttributes" => attribute::get;
    "GetQueueUrl" => queue::url;
    "ListDeadLetterSourceQueues" => queue::list_sources;
    "ListMessageMoveTasks" => move_task::list;
    "ListQueueTags" => tag::list;
    "ListQueues" => queue::list;
    "PurgeQueue" => queue::purge;
    "ReceiveMessage" => receive::receive;
    "RemovePermission" => permission::remove;
    "SendMessage" => send::send;
    "SendMessageBatch" => send::send_batch;
    "SetQueueAttributes" => attribute::set;
    "StartMessageMoveTask" => move_task::start;
    "TagQueue" => tag::add;
    "UntagQueue" => tag::remove;
}

/// Reads what an action takes.
fn read_as<R: DeserializeOwned, A>(
    _handle: impl AsyncFn(&Context, &Caller, R) -> Result<A, Error>,
    input: &Input<'_>,
) -> Result<(), Error> {
    input.read::<R>().map(drop)
}

/// The action of this name.
pub(crate) fn find(name: &str) -> Option<&'static str> {
    ACTIONS.iter().find(|action| **action == name).copied()
}

/// A queue that a request names.
pub(crate) struct Found {
    pub(crate) queue: Arc<Queue>,
    pub(crate) address: Address,
    pub(crate) profile: Arc<Profile>,
}

/// The queue of this URL.
pub(crate) fn find_queue(
    cx: &Context,
    caller: &Caller,
    url: Option<String>,
) -> Result<Found, Error> {
    let address = caller.parse_url(&required(url, "QueueUrl")?)?;
    let queue = find_address(cx, caller, &address)?;
    let profile = cx.profiles.of(&queue);
    Ok(Found { queue, address, profile })
}

/// The queue of this name. One that belongs to a connection is hidden.
pub(crate) fn find_address(
    cx: &Context,
    caller: &Caller,
    address: &Address,
) -> Result<Arc<Queue>, Error> {
    let name = caller.broker_name(address).ok_or_else(Error::no_queue)?;
    let queue = cx.broker.queue(&name)?;
    queue.check_owner(None).map_err(|_| Error::no_queue())?;
    Ok(queue)
}
