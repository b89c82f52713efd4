//! What files of others do not show.

use super::layout::{
    DATA_SECTOR, Descriptor, HEADERS, Header, Item, LogEntry, MIB, PARENT, PARENT_KIND, REGIONS, TABLE, checksum,
};
use super::*;
use crate::uuid;
use tintype_core::testing::{MemoryOutlet, Model, check_source, check_writer, create_request, open_request};
use tintype_core::{CreateRequest, Image, Kind, Options};
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, FromZeros, IntoBytes};

const STATES: [State; 2] = [State::Data, State::Zero];
const META: usize = 2 << 20;
const BAT: usize = 3 << 20;

fn options(words: &[&str]) -> impl Fn(&mut CreateRequest) {
    let options = Options::parse(FORMAT.options, words).unwrap();
    move |request| request.options = options.clone()
}

fn written(model: &Model, words: &[&str]) -> MemoryOutlet {
    check_writer(write::create, read::open, "d.vhdx", model, options(words)).1
}

fn with(outlet: &MemoryOutlet, change: impl FnOnce(&mut Vec<u8>)) -> MemoryOutlet {
    let changed = MemoryOutlet::new();
    for name in outlet.names() {
        changed.insert(&name, outlet.bytes(&name).unwrap());
    }
    let mut file = outlet.bytes("d.vhdx").unwrap();
    change(&mut file);
    changed.insert("d.vhdx", file);
    changed
}

fn open(outlet: &MemoryOutlet) -> tintype_core::Result<Image> {
    read::open(&open_request(outlet, "d.vhdx"))
}

fn findings(outlet: &MemoryOutlet) -> String {
    let found = check::check(&open_request(outlet, "d.vhdx")).unwrap_or_else(|e| panic!("{}", e.chain()));
    found.iter().map(|f| f.what.clone()).collect::<Vec<_>>().join("; ")
}

#[test]
fn any_size_comes_back() {
    for (len, words) in [
        (0, &[][..]),
        (512, &[]),
        (5 << 20, &["block_size=1MiB"]),
        (7_000_064, &["block_size=4MiB"]),
        (7_000_064, &["subformat=fixed"]),
        (6 << 20, &["sector_size=4096"]),
    ] {
        let sector = if words == ["sector_size=4096"] { 4096 } else { 512 };
        let model = Model::mixed(len, &STATES, sector, len as u64);
        let outlet = written(&model, words);
        assert_eq!(findings(&outlet), "", "{len} {words:?}");
        let shape = open(&outlet).unwrap().disk.shape();
        assert_eq!(shape.sector, sector);
    }
}

#[test]
fn wrong_options_and_sizes_are_refused() {
    let try_to = |len: u64, words: &[&str]| {
        let mut request = create_request(MemoryOutlet::new(), "d.vhdx", &Model::noise(0, 0));
        request.len = Some(len);
        options(words)(&mut request);
        write::create(&request).err().map(|e| e.kind())
    };
    for words in ["block_size=3MiB", "block_size=512MiB", "sector_size=1024", "subformat=thin"] {
        assert_eq!(try_to(1 << 20, &[words]), Some(Kind::Usage), "{words}");
    }
    assert_eq!(try_to(64 << 40, &[]), None);
    assert_eq!(try_to((64 << 40) + 512, &[]), Some(Kind::Unsupported));
}

#[test]
fn one_of_two_copies_is_enough() {
    let model = Model::mixed(5 << 20, &STATES, 512, 3);
    let good = written(&model, &[]);
    for (at, what) in [
        (HEADERS[0], "header is damaged"),
        (HEADERS[1], "header is damaged"),
        (REGIONS[0], "region table is damaged"),
        (REGIONS[1], "region table is damaged"),
    ] {
        let bad = with(&good, |f| f[at as usize + 20] ^= 1);
        let image = open(&bad).unwrap();
        check_source(&*image.disk, &model);
        assert!(image.damage[0].what.contains(what));
        assert!(findings(&bad).contains(what));
    }
    for copies in [HEADERS, REGIONS] {
        let bad = with(&good, |f| copies.iter().for_each(|at| f[*at as usize] ^= 1));
        assert_eq!(open(&bad).err().unwrap().kind(), Kind::Corrupt);
    }
}

