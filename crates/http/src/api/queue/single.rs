//! `/v1/queues/{queue}/messages/{place}`: one message by its place: it is taken out, or waits no
//! longer.

use super::{find, peek::place};
use crate::{Context, error::Error, extract::Names};
use axum::{extract::State, http::StatusCode};
use tramline_broker::Removal;

/// DELETE `/v1/queues/{queue}/messages/{place}`: takes a message out that nobody has.
pub(crate) async fn remove(
    State(cx): State<Context>,
    Names((name, text)): Names<(String, String)>,
) -> Result<StatusCode, Error> {
    let queue = find(&cx.broker, &name)?;
    queue.check_owner(None)?;
    match queue.remove(place(&text)?).await? {
        Removal::Removed => Ok(StatusCode::NO_CONTENT),
        Removal::Locked => Err(Error::MessageLocked(text)),
        Removal::Gone => Err(Error::UnknownMessage(text)),
    }
}

/// POST `/v1/queues/{queue}/messages/{place}/deliver`: ends the wait of a delayed message.
pub(crate) async fn deliver(
    State(cx): State<Context>,
    Names((name, text)): Names<(String, String)>,
) -> Result<StatusCode, Error> {
    let queue = find(&cx.broker, &name)?;
    queue.check_owner(None)?;
    match queue.end_delay(place(&text)?).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Error::UnknownMessage(text)),
    }
}
