#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| chatapi_fuzz::hold("f13_plan", data));
