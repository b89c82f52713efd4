//! Tables that refer to themselves and to each other, lists without end, logs that change everything: each by itself, with what is to
//! become of it.

use super::made::{BAT, Bases, Change, archive, log_entry, octal, seal_vhd, tar, vhdx_region, with_log};
use std::path::{Path, PathBuf};
use tintype_tests::{Forged, Order, tool};

/// An image, with what is said to it.
pub(super) struct Case {
    pub(super) name: &'static str,
    /// Makes it in a folder; its path.
    pub(super) make: fn(&Bases, &Path) -> PathBuf,
    /// The exit statuses of `info`, `verify` and `convert`.
    pub(super) exits: [i32; 3],
    /// What one of them says.
    pub(super) says: &'static str,
}

type Make = fn(&Bases, &Path) -> PathBuf;

/// Good for the one who looks, damage for the one who asks for it, too much for the one who copies.
const TOO_MUCH: [i32; 3] = [0, 1, 3];
/// Not to be opened: that is damage too.
const CORRUPT: [i32; 3] = [3, 1, 3];
/// Not to be opened, since it asks for too much or for what is not known.
const REFUSED: [i32; 3] = [3, 3, 3];
/// Damaged, and readable all the same.
const READABLE: [i32; 3] = [0, 1, 0];

pub(super) fn cases() -> Vec<Case> {
    let list: &[(&'static str, Make, [i32; 3], &'static str)] = &[
        // The longest first, since two work on them.
        ("vhdx: a log of a million changes", log_of_zeros, [0, 0, 0], "entries of its log were replayed"),
        ("simg: two million chunks", simg_chunks, REFUSED, "more than"),
        ("qcow2: one table for all of the disk", qcow2_one_table, TOO_MUCH, "counted"),
        ("qcow2: one block of counts for all of the file", qcow2_one_block, READABLE, "where something else is too"),
        ("qcow2: tables over each other", qcow2_over_each_other, TOO_MUCH, "which is no cluster"),
        ("qcow2: clusters far from each other", qcow2_far, [0, 3, 0], "too far from each other"),
        ("qcow2: the largest disk there is", qcow2_largest, [0, 1, 0], "counted 0 times"),
        ("qcow2: tables in the header", qcow2_in_itself, READABLE, "counted"),
        ("qcow2: as many snapshots as there can be", qcow2_snapshots, READABLE, "65537 times"),
        ("qcow2: bitmaps without end", qcow2_bitmaps, [0, 3, 0], "bitmaps"),
        ("qcow2: compressed, to the end of the file and beyond", qcow2_packed, TOO_MUCH, "cannot be unpacked"),
        ("qcow2: on itself", qcow2_on_itself, CORRUPT, "is a loop"),
        ("qcow2: on one that is on it", qcow2_on_each_other, CORRUPT, "is a loop"),
        ("vmdk: one table for all of the disk", vmdk_one_table, TOO_MUCH, "lie in one place"),
        ("vmdk: a directory of nonsense", vmdk_nonsense, TOO_MUCH, "where the file has none"),
        ("vmdk: one file is all extents", vmdk_one_file, READABLE, "more than once"),
        ("vmdk: a descriptor of a gibibyte", vmdk_long_descriptor, REFUSED, "are the most"),
        ("vmdk: a descriptor of a tebibyte inside", vmdk_descriptor_inside, REFUSED, "are the most"),
        ("vmdk: extents without end", vmdk_zeros, CORRUPT, "longer than 2^63"),
        ("vmdk: grains of 64 MiB", vmdk_long_grains, REFUSED, "compressed grains"),
        ("vmdk: on itself", vmdk_on_itself, CORRUPT, "is a loop"),
        ("vhd: one block for all of the disk", vhd_one_block, TOO_MUCH, "lie over each other"),
        ("vhd: its own parent", vhd_on_itself, CORRUPT, "is a loop"),
        ("vhdx: one block for all of the disk", vhdx_one_block, TOO_MUCH, "lie over each other"),
        ("vhdx: a log that changes everything", log_over_all, CORRUPT, "region tables are damaged"),
        ("vhdx: a log whose entries lie over each other", log_over_itself, REFUSED, "too long"),
        ("vhdx: a log that makes the file endless", log_endless, CORRUPT, "longer than any file"),
        ("vdi: a map in a hole", vdi_hole, TOO_MUCH, "lie over each other"),
        ("vdi: blocks of four gibibytes", vdi_blocks, REFUSED, "longer than anybody writes"),
        ("vdi: its own parent", vdi_on_itself, CORRUPT, "identifier"),
        ("parallels: all clusters in one place", parallels_one_place, TOO_MUCH, "lie over each other"),
        ("parallels: elements without end", parallels_deep, REFUSED, "too many parts"),
        ("parallels: four thousand storages of one file", parallels_storages, [0, 0, 0], "structure is sound"),
        ("parallels: snapshots in a circle", parallels_circle, CORRUPT, "are a loop"),
        ("bochs: one extent for all of the disk", bochs_one_extent, TOO_MUCH, "lie over each other"),
        ("cloop: offsets in a hole", cloop_hole, CORRUPT, "of so many blocks"),
        ("cloop: blocks of 64 MiB", cloop_blocks, [0, 0, 0], "verified"),
        ("simg: a checksum of eight tebibytes of nothing", simg_skip, READABLE, "checksum"),
        ("simg: chunks of nothing", simg_empty, [0, 0, 0], "structure is sound"),
        ("ovf: an entity of entities", ovf_entities, CORRUPT, "a document type"),
        ("ovf: elements inside elements", ovf_deep, REFUSED, "inside each other"),
        ("ovf: elements without end", ovf_many, REFUSED, "has no disk"),
        ("ovf: files without end", ovf_files, REFUSED, "more than 4096 files"),
        ("ovf: a long one", ovf_long, REFUSED, "are the most"),
        ("ova: a manifest that is never done", ova_manifest, READABLE, "is not the file that the manifest means"),
        ("ova: a file of 2^63 bytes", ova_large, CORRUPT, "it was cut off"),
        ("ova: a length that an attribute gives", ova_attribute, CORRUPT, "it was cut off"),
        ("ova: its own disk", ova_in_itself, CORRUPT, "is a loop"),
        ("ova: names without end", ova_names, REFUSED, "names of files"),
    ];
    list.iter().map(|&(name, make, exits, says)| Case { name, make, exits, says }).collect()
}

