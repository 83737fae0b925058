//! libFuzzer's way into `targets::names_file`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| syncline_fuzz::targets::names_file::run(data));