/// Gives every entry of the block table, and its number.
fn set_entry(file: &mut [u8], i: usize, value: u64) {
    file[BAT + 8 * i..BAT + 8 * i + 8].copy_from_slice(&value.to_le_bytes());
}

#[test]
fn states_of_blocks_are_respected() {
    let model = Model::noise(6 << 20, 4);
    let good = written(&model, &["block_size=1MiB"]);
    let changed = with(&good, |f| (0..4).for_each(|i| set_entry(f, i, [0, 1, 2, 3][i] | 5 << 20)));
    let mut zeroed = model.clone();
    zeroed.bytes[..4 << 20].fill(0);
    check_source(&*open(&changed).unwrap().disk, &zeroed);
    for (entry, what) in [
        (4u64, "in state 4"),
        (7 | 5 << 20, "in state 7"),
        (6 | 4 << 20 | 8, "unknown bits"),
        (6 | 99 << 20, "outside the file"),
        (6 | 3 << 20, "lies over the block table"),
        (6 | 1 << 20, "lies over the log"),
        (6, "lies over the header section"),
        (6 | 5 << 20, "blocks 0 and 1 lie over each other"),
    ] {
        let bad = with(&good, |f| set_entry(f, 0, entry));
        assert!(findings(&bad).contains(what), "{entry:#x}: {}", findings(&bad));
        let disk = open(&bad).unwrap().disk;
        disk.read_at(&mut [0; 9], 3 << 20).unwrap();
        if [4, 7 | 5 << 20, 6 | 99 << 20].contains(&entry) {
            assert_eq!(disk.read_at(&mut [0; 9], 5).unwrap_err().kind(), Kind::Corrupt);
        }
    }
    let more = with(&good, |f| f.resize(f.len() + (1 << 20), 0));
    assert!(findings(&more).contains("belong to no block"));
}

#[test]
fn what_is_needed_and_not_known_is_refused_by_name() {
    let good = written(&Model::noise(1 << 20, 5), &[]);
    let region = with(&good, |f| {
        for at in REGIONS {
            let table = &mut f[at as usize..at as usize + TABLE];
            table[8] = 3;
            let more = [&[0xAB; 16][..], &(8u64 << 20).to_le_bytes(), &MIB.to_le_bytes()[..4], &[1, 0, 0, 0]].concat();
            table[16 + 64..16 + 96].copy_from_slice(&more);
            let sum = checksum(table);
            table[4..8].copy_from_slice(&sum.to_le_bytes());
        }
    });
    let item = with(&good, |f| {
        f[META + 10] = 6;
        f[META + 32 * 6..META + 32 * 6 + 16].fill(0xAB);
        f[META + 32 * 6 + 24] = 4;
    });
    for outlet in [region, item] {
        let e = open(&outlet).err().unwrap();
        assert!(e.kind() == Kind::Unsupported && e.what().contains("abababab-abab"), "{e}");
    }
}

/// Writes `entries` to the log of a file: number, tail, and changes as offset and content, `None` for a MiB of zeros.
type Change = (u64, Option<[u8; 4096]>);