fn saved(folder: &Path, name: &str, image: &Forged) -> PathBuf {
    let path = folder.join(name);
    image.write(&path);
    path
}

/// An empty QCOW2 of clusters of 2 MiB, and where its L1 table is.
fn large_clusters(folder: &Path) -> (Forged, usize) {
    let path = folder.join("empty");
    tool("qemu-img", &[&"create", &"-q", &"-f", &"qcow2", &"-o", &"cluster_size=2M", &path, &"1T"]).ok();
    let mut image = Forged::read(&path, Order::Big);
    std::fs::remove_file(path).unwrap();
    image.bytes.resize(image.bytes.len().next_multiple_of(2 << 20), 0);
    let l1 = image.get(40, 8) as usize;
    (image, l1)
}

const MIB: usize = 1 << 20;

fn qcow2_one_table(bases: &Bases, folder: &Path) -> PathBuf {
    let mut image = bases.qcow2.clone();
    let l2 = image.get(image.get(40, 8) as usize, 8);
    let (table, entries) = (image.bytes.len().next_multiple_of(4096), 1 << 17);
    let data = image.get((l2 & 0x00ff_ffff_ffff_fe00) as usize, 8);
    for i in 0..512 {
        image.put((l2 & 0x00ff_ffff_ffff_fe00) as usize + 8 * i, 8, if i % 2 == 0 { data } else { 0 });
    }
    let all: Vec<u8> = (0..entries).flat_map(|_| l2.to_be_bytes()).collect();
    image.put_bytes(table, &all).put(24, 8, entries * 512 * 4096).put(36, 4, entries).put(40, 8, table as u64);
    saved(folder, "d.qcow2", &image)
}

fn qcow2_one_block(_: &Bases, folder: &Path) -> PathBuf {
    let (mut image, _) = large_clusters(folder);
    let block = image.get(image.get(48, 8) as usize, 8);
    let counts = [0, 1].repeat(MIB);
    image.put_bytes(block as usize, &counts);
    let table = image.bytes.len();
    let all: Vec<u8> = (0..MIB).flat_map(|_| block.to_be_bytes()).collect();
    image.put_bytes(table, &all).put(48, 8, table as u64).put(56, 4, 4).sparse(1 << 42);
    saved(folder, "d.qcow2", &image)
}

