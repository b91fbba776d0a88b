//! AMQP 0-9-1: a connection's bytes: frames, methods, content headers.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tramline_wire_amqp091::fuzz_frames(data));
