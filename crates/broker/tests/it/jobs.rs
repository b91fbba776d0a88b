//! Jobs over the memory back-end: what is told of them, and what a restart keeps.

use crate::{
    queues::{HELD, get, item, name, persistent, queue, transient},
    support::Node,
};
use bytes::Bytes;
use std::{sync::Arc, time::Duration};
use tramline_broker::{
    DeadReason, DeleteOnly, Enqueue, EnqueueOptions, JobError, JobFilter, JobState, JobStatus,
    Lock, Options, Outcome, Progress, Queue, QueueSettings, Report, Unit, Worker,
};
use tramline_types::{ConnectionId, ExchangeName, Header};

fn tracked() -> QueueSettings {
    QueueSettings { track: true, ..QueueSettings::default() }
}

fn job(queue: &Arc<Queue>, id: &str, options: EnqueueOptions) -> Enqueue {
    let mut item = item(queue, id, options);
    let (name, value) = (Bytes::from_static(b"job-id"), Some(Bytes::from(id.to_owned())));
    item.message.headers.push(Header { name, value });
    item
}

async fn put(node: &Node, queue: &Arc<Queue>, ids: &[&str]) {
    let items = ids.iter().map(|id| job(queue, id, persistent())).collect();
    for result in node.broker.enqueue(items).await.await {
        assert_eq!(result, Ok(()));
    }
}

async fn status(node: &Node, id: &str) -> JobStatus {
    node.broker.job(id).await.unwrap_or_else(|| panic!("there is no job {id}"))
}

async fn restarted(node: Node) -> Node {
    node.broker.close().await;
    let store = Arc::new(node.store.reopen().start());
    Node::over(store, Options::default()).await
}

fn progress(percent: f64) -> Report {
    Report::Progress(Progress { percent: Some(percent), ..Progress::default() })
}

#[tokio::test]
async fn jobs_in_every_state_survive_a_restart() {
    let node = Node::start().await;
    let settings = QueueSettings {
        dead_letter_exchange: ExchangeName::parse("").ok(),
        dead_letter_routing_key: Some("dead".to_owned()),
        ..tracked()
    };
    node.broker.declare_queue(&name("dead"), tracked()).await.unwrap();
    let queue = queue(&node, settings).await;
    put(&node, &queue, &["done", "dead", "locked", "retried", "returned", "reported"]).await;
    let timed = Lock::Timed(Duration::from_secs(600));
    let got = get(&queue, 4, timed).await;
    let held = get(&queue, 2, HELD).await;
    let result = Report::Result { result: Bytes::from_static(b"{\"n\":1}"), accept: true };
    node.broker.report_job("done", result).await.unwrap();
    let error = "it broke".to_owned();
    let failure = Report::Failure { error, retry: false, delay_ms: None };
    node.broker.report_job("dead", failure).await.unwrap();
    let delay_ms = Some(3_600_000);
    let failure = Report::Failure { error: "not yet".to_owned(), retry: true, delay_ms };
    node.broker.report_job("retried", failure).await.unwrap();
    node.broker.report_job("locked", progress(40.0)).await.unwrap();
    node.broker.report_job("reported", progress(50.0)).await.unwrap();
    put(&node, &queue, &["queued", "cancelled"]).await;
    let deliver_at = Some(node.broker.clock().now().plus_millis(3_600_000));
    let later = EnqueueOptions { deliver_at, ..persistent() };
    node.broker.enqueue(vec![job(&queue, "scheduled", later)]).await.await;
    node.broker.cancel_job("cancelled").await.unwrap();
    assert_eq!((got.len(), held.len()), (4, 2));

    let before = [
        ("done", JobState::Done, 1),
        ("dead", JobState::DeadLettered, 1),
        ("retried", JobState::Failed, 1),
        ("locked", JobState::Processing, 1),
        ("returned", JobState::Processing, 1),
        ("reported", JobState::Processing, 1),
        ("queued", JobState::Queued, 0),
        ("scheduled", JobState::Scheduled, 0),
        ("cancelled", JobState::Cancelled, 0),
    ];
    for (id, state, attempts) in before {
        let status = status(&node, id).await;
        assert_eq!((status.state, status.attempts), (state, attempts), "{id}");
    }
    let mut node = node;
    for restart in 0..3 {
        node = restarted(node).await;
        for (id, state, attempts) in before {
            let status = status(&node, id).await;
            // What a connection had is ready again.
            let ended = id == "returned" || id == "reported";
            let state = if ended { JobState::Queued } else { state };
            let seen = (status.state, status.attempts);
            assert_eq!(seen, (state, attempts), "{id}, restart {restart}");
        }
    }
    assert_eq!(status(&node, "done").await.result.as_deref(), Some(b"{\"n\":1}".as_slice()));
    let dead = status(&node, "dead").await;
    assert_eq!(
        (dead.reason, dead.error.as_deref()),
        (Some(DeadReason::Rejected), Some("it broke"))
    );
    assert_eq!(dead.queue, "jobs", "and not the queue that has it for good");
    assert_eq!(status(&node, "retried").await.error.as_deref(), Some("not yet"));
    assert!(status(&node, "retried").await.until.is_some());
    assert_eq!(status(&node, "locked").await.progress.unwrap().percent, Some(40.0));
    let queue = node.broker.queue(&name("jobs")).unwrap();
    let again = get(&queue, 9, HELD).await;
    assert_eq!(again.len(), 3, "returned, reported, queued");
    assert_eq!(status(&node, "returned").await.attempts, 2);
    queue.settle(&[(again[0].token, Outcome::Accepted)]).await;
    assert_eq!(status(&node, "returned").await.state, JobState::Done);
}

