//! Amazon SQS: a request of AWS JSON, of any action; a message is stored and read back.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tramline_sqs::fuzz_json(data));