fn qcow2_over_each_other(_: &Bases, folder: &Path) -> PathBuf {
    let (mut image, l1) = large_clusters(folder);
    let table = image.bytes.len();
    image.put_bytes(table, &[0, 0, 0, 0, 0, 0x20, 0, 0].repeat(2 * MIB / 8 * 2));
    let all: Vec<u8> = (1..4096u64).flat_map(|i| (table as u64 + 512 * i).to_be_bytes()).collect();
    image.put_bytes(l1, &all).put(36, 4, 4095).put(24, 8, 4095 << 39);
    saved(folder, "d.qcow2", &image)
}

fn qcow2_far(_: &Bases, folder: &Path) -> PathBuf {
    let path = folder.join("empty");
    tool("qemu-img", &[&"create", &"-q", &"-f", &"qcow2", &"-o", &"cluster_size=512", &path, &"1M"]).ok();
    let mut image = Forged::read(&path, Order::Big);
    // A cluster of each page of counts there could be.
    let (l1, tables) = (1 << 20, 6000u64);
    let at = |i: u64| (l1 as u64 + 8 * tables).next_multiple_of(512) + 512 * i;
    let directory: Vec<u8> = (0..tables).flat_map(|i| at(i).to_be_bytes()).collect();
    let entries: Vec<u8> = (0..tables * 64).flat_map(|i| ((i + 1) << 21).to_be_bytes()).collect();
    image.put_bytes(l1, &directory).put_bytes(at(0) as usize, &entries);
    image.put(40, 8, l1 as u64).put(36, 4, tables).put(24, 8, tables * 64 * 512).sparse(1 << 43);
    saved(folder, "d.qcow2", &image)
}

fn qcow2_largest(_: &Bases, folder: &Path) -> PathBuf {
    let (mut image, _) = large_clusters(folder);
    let table = image.bytes.len() as u64;
    image.put(24, 8, (1 << 63) - 512).put(36, 4, 1 << 24).put(40, 8, table).sparse(table + (1 << 27));
    saved(folder, "d.qcow2", &image)
}

fn qcow2_in_itself(bases: &Bases, folder: &Path) -> PathBuf {
    let mut image = bases.qcow2.clone();
    let l1 = image.get(40, 8);
    // The first table is the directory, the second the header.
    image.put(l1 as usize, 8, l1).put(l1 as usize + 8, 8, 1 << 63);
    saved(folder, "d.qcow2", &image)
}

fn qcow2_snapshots(bases: &Bases, folder: &Path) -> PathBuf {
    let mut image = bases.qcow2.clone();
    let (l1, table) = (image.get(40, 8), image.bytes.len().next_multiple_of(4096));
    let mut list = Forged::new(Vec::with_capacity(8 * MIB), Order::Big);
    for i in 0..65_536u64 {
        let at = list.bytes.len();
        let name = format!("{i:08x}");
        list.put(at, 8, l1).put(at + 8, 4, 1).put(at + 12, 2, 8).put(at + 14, 2, 8).put(at + 36, 4, 16);
        list.put(at + 48, 8, 4096).put_bytes(at + 56, name.as_bytes()).put_bytes(at + 64, name.as_bytes());
    }
    image.put_bytes(table, &list.bytes).put(60, 4, 65_536).put(64, 8, table as u64);
    saved(folder, "d.qcow2", &image)
}

fn qcow2_bitmaps(bases: &Bases, folder: &Path) -> PathBuf {
    let mut image = bases.qcow2.clone();
    let (extension, list_at) = (image.get(100, 4) as usize, image.bytes.len().next_multiple_of(4096));
    let mut list = Forged::new(Vec::with_capacity(4 * MIB), Order::Big);
    for i in 0..65_535u64 {
        let at = list.bytes.len();
        list.put(at, 8, 1 << 30).put(at + 8, 4, u32::MAX.into()).put(at + 16, 1, 1).put(at + 17, 1, 16);
        list.put(at + 18, 2, 8).put(at + 20, 4, 0).put_bytes(at + 24, format!("{i:08x}").as_bytes());
    }
    image.put(extension, 4, 0x2385_2875).put(extension + 4, 4, 24).put(extension + 8, 4, 65_535).put(
        extension + 12,
        4,
        0,
    );
    image.put(extension + 16, 8, list.bytes.len() as u64).put(extension + 24, 8, list_at as u64).put(
        extension + 32,
        8,
        0,
    );
    image.put(88, 8, 1).put_bytes(list_at, &list.bytes).sparse(1 << 36);
    saved(folder, "d.qcow2", &image)
}

