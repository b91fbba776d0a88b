//! The one entry of the fuzz target `kafka_frames` and of the replay of its corpus.

use crate::session::{Activity, Session};
use bytes::{BufMut, Bytes, BytesMut};
use std::time::Duration;
use tramline_types::{Monotonic, limits::REQUEST_BYTES_MAX};

/// Takes hostile bytes through a connection's framing and each frame through the request
/// decoders. The first byte says in how large pieces the rest arrives.
///
/// # Panics
/// When reading panics, or when the frames are not the bytes that came.
pub fn fuzz_frames(data: &[u8]) {
    let Some((&piece_bytes, received)) = data.split_first() else { return };
    let mut session = Session::new(Monotonic::default(), REQUEST_BYTES_MAX);
    let mut buf = BytesMut::new();
    let mut frames = BytesMut::new();
    for (index, piece) in (0_u64..).zip(received.chunks(usize::from(piece_bytes).max(1))) {
        let now = Monotonic::from_origin(Duration::from_micros(index));
        buf.put_slice(piece);
        session.handle_received(now);
        let Ok(frames_read) = take_frames(&mut session, &mut buf) else { return };
        for frame in frames_read {
            tramline_wire::fuzz_request(&frame);
            frames.put_i32(i32::try_from(frame.len()).expect("its size was an i32"));
            frames.put_slice(&frame);
        }
        let mid_frame = !buf.is_empty();
        session.handle_activity(now, Activity { mid_frame, ..Activity::default() });
        assert_eq!(session.handle_timeout(now), Ok(()), "nothing is late yet");
        assert!(session.poll_timeout().is_some_and(|at| at > now), "a peer may not wait for ever");
    }
    frames.unsplit(buf);
    assert_eq!(frames, received);
}

fn take_frames(session: &mut Session, buf: &mut BytesMut) -> Result<Vec<Bytes>, ()> {
    let mut frames = Vec::new();
    loop {
        let whole = session.has_frame(buf);
        match session.poll_frame(buf) {
            Err(violation) => {
                assert_eq!(whole, Err(violation));
                return Err(());
            }
            Ok(None) => {
                assert_eq!(whole, Ok(false));
                return Ok(frames);
            }
            Ok(Some(frame)) => {
                assert_eq!(whole, Ok(true));
                session.handle_frame();
                session.handle_valid_request();
                frames.push(frame);
            }
        }
    }
}

#[cfg(test)]
mod tests;
