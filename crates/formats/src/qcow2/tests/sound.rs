//! What a check has to tell of, and what it must not: images made by hand, as the specification has them.

use super::*;
use tintype_core::Severity;

const CLUSTER: usize = 16 << 10;
/// Bytes of the disk, in one cluster.
const DISK: usize = 10_240;
const COPIED: u64 = 1 << 63;

/// What an image consists of besides its header, a cluster each.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Thing {
    L1,
    RefcountTable,
    RefcountBlock,
    L2,
    Data,
}
const THINGS: [Thing; 5] = [Thing::L1, Thing::RefcountTable, Thing::RefcountBlock, Thing::L2, Thing::Data];

struct Made {
    bytes: Vec<u8>,
    /// Offset of each of the things.
    places: [usize; 5],
}

impl Made {
    /// An image whose disk has one cluster, with `last` at the end of the file.
    fn with_last(last: Thing) -> Self {
        let mut places = [1, 2, 3, 4, 5].map(|n| n * CLUSTER);
        places.swap(last as usize, 4);
        let mut made = Made { bytes: vec![0; 6 * CLUSTER], places };
        made.bytes[..4].copy_from_slice(b"QFI\xfb");
        for (at, value) in [(4, 3), (20, 14), (36, 1), (56, 1), (96, 4), (100, 104)] {
            made.put(at, &u32::to_be_bytes(value));
        }
        let [l1, table, block, l2, data] = places.map(|at| at as u64);
        for (at, value) in [
            (24, DISK as u64),
            (40, l1),
            (48, table),
            (places[0], COPIED | l2),
            (places[1], block),
            (places[3], COPIED | data),
        ] {
            made.put64(at, value);
        }
        made.counts(6);
        let noise = Model::noise(CLUSTER, 1).bytes;
        made.put(places[4], &noise);
        made
    }

    /// The same with extended L2 entries, and the first `count` subclusters allocated.
    fn subclusters(mut self, count: u32) -> Self {
        self.put64(72, 1 << 4);
        self.put64(self.at(Thing::L2) + 8, (1 << count) - 1);
        self
    }

    /// The same with a bitmap, whose directory and table follow.
    fn with_bitmap() -> Self {
        let mut made = Made::with_last(Thing::Data);
        made.bytes.resize(8 * CLUSTER, 0);
        made.put64(88, 1);
        made.put(104, &0x2385_2875_u32.to_be_bytes());
        for (at, value) in [(108, 24), (112, 1)] {
            made.put(at, &u32::to_be_bytes(value));
        }
        made.put64(120, 32);
        made.put64(128, DIRECTORY as u64);
        made.put64(DIRECTORY, 7 * CLUSTER as u64);
        made.put(DIRECTORY + 8, &1u32.to_be_bytes());
        made.put(DIRECTORY + 16, &[1, 16, 0, 1, 0, 0, 0, 0, b'b']);
        made.put64(7 * CLUSTER, 1);
        made.counts(8);
        made
    }

