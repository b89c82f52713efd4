//! What files of others do not show.

use super::layout::{Footer, Header, Locator};
use super::*;
use tintype_core::testing::{MemoryOutlet, Model, check_source, check_writer, create_request, open_request};
use tintype_core::{CreateRequest, Image, Kind, Options};
use zerocopy::IntoBytes;
use zerocopy::big_endian::{U16, U32, U64};

const STATES: [State; 2] = [State::Data, State::Zero];

fn options(words: &[&str]) -> impl Fn(&mut CreateRequest) {
    let options = Options::parse(FORMAT.options, words).unwrap();
    move |request| request.options = options.clone()
}

fn written(model: &Model, words: &[&str]) -> MemoryOutlet {
    check_writer(write::create, read::open, "d.vhd", model, options(words)).1
}

fn put(outlet: &MemoryOutlet, name: &str, at: usize, bytes: &[u8]) {
    let mut file = outlet.bytes(name).unwrap();
    file[at..at + bytes.len()].copy_from_slice(bytes);
    outlet.insert(name, file);
}

fn open(outlet: &MemoryOutlet) -> tintype_core::Result<Image> {
    read::open(&open_request(outlet, "d.vhd"))
}

fn findings(outlet: &MemoryOutlet) -> String {
    let found = check::check(&open_request(outlet, "d.vhd")).unwrap();
    found.iter().map(|f| f.what.clone()).collect::<Vec<_>>().join("; ")
}

#[test]
fn any_size_comes_back() {
    for len in [0, 512, 2 << 20, (2 << 20) + 512, 7_000_064] {
        let model = Model::mixed(len, &STATES, 512, len as u64);
        for words in [&[][..], &["subformat=fixed"]] {
            let outlet = written(&model, words);
            assert_eq!(findings(&outlet), "", "{len} {words:?}");
        }
    }
    let model = Model::mixed(3 << 20, &STATES, 512, 3);
    written(&model, &["azure=on"]);
}

fn request(len: u64, words: &[&str]) -> CreateRequest {
    let mut request = create_request(MemoryOutlet::new(), "d.vhd", &Model::noise(0, 0));
    request.len = Some(len);
    options(words)(&mut request);
    request
}

#[test]
fn no_disk_is_longer_than_2040_gib() {
    let most = 2040u64 << 30;
    assert!(write::create(&request(most, &[])).is_ok());
    for words in [&[][..], &["subformat=fixed"], &["azure=on"]] {
        let e = write::create(&request(most + 512, words)).err().unwrap();
        assert!(e.kind() == Kind::Unsupported && e.what().contains("2,040 GiB"), "{e}");
    }
}

#[test]
fn what_is_added_is_said() {
    let said = |len, words: &[&str]| write::losses(&request(len, words)).join(" ");
    assert!(said(1000, &[]).contains("24 bytes of zeros"));
    assert!(said((5 << 20) + 1, &["azure=on"]).contains("1048575 bytes of zeros"));
    assert!(said(3_146_240, &["size=chs"]).contains("3168256 bytes, 22016 more than the source: 91 cylinders"));
    assert_eq!(said(1 << 20, &["azure=on"]) + &said(1 << 20, &[]), "");
    for words in [&["azure=on", "subformat=dynamic"][..], &["azure=on", "size=chs"], &["size=round"]] {
        assert_eq!(write::create(&request(1 << 20, words)).err().unwrap().kind(), Kind::Usage, "{words:?}");
    }
}

