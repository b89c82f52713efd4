use super::*;
use std::sync::Arc;
use tintype_codec::digest::{Algorithm, digest};
use tintype_core::testing::{MemoryOutlet, Model, check_writer, open_bytes, open_request};
use tintype_core::{Backing, Checksums, Create, Error, Image, Kind, Limits, Open, Opener, Result, Severity, Source};

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

/// A folder with a machine of these files and disks in it, and these files beside its descriptor.
fn folder(references: &str, disks: &str, beside: &[(&str, &[u8])]) -> MemoryOutlet {
    let outlet = MemoryOutlet::new();
    let text = format!(
        "<Envelope xmlns=\"http://schemas.dmtf.org/ovf/envelope/1\"><References>{references}</References>\
         <DiskSection><Info/>{disks}</DiskSection></Envelope>"
    );
    outlet.insert("m.ovf", text.into_bytes());
    for (name, bytes) in beside {
        outlet.insert(name, bytes.to_vec());
    }
    outlet
}

fn open(outlet: &MemoryOutlet) -> Result<Image> {
    read::open(&open_request(outlet, "m.ovf"))
}

fn bytes(disk: &dyn Source) -> Vec<u8> {
    let mut bytes = vec![0; disk.len() as usize];
    disk.read_at(&mut bytes, 0).unwrap();
    bytes
}

/// The kind of an error and all that it says.
fn told(image: Result<Image>) -> (Kind, String) {
    let e = image.map(|image| image.variant).unwrap_err();
    (e.kind(), e.chain().to_string())
}

/// A file that some format of ours writes of these bytes.
fn file(create: Create, open: Open, name: &str, model: &Model) -> Vec<u8> {
    check_writer(create, open, name, model, |_| {}).1.bytes(name).unwrap()
}

fn gzip(model: &Model) -> Vec<u8> {
    file(crate::gzip::FORMAT.create.unwrap(), crate::gzip::FORMAT.open.unwrap(), "d.gz", model)
}

fn vmdk(model: &Model) -> Vec<u8> {
    file(crate::vmdk::FORMAT.create.unwrap(), crate::vmdk::FORMAT.open.unwrap(), "d.vmdk", model)
}

fn line(name: &str, bytes: &[u8]) -> String {
    format!("SHA256({name})= {}\n", digest(Algorithm::Sha256, bytes).to_hex())
}

/// What a check of the machine says is damage, and what it warns of.
fn checked(outlet: &MemoryOutlet) -> (Vec<String>, Vec<String>) {
    let found = check::check(&open_request(outlet, "m.ovf")).unwrap();
    let (damage, odd): (Vec<_>, Vec<_>) = found.into_iter().partition(|f| f.severity == Severity::Damage);
    let words = |list: Vec<tintype_core::Finding>| list.into_iter().map(|f| f.what).collect();
    (words(damage), words(odd))
}

const RAW: &str = "http://en.wikipedia.org/wiki/Byte";
const VMDK: &str = "http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized";

#[test]
fn pieces_are_as_long_as_the_descriptor_says() {
    let disk = Model::noise(2560, 1).bytes;
    let cut = |lens: &[usize], size: &str| {
        let file = format!("<File id='f' href='d.raw' chunkSize='1024'{size}/>");
        let outlet = folder(&file, &format!("<Disk diskId='d' fileRef='f' capacity='2560' format='{RAW}'/>"), &[]);
        let mut at = 0;
        for (i, len) in lens.iter().enumerate() {
            if *len > 0 {
                outlet.insert(&format!("d.raw.{i:09}"), disk[at..][..*len].to_vec());
            }
            at += len;
        }
        open(&outlet)
    };
    for size in ["", " size='2560'"] {
        let image = cut(&[1024, 1024, 512], size).unwrap();
        assert_eq!((bytes(&*image.disk), image.notes()), (disk.clone(), vec![]));
        assert_eq!(image.files, ["m.ovf", "d.raw.000000000", "d.raw.000000001", "d.raw.000000002"]);
    }
    let sized = " size='2560'";
    let wrong: [(&[usize], &str, usize); 7] = [
        (&[1024, 1000, 536], "", 1),
        (&[1024, 1000, 536], sized, 1),
        (&[1024, 1030], "", 1),
        (&[1024, 0, 512], "", 2),
        (&[1024, 1024, 500], sized, 2),
        (&[1024, 1024, 512], " size='2500'", 2),
        (&[1024, 1024, 500], " size='2600'", 2),
    ];
    for (lens, size, piece) in wrong {
        let (kind, what) = told(cut(lens, size));
        assert!(kind == Kind::Corrupt && what.contains(&format!("d.raw.{piece:09}")), "{lens:?}{size}: {what}");
    }
    let (kind, what) = told(cut(&[1024, 1024], sized));
    assert!(kind == Kind::Io && what.contains("d.raw.000000002"), "{what}");
    // Nothing but the size of the disk tells that the last piece is missing.
    let short = cut(&[1024, 1024], "").unwrap();
    assert!(short.damage.len() == 1 && short.damage[0].what.contains("2560"), "{:?}", short.damage);
}