fn entry(number: u64, tail: u32, guid: [u8; 16], file_len: u64, changes: &[Change]) -> Vec<u8> {
    let mut entry = LogEntry::new_zeroed();
    entry.signature = LogEntry::SIGNATURE;
    entry.tail = U32::new(tail);
    entry.sequence_number = U64::new(number);
    entry.descriptor_count = U32::new(changes.len() as u32);
    entry.log_guid = guid;
    entry.flushed_file_offset = U64::new(file_len);
    entry.last_file_offset = U64::new(file_len);
    let mut bytes = entry.as_bytes().to_vec();
    for (at, data) in changes {
        let descriptor = match data {
            Some(data) => Descriptor {
                signature: Descriptor::DATA,
                trailing_bytes: data[4092..].try_into().unwrap(),
                leading_bytes: data[..8].try_into().unwrap(),
                file_offset: U64::new(*at),
                sequence_number: U64::new(number),
            },
            None => Descriptor {
                signature: Descriptor::ZERO,
                trailing_bytes: [0; 4],
                leading_bytes: MIB.to_le_bytes(),
                file_offset: U64::new(*at),
                sequence_number: U64::new(number),
            },
        };
        bytes.extend(descriptor.as_bytes());
    }
    bytes.resize(bytes.len().next_multiple_of(4096), 0);
    for data in changes.iter().filter_map(|(_, data)| data.as_ref()) {
        bytes.extend(DATA_SECTOR);
        bytes.extend(((number >> 32) as u32).to_le_bytes());
        bytes.extend(&data[8..4092]);
        bytes.extend((number as u32).to_le_bytes());
    }
    let len = bytes.len() as u32;
    bytes[8..12].copy_from_slice(&len.to_le_bytes());
    let sum = checksum(&bytes);
    bytes[4..8].copy_from_slice(&sum.to_le_bytes());
    bytes
}

const GUID: [u8; 16] = [7; 16];

fn dirty(file: &mut [u8]) {
    for at in HEADERS {
        let at = at as usize;
        let mut header = Header::read_from_prefix(&file[at..]).unwrap().0;
        header.log_guid = GUID;
        file[at..at + 4096].copy_from_slice(header.sealed().as_bytes());
    }
}

/// Puts bytes into the log, from `at` on, around its end.
fn log(file: &mut [u8], at: usize, bytes: &[u8]) {
    for (i, byte) in bytes.iter().enumerate() {
        file[(1 << 20) + (at + i) % (1 << 20)] = *byte;
    }
}

#[test]
fn the_newest_whole_sequence_of_the_log_is_replayed() {
    let model = Model::noise(6 << 20, 6);
    let good = written(&model, &["block_size=1MiB"]);
    let len = good.bytes("d.vhdx").unwrap().len() as u64;
    let data = 4u64 << 20;
    let page = |byte: u8| Some([byte; 4096]);
    let changed = with(&good, |f| {
        dirty(f);
        // An older sequence, not to be replayed; then one of three entries that goes around the end of the log; its first entry
        // was in place already, says its head.
        log(f, 8192, &entry(3, 8192, GUID, len, &[(data, page(1))]));
        let at = (1 << 20) - 8192 - 4096;
        log(f, at, &entry(7, at as u32, GUID, len, &[(data + 8192, page(2))]));
        let second = at + 8192;
        log(f, second, &entry(8, second as u32, GUID, len, &[(data + 4096, page(3)), (data + MIB, None)]));
        let third = (second + 8192) % (1 << 20);
        log(f, third, &entry(9, second as u32, GUID, len, &[(data + 4096, page(4)), (len, None)]));
        // Whole, but of another time.
        log(f, 65536, &entry(12, 65536, [9; 16], len, &[(data, page(5))]));
        // The right one, but torn.
        let mut torn = entry(10, second as u32, GUID, len, &[(data, page(6))]);
        torn[5000] ^= 1;
        log(f, third + 8192, &torn);
    });
    let mut after = model.clone();
    after.bytes[4096..8192].fill(4);
    after.bytes[1 << 20..2 << 20].fill(0);
    let image = open(&changed).unwrap();
    check_source(&*image.disk, &after);
    assert!(image.warnings[0].contains("2 entries"), "{:?}", image.warnings);
    assert!(findings(&changed).contains("2 entries"));
}

