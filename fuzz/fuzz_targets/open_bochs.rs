#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| tintype_fuzz::open(&tintype_formats::bochs::FORMAT, data));
