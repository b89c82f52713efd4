#![no_main]
use tintype_core::testing::open_bytes;
use tintype_core::{PROBE_HEAD, PROBE_TAIL, Probe};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let head = &data[..data.len().min(PROBE_HEAD)];
    let tail = &data[data.len() - data.len().min(PROBE_TAIL)..];
    for format in tintype_formats::FORMATS {
        let probe = Probe { name: "f.img", folder: false, head, tail, len: data.len() as u64 };
        assert!((format.probe)(&probe) <= 100, "{format:?} is too sure");
    }
    let _ = tintype_formats::probe(&open_bytes("f.img", data.to_vec()));
});
