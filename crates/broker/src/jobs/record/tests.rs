use super::*;
use crate::jobs::{
    job::tests::{arrive, change, delivered, home, place},
    report::Progress,
    tracker::Tracker,
};
use tramline_queue::Change;

fn read_back(delta: &[u8]) -> HashMap<Arc<str>, Job> {
    let mut jobs = HashMap::new();
    assert!(read(&[delta], &mut jobs));
    jobs
}

#[test]
fn all_of_a_job_reads_back() {
    let (mut tracker, queue) = (Tracker::new(), home(9, "some queue"));
    let first = arrive(&mut tracker, &queue, "ä", 300).deltas.concat();
    let jobs = read_back(&first);
    assert_eq!((jobs["ä"].place, jobs["ä"].home.id), (place(300), 9));
    assert_eq!(jobs["ä"].bytes, 10);
    change(&mut tracker, &queue, 1, &[delivered(300, 2)]);
    let said = tracker.report("ä", 3, |job| {
        job.handle_progress(Progress {
            percent: Some(12.5),
            worker: Some("me".to_owned()),
            ..Progress::default()
        });
        job.handle_result(Bytes::from_static(b"{\"a\":1}"));
        job.error = Some("once".into());
    });
    let said = said.unwrap().deltas.concat();
    let jobs = read_back(&said);
    assert_eq!(jobs["ä"].state, JobState::Processing);
    assert_eq!(jobs["ä"].progress.as_ref().unwrap().percent, Some(12.5));
    assert_eq!(jobs["ä"].error.as_deref(), Some("once"));
    let reason = DeadReason::DeliveryLimit;
    let dead = Change::Dead { place: place(300), reason, moves: true };
    let end = change(&mut tracker, &queue, 2, &[dead]).deltas.concat();
    assert!(end.len() < 100, "what was said is not logged again: {}", end.len());
    let (jobs, whole) = (read_back(&[said, end].concat()), tracker.get("ä").unwrap());
    let job = &jobs["ä"];
    assert_eq!(job.home, whole.home);
    assert_eq!(job.history, whole.history);
    assert_eq!((job.state, job.reason), (JobState::DeadLettered, Some(reason)));
    assert_eq!((job.finished_at, job.attempts), (whole.finished_at, 2));
    assert_eq!(job.result.as_deref(), Some(b"{\"a\":1}".as_slice()));
    assert_eq!(job.error.as_deref(), Some("once"));
    let mut again = Vec::new();
    put(&mut again, whole);
    assert_eq!(read_back(&again)["ä"].result, job.result);
}

#[test]
fn what_was_said_stays_while_a_job_goes_on_and_no_longer() {
    let (mut tracker, queue) = (Tracker::new(), home(9, "q"));
    let mut log = arrive(&mut tracker, &queue, "a", 0).deltas.concat();
    change(&mut tracker, &queue, 1, &[delivered(0, 1)]);
    let said = tracker.report("a", 3, |job| job.handle_result(Bytes::from_static(b"1")));
    log.extend(said.unwrap().deltas.concat());
    // Tried again by another message.
    log.extend(arrive(&mut tracker, &queue, "a", 1).deltas.concat());
    assert_eq!(read_back(&log)["a"].result.as_deref(), Some(&b"1"[..]));
    let done = Change::Done { lane: 0, from: 0, to: 2 };
    log.extend(change(&mut tracker, &queue, 2, &[done]).deltas.concat());
    let job = &read_back(&log)["a"];
    assert_eq!((job.state, job.result.as_deref()), (JobState::Done, Some(&b"1"[..])));
    // Begun anew.
    log.extend(arrive(&mut tracker, &queue, "a", 2).deltas.concat());
    let job = &read_back(&log)["a"];
    assert_eq!((job.state, job.result.as_deref()), (JobState::Queued, None));
}

#[test]
fn damage_gives_fewer_jobs_and_no_panic() {
    let (mut tracker, queue) = (Tracker::new(), home(9, "q"));
    let mut delta = arrive(&mut tracker, &queue, "a", 0).deltas.concat();
    change(&mut tracker, &queue, 1, &[delivered(0, 1)]);
    delta.extend(change(&mut tracker, &queue, 2, &[Change::Removed(place(0))]).deltas.concat());
    for end in 0..delta.len() {
        let mut jobs = HashMap::new();
        read(&[&delta[..end]], &mut jobs);
        assert!(jobs.len() <= 1);
    }
    for at in 0..delta.len() {
        for flip in [1, 0x80, 0xff] {
            let mut damaged = delta.clone();
            damaged[at] ^= flip;
            let mut jobs = HashMap::new();
            read(&[&damaged], &mut jobs);
            for job in jobs.values() {
                assert_eq!(job.state.is_final(), job.finished_at.is_some());
            }
        }
    }
}
