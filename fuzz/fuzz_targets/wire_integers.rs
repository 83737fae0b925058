//! libFuzzer's way into `targets::wire_integers`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| syncline_fuzz::targets::wire_integers::run(data));
