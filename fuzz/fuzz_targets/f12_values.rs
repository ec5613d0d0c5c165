#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| chatapi_fuzz::hold("f12_values", data));
