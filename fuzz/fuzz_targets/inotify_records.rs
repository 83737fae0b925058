//! libFuzzer's way into `targets::inotify_records`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| syncline_fuzz::targets::inotify_records::run(data));
