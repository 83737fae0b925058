//! libFuzzer's way into `targets::stats`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| syncline_fuzz::targets::stats::run(data));
