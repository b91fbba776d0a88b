//! Queues that the configuration declares: created at the start where they do not exist. One that
//! exists stays as it is.

use crate::{
    Context,
    api::{self, Create},
    caller::Caller,
    error::{Code, Error},
};
use serde_json::json;
use std::{collections::BTreeMap, io};
use tracing::warn;

/// A queue; its name says whether it is a FIFO queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Declared {
    /// Its attributes, by the names that SQS gives them.
    pub attributes: BTreeMap<String, String>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// Where messages go that were received too often.
    pub dead_letter: Option<DeadLetter>,
}

/// Where messages go that were received too often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The dead-letter queue's name.
    pub queue: String,
    /// Receives of one message at most.
    pub receives_max: u32,
}

/// Creates all of them; fails where one cannot be.
pub(crate) async fn create(cx: &Context) -> io::Result<()> {
    let caller = Caller::own(&cx.options);
    let mut left: Vec<_> = cx.options.queues.iter().collect();
    while !left.is_empty() {
        let names: Vec<&String> = left.iter().map(|(name, _)| *name).collect();
        // Dead-letter queues before those that name them; in a circle any goes first.
        let is_free = |(_, queue): &(&String, &Declared)| {
            queue.dead_letter.as_ref().is_none_or(|target| !names.contains(&&target.queue))
        };
        let at = left.iter().position(is_free).unwrap_or(0);
        let (name, queue) = left.remove(at);
        match api::create(cx, &caller, request(&caller, name, queue)).await {
            Ok(_) => {}
            Err(Error { code: Code::QueueNameExists, message }) => {
                warn!(queue = name, detail = %message, "a declared queue exists with other settings");
            }
            Err(Error { message, .. }) => {
                return Err(io::Error::other(format!("`sqs.queues.{name}`: {message}")));
            }
        }
    }
    Ok(())
}

fn request(caller: &Caller, name: &str, queue: &Declared) -> Create {
    let mut attributes = queue.attributes.clone();
    if let Some(target) = &queue.dead_letter {
        let policy = json!({
            "deadLetterTargetArn": caller.arn(&caller.address(&target.queue)),
            "maxReceiveCount": target.receives_max,
        });
        attributes.insert("RedrivePolicy".to_owned(), policy.to_string());
    }
    Create::of(name, attributes, queue.tags.clone())
}
