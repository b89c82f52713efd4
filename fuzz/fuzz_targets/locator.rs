#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = tintype_core::Locator::parse(text);
        let _ = tintype_core::parse_size(text);
        let _ = text.parse::<tintype_core::Compression>();
    }
});
