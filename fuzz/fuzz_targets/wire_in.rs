//! libFuzzer's way into `targets::wire_in`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| syncline_fuzz::targets::wire_in::run(data));