#[test]
fn a_disk_that_is_too_short_is_damaged_and_a_longer_one_odd() {
    let disk = Model::noise(2048, 2).bytes;
    let both = |capacity: u64| {
        let files = "<File id='a' href='a'/><File id='b' href='b'/>";
        let disks = format!(
            "<Disk diskId='a' fileRef='a' capacity='2048' format='{RAW}'/>\
             <Disk diskId='b' fileRef='b' capacity='{capacity}' format='{RAW}'/>"
        );
        checked(&folder(files, &disks, &[("a", &disk), ("b", &disk)]))
    };
    assert!(both(2048).0.is_empty());
    assert!(both(2560).0.iter().any(|what| what.contains("2560 bytes; it has 2048")));
    let (damage, odd) = both(1536);
    assert!(damage.is_empty() && odd.iter().any(|what| what.contains("1536 bytes; it has 2048")), "{damage:?} {odd:?}");
}

#[test]
fn disks_that_stand_on_others_are_refused() {
    let disk = Model::noise(1024, 3).bytes;
    let disks = |first: &str, second: &str| {
        let files = "<File id='a' href='a'/><File id='b' href='b'/>";
        let disks = format!(
            "<Disk diskId='a' fileRef='a' format='{RAW}' {first}/><Disk diskId='b' fileRef='b' format='{RAW}' {second}/>\
             <Disk diskId='none' capacity='512' parentRef='a'/>"
        );
        open(&folder(files, &disks, &[("a", &disk), ("b", &disk)]))
    };
    let (kind, what) = told(disks("parentRef='b'", ""));
    assert!(kind == Kind::Unsupported && what.contains("stands on \"b\""), "{what}");
    let image = disks("", "parentRef='a'").unwrap();
    assert_eq!(bytes(&*(image.parts[0].open)().unwrap()), disk);
    for part in &image.parts[1..] {
        assert_eq!((part.open)().map(|_| ()).unwrap_err().kind(), Kind::Unsupported, "{}", part.name);
    }
}

#[test]
fn a_disk_that_names_what_it_stands_on_is_read() {
    let (base, model) = (Model::noise(65536, 11).bytes, Model::noise(65536, 12));
    let format = &crate::qcow2::FORMAT;
    let (_, outlet) = check_writer(format.create.unwrap(), format.open.unwrap(), "top.qcow2", &model, |request| {
        request.outlet.create("base.raw").unwrap().write_at(&base, 0).unwrap();
        let source: Arc<dyn Source> = Arc::new(tintype_core::testing::Bytes(base.clone()));
        let (name, variant) = ("base.raw".to_owned(), String::new());
        request.backing = Some(Backing { name, format: "raw", variant, source, fields: Default::default() });
    });
    let files = "<File id='a' href='base.raw'/><File id='b' href='top.qcow2'/>";
    let disks = format!(
        "<Disk diskId='b' fileRef='b' parentRef='a' format='http://example.org/qcow2'/>\
         <Disk diskId='a' fileRef='a' format='{RAW}'/>"
    );
    let machine = folder(files, &disks, &[("base.raw", &base), ("top.qcow2", &outlet.bytes("top.qcow2").unwrap())]);
    let image = open(&machine).unwrap();
    assert_eq!((bytes(&*image.disk), image.chain.len()), (model.bytes, 1));
    assert_eq!(bytes(&*(image.parts[0].open)().unwrap()), bytes(&*image.disk));
}

#[test]
fn sparse_files_of_pax_are_refused() {
    let records = b"22 GNU.sparse.major=1\n";
    let mut attributes = tar::header("x", records.len() as u64, 0).unwrap();
    attributes[156] = b'x';
    let sum: u32 =
        attributes.iter().enumerate().map(|(i, b)| if (148..156).contains(&i) { 32 } else { u32::from(*b) }).sum();
    attributes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut archive = attributes.to_vec();
    archive.extend_from_slice(records);
    archive.resize(1024, 0);
    archive.extend_from_slice(&tar::header("GNUSparseFile.0/d.raw", 512, 0).unwrap());
    archive.resize(3072, 0);
    let members = tar::members(&tintype_core::testing::Bytes(archive), &Limits::default());
    assert_eq!(members.unwrap_err().kind(), Kind::Unsupported);
}

