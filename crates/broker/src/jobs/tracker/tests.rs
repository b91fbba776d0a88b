use super::*;
use crate::jobs::job::tests::{arrive, arrived, at, change, delivered, home, place};

#[test]
fn final_states_are_kept_for_their_time() {
    let (mut tracker, queue) = (Tracker::new(), home(1, "q"));
    arrive(&mut tracker, &queue, "a", 0);
    arrive(&mut tracker, &queue, "b", 1);
    change(&mut tracker, &queue, 5, &[Change::Removed(place(0))]);
    tracker.expire(at(64));
    assert!(tracker.get("a").is_some());
    tracker.expire(at(65));
    assert!(tracker.get("a").is_none(), "after 60 seconds");
    assert!(tracker.get("b").is_some(), "what is not over is kept");
    assert_eq!((tracker.by_place.len(), tracker.finals.len()), (1, 0));
}

#[test]
fn the_oldest_ends_make_room_and_nothing_else_does() {
    let (mut tracker, queue) = (Tracker::bounded(3, usize::MAX), home(1, "q"));
    for (offset, id) in ["a", "b", "c"].into_iter().enumerate() {
        arrive(&mut tracker, &queue, id, offset as u64);
    }
    arrive(&mut tracker, &queue, "d", 3);
    assert!(tracker.get("d").is_none(), "nothing can be forgotten");
    assert_eq!(tracker.n_refused, 1);
    change(&mut tracker, &queue, 1, &[Change::Removed(place(1))]);
    change(&mut tracker, &queue, 2, &[Change::Removed(place(0))]);
    arrive(&mut tracker, &queue, "e", 4);
    assert!(tracker.get("b").is_none());
    assert!(tracker.get("a").is_some() && tracker.get("e").is_some());

    let mut tracker = Tracker::bounded(100, 2000);
    for offset in 0..100 {
        arrive(&mut tracker, &queue, &offset.to_string(), offset);
    }
    assert!(tracker.len() < 10, "bytes are bounded as well: {}", tracker.len());
}

#[test]
fn what_is_forgotten_takes_no_memory() {
    let (mut tracker, queue) = (Tracker::new(), home(1, "q"));
    for offset in 0..50 {
        arrive(&mut tracker, &queue, &format!("job {offset}"), offset);
        change(&mut tracker, &queue, 1, &[delivered(offset, 1)]);
        tracker.report(&format!("job {offset}"), 3, |job| job.handle_result("[1]".into()));
    }
    change(&mut tracker, &queue, 2, &[Change::Done { lane: 0, from: 0, to: 50 }]);
    tracker.expire(at(1000));
    assert_eq!((tracker.len(), tracker.bytes, tracker.by_id.len()), (0, 0, 0));
}

#[test]
fn one_message_in_two_queues_is_two_jobs() {
    let mut tracker = Tracker::new();
    let (one, two) = (home(1, "one"), home(2, "two"));
    arrive(&mut tracker, &one, "a", 0);
    arrive(&mut tracker, &two, "a", 0);
    change(&mut tracker, &two, 1, &[Change::Removed(place(0))]);
    assert_eq!(tracker.get("a").unwrap().state, JobState::Queued);
    assert_eq!(tracker.get("a@two").unwrap().state, JobState::Cancelled);
}

#[test]
fn lists_are_of_a_kind_and_come_in_pages() {
    let (mut tracker, one, two) = (Tracker::new(), home(1, "one"), home(2, "two"));
    for offset in 0..10 {
        let queue = if offset % 2 == 0 { &one } else { &two };
        arrive(&mut tracker, queue, &offset.to_string(), offset);
    }
    change(&mut tracker, &one, 1, &[Change::Removed(place(4))]);
    let ids = |page: &JobPage| page.jobs.iter().map(|job| job.id.to_string()).collect::<Vec<_>>();
    let of_one = JobFilter { queue: Some("one".to_owned()), ..JobFilter::default() };
    let page = tracker.list(&of_one, None, 3);
    assert_eq!(ids(&page), ["8", "6", "4"]);
    let page = tracker.list(&of_one, page.next, 3);
    assert_eq!(ids(&page), ["2", "0"]);
    assert_eq!(page.next, None);
    let cancelled = JobFilter { state: Some(JobState::Cancelled), ..JobFilter::default() };
    assert_eq!(ids(&tracker.list(&cancelled, None, 9)), ["4"]);
}

#[test]
fn watchers_see_every_change_in_order() {
    let (mut tracker, queue) = (Tracker::new(), home(1, "q"));
    arrive(&mut tracker, &queue, "a", 0);
    let mut events = tracker.watch("a").unwrap();
    let mut told = change(&mut tracker, &queue, 1, &[delivered(0, 1)]).told;
    let released = Change::Released { place: place(0), until: None };
    told.extend(change(&mut tracker, &queue, 2, &[released, delivered(0, 2)]).told);
    told.extend(change(&mut tracker, &queue, 3, &[Change::Done { lane: 0, from: 0, to: 1 }]).told);
    told.extend(arrive(&mut tracker, &queue, "a", 1).told);
    for telling in told {
        telling.to.send(telling.status).unwrap();
    }
    let seen: Vec<_> = std::iter::from_fn(|| events.try_recv().ok())
        .map(|status| (status.state, status.attempts))
        .collect();
    let expected = [
        (JobState::Processing, 1),
        (JobState::Queued, 1),
        (JobState::Processing, 2),
        (JobState::Done, 2),
        (JobState::Queued, 0),
    ];
    assert_eq!(seen, expected, "also of the run after the end");
}