#[test]
fn a_log_that_cannot_be_replayed_is_refused() {
    let good = written(&Model::noise(2 << 20, 7), &[]);
    let len = good.bytes("d.vhdx").unwrap().len() as u64;
    let kind = |change: &dyn Fn(&mut Vec<u8>)| {
        let outlet = with(&good, |f| {
            dirty(f);
            change(f);
        });
        open(&outlet).err().map(|e| (e.kind(), e.what().to_owned()))
    };
    let mut torn = entry(1, 0, GUID, len, &[(4 << 20, Some([1; 4096]))]);
    torn[5000] ^= 1;
    let (found, what) = kind(&|f| log(f, 0, &torn)).unwrap();
    assert!(found == Kind::Corrupt && what.contains("no whole entry"), "{what}");
    let (found, what) = kind(&|f| log(f, 0, &entry(1, 0, GUID, len + MIB, &[]))).unwrap();
    assert!(found == Kind::Corrupt && what.contains("cut off"), "{what}");
    // Its tail is not there.
    assert!(kind(&|f| log(f, 0, &entry(1, 4096, GUID, len, &[]))).is_some());
    assert!(kind(&|f| log(f, 0, &entry(1, 0, GUID, len, &[(u64::MAX - 4095, None)]))).is_some());
    assert!(kind(&|f| log(f, 0, &entry(1, 0, GUID, len, &[(77, None)]))).is_some());
    assert_eq!(kind(&|f| log(f, 0, &entry(1, 0, GUID, len, &[]))), None);
    // Entries that all claim the whole log.
    let (found, what) = kind(&|f| {
        let mut one = entry(1, 0, GUID, len, &[]);
        one[8..12].copy_from_slice(&(1u32 << 20).to_le_bytes());
        (0..256).for_each(|i| log(f, i * 4096, &one));
    })
    .unwrap();
    assert!(found == Kind::Limit, "{what}");
}

#[test]
fn a_log_that_was_never_begun_is_damage_and_no_loss() {
    let model = Model::noise(2 << 20, 7);
    // Entries of another time say nothing of this log.
    let old = entry(5, 0, [9; 16], 4 << 20, &[(4 << 20, Some([1; 4096]))]);
    let opened = with(&written(&model, &[]), |f| {
        dirty(f);
        log(f, 0, &old);
    });
    let image = open(&opened).unwrap();
    check_source(&*image.disk, &model);
    assert_eq!(image.damage.len(), 1, "{:?}", image.damage);
    assert!(findings(&opened).contains("nothing is in its log"));
}