#[test]
fn a_manifest_proves_only_what_it_lists() {
    let disk = Model::noise(1536, 4).bytes;
    let files = "<File id='a' href='a'/><File id='b' href='b' chunkSize='1024'/>";
    let disks = format!("<Disk diskId='a' fileRef='a' format='{RAW}'/><Disk diskId='b' fileRef='b' format='{RAW}'/>");
    let (first, last) = disk.split_at(1024);
    let outlet = folder(files, &disks, &[("a", &disk), ("b.000000000", first), ("b.000000001", last)]);
    let lines = [line("a", &disk), line("b.000000000", first), line("b.000000001", last)];
    for (listed, missing) in [(1, &["b.000000000", "b.000000001"][..]), (2, &["b.000000001"]), (3, &[])] {
        outlet.insert("m.mf", lines[..listed].concat().into_bytes());
        let proved = if missing.is_empty() { Checksums::Whole } else { Checksums::None };
        assert_eq!(open(&outlet).unwrap().checksums, proved, "{listed} lines");
        let wanted: Vec<_> = missing.iter().map(|name| format!("the manifest does not know {name}")).collect();
        assert_eq!(checked(&outlet), (vec![], wanted));
    }
    outlet.insert("b.000000001", vec![0; 512]);
    assert!(checked(&outlet).0[0].contains("b.000000001"));
}

#[test]
fn extents_that_no_manifest_lists_are_not_proved() {
    let disk = Model::noise(1024, 5).bytes;
    let text = "# Disk DescriptorFile\nversion=1\nCID=00000001\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\n\
                RW 2 FLAT \"d-flat.vmdk\" 0\n";
    let disks = format!("<Disk diskId='d' fileRef='f' capacity='1024' format='{VMDK}'/>");
    let files = "<File id='f' href='d.vmdk'/>";
    let outlet = folder(files, &disks, &[("d.vmdk", text.as_bytes()), ("d-flat.vmdk", &disk)]);
    outlet.insert("m.mf", line("d.vmdk", text.as_bytes()).into_bytes());
    assert_eq!(open(&outlet).unwrap().checksums, Checksums::Structure);
    assert_eq!(checked(&outlet).1, ["the manifest does not know d-flat.vmdk"]);
    outlet.insert("m.mf", (line("d.vmdk", text.as_bytes()) + &line("d-flat.vmdk", &disk)).into_bytes());
    assert_eq!(open(&outlet).unwrap().checksums, Checksums::Whole);
}

#[test]
fn lines_of_a_manifest_are_understood_as_others_write_them() {
    let disk = Model::noise(512, 6).bytes;
    let hex = digest(Algorithm::Sha1, &disk).to_hex();
    let disks = format!("<Disk diskId='d' fileRef='f' format='{RAW}'/>");
    for (manifest, name, href, text) in [
        ("m.mf", "d (1).raw", "d (1).raw", format!("SHA1(d (1).raw)= {hex}\n")),
        ("m.mf", "d.raw", "d.raw", format!("SHA1(./d.raw)= {hex}\n")),
        ("m.mf", "d.raw", "./d.raw", format!("SHA1(d.raw)={hex}\r\n")),
        ("m.mf", "d.raw", "d.raw", format!("SHA1 ( d.raw ) = {hex}\n")),
        ("M.MF", "d.raw", "d.raw", format!("SHA-1(d.raw)= {}\n", hex.to_uppercase())),
        ("m.mf", "d 1.raw", "d%201.raw", format!("SHA1(d 1.raw)= {hex}\n")),
        ("m.mf", "d 1.raw", "d%201.raw", format!("SHA1(d%201.raw)= {hex}\n")),
    ] {
        let files = format!("<File id='f' href='{href}'/>");
        let outlet = folder(&files, &disks, &[(name, &disk), (manifest, text.as_bytes())]);
        assert_eq!(open(&outlet).unwrap().checksums, Checksums::Whole, "{text}");
        assert_eq!(checked(&outlet), (vec![], vec![]), "{text}");
        outlet.insert(name, vec![0; 512]);
        assert_eq!(checked(&outlet).0.len(), 1, "{text}");
    }
    // Another file than the one that is read.
    let both = [("d%20.raw", &disk[..]), ("d .raw", &disk[..])];
    let outlet = folder("<File id='f' href='d%20.raw'/>", &disks, &both);
    outlet.insert("m.mf", format!("SHA1(d .raw)= {hex}\n").into_bytes());
    assert_eq!(open(&outlet).unwrap().checksums, Checksums::None);
}

/// A folder that nothing leads out of.
struct Closed(MemoryOutlet);

impl Opener for Closed {
    fn open(&self, name: &str) -> Result<Arc<dyn Source>> {
        if name.starts_with('/') || name.split('/').any(|part| part == "..") {
            return Err(Error::denied(format!("{name} leads out of the folder")));
        }
        Opener::open(&self.0, name)
    }