    fn at(&self, thing: Thing) -> usize {
        self.places[thing as usize]
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn put64(&mut self, at: usize, value: u64) {
        self.put(at, &value.to_be_bytes());
    }

    fn counts(&mut self, clusters: usize) {
        self.put(self.at(Thing::RefcountBlock), &[0, 1].repeat(clusters));
    }

    fn damage(&self) -> Vec<Finding> {
        damage(&self.bytes)
    }
}

const DIRECTORY: usize = 6 * CLUSTER;

fn damage(bytes: &[u8]) -> Vec<Finding> {
    let outlet = MemoryOutlet::new();
    outlet.insert("d.qcow2", bytes.to_vec());
    let found = findings(&outlet, "d.qcow2");
    found.into_iter().filter(|f| f.severity == Severity::Damage).collect()
}

#[test]
fn a_file_has_to_have_every_byte_that_is_needed_of_its_last_cluster_and_no_more() {
    for last in THINGS {
        let made = Made::with_last(last);
        let needed = match last {
            Thing::L1 => 8,
            Thing::Data => DISK,
            _ => CLUSTER,
        };
        assert_eq!(damage(&made.bytes[..5 * CLUSTER + needed]), [], "{last:?}");
        for held in [needed - 1, 1] {
            assert!(!damage(&made.bytes[..5 * CLUSTER + held]).is_empty(), "{last:?}, {held} bytes");
        }
    }
    let sub = CLUSTER / 32;
    for (count, needed) in [(4, 4 * sub), (20, DISK), (31, DISK)] {
        let made = Made::with_last(Thing::Data).subclusters(count);
        assert_eq!(damage(&made.bytes[..5 * CLUSTER + needed]), [], "{count}");
        let found = damage(&made.bytes[..5 * CLUSTER + needed - 1]);
        assert_eq!(found.iter().map(|f| f.touches).collect::<Vec<_>>(), [Some((0, CLUSTER as u64))], "{count}");
    }
}

#[test]
fn the_last_sector_of_a_compressed_cluster_need_not_be_whole_but_its_data_has_to() {
    for codec in ["zlib", "zstd"] {
        let model =
            Model { bytes: b"abcdefgh".repeat(8192), runs: vec![Extent::new(0, 65536, State::Data)], sector: 512 };
        let (_, outlet) = round(&model, &[], Some(codec));
        let mut bytes = outlet.bytes("d.qcow2").unwrap();
        let be64 = |bytes: &[u8], at: usize| u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap());
        let l1 = be64(&bytes, 40) as usize;
        let l2 = (be64(&bytes, l1) & !COPIED) as usize;
        let entry = be64(&bytes, l2);
        // At the end of the file, in a cluster that only it needs.
        let (old, end) = ((entry & ((1 << 54) - 1)) as usize, bytes.len().next_multiple_of(65536));
        let packed = bytes[old..old + 512].to_vec();
        let len = packed.iter().rposition(|b| *b != 0).unwrap() + 1;
        assert!(len < 500 && entry >> 54 & 0xff == 0, "it was meant to be in one sector");
        bytes.resize(end, 0);
        bytes.extend_from_slice(&packed);
        bytes[l2..l2 + 8].copy_from_slice(&(entry & !((1 << 54) - 1) | end as u64).to_be_bytes());
        let cut = |len: usize| {
            let found = damage(&bytes[..end + len]);
            found.into_iter().filter(|f| f.what.contains("compressed")).count()
        };
        // The check of a frame may follow what is not zero.
        assert_eq!((cut(512), cut(len + 8), cut(len / 2), cut(1)), (0, 0, 1, 1), "{codec}");
    }
}

#[test]
fn a_data_file_has_to_have_what_is_needed_of_it() {
    let model = Model::noise(200_192, 2);
    for words in [&["data_file=d.data", "cluster_size=16KiB"][..], &["data_file=d.data", "extended_l2=on"]] {
        let (_, outlet) = round(&model, words, None);
        let data = outlet.bytes("d.data").unwrap();
        for (held, at_least) in [(200_191, 1), (0, 2)] {
            outlet.insert("d.data", data[..held].to_vec());
            let found = findings(&outlet, "d.qcow2");
            assert!(found.len() >= at_least, "{words:?} {held}: {found:?}");
            for found in found {
                let (from, len) = found.touches.unwrap();
                assert!(found.severity == Severity::Damage && from + len > held as u64, "{words:?} {held}: {found:?}");
            }
        }
    }
}

#[test]
fn what_cannot_be_of_a_bitmap_is_damage() {
    assert_eq!(Made::with_bitmap().damage(), []);
    for (what, at, value) in [
        ("a longer directory", 127, 40),
        ("no bitmaps in it", 115, 0),
        ("no such kind", DIRECTORY + 16, 7),
        ("too fine", DIRECTORY + 17, 5),
        ("too coarse", DIRECTORY + 17, 32),
        ("a reserved flag", DIRECTORY + 15, 0x10),
        ("the highest reserved flag", DIRECTORY + 12, 0x80),
        ("a table at no cluster", DIRECTORY + 7, 8),
        ("no table", DIRECTORY + 11, 0),
    ] {
        let mut made = Made::with_bitmap();
        made.bytes[at] = value;
        assert!(!made.damage().is_empty(), "{what}");
    }
}

#[test]
fn an_entry_that_is_said_to_be_the_only_one_leads_somewhere() {
    let mut made = Made::with_last(Thing::Data);
    made.put(36, &2u32.to_be_bytes());
    assert_eq!(made.damage(), []);
    made.put64(made.at(Thing::L1) + 8, COPIED);
    assert_eq!(made.damage().len(), 1);
    // In L2 tables nothing follows from it, and qemu-img says nothing.
    let mut made = Made::with_last(Thing::Data);
    made.put64(made.at(Thing::L2) + 8, COPIED);
    assert_eq!(made.damage(), []);
}
