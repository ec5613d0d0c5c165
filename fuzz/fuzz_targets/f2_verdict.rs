#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| chatapi_fuzz::hold("f2_verdict", data));
