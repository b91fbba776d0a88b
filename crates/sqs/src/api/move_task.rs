//! StartMessageMoveTask, ListMessageMoveTasks, CancelMessageMoveTask: dead-lettered messages go
//! back to where they died, or to a queue of one's choice. A task goes on after a restart.

use super::find_address;
use crate::{
    Context,
    caller::{Caller, parse_arn},
    error::{Code, Error, required},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tramline_broker::{Queue, QueueError, Redrive, RedriveState, RedriveStatus};

const RATE_MAX: i64 = 500;
const LISTED_MAX: i64 = 10;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Start {
    source_arn: Option<String>,
    destination_arn: Option<String>,
    max_number_of_messages_per_second: Option<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Started {
    task_handle: String,
}

pub(crate) async fn start(cx: &Context, caller: &Caller, request: Start) -> Result<Started, Error> {
    let arn = required(request.source_arn, "SourceArn")?;
    let queue = find(cx, caller, ("SourceArn", &arn))?;
    if !is_target(cx, &queue) {
        return Err(Error::invalid("Source queue must be configured as a Dead Letter Queue."));
    }
    let to = request.destination_arn.map(|arn| find(cx, caller, ("DestinationArn", &arn)));
    let to = to.transpose()?;
    if to.as_ref().is_some_and(|to| is_fifo(cx, to) != is_fifo(cx, &queue)) {
        let message = "Source queue and destination queue must be of the same type.";
        return Err(Error::invalid(message));
    }
    let rate = request.max_number_of_messages_per_second;
    if let Some(rate) = rate.filter(|rate| !(1..=RATE_MAX).contains(rate)) {
        let reason = format!("Must be between 1 and {RATE_MAX}");
        return Err(Error::value("MaxNumberOfMessagesPerSecond", rate, reason));
    }
    let per_second = rate.and_then(|rate| u32::try_from(rate).ok());
    let to = to.map(|to| to.name().clone());
    let redrive = Redrive { to, per_second, ..Redrive::default() };
    match cx.broker.start_redrive(&queue, redrive).await {
        Ok(status) => Ok(Started { task_handle: Handle::of(status.id, &arn).encode() }),
        Err(tramline_broker::Error::Queue(QueueError::InUse(_))) => Err(Error::new(
            Code::UnsupportedOperation,
            "There is already a task running. Only one active task is allowed for a source queue \
             arn at a given time.",
        )),
        Err(error) => Err(error.into()),
    }
}

fn is_fifo(cx: &Context, queue: &Queue) -> bool {
    cx.profiles.of(queue).fifo.is_some()
}

/// The queue of an ARN in this parameter.
fn find(cx: &Context, caller: &Caller, (name, arn): (&str, &str)) -> Result<Arc<Queue>, Error> {
    let address = parse_arn(arn).ok_or_else(|| {
        Error::invalid(format!(
            "You must use this format to specify the {name}: arn:aws:sqs:<region>:<account>:<queue>"
        ))
    })?;
    find_address(cx, caller, &address).map_err(|_| {
        let message =
            format!("The resource that you specified for the {name} parameter doesn't exist.");
        Error::new(Code::ResourceNotFound, message)
    })
}

/// Whether dead messages of some queue go to this one.
fn is_target(cx: &Context, target: &Queue) -> bool {
    cx.broker.queues().iter().any(|queue| {
        let settings = queue.settings();
        settings.dead_letter_exchange.is_some()
            && settings.dead_letter_routing_key.as_deref() == Some(target.name().as_str())
    })
}

/// What a task handle holds.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Handle {
    task_id: u64,
    source_arn: String,
}

impl Handle {
    fn of(task_id: u64, source_arn: &str) -> Self {
        Self { task_id, source_arn: source_arn.to_owned() }
    }

    fn encode(&self) -> String {
        STANDARD.encode(serde_json::to_vec(self).expect("a number and a text are JSON"))
    }

    fn decode(text: &str) -> Result<Self, Error> {
        let bytes = STANDARD.decode(text).ok();
        let handle = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        handle.ok_or_else(|| Error::invalid("Value for parameter TaskHandle is invalid."))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct List {
    source_arn: Option<String>,
    max_results: Option<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Listed {
    results: Vec<Task>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Task {
    #[serde(skip_serializing_if = "Option::is_none")]
    task_handle: Option<String>,
    status: &'static str,
    source_arn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    destination_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_number_of_messages_per_second: Option<u32>,
    approximate_number_of_messages_moved: u64,
    approximate_number_of_messages_to_move: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_reason: Option<String>,
    started_timestamp: i64,
}

pub(crate) async fn list(cx: &Context, caller: &Caller, request: List) -> Result<Listed, Error> {
    let arn = required(request.source_arn, "SourceArn")?;
    let queue = find(cx, caller, ("SourceArn", &arn))?;
    let n_max = request.max_results.unwrap_or(1);
    if !(1..=LISTED_MAX).contains(&n_max) {
        let reason = format!("Value for parameter MaxResults must be between 1 and {LISTED_MAX}");
        return Err(Error::value("MaxResults", n_max, reason));
    }
    let tasks = cx.broker.redrives(&queue).into_iter();
    let results = tasks.take(usize::try_from(n_max).unwrap_or(1));
    Ok(Listed { results: results.map(|status| task(caller, &arn, status)).collect() })
}

fn task(caller: &Caller, arn: &str, status: RedriveStatus) -> Task {
    let (name, failure_reason) = match status.state {
        RedriveState::Running => ("RUNNING", None),
        RedriveState::Completed => ("COMPLETED", None),
        RedriveState::Cancelling => ("CANCELLING", None),
        RedriveState::Cancelled => ("CANCELLED", None),
        RedriveState::Failed(reason) => ("FAILED", Some(reason)),
    };
    let to = status.to.and_then(|to| caller.address_of(to.as_str()));
    Task {
        task_handle: (name == "RUNNING").then(|| Handle::of(status.id, arn).encode()),
        status: name,
        source_arn: arn.to_owned(),
        destination_arn: to.map(|to| caller.arn(&to)),
        max_number_of_messages_per_second: status.per_second,
        approximate_number_of_messages_moved: status.moved,
        approximate_number_of_messages_to_move: status.total,
        failure_reason,
        started_timestamp: status.started.as_millis(),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Cancel {
    task_handle: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Cancelled {
    approximate_number_of_messages_moved: u64,
}

pub(crate) async fn cancel(
    cx: &Context,
    caller: &Caller,
    request: Cancel,
) -> Result<Cancelled, Error> {
    let handle = Handle::decode(&required(request.task_handle, "TaskHandle")?)?;
    let queue = find(cx, caller, ("SourceArn", &handle.source_arn))?;
    let tasks = cx.broker.redrives(&queue);
    let task = tasks.iter().find(|task| task.id == handle.task_id);
    let task = task.ok_or_else(|| Error::new(Code::ResourceNotFound, "Task does not exist."))?;
    if task.state != RedriveState::Running {
        let message = "Only active tasks can be cancelled.";
        return Err(Error::new(Code::UnsupportedOperation, message));
    }
    let status = cx.broker.cancel_redrive(&queue, handle.task_id).await?;
    let moved = status.map_or(task.moved, |status| status.moved);
    Ok(Cancelled { approximate_number_of_messages_moved: moved })
}
