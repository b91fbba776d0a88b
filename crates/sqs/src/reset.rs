//! POST `/_tramline/reset`: everything of the caller's account goes, so that each test can begin
//! with nothing. Only where the configuration allows it.

use crate::{
    Context,
    caller::Caller,
    declared,
    error::{Code, Error},
    to_wire::{Output, Render},
};
use axum::http::{Method, request::Parts};
use serde_json::json;
use tramline_broker::{DeleteOnly, QueueError};

/// Where it is asked for.
pub(crate) const PATH: &str = "/_tramline/reset";
/// What the metrics call it.
pub(crate) const ACTION: &str = "Reset";
/// How it is answered, whoever asks.
pub(crate) const RENDER: Render = Render::QueryJson;

/// Deletes every queue that the caller's ListQueues names, with all that is in it, and forgets
/// which were deleted or purged a short while ago; queues of the configuration are there again.
pub(crate) async fn run(cx: &Context, caller: &Caller, parts: &Parts) -> Result<Output, Error> {
    if !cx.options.allow_reset {
        let message = "a reset is not allowed here: set `sqs.allow_reset`";
        return Err(Error::new(Code::AccessDenied, message));
    }
    if parts.method != Method::POST {
        return Err(Error::new(Code::UnknownOperation, "a reset is asked for by POST"));
    }
    let mut deleted = 0;
    for queue in cx.broker.queues() {
        let address = caller.address_of(queue.name().as_str());
        let is_own = address.is_some_and(|address| address.account == caller.account);
        if !is_own || queue.settings().owner.is_some() {
            continue;
        }
        match cx.broker.delete_queue(&queue, DeleteOnly::default()).await {
            Ok(_) => deleted += 1,
            // Somebody else was faster.
            Err(tramline_broker::Error::Queue(QueueError::UnknownQueue(_))) => {}
            Err(error) => return Err(error.into()),
        }
    }
    cx.memory.deleted.lock().clear();
    cx.memory.purged.lock().clear();
    if caller.account == cx.options.account {
        let declared = declared::create(cx).await;
        declared.map_err(|error| Error::new(Code::InternalFailure, error.to_string()))?;
    }
    Ok(Output::Bytes(json!({ "deleted": deleted }).to_string().into_bytes()))
}
