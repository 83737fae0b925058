//! libFuzzer's way into `targets::replies`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| syncline_fuzz::targets::replies::run(data));
