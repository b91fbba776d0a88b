//! Streams of a channel's events, over Server-Sent Events and WebSocket: what both have in
//! common. An event is one JSON object, the same in both; see `docs/realtime.md`.

pub(crate) mod event;
pub(crate) mod outflow;
pub(crate) mod position;

use crate::error::Error;
use std::sync::Arc;
use tramline_types::{ChannelName, limits::RECEIVER_CLIENT_BYTES_MAX};

/// Whether reports on a job go there.
fn is_of_job(name: &ChannelName) -> bool {
    name.as_str().starts_with("$jobs/") && name.as_str().ends_with("/progress")
}

/// A channel that clients may publish on: the broker's own are not among them, but for those by
/// which workers report on their jobs.
pub(crate) fn to_publish(name: ChannelName) -> Result<ChannelName, Error> {
    if name.is_reserved() && !is_of_job(&name) {
        return Err(Error::malformed(
            format!("`{name}` is the broker's own: nobody else publishes on it"),
            "use a channel that does not begin with `$`",
        ));
    }
    Ok(name)
}

/// What a client calls itself.
pub(crate) fn client(name: Option<String>) -> Result<Option<Arc<str>>, Error> {
    match name {
        Some(name) if name.len() > RECEIVER_CLIENT_BYTES_MAX => Err(Error::malformed(
            format!("`client` is longer than {RECEIVER_CLIENT_BYTES_MAX} bytes"),
            "use a shorter name",
        )),
        name => Ok(name.map(Into::into)),
    }
}
