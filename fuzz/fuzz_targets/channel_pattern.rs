//! Realtime channels: a pattern and a name, by the trie and by the rule.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tramline_http::fuzz_pattern(data));
