//! libFuzzer's way into `targets::id_lists`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| syncline_fuzz::targets::id_lists::run(data));
