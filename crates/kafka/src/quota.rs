//! What clients use of their quotas, and for how long they are then to be left alone.

use crate::context::{Call, Context};
use std::{
    future::{Future, poll_fn},
    pin::pin,
    time::Duration,
};
use tramline_broker::{QuotaClient, QuotaKind};

/// The user of a connection without authentication, as Kafka names it.
const ANONYMOUS: &str = "ANONYMOUS";

fn client(call: &Call) -> QuotaClient<'_> {
    QuotaClient { user: ANONYMOUS, client_id: call.client_id.as_deref().unwrap_or("") }
}

/// Counts bytes; gives the milliseconds to be left alone.
pub(crate) fn charge_bytes(cx: &Context, call: &Call, kind: QuotaKind, bytes: usize) -> i32 {
    if !cx.broker().is_limited(kind) {
        return 0;
    }
    let bytes = f64::from(u32::try_from(bytes).unwrap_or(u32::MAX));
    millis(cx.broker().charge_quota(kind, client(call), bytes))
}

/// Counts the time that a request took of a thread; gives the milliseconds to be left alone.
pub(crate) fn charge_time(cx: &Context, call: &Call, spent: Duration) -> i32 {
    if spent.is_zero() {
        return 0;
    }
    let (kind, seconds) = (QuotaKind::RequestTime, spent.as_secs_f64());
    millis(cx.broker().charge_quota(kind, client(call), seconds))
}

/// The largest answer to a fetch that the client's quota allows.
pub(crate) fn fetch_bytes_max(cx: &Context, call: &Call) -> usize {
    cx.broker().quota_burst(QuotaKind::FetchedBytes, client(call)).unwrap_or(usize::MAX)
}

fn millis(span: Duration) -> i32 {
    i32::try_from(span.as_micros().div_ceil(1000)).unwrap_or(i32::MAX)
}

/// Runs a request, and measures the time that it takes of a thread where that is limited.
pub(crate) async fn timed<T>(cx: &Context, work: impl Future<Output = T>) -> (T, Duration) {
    if !cx.broker().is_limited(QuotaKind::RequestTime) {
        return (work.await, Duration::ZERO);
    }
    let clock = cx.broker().clock();
    let mut work = pin!(work);
    let mut spent = Duration::ZERO;
    let result = poll_fn(|task| {
        let began = clock.monotonic();
        let polled = work.as_mut().poll(task);
        spent += clock.monotonic().since(began);
        polled
    });
    (result.await, spent)
}