#[test]
fn the_creator_decides_which_size_holds() {
    let model = Model::noise(3_146_240, 1);
    for (creator, len) in [
        (b"win ", 3_146_240),
        (b"wa\0\0", 3_146_240),
        (b"qem2", 3_146_240),
        (b"vpc ", 3_133_440),
        (b"qemu", 3_133_440),
        // Nobody knows it, and all the bytes are there.
        (b"XYZ ", 3_146_240),
    ] {
        let outlet = written(&model, &["subformat=fixed"]);
        let mut file = outlet.bytes("d.vhd").unwrap();
        let at = file.len() - 512;
        let mut footer = Footer::parse(&file[at..]).unwrap();
        footer.creator_application = *creator;
        // 90 cylinders, 4 heads, 17 sectors: less than there is.
        footer.cylinders = U16::new(90);
        file[at..].copy_from_slice(footer.sealed().as_bytes());
        outlet.insert("d.vhd", file);
        let image = open(&outlet).unwrap();
        assert_eq!(image.disk.len(), len, "{creator:?}");
        assert_eq!(image.warnings.is_empty(), len == 3_146_240);
    }
}

#[test]
fn footers_that_disagree_are_damage() {
    let model = Model::mixed(5 << 20, &STATES, 512, 7);
    let whole = written(&model, &[]).bytes("d.vhd").unwrap();
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut file = whole.clone();
        change(&mut file);
        let outlet = MemoryOutlet::new();
        outlet.insert("d.vhd", file);
        outlet
    };
    let end = whole.len() - 512;
    for (outlet, what) in [
        (with(&|f| f[end + 30] ^= 1), "missing or damaged; its copy"),
        (with(&|f| f.truncate(end)), "missing or damaged; its copy"),
        (with(&|f| f[30] ^= 1), "copy of the footer at the start is missing"),
        (with(&|f| f[512 + 100] ^= 1), "checksum of the header"),
    ] {
        let image = open(&outlet).unwrap();
        check_source(&*image.disk, &model);
        assert!(image.damage[0].what.contains(what), "{:?}", image.damage);
        assert!(findings(&outlet).contains(what));
    }
    // A footer of 511 bytes, as early versions of Virtual PC wrote it.
    let short = with(&|f| f.truncate(f.len() - 1));
    check_source(&*open(&short).unwrap().disk, &model);
    // Alike in both places, as some writers make it; and not.
    let alike = with(&|f| [25, end + 25].iter().for_each(|at| f[*at] ^= 1));
    assert!(open(&alike).unwrap().damage[0].what.contains("believed all the same"));
    check_source(&*open(&alike).unwrap().disk, &model);
    let both = with(&|f| {
        f[31] ^= 1;
        f[end + 30] ^= 1;
    });
    assert_eq!(open(&both).err().unwrap().kind(), Kind::Corrupt);
}

#[test]
fn a_damaged_table_is_found() {
    let model = Model::noise(6 << 20, 8);
    let at = 1536;
    let outlet = written(&model, &[]);
    let first = outlet.bytes("d.vhd").unwrap()[at..at + 4].to_vec();
    put(&outlet, "d.vhd", at + 4, &first);
    assert!(findings(&outlet).contains("blocks 0 and 1 lie over each other"), "{}", findings(&outlet));
    put(&outlet, "d.vhd", at + 4, &[0, 0, 0, 1]);
    assert!(findings(&outlet).contains("over the header"), "{}", findings(&outlet));
    put(&outlet, "d.vhd", at + 4, &[0x7F, 0, 0, 1]);
    assert!(findings(&outlet).contains("block 1 is said to lie"), "{}", findings(&outlet));
    let e = open(&outlet).unwrap().disk.read_at(&mut [0; 9], 2 << 20).unwrap_err();
    assert_eq!(e.kind(), Kind::Corrupt);
    open(&outlet).unwrap().disk.read_at(&mut [0; 9], 4 << 20).unwrap();
}

