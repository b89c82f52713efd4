#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(map) = tintype_core::mapfile::parse_mapfile(text)
    {
        let runs: Vec<_> = map.iter().collect();
        assert!(runs.windows(2).all(|w| w[0].end() <= w[1].offset), "runs overlap");
    }
});
