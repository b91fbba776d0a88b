//! GET `/v1/config-watch`: follows a scope as Server-Sent Events.
//!
//! All values come as `put`, then `synced`, then every change as `put` or `delete`. The last
//! event of a revision has an id, with which a follower goes on behind it; `resync` says that it
//! has been away for too long, or knows another data directory: what it has means nothing.

use super::{Told, scope};
use crate::{
    Context,
    error::Error,
    extract::Params,
    sse::{self, LAST_EVENT_ID, RETRY_MILLIS},
};
use axum::{extract::State, http::HeaderMap, response::Response};
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::stream;
use serde::Deserialize;
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tramline_broker::{ConfigEvent, ConfigEvents, ConfigWatch, WatchStart};
use tramline_types::limits::CONNECTION_BYTES_FREE;

/// Events below this are put together into one write; larger ones are shared with all followers.
const SMALL_BYTES: usize = 16 * 1024;
/// While the answers of others take all the room there is.
const ROOM_PAUSE: Duration = Duration::from_secs(1);

/// The query.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Query {
    #[serde(default)]
    scope: String,
    client: Option<String>,
    after: Option<u64>,
}

pub(crate) async fn handle(
    State(cx): State<Context>,
    Params(query): Params<Query>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let config = cx.broker.config_push();
    // An empty one is that of a reader which has none yet.
    let last = headers.get(LAST_EVENT_ID).filter(|id| !id.is_empty());
    let start = match (last, query.after) {
        (Some(id), _) => start_behind(id.to_str().unwrap_or_default(), config.epoch())?,
        (None, Some(after)) => WatchStart::After(after),
        (None, None) => WatchStart::Snapshot,
    };
    let watch = config.watch(scope(&query.scope)?, query.client.map(Arc::from), start)?;
    let retry = Bytes::from(format!("retry: {RETRY_MILLIS}\n\n"));
    let follower = Follower { cx, watch, out: VecDeque::from([retry]) };
    let events = stream::unfold(follower, |mut follower| async move {
        let bytes = follower.next_bytes().await?;
        Some((bytes, follower))
    });
    Ok(sse::answer(events))
}

/// `42`, or `42@epoch`.
fn start_behind(id: &str, epoch: &str) -> Result<WatchStart, Error> {
    let (revision, of) = id.split_once('@').unwrap_or((id, epoch));
    match revision.parse() {
        _ if of != epoch => Ok(WatchStart::Foreign),
        Ok(revision) => Ok(WatchStart::After(revision)),
        Err(_) => Err(Error::malformed(
            format!("`{id}` is no event id"),
            "send the id of an event, or leave it out to begin with all values",
        )),
    }
}

struct Follower {
    cx: Context,
    watch: ConfigWatch,
    out: VecDeque<Bytes>,
}

impl Follower {
    /// What is written next; `None` at the end.
    async fn next_bytes(&mut self) -> Option<Bytes> {
        if let Some(bytes) = self.out.pop_front() {
            return Some(bytes);
        }
        let clock = Arc::clone(self.cx.broker.clock());
        let answers = Arc::clone(&self.cx.broker.budgets().answers);
        if answers.is_used_up() {
            let pause = clock.sleep_until(Some(clock.monotonic().plus(ROOM_PAUSE)));
            tokio::select! {
                () = pause => return Some(Bytes::from_static(b": waiting for memory\n\n")),
                () = self.cx.stopping() => return None,
            }
        }
        let beat = clock.monotonic().plus(self.cx.options.heartbeat);
        let told = tokio::select! {
            told = self.watch.next() => told,
            () = clock.sleep_until(Some(beat)) => {
                return Some(Bytes::from_static(b": nothing new\n\n"));
            }
            () = self.cx.stopping() => return None,
        };
        self.out = write(&told, self.cx.broker.config_push().epoch());
        for bytes in &mut self.out {
            if bytes.len() > CONNECTION_BYTES_FREE {
                let mut share = answers.share();
                share.charge(bytes.len());
                *bytes = share.hold(std::mem::take(bytes));
            }
        }
        self.out.pop_front()
    }
}

/// The events as they are written, those of small ones put together.
fn write(told: &ConfigEvents, epoch: &str) -> VecDeque<Bytes> {
    let mut out = VecDeque::new();
    let mut small = BytesMut::new();
    for (place, event) in told.events.iter().enumerate() {
        let next = told.events.get(place + 1).and_then(at);
        let frame = frame(event);
        if frame.len() < SMALL_BYTES {
            small.put_slice(&frame);
        } else {
            out.push_back(small.split().freeze());
            out.push_back(frame);
        }
        // Where the next event is of the same revision, only that one may name it.
        if let Some(revision) = at(event)
            && told.resumable
            && next != Some(revision)
        {
            small.put_slice(format!("id: {revision}@{epoch}\n").as_bytes());
        }
        small.put_slice(b"\n");
    }
    out.push_back(small.freeze());
    out.retain(|bytes| !bytes.is_empty());
    out
}

fn at(event: &ConfigEvent) -> Option<u64> {
    match event {
        ConfigEvent::Put { at, .. } | ConfigEvent::Delete { at, .. } => Some(*at),
        ConfigEvent::Synced { at } => Some(*at),
        ConfigEvent::Resync => None,
    }
}

/// An event without its id: of a value it is made once for all followers.
fn frame(event: &ConfigEvent) -> Bytes {
    let text = |name: &str, data: String| Bytes::from(format!("event: {name}\ndata: {data}\n"));
    let told = || serde_json::to_string(&Told::of(event)).expect("our own types have text keys");
    match event {
        ConfigEvent::Put { value, .. } => value.form.get_or_init(|| text("put", told())).clone(),
        ConfigEvent::Delete { .. } => text("delete", told()),
        ConfigEvent::Synced { at } => text("synced", format!("{{\"revision\":{at}}}")),
        ConfigEvent::Resync => {
            text("resync", "{\"reason\":\"what changed meanwhile is not known\"}".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_leads_behind_a_revision_of_the_same_data_directory() {
        let start = |id| start_behind(id, "abc").ok();
        assert_eq!(start("42"), Some(WatchStart::After(42)));
        assert_eq!(start("42@abc"), Some(WatchStart::After(42)));
        assert_eq!(start("42@def"), Some(WatchStart::Foreign));
        assert_eq!(start("0:1"), None);
        assert_eq!(start(""), None);
    }
}