/// A differencing disk of 6 MiB: the first block has some sectors of its own, the second is the parent's.
fn overlay(locators: &[(&[u8; 4], &str)], name: &str) -> (MemoryOutlet, Model) {
    let base = Model::noise(5 << 20, 9);
    let outlet = written(&base, &[]);
    let parent = outlet.bytes("d.vhd").unwrap();
    let id = Footer::parse(&parent).unwrap().unique_id;
    outlet.insert("Base.vhd", parent);
    let own = Model::noise(6 << 20, 10);
    let mut file = written(&own, &[]).bytes("d.vhd").unwrap();
    let mut header = Header::parse(&file[512..]).unwrap();
    header.parent_unique_id = id;
    for (i, c) in name.encode_utf16().enumerate() {
        header.parent_name[i] = U16::new(c);
    }
    let end = file.len() - 512;
    let mut footer = Footer::parse(&file[end..]).unwrap();
    file.truncate(end);
    for (i, (code, path)) in locators.iter().enumerate() {
        let path: Vec<u8> = path.encode_utf16().flat_map(|c| c.to_le_bytes()).collect();
        header.parent_locators[i] = Locator {
            platform_code: **code,
            platform_data_space: U32::new(512),
            platform_data_length: U32::new(path.len() as u32),
            reserved: U32::new(0),
            platform_data_offset: U64::new(file.len() as u64),
        };
        file.extend(path);
    }
    file.resize(file.len().next_multiple_of(512), 0);
    footer.disk_type = U32::new(4);
    let footer = footer.sealed();
    file.extend(footer.as_bytes());
    file[..512].copy_from_slice(footer.as_bytes());
    file[512..1536].copy_from_slice(header.sealed().as_bytes());
    file[1540..1544].fill(0xFF);
    let first = u32::from_be_bytes(file[1536..1540].try_into().unwrap()) as usize * 512;
    // Sectors 0, 2 to 7 and 4000 on are its own.
    file[first..first + 512].fill(0);
    file[first] = 0b1011_1111;
    file[first + 500..first + 512].fill(0xFF);
    let mut bytes = base.bytes.clone();
    bytes.resize(6 << 20, 0);
    for range in [0..512, 1024..4096, 4000 * 512..2 << 20, 4 << 20..6 << 20] {
        bytes[range.clone()].copy_from_slice(&own.bytes[range]);
    }
    outlet.insert("d.vhd", file);
    (outlet, Model { bytes, runs: Vec::new(), sector: 512 })
}

#[test]
fn an_overlay_finds_its_parent_in_every_way() {
    type Ways = &'static [(&'static [u8; 4], &'static str)];
    let ways: [(Ways, &str); 4] = [
        (&[(b"W2ru", ".\\base.vhd")], ""),
        (&[(b"W2ku", "C:\\vm\\BASE.VHD")], ""),
        (&[(b"W2ru", "..\\old\\base.vhd"), (b"W2ku", "D:\\x\\other.vhd")], ""),
        (&[], "base.vhd"),
    ];
    for (locators, name) in ways {
        let (outlet, model) = overlay(locators, name);
        let image = open(&outlet).unwrap_or_else(|e| panic!("{locators:?}: {}", e.chain()));
        check_source(&*image.disk, &model);
        assert_eq!(image.chain[0].request.entry.name, "Base.vhd");
        assert_eq!(image.all_files(), ["d.vhd", "Base.vhd"]);
    }
}

#[test]
fn a_parent_that_is_another_one_is_refused() {
    let (outlet, _) = overlay(&[(b"W2ru", "base.vhd")], "");
    outlet.insert("Base.vhd", written(&Model::noise(5 << 20, 9), &[]).bytes("d.vhd").unwrap());
    let e = open(&outlet).err().unwrap();
    assert!(e.kind() == Kind::Corrupt && e.what().contains("another one"), "{e}");
    let (outlet, _) = overlay(&[(b"W2ru", "nowhere.vhd")], "");
    let e = open(&outlet).err().unwrap();
    assert!(e.kind() == Kind::Corrupt && e.what().contains("nowhere.vhd"), "{e}");
    let (outlet, _) = overlay(&[(b"W2ru", "d.vhd")], "");
    assert_eq!(open(&outlet).err().unwrap().kind(), Kind::Corrupt);
}
