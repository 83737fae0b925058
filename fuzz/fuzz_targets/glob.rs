//! libFuzzer's way into `targets::glob`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| syncline_fuzz::targets::glob::run(data));
