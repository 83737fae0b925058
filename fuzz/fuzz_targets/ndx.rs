//! libFuzzer's way into `targets::ndx`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| syncline_fuzz::targets::ndx::run(data));