fn qcow2_packed(_: &Bases, folder: &Path) -> PathBuf {
    let (mut image, l1) = large_clusters(folder);
    let table = image.bytes.len();
    // As many sectors as can be said, from every place of the file on.
    let all: Vec<u8> =
        (0..2 * MIB as u64 / 8).flat_map(|i| (1u64 << 62 | 0x1fff << 49 | (i * 64)).to_be_bytes()).collect();
    image.put_bytes(table, &all).put(l1, 8, table as u64);
    saved(folder, "d.qcow2", &image)
}

/// A QCOW2 that stands on the image called `below`.
fn standing_on(bases: &Bases, folder: &Path, name: &str, below: &str) -> PathBuf {
    let mut image = bases.qcow2.clone();
    let at = image.get(100, 4) as usize;
    image.put(at, 8, 0).put_bytes(at + 16, below.as_bytes()).put(8, 8, at as u64 + 16).put(16, 4, below.len() as u64);
    saved(folder, name, &image)
}

fn qcow2_on_itself(bases: &Bases, folder: &Path) -> PathBuf {
    standing_on(bases, folder, "d.qcow2", "././d.qcow2")
}

fn qcow2_on_each_other(bases: &Bases, folder: &Path) -> PathBuf {
    standing_on(bases, folder, "e.qcow2", "./d.qcow2");
    standing_on(bases, folder, "d.qcow2", "e.qcow2")
}

/// Where the directory of grains is, and the table that its first entry leads to.
fn directory(image: &Forged) -> (usize, u64) {
    let at = image.get(56, 8) as usize * 512;
    (at, image.get(at, 4))
}

/// A VMDK whose only directory has these entries.
fn with_directory(bases: &Bases, entries: &[u8]) -> Forged {
    let mut image = bases.vmdk.clone();
    let at = image.bytes.len().next_multiple_of(512);
    let sectors = entries.len() as u64 / 4 * 512 * 128;
    image.put_bytes(at, entries).put(56, 8, at as u64 / 512).put(12, 8, sectors).put(48, 8, 0).put(8, 4, 1);
    image
}

fn vmdk_one_table(bases: &Bases, folder: &Path) -> PathBuf {
    let (_, table) = directory(&bases.vmdk);
    let all: Vec<u8> = (0..MIB).flat_map(|_| (table as u32).to_le_bytes()).collect();
    let mut image = with_directory(bases, &all);
    let grain = image.get(64, 8);
    for i in 0..512 {
        image.put(table as usize * 512 + 4 * i, 4, if i % 2 == 0 { grain } else { 0 });
    }
    saved(folder, "d.vmdk", &image)
}

fn vmdk_nonsense(bases: &Bases, folder: &Path) -> PathBuf {
    saved(folder, "d.vmdk", &with_directory(bases, &[0x7f; MIB]))
}

fn vmdk_one_file(bases: &Bases, folder: &Path) -> PathBuf {
    saved(folder, "s.vmdk", &with_directory(bases, &vec![0; MIB]));
    let lines = "RW 128 SPARSE \"s.vmdk\"\n".repeat(40_000);
    descriptor(folder, &lines)
}

/// A descriptor with these lines of extents.
fn descriptor(folder: &Path, lines: &str) -> PathBuf {
    let head = "# Disk DescriptorFile\nversion=1\nCID=00000001\nparentCID=ffffffff\ncreateType=\"custom\"\n";
    let path = folder.join("d.vmdk");
    std::fs::write(&path, format!("{head}{lines}")).unwrap();
    path
}

fn vmdk_long_descriptor(_: &Bases, folder: &Path) -> PathBuf {
    let path = descriptor(folder, "RW 128 ZERO\n");
    std::fs::File::options().write(true).open(&path).unwrap().set_len(1 << 30).unwrap();
    path
}

fn vmdk_descriptor_inside(bases: &Bases, folder: &Path) -> PathBuf {
    let mut image = bases.vmdk.clone();
    image.put(36, 8, 1 << 31).sparse(1 << 41);
    saved(folder, "d.vmdk", &image)
}

fn vmdk_zeros(_: &Bases, folder: &Path) -> PathBuf {
    descriptor(folder, &"RW 18014398509481983 ZERO\n".repeat(40_000))
}

