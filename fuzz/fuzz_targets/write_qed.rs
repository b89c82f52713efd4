#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| tintype_fuzz::round_trip(&tintype_formats::qed::FORMAT, data));
