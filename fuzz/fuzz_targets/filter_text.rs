//! libFuzzer's way into `targets::filter_text`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| syncline_fuzz::targets::filter_text::run(data));