fn vmdk_long_grains(bases: &Bases, folder: &Path) -> PathBuf {
    let mut image = bases.stream.clone();
    image.put(20, 8, 1 << 17);
    saved(folder, "d.vmdk", &image)
}

fn vmdk_on_itself(_: &Bases, folder: &Path) -> PathBuf {
    let text = "# Disk DescriptorFile\nversion=1\nCID=00000001\nparentCID=00000001\nparentFileNameHint=\"d.vmdk\"\n\
                createType=\"custom\"\nRW 128 ZERO\n";
    let path = folder.join("d.vmdk");
    std::fs::write(&path, text).unwrap();
    path
}

fn vhd_one_block(bases: &Bases, folder: &Path) -> PathBuf {
    let mut image = bases.vhd.clone();
    let table = image.get(512 + 16, 8) as usize;
    let block = (0..2).map(|i| image.get(table + 4 * i, 4)).find(|b| *b != 0xffff_ffff).unwrap();
    let (at, entries) = (image.bytes.len() - 512, 1_000_000);
    let all: Vec<u8> = (0..entries).flat_map(|_| (block as u32).to_be_bytes()).collect();
    image.put_bytes(at, &all).put(512 + 16, 8, at as u64).put(512 + 28, 4, entries).put(48, 8, entries << 21);
    let end = image.bytes.len().next_multiple_of(512);
    image.put_bytes(end, &[0; 512]);
    seal_vhd(&mut image);
    saved(folder, "d.vhd", &image)
}

fn vhd_on_itself(bases: &Bases, folder: &Path) -> PathBuf {
    let mut image = bases.vhd.clone();
    let own = image.bytes[68..84].to_vec();
    image.put(60, 4, 4).put_bytes(512 + 40, &own).put_bytes(512 + 64, b"\0d\0.\0v\0h\0d");
    seal_vhd(&mut image);
    saved(folder, "d.vhd", &image)
}

fn vhdx_one_block(bases: &Bases, folder: &Path) -> PathBuf {
    let mut image = bases.vhdx.clone();
    let (old, entry) = vhdx_region(&image, BAT);
    let block = (0..3).map(|i| image.get(old + 8 * i, 8)).find(|b| b & 7 == 6).unwrap();
    let at = image.bytes.len().next_multiple_of(MIB);
    let all: Vec<u8> = (0..4 * MIB / 8).flat_map(|_| block.to_le_bytes()).collect();
    image.put_bytes(at, &all).put(entry + 16, 8, at as u64).put(entry + 24, 4, 4 * MIB as u64);
    let (metadata, _) = vhdx_region(&image, super::made::METADATA);
    let size = (0..image.get(metadata + 10, 2) as usize).map(|i| metadata + 32 + 32 * i);
    let size = size.into_iter().find(|at| image.get(*at, 4) == 0x2FA5_4224).unwrap();
    let size = metadata + image.get(size + 16, 4) as usize;
    // Every 4097th entry is that of a map of sectors.
    image.put(size, 8, 500_000 << 20);
    super::made::seal_vhdx(&mut image);
    saved(folder, "d.vhdx", &image)
}

fn log_of_zeros(bases: &Bases, folder: &Path) -> PathBuf {
    let mut image = bases.vhdx.clone();
    let end = image.bytes.len().next_multiple_of(MIB) as u64;
    let far = (end as usize + 64 * MIB) as u64;
    let changes: Vec<Change> = (0..1_900_000).map(|i| Change::Zeros(far + 8192 * i, 4096)).collect();
    let entry = log_entry(1, &[7; 16], 0, (end, end), &changes);
    with_log(&mut image, 60 * MIB, &[entry]);
    saved(folder, "d.vhdx", &image)
}

fn log_over_all(bases: &Bases, folder: &Path) -> PathBuf {
    let mut image = bases.vhdx.clone();
    let end = image.bytes.len().next_multiple_of(MIB) as u64;
    let changes = [Change::Zeros(0, end), Change::Sector(192 << 10, 0xff), Change::Sector(256 << 10, 0xff)];
    let entry = log_entry(1, &[7; 16], 0, (end, end), &changes);
    with_log(&mut image, MIB, &[entry]);
    saved(folder, "d.vhdx", &image)
}