/// A differencing disk of 6 MiB over `Base.vhdx` of 5 MiB, in blocks of 1 MiB: the first has sectors of its own, the second is
/// the parent's, the third zeros, the others its own.
fn overlay(keys: &[(&str, &str)]) -> (MemoryOutlet, Model) {
    let base = Model::noise(5 << 20, 9);
    let outlet = written(&base, &["block_size=1MiB"]);
    let parent = outlet.bytes("d.vhdx").unwrap();
    let linkage = uuid::text(&Header::parse(&parent[HEADERS[1] as usize..]).unwrap().data_write_guid);
    outlet.insert("Base.vhdx", parent);
    let own = Model::noise(6 << 20, 10);
    let mut file = written(&own, &["block_size=1MiB"]).bytes("d.vhdx").unwrap();
    let linkage = format!("{{{linkage}}}");
    let mut pairs = vec![("parent_linkage", linkage.as_str())];
    pairs.extend(keys);
    let mut locator = PARENT_KIND.to_vec();
    locator.extend([0, 0, pairs.len() as u8, 0]);
    let mut text: Vec<u8> = Vec::new();
    for (key, value) in &pairs {
        let utf16 = |s: &str| s.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
        let (key, value) = (utf16(key), utf16(value));
        let at = 20 + 12 * pairs.len() + text.len();
        locator.extend((at as u32).to_le_bytes());
        locator.extend(((at + key.len()) as u32).to_le_bytes());
        locator.extend((key.len() as u16).to_le_bytes());
        locator.extend((value.len() as u16).to_le_bytes());
        text.extend(key);
        text.extend(value);
    }
    locator.extend(text);
    file[META + 10] = 6;
    let item = Item {
        id: PARENT,
        offset: U32::new(TABLE as u32 + 4096),
        length: U32::new(locator.len() as u32),
        flags: U32::new(Item::REQUIRED),
        reserved: U32::new(0),
    };
    file[META + 32 * 6..META + 32 * 7].copy_from_slice(item.as_bytes());
    file[META + TABLE + 4096..META + TABLE + 4096 + locator.len()].copy_from_slice(&locator);
    // Has a parent.
    file[META + TABLE + 4] = 2;
    let first = u64::from_le_bytes(file[BAT..BAT + 8].try_into().unwrap()) & !7;
    set_entry(&mut file, 0, first | 7);
    set_entry(&mut file, 1, 0);
    set_entry(&mut file, 2, 2);
    let map = file.len();
    file.resize(map + (1 << 20), 0);
    set_entry(&mut file, 4096, map as u64 | 6);
    // Sectors 0, 2 to 7 and 1000 on are its own.
    file[map] = 0b1111_1101;
    file[map + 125..map + 256].fill(0xFF);
    outlet.insert("d.vhdx", file);
    let mut bytes = base.bytes.clone();
    bytes.resize(6 << 20, 0);
    for range in [0..512, 1024..4096, 1000 * 512..1 << 20, 3 << 20..6 << 20] {
        bytes[range.clone()].copy_from_slice(&own.bytes[range]);
    }
    bytes[2 << 20..3 << 20].fill(0);
    (outlet, Model { bytes, runs: Vec::new(), sector: 512 })
}

#[test]
fn an_overlay_finds_its_parent() {
    for keys in [
        &[("relative_path", ".\\base.vhdx")][..],
        &[("relative_path", "..\\x\\base.vhdx"), ("absolute_win32_path", "\\\\?\\C:\\vm\\nowhere.vhdx")],
        &[("absolute_win32_path", "\\\\?\\C:\\vm\\BASE.vhdx")],
        &[("volume_path", "\\\\?\\Volume{26A21BDA-A627-11D7-9931-806E6F6E6963}\\vm\\base.vhdx")],
    ] {
        let (outlet, model) = overlay(keys);
        let image = open(&outlet).unwrap_or_else(|e| panic!("{keys:?}: {}", e.chain()));
        check_source(&*image.disk, &model);
        assert_eq!((&*image.variant, &*image.chain[0].request.entry.name), ("differencing", "Base.vhdx"));
        assert_eq!(findings(&outlet), "");
    }
}

#[test]
fn a_parent_that_was_written_to_is_refused() {
    let (outlet, _) = overlay(&[("relative_path", "base.vhdx")]);
    outlet.insert("Base.vhdx", written(&Model::noise(5 << 20, 9), &[]).bytes("d.vhdx").unwrap());
    let e = open(&outlet).err().unwrap();
    assert!(e.kind() == Kind::Corrupt && e.what().contains("written to"), "{e}");
    let (outlet, _) = overlay(&[("relative_path", "nowhere.vhdx")]);
    let e = open(&outlet).err().unwrap();
    assert!(e.kind() == Kind::Corrupt && e.what().contains("nowhere.vhdx"), "{e}");
    let (outlet, _) = overlay(&[("relative_path", "d.vhdx")]);
    assert_eq!(open(&outlet).err().unwrap().kind(), Kind::Corrupt);
    // Without the map, nobody knows which sectors are the parent's.
    let (outlet, _) = overlay(&[("relative_path", "base.vhdx")]);
    let bad = with(&outlet, |f| set_entry(f, 4096, 0));
    assert!(findings(&bad).contains("no map of them"));
    assert_eq!(open(&bad).unwrap().disk.read_at(&mut [0; 4], 0).unwrap_err().kind(), Kind::Corrupt);
}