#[tokio::test]
async fn an_unknown_id_is_unknown() {
    let node = Node::start().await;
    let queue = queue(&node, QueueSettings::default()).await;
    assert!(node.broker.job("a").await.is_none());
    let items = vec![item(&queue, "a", persistent())];
    node.broker.enqueue(items).await.await;
    assert!(node.broker.list_jobs(&JobFilter::default(), None, 9).await.jobs.is_empty());
    put(&node, &queue, &["asked for"]).await;
    assert_eq!(status(&node, "asked for").await.state, JobState::Queued);
    let error = node.broker.cancel_job("a").await.unwrap_err();
    assert!(matches!(error, JobError::Unknown(_)));
}

#[tokio::test]
async fn progress_extends_the_lock_and_is_for_its_attempt() {
    let node = Node::start().await;
    let queue = queue(&node, tracked()).await;
    put(&node, &queue, &["a"]).await;
    let refused = node.broker.report_job("a", progress(1.0)).await.unwrap_err();
    assert!(matches!(refused, JobError::WrongState { state: JobState::Queued, .. }));
    get(&queue, 1, Lock::Timed(Duration::from_secs(30))).await;
    for step in 0..5 {
        node.clock.advance(Duration::from_secs(20));
        node.broker.report_job("a", progress(f64::from(step))).await.unwrap();
    }
    assert_eq!(status(&node, "a").await.attempts, 1);
    node.clock.advance(Duration::from_secs(31));
    // The end of a lock is noticed a moment later.
    while get(&queue, 1, Lock::Timed(Duration::from_secs(30))).await.is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(status(&node, "a").await.attempts, 2);
    let attempt = Some(1);
    let late = Report::Progress(Progress { attempt, ..Progress::default() });
    let refused = node.broker.report_job("a", late).await.unwrap_err();
    assert!(matches!(refused, JobError::AttemptOver { reported: 1, attempt: 2, .. }));
    let wrong = node.broker.report_job("a", progress(101.0)).await.unwrap_err();
    assert!(matches!(wrong, JobError::Invalid(_)));
}