fn log_over_itself(bases: &Bases, folder: &Path) -> PathBuf {
    const LEN: usize = 16 * MIB;
    let mut image = bases.vhdx.clone();
    let end = image.bytes.len().next_multiple_of(MIB) as u64;
    // In every sector an entry begins that is as long as the log; to prove each would take 64 GiB of sums.
    let mut head = log_entry(1, &[7; 16], 0, (end, end), &[]);
    head[8..12].copy_from_slice(&(LEN as u32).to_le_bytes());
    with_log(&mut image, LEN, &vec![head; LEN / 4096]);
    saved(folder, "d.vhdx", &image)
}

fn log_endless(bases: &Bases, folder: &Path) -> PathBuf {
    let mut image = bases.vhdx.clone();
    let end = image.bytes.len().next_multiple_of(MIB) as u64;
    let entry = log_entry(1, &[7; 16], 0, (end, 1 << 63), &[Change::Zeros(1 << 62, 1 << 63)]);
    with_log(&mut image, MIB, &[entry]);
    saved(folder, "d.vhdx", &image)
}

fn vdi_hole(bases: &Bases, folder: &Path) -> PathBuf {
    let mut image = bases.vdi.clone();
    // 2^30 blocks, and each is the first one.
    image.put(0x154, 4, 64 << 20).put(0x180, 4, 1 << 30).put(0x184, 4, 1 << 30).put(0x170, 8, 1 << 50);
    image.sparse((64 << 20) + (4 << 30));
    saved(folder, "d.vdi", &image)
}

fn vdi_blocks(bases: &Bases, folder: &Path) -> PathBuf {
    let mut image = bases.vdi.clone();
    image.put(0x178, 4, 0xffff_fe00).put(0x17c, 4, 0xffff_fe00).put(0x180, 4, u32::MAX.into());
    image.put(0x170, 8, u64::MAX / 4).sparse(1 << 35);
    saved(folder, "d.vdi", &image)
}

fn vdi_on_itself(bases: &Bases, folder: &Path) -> PathBuf {
    let mut image = bases.vdi.clone();
    let own = image.bytes[0x188..0x198].to_vec();
    image.put(0x4c, 4, 4).put_bytes(0x1a8, &own);
    saved(folder, "d.vdi", &image)
}

fn parallels_one_place(bases: &Bases, folder: &Path) -> PathBuf {
    let mut image = bases.parallels.clone();
    let data = image.get(48, 4) * 512;
    let first = image.get(64, 4);
    // A table of a MiB, and the data behind it; the first cluster for every one.
    let all: Vec<u8> = (0..MIB / 4).flat_map(|_| (first as u32 + 2048).to_le_bytes()).collect();
    let clusters = image.bytes.split_off(data as usize);
    image.bytes.truncate(64);
    image.put_bytes(64, &all).put(32, 4, MIB as u64 / 4).put(36, 8, MIB as u64 / 4 * 128);
    let at = (data + 2048 * 512) as usize;
    image.put_bytes(at, &clusters).put(48, 4, data / 512 + 2048);
    saved(folder, "d.hds", &image)
}

/// A bundle with this inside its descriptor.
fn bundle(folder: &Path, inside: &str) -> PathBuf {
    let bundle = folder.join("d.hdd");
    std::fs::create_dir_all(&bundle).unwrap();
    let text =
        format!("<?xml version='1.0'?>\n<Parallels_disk_image Version=\"1.0\">{inside}</Parallels_disk_image>\n");
    std::fs::write(bundle.join("DiskDescriptor.xml"), text).unwrap();
    bundle
}

const TOP: &str = "{5fbaabe3-6958-40ff-92a7-860e329aab41}";

fn storage(start: usize, end: usize, file: &str) -> String {
    let image = format!("<Image><GUID>{TOP}</GUID><Type>Compressed</Type><File>{file}</File></Image>");
    format!("<Storage><Start>{start}</Start><End>{end}</End>{image}</Storage>")
}

fn parallels_deep(_: &Bases, folder: &Path) -> PathBuf {
    bundle(folder, &"<a>".repeat(1_000_000))
}

fn parallels_storages(_: &Bases, folder: &Path) -> PathBuf {
    // A table of 65536 entries, of which only holes are read.
    let path = folder.join("empty");
    let words: [&dyn AsRef<std::ffi::OsStr>; 7] =
        [&"create", &"-q", &"-f", &"parallels", &"-o", &"cluster_size=64k", &path];
    tool("qemu-img", &words).arg("4G").ok();
    let list: String = (0..4000).map(|i| storage(i << 23, (i + 1) << 23, "d.hds")).collect();
    let bundle = bundle(folder, &format!("<StorageData>{list}</StorageData>"));
    let mut image = Forged::read(&path, Order::Little);
    std::fs::remove_file(path).unwrap();
    // Not all of the table is a hole.
    let data = image.get(48, 4) as usize * 512;
    image.put(64 + 4 * 65_535, 4, data as u64 / 65_536).put_bytes(data, &[0; 65_536]);
    saved(&bundle, "d.hds", &image);
    bundle
}

