//! libFuzzer's way into `targets::greeting`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| syncline_fuzz::targets::greeting::run(data));
