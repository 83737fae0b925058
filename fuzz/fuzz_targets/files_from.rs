//! libFuzzer's way into `targets::files_from`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| syncline_fuzz::targets::files_from::run(data));
