//! WebSockets: frames whole and in pieces, and the requests in them.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tramline_http::fuzz_websocket(data));
