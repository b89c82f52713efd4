use super::*;
use tintype_core::testing::{Model, check_writer, open_bytes};
use tintype_core::{Checksums, Limits, Severity};

fn machine(len: usize) -> Vec<u8> {
    let model = Model::mixed(len, &[State::Data, State::Zero], 512, len as u64);
    let (_, outlet) = check_writer(write::create, read::open, "m.ova", &model, |_| {});
    outlet.bytes("m.ova").unwrap()
}

#[test]
fn any_size_comes_back() {
    for len in [0, 512, 65536, 1_000_448, 40 << 20] {
        let model = Model::mixed(len, &[State::Data, State::Zero], 512, len as u64);
        let (image, _) = check_writer(write::create, read::open, "m.ova", &model, |_| {});
        assert_eq!(image.parts.iter().map(|p| &p.name[..]).collect::<Vec<_>>(), ["m-disk1.vmdk"]);
        assert_eq!(((image.parts[0].open)().unwrap().len(), image.checksums), (len as u64, Checksums::Whole));
    }
}

#[test]
fn a_changed_file_is_found_by_the_manifest() {
    let good = machine(300_032);
    let findings = |bytes: &[u8]| check::check(&open_bytes("m.ova", bytes.to_vec())).unwrap();
    assert_eq!(findings(&good), []);
    let at = good.windows(9).position(|w| w == b"A virtual").unwrap();
    let mut changed = good.clone();
    changed[at] = b'a';
    let found = findings(&changed);
    assert!(found.iter().any(|f| f.severity == Severity::Damage && f.what.contains("m.ovf")), "{found:?}");
}

#[test]
fn archives_of_others_are_read() {
    let archive = |name: &[u8], more: &[u8]| {
        let mut header = tar::header("x", more.len() as u64, 0).unwrap();
        header[..100].fill(0);
        header[..name.len()].copy_from_slice(name);
        let sum: u32 =
            header.iter().enumerate().map(|(i, b)| if (148..156).contains(&i) { 32 } else { u32::from(*b) }).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let mut bytes = header.to_vec();
        bytes.extend_from_slice(more);
        bytes.resize(bytes.len().next_multiple_of(512) + 1024, 0);
        bytes
    };
    let list = |bytes: Vec<u8>| tar::members(&tintype_core::testing::Bytes(bytes), &Limits::default());
    let found = list(archive(b"./a b.ovf", b"hello")).unwrap();
    assert_eq!((&found[0].name[..], found[0].offset, found[0].len), ("a b.ovf", 512, 5));
    assert!(list(archive(b"a", &[1; 600])[..1000].to_vec()).is_err(), "cut off");
    assert_eq!(list(vec![0; 10240]).unwrap(), []);
}

#[test]
fn descriptors_are_understood_or_refused() {
    let parse = |text: &str| envelope::Envelope::parse(text);
    let found = parse(
        "\u{feff}<?xml version='1.0'?><!-- <x> --><ovf:Envelope xmlns:ovf='http://schemas.dmtf.org/ovf/envelope/1'>\
         <ovf:References><ovf:File ovf:href='a&amp;b&#x20;.vmdk' ovf:id=\"f\" ovf:size='7'/></ovf:References>\
         <ovf:DiskSection><ovf:Info/><ovf:Disk ovf:diskId='d' ovf:fileRef='f' ovf:capacity='3' \
         ovf:capacityAllocationUnits='byte * 2^30'/></ovf:DiskSection></ovf:Envelope>",
    )
    .unwrap();
    assert_eq!((&found.files[0].href[..], found.files[0].size), ("a&b .vmdk", Some(7)));
    assert_eq!((found.disks[0].capacity, found.disks[0].file.as_deref()), (Some(3 << 30), Some("f")));
    for text in [
        "",
        "<a/>",
        "<Envelope>",
        "<Envelope><a></Envelope>",
        "<Envelope a=b/>",
        "<Envelope>&x;</Envelope>",
        "<!DOCTYPE a [<!ENTITY b \"c\">]><Envelope/>",
        "<Envelope><References><File/></References></Envelope>",
    ] {
        assert!(parse(text).is_err(), "{text}");
    }
}
