//! libFuzzer's way into `targets::flist`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| syncline_fuzz::targets::flist::run(data));