#[tokio::test]
async fn place_in_the_queue_counts_what_goes_before() {
    let node = Node::start().await;
    let settings = QueueSettings { priority_max: 1, ..tracked() };
    let queue = queue(&node, settings).await;
    put(&node, &queue, &["a", "b", "c"]).await;
    let high = EnqueueOptions { priority: 1, ..persistent() };
    node.broker.enqueue(vec![job(&queue, "h", high)]).await.await;
    let place = async |id: &str| node.broker.job_position(&status(&node, id).await);
    assert_eq!(place("h").await, Some(0));
    assert_eq!(place("c").await, Some(3));
    let got = get(&queue, 2, HELD).await;
    assert_eq!((place("a").await, place("c").await), (None, Some(1)));
    let release = Outcome::Released { count: true, delay_ms: None };
    queue.settle(&[(got[1].token, release)]).await;
    assert_eq!((place("a").await, place("c").await), (Some(0), Some(2)));
}

#[tokio::test]
async fn a_cancelled_job_is_never_delivered() {
    let node = Node::start().await;
    for settings in [tracked(), QueueSettings { track: true, ..transient() }] {
        let queue = queue(&node, settings).await;
        put(&node, &queue, &["a", "b", "c"]).await;
        node.broker.cancel_job("b").await.unwrap();
        let got = get(&queue, 9, HELD).await;
        assert_eq!(got.len(), 2);
        node.broker.cancel_job("a").await.unwrap();
        let flagged = status(&node, "a").await;
        assert_eq!((flagged.state, flagged.cancel_requested), (JobState::Processing, true));
        let release = Outcome::Released { count: true, delay_ms: None };
        queue.settle(&[(got[0].token, release.clone()), (got[1].token, release)]).await;
        assert_eq!(status(&node, "a").await.state, JobState::Cancelled);
        assert_eq!(get(&queue, 9, HELD).await.len(), 1, "c");
        let over = node.broker.cancel_job("a").await.unwrap_err();
        assert!(matches!(over, JobError::WrongState { state: JobState::Cancelled, .. }));
        node.broker.delete_queue(&queue, DeleteOnly::default()).await.unwrap();
        assert_eq!(status(&node, "c").await.state, JobState::Cancelled, "its queue is gone");
    }
}

#[tokio::test]
async fn watchers_are_told_every_change_in_order() {
    let node = Node::start().await;
    let queue = queue(&node, tracked()).await;
    put(&node, &queue, &["a"]).await;
    let (first, mut events) = node.broker.watch_job("a").await.unwrap();
    let mut all = node.broker.watch_jobs();
    assert_eq!(first.state, JobState::Queued);
    let got = get(&queue, 1, HELD).await;
    let release = Outcome::Released { count: true, delay_ms: None };
    queue.settle(&[(got[0].token, release)]).await;
    let got = get(&queue, 1, HELD).await;
    queue.settle(&[(got[0].token, Outcome::Accepted)]).await;
    put(&node, &queue, &["b"]).await;
    let mut seen = Vec::new();
    while seen.len() < 4 {
        let status = events.recv().await.unwrap();
        seen.push((status.state, status.attempts));
    }
    let expected = [
        (JobState::Processing, 1),
        (JobState::Queued, 1),
        (JobState::Processing, 2),
        (JobState::Done, 2),
    ];
    assert_eq!(seen, expected);
    for _ in 0..4 {
        all.recv().await.unwrap();
    }
    assert_eq!(&*all.recv().await.unwrap().id, "b");
}