#[test]
fn who_waits_for_what_never_comes_takes_no_memory_when_it_ends() {
    let (mut tracker, queue) = (Tracker::new(), home(1, "q"));
    for offset in 0..3 {
        let after = vec![Arc::from("never"), Arc::from(format!("never {offset}"))];
        let related = Some(Box::new((None, after)));
        let arrived = &mut vec![Arrived { related, ..arrived(&offset.to_string(), offset) }];
        tracker.apply(Step { home: &queue, arrived, changes: &[], now: at(0), ticket: 1 });
    }
    assert_eq!(tracker.waiting.len(), 4);
    for offset in 0..3 {
        change(&mut tracker, &queue, 1, &[Change::Removed(place(offset))]);
    }
    assert!(tracker.waiting.is_empty(), "{:?}", tracker.waiting);
}

#[test]
fn what_is_said_takes_no_more_than_there_is_room_for() {
    let (mut tracker, queue) = (Tracker::bounded(100, 5_000), home(1, "q"));
    for offset in 0..4 {
        arrive(&mut tracker, &queue, &offset.to_string(), offset);
    }
    change(&mut tracker, &queue, 1, &[Change::Removed(place(0))]);
    tracker.report("1", 2, |job| job.handle_result(Bytes::from(vec![b'1'; 5_000]))).unwrap();
    assert!(!tracker.make_room(0), "what is not over is not forgotten");
    assert!(tracker.get("0").is_none() && tracker.get("1").is_some());
}

#[test]
fn jobs_are_counted_by_state() {
    let (mut tracker, queue) = (Tracker::new(), home(1, "q"));
    for offset in 0..6 {
        arrive(&mut tracker, &queue, &offset.to_string(), offset);
    }
    change(&mut tracker, &queue, 1, &[delivered(0, 1), delivered(1, 1)]);
    change(&mut tracker, &queue, 2, &[Change::Done { lane: 0, from: 0, to: 1 }]);
    arrive(&mut tracker, &queue, "5", 6);
    let counts = |tracker: &Tracker| {
        let counted = |state| {
            let filter = JobFilter { state: Some(state), ..JobFilter::default() };
            tracker.list(&filter, None, 100).jobs.len() as u64
        };
        let counts = tracker.counts();
        JobState::ALL.into_iter().for_each(|state| assert_eq!(counts[&state], counted(state)));
        (counts[&JobState::Queued], counts[&JobState::Processing], counts[&JobState::Done])
    };
    assert_eq!(counts(&tracker), (4, 1, 1));
    tracker.expire(at(1000));
    assert_eq!(counts(&tracker), (4, 1, 0));
}

#[test]
fn many_ends_at_once_are_logged_in_pieces() {
    let (mut tracker, queue) = (Tracker::new(), home(1, "q"));
    for offset in 0..2_000 {
        arrive(&mut tracker, &queue, &offset.to_string(), offset);
    }
    let removed: Vec<_> = (0..1_000).map(|offset| Change::Removed(place(offset))).collect();
    let purged = change(&mut tracker, &queue, 1, &removed);
    let mut numbers = tracker.alive_in(&queue).into_iter().peekable();
    let mut pieces = purged.deltas;
    while numbers.peek().is_some() {
        pieces.extend(tracker.queue_gone(&mut numbers, (at(2), 3)).deltas);
    }
    assert!(pieces.len() >= 4, "{}", pieces.len());
    assert!(pieces.iter().all(|piece| piece.len() < 2 * PIECE_BYTES));
    assert_eq!(tracker.counts()[&JobState::Cancelled], 2_000);
}

#[test]
fn who_begins_anew_again_and_again_takes_no_more_memory() {
    let (mut tracker, queue) = (Tracker::new(), home(1, "q"));
    for offset in 0..10_000 {
        arrive(&mut tracker, &queue, "a", offset);
        change(&mut tracker, &queue, 1, &[Change::Removed(place(offset))]);
    }
    assert_eq!(tracker.len(), 1);
    assert!(tracker.finals.len() <= FINALS_LEFT + 3, "{}", tracker.finals.len());
    tracker.expire(at(60));
    assert!(tracker.get("a").is_some(), "the last end counts");
    tracker.expire(at(61));
    assert_eq!((tracker.len(), tracker.finals.len()), (0, 0));
}

#[test]
fn jobs_are_found_while_others_come_and_go() {
    let (mut tracker, queue) = (Tracker::new(), home(1, "q"));
    for offset in 0..2_000 {
        arrive(&mut tracker, &queue, &format!("job {offset}"), offset);
    }
    let gone: Vec<_> =
        (0..2_000).filter(|n| n % 7 != 3).map(|n| Change::Removed(place(n))).collect();
    change(&mut tracker, &queue, 1, &gone);
    tracker.expire(at(1000));
    for offset in 2_000..2_500 {
        arrive(&mut tracker, &queue, &format!("job {offset}"), offset);
    }
    for offset in 0..2_500 {
        let is_there = offset >= 2_000 || offset % 7 == 3;
        let found = tracker.get(&format!("job {offset}")).map(|job| job.place.offset);
        assert_eq!(found, is_there.then_some(offset));
    }
    let mut before = None;
    let mut listed = Vec::new();
    loop {
        let page = tracker.list(&JobFilter::default(), before, 100);
        listed.extend(page.jobs.iter().map(|job| job.place.offset));
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    let mut expected: Vec<u64> = (0..2_500).filter(|n| *n >= 2_000 || n % 7 == 3).collect();
    expected.reverse();
    assert_eq!(listed, expected, "the newest first");
    let (mut from, mut seen) = (Some(0), 0);
    while let Some(at) = from {
        let (piece, later, next) = tracker.relog(at, 1024, |_| false);
        assert!(later.is_empty() && piece.len() <= 1024);
        let mut found = record::Found::default();
        assert!(found.read(&[piece]));
        seen += found.jobs.len();
        from = next;
    }
    assert_eq!(seen, tracker.len());
}
