#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| tintype_fuzz::file_system(&["ext2", "ext3", "ext4"], data));
