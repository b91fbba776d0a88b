//! Frames and deadlines, without a socket.

use super::*;

fn at(secs: u64) -> Monotonic {
    Monotonic::from_origin(Duration::from_secs(secs))
}

fn established() -> Session {
    let mut session = Session::new(at(0), 1 << 20);
    session.handle_valid_request();
    session.handle_activity(at(0), Activity::default());
    session
}

#[test]
fn frames_are_split_off_one_by_one_without_their_size() {
    let session = established();
    let mut buf = BytesMut::from(&b"\0\0\0\x02ab\0\0\0\x01c\0\0\0\x05d"[..]);
    assert_eq!(session.poll_frame(&mut buf).unwrap().unwrap(), "ab");
    assert_eq!(session.poll_frame(&mut buf).unwrap().unwrap(), "c");
    assert_eq!(session.poll_frame(&mut buf).unwrap(), None);
    assert_eq!(buf, b"\0\0\0\x05d"[..]);
}

#[test]
fn sizes_are_limited_before_and_after_the_first_request() {
    let size = |bytes: i32| bytes.to_be_bytes();
    let fresh = Session::new(at(0), 1 << 20);
    assert_eq!(fresh.has_frame(&size(64 * 1024)), Ok(false));
    assert!(fresh.has_frame(&size(64 * 1024 + 1)).is_err());
    let session = established();
    assert_eq!(session.has_frame(&size(1 << 20)), Ok(false));
    let limit = 1 << 20;
    let bytes = limit + 1;
    let refused = session.has_frame(&size((1 << 20) + 1));
    assert_eq!(refused, Err(Violation::FrameTooLarge { bytes, limit }));
    assert_eq!(session.has_frame(&size(-1)), Err(Violation::FrameSize(-1)));
    assert_eq!(session.has_frame(&[0, 0]), Ok(false), "the size itself is incomplete");
}

#[test]
fn first_request_has_10_seconds_whatever_trickles_in() {
    let mut session = Session::new(at(0), 1 << 20);
    for second in 1..10 {
        session.handle_received(at(second));
        assert_eq!(session.handle_timeout(at(second)), Ok(()));
    }
    assert_eq!(session.poll_timeout(), Some(at(10)));
    assert_eq!(session.handle_timeout(at(10)), Err(Violation::FirstRequestLate));
}

#[test]
fn each_frame_has_its_own_30_seconds() {
    let mut session = established();
    let part = Activity { mid_frame: true, ..Activity::default() };
    session.handle_activity(at(0), part);
    session.handle_frame();
    session.handle_activity(at(20), part);
    assert_eq!(session.handle_timeout(at(49)), Ok(()));
    assert_eq!(session.handle_timeout(at(50)), Err(Violation::RequestLate));
}

#[test]
fn a_request_that_waited_for_room_itself_has_not_stalled() {
    let mut session = established();
    let mid_frame = Activity { mid_frame: true, holds_room: true, ..Activity::default() };
    session.handle_received(at(20));
    session.handle_activity(at(20), mid_frame);
    // No byte is read while it waits for room.
    session.handle_activity(at(21), Activity::default());
    let wanted = Activity { room_wanted: true, ..mid_frame };
    session.handle_activity(at(28), wanted);
    assert_eq!(session.handle_timeout(at(32)), Ok(()));
    assert_eq!(session.handle_timeout(at(33)), Err(Violation::RequestStalled));
}

#[test]
fn a_request_that_others_wait_for_is_not_kept_from_its_turn_for_ever() {
    let mut session = established();
    let blocked = Activity { unsent: true, blocked: true, ..Activity::default() };
    session.handle_activity(at(10), blocked);
    // A byte now and then is no way to keep the room.
    for second in 11..40 {
        session.handle_taken(at(second));
        session.handle_activity(at(second), blocked);
        assert_eq!(session.handle_timeout(at(second)), Ok(()));
    }
    assert_eq!(session.handle_timeout(at(40)), Err(Violation::RequestBlocked));
    session.handle_frame();
    session.handle_activity(at(40), blocked);
    assert_eq!(session.handle_timeout(at(69)), Ok(()), "the next one has its own time");
}

#[test]
fn answers_must_be_taken_bit_by_bit_at_least() {
    let mut session = established();
    let unsent = Activity { unsent: true, ..Activity::default() };
    session.handle_activity(at(0), unsent);
    session.handle_taken(at(59));
    session.handle_activity(at(59), unsent);
    assert_eq!(session.handle_timeout(at(118)), Ok(()));
    assert_eq!(session.handle_timeout(at(119)), Err(Violation::AnswerNotTaken));
}

#[test]
fn connection_is_not_idle_while_a_request_is_worked_on() {
    let mut session = established();
    let working = Activity { working: true, ..Activity::default() };
    session.handle_activity(at(0), working);
    assert_eq!(session.poll_timeout(), None);
    session.handle_activity(at(1000), Activity::default());
    assert_eq!(session.handle_timeout(at(1599)), Ok(()));
    assert_eq!(session.handle_timeout(at(1600)), Err(Violation::Idle));
}

#[test]
fn draining_ends_by_itself() {
    let mut session = established();
    session.handle_drain(at(7));
    session.handle_drain(at(9));
    assert_eq!(session.handle_timeout(at(12)), Err(Violation::NotDrained));
}