fn parallels_circle(_: &Bases, folder: &Path) -> PathBuf {
    let shot = |a: &str, b: &str| format!("<Shot><GUID>{a}</GUID><ParentGUID>{b}</ParentGUID></Shot>");
    let shots = format!("{}{}", shot(TOP, "{b}"), shot("{b}", TOP));
    let storage = storage(0, 128, "d.hds");
    bundle(folder, &format!("<StorageData>{storage}</StorageData><Snapshots>{shots}</Snapshots>"))
}

fn bochs_one_extent(bases: &Bases, folder: &Path) -> PathBuf {
    let mut image = bases.bochs.clone();
    let catalog = image.get(0x44, 4) as usize;
    let (bitmap, extent) = (image.get(0x4c, 4), image.get(0x50, 4));
    let (at, entries) = (image.bytes.len().next_multiple_of(512), MIB as u64 / 4);
    image.put_bytes(at, &vec![0; MIB]).put(0x44, 4, at as u64).put(0x48, 4, entries).put(0x58, 8, entries * extent);
    // Extents follow the catalog; of this one every second sector is there.
    let bits = at + MIB;
    image.put_bytes(bits, &vec![0x55; (bitmap as usize).next_multiple_of(512)]);
    let data = image.bytes.len();
    image.put_bytes(data, &vec![7; extent as usize]);
    assert!(catalog < at);
    saved(folder, "d.bochs", &image)
}

fn cloop_hole(bases: &Bases, folder: &Path) -> PathBuf {
    let mut image = bases.cloop.clone();
    image.bytes.truncate(136);
    image.put(132, 4, u32::MAX.into()).sparse(1 << 36);
    saved(folder, "d.cloop", &image)
}

fn cloop_blocks(_: &Bases, folder: &Path) -> PathBuf {
    let (disk, image) = (folder.join("disk"), folder.join("d.cloop"));
    let file = std::fs::File::create(&disk).unwrap();
    file.set_len(192 << 20).unwrap();
    let noise = tintype_core::testing::Model::noise(MIB, 2200).bytes;
    for at in [0u64, 100 << 20, 190 << 20] {
        std::os::unix::fs::FileExt::write_all_at(&file, &noise, at).unwrap();
    }
    tool("create_compressed_fs", &[&"-B", &"67108864", &disk, &image]).ok();
    std::fs::remove_file(disk).unwrap();
    image
}

/// An Android sparse image of blocks of 4096 bytes, from its chunks: kind, blocks, and what follows.
fn simg(folder: &Path, blocks: u64, chunks: impl Iterator<Item = (u64, u64, Vec<u8>)>) -> PathBuf {
    let mut image = Forged::new(Vec::with_capacity(64 * MIB), Order::Little);
    image.put(0, 4, 0xED26_FF3A).put(4, 2, 1).put(8, 2, 28).put(10, 2, 12).put(12, 4, 4096).put(16, 4, blocks);
    image.put(24, 4, 0);
    let mut count = 0;
    for (kind, blocks, body) in chunks {
        let at = image.bytes.len();
        image.put(at, 4, kind).put(at + 4, 4, blocks).put(at + 8, 4, 12 + body.len() as u64).put_bytes(at + 12, &body);
        count += 1;
    }
    image.put(20, 4, count);
    saved(folder, "d.simg", &image)
}

fn simg_chunks(_: &Bases, folder: &Path) -> PathBuf {
    let fills = (0..2_200_000u64).map(|i| (0xCAC2, 1, (i as u32).to_le_bytes().to_vec()));
    simg(folder, 2_200_000, fills.chain([(0xCAC4, 0, vec![0; 4])]))
}

fn simg_skip(_: &Bases, folder: &Path) -> PathBuf {
    simg(folder, 1 << 31, [(0xCAC3, 1 << 31, Vec::new()), (0xCAC4, 0, vec![1; 4])].into_iter())
}

fn simg_empty(_: &Bases, folder: &Path) -> PathBuf {
    simg(folder, 1, (0..500_000).map(|_| (0xCAC3, 0, Vec::new())).chain([(0xCAC2, 1, vec![0; 4])]))
}

