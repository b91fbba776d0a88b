//! AMQP 0-9-1: property flags and values.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tramline_wire_amqp091::fuzz_properties(data));