    fn list(&self) -> Result<Vec<String>> {
        Opener::list(&self.0)
    }
}

#[test]
fn names_are_uris_and_lead_nowhere_else() {
    let (literal, meant) = (Model::noise(512, 7).bytes, Model::noise(512, 8).bytes);
    let disks = format!("<Disk diskId='d' fileRef='f' format='{RAW}'/>");
    let with = |href: &str, beside: &[(&str, &[u8])]| folder(&format!("<File id='f' href='{href}'/>"), &disks, beside);
    let outlet = with("a%20%C3%A4.raw", &[("a \u{e4}.raw", &meant)]);
    assert_eq!(bytes(&*open(&outlet).unwrap().disk), meant);
    let outlet = with("a%20b.raw", &[("a b.raw", &meant), ("a%20b.raw", &literal)]);
    assert_eq!(bytes(&*open(&outlet).unwrap().disk), literal);
    for (href, name) in [("./aa:b.raw", "aa:b.raw"), ("file:a.raw", "a.raw"), ("aa%3Ab.raw", "aa:b.raw")] {
        assert_eq!(bytes(&*open(&with(href, &[(name, &meant)])).unwrap().disk), meant, "{href}");
    }
    let hostile = [("../secret", Kind::Denied), ("%2e%2e/secret", Kind::Denied), ("%2E%2E%2Fsecret", Kind::Denied)];
    let more = [
        ("%2Fsecret", Kind::Denied),
        ("a%3a%2f%2fb:secret%00", Kind::Denied),
        ("http://a/b", Kind::Denied),
        ("file:%2e%2e/secret", Kind::Denied),
    ];
    for (href, wanted) in hostile.into_iter().chain(more) {
        let outlet = with(href, &[("../secret", &meant), ("/secret", &meant)]);
        let mut request = open_request(&outlet, "m.ovf");
        request.opener = Arc::new(Closed(outlet));
        assert_eq!(told(read::open(&request)).0, wanted, "{href}");
    }
    for href in ["a%2", "a%", "a%zz", "a%ff", "http%3A//a", "a%+1", "%\u{e4}"] {
        assert_eq!(told(open(&with(href, &[]))).0, Kind::Io, "{href}");
    }
}

#[test]
fn the_size_of_a_packed_file_is_the_packed_one() {
    let model = Model::noise(1024, 9);
    let packed = gzip(&model);
    let machine = |size: usize| {
        let files = format!("<File id='f' href='d.raw' compression='gzip' size='{size}'/>");
        let disks = format!("<Disk diskId='d' fileRef='f' capacity='1024' format='{RAW}'/>");
        open(&folder(&files, &disks, &[("d.raw", &packed)])).unwrap()
    };
    let image = machine(packed.len());
    assert_eq!((bytes(&*image.disk), image.notes()), (model.bytes.clone(), vec![]));
    assert_eq!(machine(1024).damage.len(), 1);
}

#[test]
fn a_disk_is_what_the_descriptor_says() {
    let model = Model::noise(2048, 10);
    let (packed, image) = (gzip(&model), vmdk(&model));
    let machine = |file: &[u8], what: &str| {
        open(&folder("<File id='f' href='d'/>", &format!("<Disk diskId='d' fileRef='f' {what}/>"), &[("d", file)]))
    };
    // A raw disk may begin like anything: whoever writes to it decides how.
    for what in [
        "format='http://en.wikipedia.org/wiki/Byte'",
        "format='http://example.org/disk.html#raw'",
        "format='http://en.wikipedia.org/wiki/Byte' volume-format='RAW'",
    ] {
        assert_eq!(bytes(&*machine(&packed, what).unwrap().disk), packed, "{what}");
        assert_eq!(bytes(&*machine(&image, what).unwrap().disk), image, "{what}");
    }
    for what in ["", "format='http://example.org/draw'"] {
        let (kind, words) = told(machine(&packed, what));
        assert!(kind == Kind::Unsupported && words.contains("does not say that it is packed"), "{words}");
        assert_eq!(bytes(&*machine(&image, what).unwrap().disk), model.bytes);
    }
    let vmdk = format!("format='{VMDK}'");
    assert_eq!(bytes(&*machine(&image, &vmdk).unwrap().disk), model.bytes);
    for what in [
        &vmdk[..],
        "format='http://www.microsoft.com/technet/virtualserver/downloads/vhdspec.mspx'",
        "format='http://go.microsoft.com/fwlink/?LinkId=137171'",
        "format='http://example.org/vhdx'",
        "format='http://example.org/qcow2'",
        "format='http://en.wikipedia.org/wiki/Byte' volume-format='COW'",
    ] {
        assert!(machine(&packed, what).is_err(), "{what}");
    }
}