fn ovf(folder: &Path, text: &str) -> PathBuf {
    let path = folder.join("d.ovf");
    std::fs::write(&path, text).unwrap();
    path
}

const ENVELOPE: &str = "<Envelope xmlns=\"http://schemas.dmtf.org/ovf/envelope/1\">";

fn ovf_entities(_: &Bases, folder: &Path) -> PathBuf {
    let mut text = "<?xml version=\"1.0\"?>\n<!DOCTYPE a [<!ENTITY e0 \"ha\">".to_owned();
    for i in 1..30 {
        text += &format!("<!ENTITY e{i} \"{}\">", format!("&e{};", i - 1).repeat(10));
    }
    ovf(folder, &format!("{text}]>\n{ENVELOPE}&e29;</Envelope>"))
}

fn ovf_deep(_: &Bases, folder: &Path) -> PathBuf {
    ovf(folder, &format!("{ENVELOPE}{}", "<a>".repeat(1_000_000)))
}

fn ovf_many(_: &Bases, folder: &Path) -> PathBuf {
    ovf(folder, &format!("{ENVELOPE}{}</Envelope>", "<a/>".repeat(1_000_000)))
}

fn ovf_files(_: &Bases, folder: &Path) -> PathBuf {
    let files = "<File href=\"a\"/>".repeat(200_000);
    ovf(folder, &format!("{ENVELOPE}<References>{files}</References></Envelope>"))
}

fn ovf_long(_: &Bases, folder: &Path) -> PathBuf {
    ovf(folder, &format!("{ENVELOPE}{}</Envelope>", " ".repeat(5 << 20)))
}

fn machine(file: &str) -> Vec<u8> {
    let files = format!("<References><File id=\"f\" href=\"{file}\"/></References>");
    let disks = "<DiskSection><Disk diskId=\"d\" fileRef=\"f\"/></DiskSection>";
    format!("{ENVELOPE}{files}{disks}</Envelope>").into_bytes()
}

fn ova_manifest(bases: &Bases, folder: &Path) -> PathBuf {
    // Each line asks for all of the disk, and none is right.
    let lines: String = (0..12_000).map(|i| format!("SHA256({}d.vmdk)= {i:064x}\n", "./".repeat(i % 3))).collect();
    let mut disk = bases.stream.bytes.clone();
    disk.resize(24 * MIB, 0);
    let footer = bases.stream.bytes[bases.stream.bytes.len() - 1536..].to_vec();
    let end = disk.len();
    disk[end - 1536..].copy_from_slice(&footer);
    let bytes = archive(&[("d.ovf", &machine("d.vmdk")), ("d.mf", lines.as_bytes()), ("d.vmdk", &disk)]);
    saved(folder, "d.ova", &Forged::new(bytes, Order::Big))
}

fn ova_large(_: &Bases, folder: &Path) -> PathBuf {
    let size = [0x80, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0];
    let descriptor = machine("d.vmdk");
    let mut bytes = tar(b"d.ovf", b'0', &octal(descriptor.len()), &descriptor);
    bytes.extend(tar(b"d.vmdk", b'0', &size, &[0; 1024]));
    saved(folder, "d.ova", &Forged::new(bytes, Order::Big))
}

fn ova_attribute(_: &Bases, folder: &Path) -> PathBuf {
    let attribute = b"29 size=18446744073709551615\n";
    let mut bytes = tar(b"x", b'x', &octal(attribute.len()), attribute);
    let descriptor = machine("d.vmdk");
    bytes.extend(tar(b"d.ovf", b'0', &octal(descriptor.len()), &descriptor));
    saved(folder, "d.ova", &Forged::new(bytes, Order::Big))
}

fn ova_in_itself(_: &Bases, folder: &Path) -> PathBuf {
    saved(folder, "d.ovf", &Forged::new(machine("d.ovf"), Order::Big))
}

fn ova_names(_: &Bases, folder: &Path) -> PathBuf {
    let mut bytes = Vec::new();
    for i in 0..600 {
        let name = format!("{i:03}{}", "n".repeat(60_000));
        bytes.extend(tar(b"long", b'L', &octal(name.len()), name.as_bytes()));
        bytes.extend(tar(b"short", b'0', &octal(0), &[]));
    }
    saved(folder, "d.ova", &Forged::new(bytes, Order::Big))
}
