use super::*;

const OFFERED: Agreement =
    Agreement { channels_max: 2047, frame_bytes_max: 131_072, heartbeat: Duration::from_secs(60) };

fn at(seconds: u64) -> Monotonic {
    Monotonic::from_origin(Duration::from_secs(seconds))
}

fn open() -> Session {
    let mut session = Session::new(at(0), OFFERED);
    for phase in [Phase::Login, Phase::Tuning, Phase::Opening, Phase::Open] {
        session.enter(phase, at(0));
    }
    session
}

#[test]
fn a_connection_that_does_not_open_has_ten_seconds_and_small_frames() {
    let mut session = Session::new(at(0), OFFERED);
    session.enter(Phase::Login, at(1));
    assert_eq!(session.frame_max(), FIRST_REQUEST_BYTES_MAX);
    assert_eq!(session.handle_timeout(at(9)), Ok(Due::Nothing));
    assert_eq!(session.poll_timeout(), Some(at(10)));
    assert_eq!(session.handle_timeout(at(10)), Err(Violation::OpenLate));
}

#[test]
fn what_the_client_tunes_is_bounded_by_what_was_offered() {
    let mut session = Session::new(at(0), OFFERED);
    assert!(session.handle_tune(0, 4095, 0).unwrap_err().contains("lower than the minimum"));
    assert!(session.handle_tune(0, 131_073, 0).unwrap_err().contains("frame_max = 131073"));
    assert!(session.handle_tune(2048, 0, 0).unwrap_err().contains("channel_max = 2048"));
    assert_eq!(session.handle_tune(0, 0, 0), Ok(()));
    assert_eq!(session.agreed(), Agreement { heartbeat: Duration::ZERO, ..OFFERED });
    assert_eq!(session.handle_tune(10, 4096, 5), Ok(()));
    let agreed =
        Agreement { channels_max: 10, frame_bytes_max: 4096, heartbeat: Duration::from_secs(5) };
    assert_eq!(session.agreed(), agreed);
}

#[test]
fn heartbeats_go_out_in_every_half_interval_without_other_bytes() {
    let mut session = open();
    assert_eq!(session.poll_timeout(), Some(at(30)));
    assert_eq!(session.handle_timeout(at(30)), Ok(Due::Heartbeat));
    session.handle_received(at(31));
    session.handle_sent(at(31), false);
    assert_eq!(session.poll_timeout(), Some(at(61)));
    session.handle_unsent(at(40));
    assert_eq!(session.poll_timeout(), Some(at(100)), "none behind bytes that wait");
    assert_eq!(session.handle_timeout(at(100)), Err(Violation::NotTaken));
}

#[test]
fn a_client_that_is_silent_for_two_intervals_is_gone() {
    let mut session = open();
    session.handle_received(at(100));
    session.handle_sent(at(200), false);
    assert_eq!(session.handle_timeout(at(219)), Ok(Due::Nothing));
    assert_eq!(session.handle_timeout(at(220)), Err(Violation::HeartbeatMissed));
}

#[test]
fn without_heartbeats_silence_is_fine() {
    let mut session = Session::new(at(0), OFFERED);
    session.handle_tune(0, 0, 0).unwrap();
    session.enter(Phase::Open, at(0));
    assert_eq!(session.poll_timeout(), None);
}

#[test]
fn a_close_is_to_be_answered_in_time() {
    let mut session = open();
    session.enter(Phase::Closing, at(5));
    session.handle_received(at(6));
    let deadline = at(5).plus(AMQP_CLOSE_MAX);
    assert_eq!(session.handle_timeout(deadline), Err(Violation::CloseNotAnswered));
}

#[test]
fn a_client_is_not_silent_while_nothing_is_read_from_it() {
    let mut session = open();
    session.handle_sent(at(119), false);
    session.handle_unread(at(119));
    assert_eq!(session.handle_timeout(at(140)), Ok(Due::Nothing));
    assert_eq!(session.handle_timeout(at(239)), Err(Violation::HeartbeatMissed));
}

#[test]
fn who_keeps_others_waiting_for_room_gets_little_time() {
    let mut session = open();
    session.handle_received(at(10));
    session.handle_room(at(10), true, false);
    assert_eq!(session.poll_timeout(), Some(at(10).plus(REQUEST_STALL_MAX)));
    session.handle_room(at(12), true, true);
    session.handle_received(at(14));
    let deadline = at(14).plus(REQUEST_STALL_MAX);
    assert_eq!(session.handle_timeout(deadline), Err(Violation::Stalled));
    session.handle_room(deadline, false, false);
    assert_eq!(session.handle_timeout(deadline), Ok(Due::Nothing));
}

#[test]
fn who_finds_no_room_is_told_to_come_again() {
    let mut session = open();
    session.handle_waiting(at(5), true);
    session.handle_waiting(at(9), true);
    session.handle_sent(at(20), false);
    assert_eq!(session.handle_timeout(at(34)), Ok(Due::Nothing));
    assert_eq!(session.handle_timeout(at(35)), Err(Violation::NoRoom));
    session.handle_waiting(at(35), false);
    assert_eq!(session.handle_timeout(at(35)), Ok(Due::Nothing));
}
