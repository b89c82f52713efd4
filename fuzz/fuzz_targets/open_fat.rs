#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| tintype_fuzz::file_system(&["fat12", "fat16", "fat32"], data));
