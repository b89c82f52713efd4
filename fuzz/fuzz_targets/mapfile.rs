#![no_main]
use tintype_core::mapfile::{Gaps, Heading, Mapfile, Status};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    for gaps in [Gaps::Refused, Gaps::Filled(Status::NonTried)] {
        let Ok(map) = Mapfile::parse(data, gaps) else { continue };
        let runs: Vec<_> = map.blocks().iter().collect();
        assert!(runs.windows(2).all(|w| w[0].0.end == w[1].0.start && w[0].1 != w[1].1), "blocks do not follow");
        let text = map.text(&Heading::of("fuzz"));
        assert_eq!(Mapfile::parse(text.as_bytes(), Gaps::Refused).expect("what is written is read"), map);
    }
});
