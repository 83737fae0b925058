//! libFuzzer's way into `targets::peer_text`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| syncline_fuzz::targets::peer_text::run(data));
