#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| profile::transport::testkit::headers(data));
