use super::*;
use crate::jobs::tracker::{Applied, Arrived, Step, Tracker};
use tramline_queue::Change;

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(1_000_000 + seconds * 1000)
}

pub(crate) fn home(id: u64, name: &str) -> Arc<Home> {
    Arc::new(Home { id, name: name.to_owned(), transient: false, result_ttl_ms: 60_000 })
}

pub(crate) const fn place(offset: u64) -> Place {
    Place { lane: 0, offset }
}

pub(crate) fn arrived(id: &str, offset: u64) -> Arrived {
    let (id, place, at) = (Arc::from(id), place(offset), at(0));
    Arrived { id, place, at, until: None, bytes: 10, related: None }
}

pub(crate) fn arrive(tracker: &mut Tracker, home: &Arc<Home>, id: &str, offset: u64) -> Applied {
    let arrived = &mut vec![arrived(id, offset)];
    tracker.apply(Step { home, arrived, changes: &[], now: at(0), ticket: 1 })
}

pub(crate) fn change(
    tracker: &mut Tracker,
    home: &Arc<Home>,
    seconds: i64,
    changes: &[Change],
) -> Applied {
    let arrived = &mut Vec::new();
    tracker.apply(Step { home, arrived, changes, now: at(seconds), ticket: 2 })
}

pub(crate) const fn delivered(offset: u64, deliveries: u32) -> Change {
    let connection = Some(ConnectionId(7));
    Change::Delivered { place: place(offset), deliveries, connection, settled: false }
}

#[test]
fn a_job_goes_through_its_attempts_to_its_end() {
    let (mut tracker, queue) = (Tracker::new(), home(1, "q"));
    arrive(&mut tracker, &queue, "a", 5);
    assert_eq!(tracker.get("a").unwrap().state, JobState::Queued);
    change(&mut tracker, &queue, 1, &[delivered(5, 1)]);
    assert_eq!(tracker.get("a").unwrap().state, JobState::Processing);
    change(&mut tracker, &queue, 2, &[Change::Released { place: place(5), until: None }]);
    assert_eq!(tracker.get("a").unwrap().state, JobState::Queued);
    change(&mut tracker, &queue, 3, &[delivered(5, 2)]);
    let until = Some(at(9));
    change(&mut tracker, &queue, 4, &[Change::Released { place: place(5), until }]);
    let job = tracker.get("a").unwrap();
    assert_eq!((job.state, job.until, job.attempt()), (JobState::Failed, until, 2));
    change(&mut tracker, &queue, 9, &[Change::Due(place(5)), delivered(5, 3)]);
    let done = change(&mut tracker, &queue, 10, &[Change::Done { lane: 0, from: 4, to: 9 }]);
    assert!(!done.deltas.is_empty(), "the end is logged");
    let job = tracker.get("a").unwrap();
    assert_eq!((job.state, job.attempt(), job.finished_at), (JobState::Done, 3, Some(at(10))));
    let times: Vec<_> = job.history.iter().map(|it| (it.number, it.started, it.ended)).collect();
    let expected = [(1, at(1), Some(at(2))), (2, at(3), Some(at(4))), (3, at(9), Some(at(10)))];
    assert_eq!(times, expected);
    let late = change(&mut tracker, &queue, 11, &[Change::Removed(place(5))]);
    assert!(late.deltas.is_empty());
    assert_eq!(tracker.get("a").unwrap().state, JobState::Done, "an end is an end");
}

#[test]
fn a_message_settled_by_its_delivery_is_done_at_once() {
    let (mut tracker, queue) = (Tracker::new(), home(1, "q"));
    arrive(&mut tracker, &queue, "a", 0);
    let (connection, settled) = (None, true);
    let change_ = Change::Delivered { place: place(0), deliveries: 1, connection, settled };
    change(&mut tracker, &queue, 1, &[change_]);
    assert_eq!(tracker.get("a").unwrap().state, JobState::Done);
}

#[test]
fn every_death_has_its_end() {
    let cases = [
        (DeadReason::Expired, false, JobState::Expired),
        (DeadReason::Expired, true, JobState::DeadLettered),
        (DeadReason::Rejected, true, JobState::DeadLettered),
        (DeadReason::Rejected, false, JobState::DeadLettered),
        (DeadReason::MaxLength, false, JobState::DeadLettered),
        (DeadReason::DeliveryLimit, true, JobState::DeadLettered),
    ];
    for (reason, moves, state) in cases {
        let (mut tracker, queue) = (Tracker::new(), home(1, "q"));
        arrive(&mut tracker, &queue, "a", 0);
        change(&mut tracker, &queue, 1, &[Change::Dead { place: place(0), reason, moves }]);
        let job = tracker.get("a").unwrap();
        assert_eq!((job.state, job.reason), (state, Some(reason)), "{reason:?} {moves}");
    }
}

#[test]
fn a_message_published_again_under_its_id_goes_on_as_the_same_job() {
    // As Celery retries: the next message first, then the end of the one before it.
    let (mut tracker, queue) = (Tracker::new(), home(1, "q"));
    arrive(&mut tracker, &queue, "a", 0);
    change(&mut tracker, &queue, 1, &[delivered(0, 1)]);
    arrive(&mut tracker, &queue, "a", 1);
    change(&mut tracker, &queue, 2, &[Change::Done { lane: 0, from: 0, to: 1 }]);
    let job = tracker.get("a").unwrap();
    assert_eq!((job.state, job.attempt()), (JobState::Queued, 1));
    change(&mut tracker, &queue, 3, &[delivered(1, 1)]);
    assert_eq!(tracker.get("a").unwrap().attempt(), 2);
    change(&mut tracker, &queue, 4, &[Change::Done { lane: 0, from: 1, to: 2 }]);
    assert_eq!(tracker.get("a").unwrap().state, JobState::Done);
    arrive(&mut tracker, &queue, "a", 2);
    let job = tracker.get("a").unwrap();
    assert_eq!((job.state, job.attempt(), job.finished_at), (JobState::Queued, 0, None));
}

#[test]
fn a_flagged_job_is_not_tried_again() {
    let (mut tracker, queue) = (Tracker::new(), home(1, "q"));
    arrive(&mut tracker, &queue, "a", 0);
    change(&mut tracker, &queue, 1, &[delivered(0, 1)]);
    tracker.report("a", 3, |job| job.cancel_requested = true).unwrap();
    let applied =
        change(&mut tracker, &queue, 2, &[Change::Released { place: place(0), until: None }]);
    assert_eq!(applied.removals, [(place(0), 10)]);
    assert_eq!(tracker.get("a").unwrap().state, JobState::Cancelled);
}
