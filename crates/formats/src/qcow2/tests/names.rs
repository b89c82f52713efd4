//! Names of other files in the header.

use super::super::layout::Header;
use super::*;
use tintype_core::Kind;
use tintype_core::testing::open_bytes;

/// A header of version 2 or 3 with a name of the backing file at `at`, and what stands between.
fn header(version: u32, between: &[u8]) -> Vec<u8> {
    let length = if version == 2 { 72 } else { 104 };
    let mut bytes = vec![0; 65536];
    bytes[..4].copy_from_slice(b"QFI\xfb");
    let at = (length + between.len()) as u32;
    for (at, value) in [(4, version), (12, at), (16, 8), (20, 16), (100, 104), (96, 4)] {
        if at < length {
            bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
        }
    }
    let tail = [between, b"base.img"].concat();
    bytes[length..length + tail.len()].copy_from_slice(&tail);
    bytes
}

fn names(bytes: Vec<u8>) -> (Option<String>, Option<String>) {
    let request = open_bytes("d.qcow2", bytes);
    let header = Header::read(&**request.entry.source().unwrap()).unwrap_or_else(|e| panic!("{}", e.chain()));
    (header.backing_file, header.backing_format)
}

#[test]
fn a_name_may_follow_the_header_without_extensions() {
    for version in [2, 3] {
        assert_eq!(names(header(version, &[])), (Some("base.img".into()), None), "{version}");
    }
}

#[test]
fn the_format_below_ends_at_the_first_nul() {
    for (padded, format) in [(b"raw\0\0\0\0\0", Some("raw")), (b"\0\0\0\0\0\0\0\0", None)] {
        let mut extensions = 0xe279_2aca_u32.to_be_bytes().to_vec();
        extensions.extend_from_slice(&8u32.to_be_bytes());
        extensions.extend_from_slice(padded);
        extensions.extend_from_slice(&[0; 8]);
        assert_eq!(names(header(3, &extensions)), (Some("base.img".into()), format.map(str::to_owned)));
    }
}

fn below(name: &str, format: &'static str, base: &Model) -> Backing {
    let source: Arc<dyn Source> = Arc::new(base.clone());
    Backing { name: name.into(), format, variant: format.into(), source, fields: Default::default() }
}

#[test]
fn names_with_colons_are_read_back() {
    let base = Model::noise(1 << 20, 3);
    for name in ["a:b.img", "nbd:b.img", "json:{}"] {
        let outlet = MemoryOutlet::new();
        outlet.insert(name, base.bytes.clone());
        let mut request = create_request(outlet.clone(), "top.qcow2", &base);
        request.backing = Some(below(name, "raw", &base));
        create(&request).unwrap().finish(&Seal { len: 1 << 20, ..Seal::default() }).unwrap();
        let image = open(&open_request(&outlet, "top.qcow2")).unwrap_or_else(|e| panic!("{}", e.chain()));
        check_source(&*image.disk, &base);
        // QEMU takes what is before a colon for a protocol, unless a slash comes first.
        let stored = format!("./{name}").into_bytes();
        assert!(outlet.bytes("top.qcow2").unwrap().windows(stored.len()).any(|w| w == stored));

        round(&base, &[&format!("data_file={name}")], None);
    }
}

#[test]
fn nothing_stands_on_what_others_do_not_know() {
    let base = Model::noise(1 << 20, 4);
    for (name, format) in [("b.raw.gz", "gzip"), ("x.E01", "ewf"), ("x.001", "split")] {
        let outlet = MemoryOutlet::new();
        let mut request = create_request(outlet.clone(), "top.qcow2", &base);
        request.backing = Some(below(name, format, &base));
        for create in [create, crate::qed::FORMAT.create.unwrap()] {
            let e = create(&request).err().unwrap_or_else(|| panic!("{format} was not refused"));
            assert_eq!(e.kind(), Kind::Unsupported, "{}", e.chain());
            assert!(outlet.names().is_empty());
        }
    }
}