#[tokio::test]
async fn the_log_of_jobs_stays_short() {
    let node = Node::start().await;
    let settings = QueueSettings { result_ttl_ms: Some(60_000), ..tracked() };
    let queue = queue(&node, settings).await;
    let ids: Vec<String> = (0..500).map(|n| format!("{n:0>200}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    put(&node, &queue, &["stays"]).await;
    get(&queue, 1, HELD).await;
    for _ in 0..50 {
        put(&node, &queue, &ids).await;
        let got = get(&queue, 500, HELD).await;
        let settles: Vec<_> = got.iter().map(|it| (it.token, Outcome::Accepted)).collect();
        queue.settle(&settles).await;
    }
    let logs = || {
        let list = node.broker.store().get(b"jobs/logs").unwrap();
        serde_json::from_slice::<Vec<u64>>(&list).unwrap()
    };
    let first = logs()[0];
    // A fresh one, and the end of the other.
    while logs()[0] == first {
        node.clock.advance(Duration::from_secs(61));
        tokio::task::yield_now().await;
    }
    let node = restarted(node).await;
    assert_eq!(status(&node, "stays").await.state, JobState::Queued);
}

async fn declare(node: &Node, queue: &str, settings: QueueSettings) -> Arc<Queue> {
    node.broker.declare_queue(&name(queue), settings).await.unwrap().0
}

#[tokio::test]
async fn what_follows_is_published_with_the_end_of_its_parent() {
    let node = Node::start().await;
    let follow = QueueSettings {
        on_done: vec!["thumbnails".to_owned(), "captions".to_owned(), "gone".to_owned()],
        ..tracked()
    };
    let uploads = declare(&node, "uploads", follow).await;
    let thumbnails = declare(&node, "thumbnails", tracked()).await;
    let captions = declare(&node, "captions", tracked()).await;
    put(&node, &uploads, &["a", "b", "c"]).await;
    let got = get(&uploads, 3, HELD).await;
    let result = Report::Result { result: Bytes::from_static(b"[7]"), accept: false };
    node.broker.report_job("a", result).await.unwrap();
    let reject = Outcome::Rejected { dead_letter: true, reason: None };
    let settles =
        [(got[0].token, Outcome::Accepted), (got[1].token, reject), (got[2].token, RELEASED)];
    let settling = uploads.settle(&settles);
    // Its consumer goes at once; what it has settled is settled.
    uploads.release_all(crate::queues::HERE);
    assert!(settling.await.is_empty());
    for queue in [&thumbnails, &captions] {
        let got = get(queue, 9, HELD).await;
        assert_eq!(got.len(), 1, "of the one that is done");
        assert_eq!(got[0].message.value.as_deref(), Some(b"[7]".as_slice()), "its result");
        let child = status(&node, &format!("a/{}", queue.name())).await;
        assert_eq!(child.parent.as_deref(), Some("a"));
    }
    let parent = status(&node, "a").await;
    assert_eq!((parent.state, parent.children.len()), (JobState::Done, 2));
    assert_eq!(status(&node, "c").await.state, JobState::Queued);
    let again = uploads.settle(&[(got[0].token, Outcome::Accepted)]);
    assert_eq!(again.lost().len(), 1);
    let node = restarted(node).await;
    assert_eq!(status(&node, "a").await.children.len(), 2);
    assert_eq!(node.broker.queue(&name("thumbnails")).unwrap().counts().ready, 1);
}

const RELEASED: Outcome = Outcome::Released { count: true, delay_ms: None };

fn waiting(queue: &Arc<Queue>, id: &str, after: &'static str) -> Enqueue {
    let mut item = job(queue, id, persistent());
    let (name, value) =
        (Bytes::from_static(b"job-after"), Some(Bytes::from_static(after.as_bytes())));
    item.message.headers.push(Header { name, value });
    item
}

async fn until(node: &Node, id: &str, state: JobState) -> JobStatus {
    let (first, mut events) = node.broker.watch_job(id).await.unwrap();
    let mut status = Arc::new(first);
    while status.state != state {
        status = events.recv().await.unwrap();
    }
    (*status).clone()
}

#[tokio::test]
async fn a_job_waits_for_others_over_restarts_and_ends_with_one_that_fails() {
    let node = Node::start().await;
    let work = queue(&node, tracked()).await;
    let mails = declare(&node, "mails", tracked()).await;
    put(&node, &work, &["a", "b", "c"]).await;
    let items = vec![
        waiting(&mails, "ab", "a, b"),
        waiting(&mails, "bc", "b,c"),
        waiting(&mails, "later", "unknown"),
    ];
    for result in node.broker.enqueue(items).await.await {
        assert_eq!(result, Ok(()));
    }
    assert!(get(&mails, 9, HELD).await.is_empty());
    let ab = status(&node, "ab").await;
    assert_eq!((ab.state, ab.until, ab.after.len()), (JobState::Scheduled, None, 2));
    let got = get(&work, 3, HELD).await;
    work.settle(&[(got[0].token, Outcome::Accepted)]).await;
    let node = restarted(node).await;
    let (work, mails) = (node.broker.queue(&name("jobs")), node.broker.queue(&name("mails")));
    let (work, mails) = (work.unwrap(), mails.unwrap());
    assert_eq!(status(&node, "ab").await.state, JobState::Scheduled, "b is not done");
    let got = get(&work, 2, HELD).await;
    let reject = Outcome::Rejected { dead_letter: true, reason: None };
    work.settle(&[(got[0].token, Outcome::Accepted), (got[1].token, reject)]).await;
    until(&node, "ab", JobState::Queued).await;
    let failed = until(&node, "bc", JobState::Cancelled).await;
    assert_eq!(failed.error.as_deref(), Some("job `c` was not done"));
    assert_eq!(get(&mails, 9, HELD).await.len(), 1);
    node.broker.enqueue(vec![waiting(&mails, "at once", "a,ab")]).await.await;
    let ab = node.broker.report_job("ab", Report::Result { result: "1".into(), accept: true });
    ab.await.unwrap();
    until(&node, "at once", JobState::Queued).await;
    put(&node, &work, &["unknown"]).await;
    let got = get(&work, 1, HELD).await;
    work.settle(&[(got[0].token, Outcome::Accepted)]).await;
    until(&node, "later", JobState::Queued).await;
}

#[tokio::test]
async fn what_its_own_delivery_settles_is_followed() {
    let node = Node::start().await;
    let after = declare(&node, "after", tracked()).await;
    let follow = QueueSettings { on_done: vec!["after".to_owned()], ..tracked() };
    for settings in [follow.clone(), QueueSettings { track: true, ..transient() }] {
        let settings = QueueSettings { on_done: follow.on_done.clone(), ..settings };
        let queue = queue(&node, settings).await;
        put(&node, &queue, &["a", "b"]).await;
        assert_eq!(get(&queue, 9, Lock::None).await.len(), 2);
        for id in ["a", "b"] {
            let done = until(&node, id, JobState::Done).await;
            assert!(matches!(done.history[0].worker, Worker::Unnamed), "{:?}", done.history);
        }
        assert_eq!(queue.counts().locked, 0);
        let followers = get(&after, 9, HELD).await;
        assert_eq!(followers.len(), 2);
        let settles: Vec<_> = followers.iter().map(|it| (it.token, Outcome::Accepted)).collect();
        after.settle(&settles).await;
        node.broker.delete_queue(&queue, DeleteOnly::default()).await.unwrap();
    }
}

#[tokio::test]
async fn a_unit_brings_what_follows_those_that_it_accepts_or_nothing() {
    let node = Node::start().await;
    let after = declare(&node, "after", tracked()).await;
    let settings = QueueSettings { on_done: vec!["after".to_owned()], ..tracked() };
    let queue = queue(&node, settings).await;
    put(&node, &queue, &["a", "b"]).await;
    let got = get(&queue, 2, HELD).await;
    let unit = |settles| Unit { settles: vec![(Arc::clone(&queue), settles)], ..Unit::default() };
    let settles = vec![(got[0].token, Outcome::Accepted), (got[1].token, RELEASED)];
    let results = node.broker.commit_unit_and_follow(unit(settles.clone())).await.unwrap().await;
    assert_eq!(results, [Ok(())]);
    assert_eq!(get(&after, 9, HELD).await.len(), 1);
    assert_eq!(status(&node, "a").await.state, JobState::Done);
    assert!(node.broker.commit_unit_and_follow(unit(settles)).await.is_err());
    assert_eq!(get(&after, 9, HELD).await.len(), 0);
}

#[tokio::test]
async fn followers_that_are_too_much_for_one_commit_have_several() {
    let node = Node::start().await;
    let names: Vec<String> = (0..3).map(|n| format!("after-{n}")).collect();
    let mut targets = Vec::new();
    for name in &names {
        targets.push(declare(&node, name, tracked()).await);
    }
    let settings = QueueSettings { on_done: names, ..tracked() };
    let queue = queue(&node, settings).await;
    let large = |id: &str, bytes: usize| {
        let mut item = job(&queue, id, persistent());
        item.message.value = Some(Bytes::from(vec![b'x'; bytes]));
        item
    };
    for (id, bytes) in [("a", 3 << 20), ("b", 4 << 20), ("impossible", 6 << 20)] {
        node.broker.enqueue(vec![large(id, bytes)]).await.await;
    }
    let mut got = Vec::new();
    while got.len() < 3 {
        got.extend(get(&queue, 3, HELD).await);
    }
    let settles: Vec<_> = got.iter().map(|it| (it.token, Outcome::Accepted)).collect();
    assert!(queue.settle(&settles).await.is_empty());
    for target in &targets {
        assert_eq!(target.counts().ready, 2);
    }
    until(&node, "b", JobState::Done).await;
    let rejected = until(&node, "impossible", JobState::DeadLettered).await;
    assert_eq!(rejected.reason, Some(DeadReason::Rejected));
}

#[tokio::test]
async fn progress_shortens_no_lock() {
    let node = Node::start().await;
    let queue = queue(&node, tracked()).await;
    put(&node, &queue, &["a"]).await;
    get(&queue, 1, Lock::Timed(Duration::from_secs(3600))).await;
    node.broker.report_job("a", progress(1.0)).await.unwrap();
    node.clock.advance(Duration::from_secs(3000));
    assert!(get(&queue, 1, HELD).await.is_empty());
    assert_eq!(status(&node, "a").await.state, JobState::Processing);
}

#[tokio::test]
async fn the_time_of_processing_is_counted_however_a_delivery_ends() {
    let node = Node::start().await;
    node.broker.declare_queue(&name("after"), tracked()).await.unwrap();
    let on_done = vec!["after".to_owned()];
    let queue = queue(&node, QueueSettings { on_done, ..tracked() }).await;
    put(&node, &queue, &["accepted", "rejected", "together"]).await;
    let mut tokens = Vec::new();
    for _ in 0..3 {
        tokens.extend(get(&queue, 1, HELD).await.iter().map(|delivery| delivery.token));
    }
    node.clock.advance(Duration::from_secs(2));
    let rejected = Outcome::Rejected { dead_letter: false, reason: None };
    queue.settle(&[(tokens[0], Outcome::Accepted), (tokens[1], rejected)]).await;
    let settles = vec![(Arc::clone(&queue), vec![(tokens[2], Outcome::Accepted)])];
    let unit = Unit { settles, ..Unit::default() };
    node.broker.commit_unit(unit).await.unwrap().await;
    let times = queue.processing_times().unwrap();
    assert_eq!((times.counts.iter().sum::<u64>(), times.sum_ms), (3, 6_000));
}

#[tokio::test]
async fn deliveries_that_nobody_settles_do_not_end_the_timing_of_others() {
    let node = Node::start().await;
    let queue = queue(&node, QueueSettings::default()).await;
    let connection = ConnectionId(7);
    let locks = [Lock::Timed(Duration::from_secs(1)), Lock::Connection(connection)];
    for lock in locks {
        for _ in 0..100 {
            crate::queues::put(&node, &queue, &["a"]).await;
            assert_eq!(get(&queue, 1, lock).await.len(), 1);
        }
        node.clock.advance(Duration::from_secs(2));
        queue.release_all(connection);
        let before = queue.processing_times().unwrap();
        let again = get(&queue, 1, HELD).await;
        node.clock.advance(Duration::from_secs(3));
        queue.settle(&[(again[0].token, Outcome::Accepted)]).await;
        assert_eq!(queue.processing_times().unwrap().sum_ms - before.sum_ms, 3_000);
        queue.purge_all().await.unwrap();
    }
}
