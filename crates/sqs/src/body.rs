//! The body of a request, bounded in size and time, and in memory together with everything else
//! that the broker receives.

use crate::{
    Context,
    error::{Code, Error},
};
use axum::body::{Body, HttpBody};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use std::sync::atomic::{AtomicBool, Ordering};
use tramline_broker::Share;
use tramline_types::limits;

/// A whole body, and its share of the budget for as long as it is worked on.
pub(crate) struct Received {
    pub(crate) bytes: Bytes,
    _share: Share,
}

/// Reads it. What has arrived counts, not what was announced. Where there is no room the client
/// is not read on, and refused only when its time is over.
pub(crate) async fn receive(body: Body, cx: &Context) -> Result<Received, Error> {
    let clock = cx.broker.clock();
    let deadline = clock.monotonic().plus(limits::REQUEST_READ_MAX);
    let is_waiting = AtomicBool::new(false);
    tokio::select! {
        biased; // What has arrived counts, however late it is looked at.
        received = collect(body, cx, &is_waiting) => received,
        () = clock.sleep_until(Some(deadline)) => Err(if is_waiting.load(Ordering::Relaxed) {
            Error::new(Code::ServiceUnavailable, "too many large requests at once")
        } else {
            Error::new(Code::RequestTimeout, "the body did not arrive in time")
        }),
    }
}

async fn collect(body: Body, cx: &Context, is_waiting: &AtomicBool) -> Result<Received, Error> {
    let bytes_max = limits::SQS_BODY_BYTES_MAX;
    let announced = body.size_hint().upper().and_then(|bytes| usize::try_from(bytes).ok());
    let whole = announced.unwrap_or(bytes_max).min(bytes_max);
    let mut share = cx.broker.budgets().received.share();
    let mut bytes = BytesMut::new();
    let mut stream = body.into_data_stream();
    while let Some(piece) = stream.next().await {
        let piece = piece.map_err(|_| Error::new(Code::Serialization, "the body broke off"))?;
        if bytes.is_empty() && piece.len() == whole {
            return Ok(Received { bytes: piece, _share: share });
        }
        if bytes.is_empty() {
            // By what has arrived: who only announces much takes nothing.
            bytes.reserve(whole.min(8 * piece.len()));
        }
        let held = bytes.len() + piece.len();
        if held > bytes_max {
            let message = format!("the body is larger than {bytes_max} bytes");
            return Err(Error::new(Code::RequestEntityTooLarge, message));
        }
        // The first piece is free: most bodies have no other.
        if held > limits::CONNECTION_BYTES_FREE.max(share.bytes()) {
            is_waiting.store(true, Ordering::Relaxed);
            let missing = held - share.bytes();
            share.grow(missing, whole.saturating_sub(share.bytes())).await;
            is_waiting.store(false, Ordering::Relaxed);
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(Received { bytes: bytes.freeze(), _share: share })
}
