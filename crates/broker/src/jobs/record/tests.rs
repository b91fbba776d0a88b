use super::*;
use crate::jobs::{
    job::tests::{arrive, change, delivered, home, place},
    report::Progress,
    tracker::Tracker,
};
use tramline_queue::Change;
use tramline_types::LogId;

fn read_back(delta: &[u8]) -> HashMap<Arc<str>, Job> {
    let mut found = Found::default();
    assert!(found.read(&[delta]));
    found.jobs
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
        job.details_mut().error = Some("once".into());
    });
    let said = said.unwrap().deltas.concat();
    let jobs = read_back(&said);
    assert_eq!(jobs["ä"].state, JobState::Processing);
    assert_eq!(jobs["ä"].details().progress.as_ref().unwrap().percent, Some(12.5));
    assert_eq!(jobs["ä"].details().error.as_deref(), Some("once"));
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
    assert_eq!(job.details().result.as_deref(), Some(b"{\"a\":1}".as_slice()));
    assert_eq!(job.details().error.as_deref(), Some("once"));
    let mut again = Vec::new();
    put(&mut again, whole);
    assert_eq!(read_back(&again)["ä"].details().result, job.details().result);
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
    assert_eq!(read_back(&log)["a"].details().result.as_deref(), Some(&b"1"[..]));
    let done = Change::Done { lane: 0, from: 0, to: 2 };
    log.extend(change(&mut tracker, &queue, 2, &[done]).deltas.concat());
    let job = &read_back(&log)["a"];
    assert_eq!((job.state, job.details().result.as_deref()), (JobState::Done, Some(&b"1"[..])));
    // Begun anew.
    log.extend(arrive(&mut tracker, &queue, "a", 2).deltas.concat());
    let job = &read_back(&log)["a"];
    assert_eq!((job.state, job.details().result.as_deref()), (JobState::Queued, None));
}

#[test]
fn damage_gives_fewer_jobs_and_no_panic() {
    let (mut tracker, queue) = (Tracker::new(), home(9, "q"));
    let mut delta = arrive(&mut tracker, &queue, "a", 0).deltas.concat();
    change(&mut tracker, &queue, 1, &[delivered(0, 1)]);
    delta.extend(change(&mut tracker, &queue, 2, &[Change::Removed(place(0))]).deltas.concat());
    for end in 0..delta.len() {
        let mut found = Found::default();
        found.read(&[&delta[..end]]);
        assert!(found.jobs.len() <= 1);
    }
    for at in 0..delta.len() {
        for flip in [1, 0x80, 0xff] {
            let mut damaged = delta.clone();
            damaged[at] ^= flip;
            let mut found = Found::default();
            found.read(&[&damaged]);
            for job in found.jobs.values() {
                assert_eq!(job.state.is_final(), job.finished_at.is_some());
            }
        }
    }
}

#[test]
fn usual_ends_one_behind_the_other_are_one_record_and_read_back() {
    let (mut tracker, queue) = (Tracker::new(), home(9, "some queue"));
    tracker.log = Some(LogId(1));
    let mut log = Vec::new();
    for offset in 0..100 {
        log.extend(arrive(&mut tracker, &queue, &format!("job {offset}"), offset).deltas.concat());
    }
    let all: Vec<_> = (0..100).map(|offset| delivered(offset, 1)).collect();
    change(&mut tracker, &queue, 1, &all);
    // One is worked on twice, of one there is a result, and one begins anew.
    let back = Change::Released { place: place(20), until: None };
    change(&mut tracker, &queue, 2, &[back, delivered(20, 2)]);
    let said = tracker.report("job 40", 3, |job| job.handle_result(Bytes::from_static(b"7")));
    log.extend(said.unwrap().deltas.concat());
    log.extend(arrive(&mut tracker, &queue, "job 60", 1000).deltas.concat());
    let ends: Vec<_> =
        [(0, 50), (50, 99)].map(|(from, to)| Change::Done { lane: 0, from, to }).into();
    let ended = change(&mut tracker, &queue, 4, &ends).deltas.concat();
    assert!(ended.len() < 300, "{}", ended.len());
    log.extend(ended);

    let jobs = read_back(&log);
    assert_eq!(jobs.len(), 100);
    for (id, job) in &jobs {
        let known = tracker.get(id).unwrap();
        let state = if job.state.is_final() { known.state } else { JobState::Queued };
        assert_eq!((job.state, job.finished_at), (state, known.finished_at), "{id}");
        assert_eq!(job.details().result, known.details().result, "{id}");
        if job.state.is_final() {
            assert_eq!((&job.history, &job.home), (&known.history, &known.home), "{id}");
            assert_eq!(job.attempts, known.attempts, "{id}");
        }
    }
    let is_over = |id: &str| jobs[id].state == JobState::Done;
    assert!(is_over("job 0") && is_over("job 20") && is_over("job 40") && is_over("job 98"));
    assert!(!is_over("job 60") && !is_over("job 99"));
}

#[test]
fn an_end_says_all_where_it_is_not_logged_that_there_is_such_a_job() {
    let (mut tracker, queue) = (Tracker::new(), home(9, "q"));
    arrive(&mut tracker, &queue, "a", 0);
    // Its log was made after it had come.
    tracker.log = Some(LogId(1));
    let done = [delivered(0, 1), Change::Done { lane: 0, from: 0, to: 1 }];
    let end = change(&mut tracker, &queue, 1, &done).deltas.concat();
    assert_eq!(read_back(&end)["a"].state, JobState::Done);
}

#[test]
fn damaged_ends_ask_for_no_more_than_there_can_be() {
    let mut delta = vec![4, 9, 1, b'q', 0, 0, 0];
    put_varint(&mut delta, u64::MAX);
    delta.extend([1, 1, 0]);
    assert!(!Found::default().read(&[delta]));
}
