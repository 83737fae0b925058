//! libFuzzer's way into `targets::arguments`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| syncline_fuzz::targets::arguments::run(data));
