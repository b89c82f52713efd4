//! Images as other programs make them, to be forged; and what has to be computed anew when a number in them has changed.

use std::path::{Path, PathBuf};
use tintype_tests::{Forged, Layout, Order, Scratch, assert_same, crc32c, sample_file, tool};

/// One image of each format, of a disk of 3 MiB that is half noise.
pub(super) struct Bases {
    pub(super) qcow2: Forged,
    pub(super) qcow: Forged,
    pub(super) qed: Forged,
    pub(super) vmdk: Forged,
    pub(super) stream: Forged,
    pub(super) vhd: Forged,
    pub(super) vhdx: Forged,
    pub(super) vdi: Forged,
    pub(super) parallels: Forged,
    pub(super) bochs: Forged,
    pub(super) cloop: Forged,
}

/// `qemu-img convert` of the disk.
fn converted(scratch: &Scratch, disk: &Path, format: &str, options: &str, order: Order) -> Forged {
    let path = scratch.join(format!("base.{format}"));
    let mut run = tool("qemu-img", &[&"convert", &"-q", &"-f", &"raw", &"-O", &format]);
    if !options.is_empty() {
        run = run.args(["-o", options]);
    }
    run.arg(disk).arg(&path).ok();
    let forged = Forged::read(&path, order);
    std::fs::remove_file(path).unwrap();
    forged
}

impl Bases {
    pub(super) fn new(scratch: &Scratch) -> Self {
        let (disk, _) = sample_file(scratch, "disk.raw", 3 << 20, 2000, Layout::Sparse);
        let made = |format: &str, options: &str, order: Order| converted(scratch, &disk, format, options, order);
        let (bochs, cloop) = (scratch.join("d.bochs"), scratch.join("d.cloop"));
        // bximage knows only whole cylinders.
        let (round, _) = sample_file(scratch, "round.raw", 516_096 * 6, 2001, Layout::Sparse);
        tool("bximage", &[&"-q", &"-func=convert", &"-imgmode=growing", &round, &bochs]).ok();
        tool("create_compressed_fs", &[&disk, &cloop]).ok();
        Bases {
            qcow2: made("qcow2", "cluster_size=4k", Order::Big),
            qcow: made("qcow", "", Order::Big),
            qed: made("qed", "", Order::Little),
            vmdk: made("vmdk", "", Order::Little),
            stream: made("vmdk", "subformat=streamOptimized", Order::Little),
            vhd: made("vpc", "subformat=dynamic,force_size=on", Order::Big),
            vhdx: made("vhdx", "block_size=1M", Order::Little),
            vdi: made("vdi", "", Order::Little),
            parallels: made("parallels", "cluster_size=64k", Order::Little),
            bochs: Forged::read(&bochs, Order::Little),
            cloop: Forged::read(&cloop, Order::Big),
        }
    }
}

/// The sum that VHD has: the complement of that of all bytes, its own being none.
fn vhd_sum(bytes: &[u8], own: usize) -> u64 {
    let sum: u32 =
        bytes.iter().enumerate().filter(|(i, _)| !(own..own + 4).contains(i)).map(|(_, b)| u32::from(*b)).sum();
    u64::from(!sum)
}

/// Footer and header of a dynamic VHD with the sums that belong to them; the last footer is that at the start.
pub(super) fn seal_vhd(image: &mut Forged) {
    let header = vhd_sum(&image.bytes[512..1536], 36);
    image.put(512 + 36, 4, header);
    let footer = vhd_sum(&image.bytes[..512], 64);
    image.put(64, 4, footer);
    let (footer, end) = (image.bytes[..512].to_vec(), image.bytes.len() - 512);
    image.put_bytes(end, &footer);
}

const HEADERS: [usize; 2] = [64 << 10, 128 << 10];
const REGIONS: [usize; 2] = [192 << 10, 256 << 10];

/// Where the header of a VHDX is that holds.
pub(super) fn vhdx_header(image: &Forged) -> usize {
    HEADERS.into_iter().max_by_key(|at| image.get(at + 8, 8)).unwrap()
}

/// Where the region with this first word of its identifier lies, and where its entry is.
pub(super) fn vhdx_region(image: &Forged, first: u64) -> (usize, usize) {
    let entries = (0..image.get(REGIONS[0] + 8, 4) as usize).map(|i| REGIONS[0] + 16 + 32 * i);
    let entry = entries.into_iter().find(|at| image.get(*at, 4) == first).unwrap();
    (image.get(entry + 16, 8) as usize, entry)
}

pub(super) const BAT: u64 = 0x2DC2_7766;
pub(super) const METADATA: u64 = 0x8B7C_A206;

/// A sum with four bytes at `at + 4` for itself.
fn seal_crc(image: &mut Forged, at: usize, len: usize) {
    image.put(at + 4, 4, 0);
    let sum = crc32c(image.bytes[at..at + len].iter().copied());
    image.put(at + 4, 4, sum.into());
}

/// Headers and region tables of a VHDX with the sums that belong to them; both region tables say what the first one does.
pub(super) fn seal_vhdx(image: &mut Forged) {
    for at in HEADERS {
        seal_crc(image, at, 4096);
    }
    let regions = image.bytes[REGIONS[0]..REGIONS[0] + (64 << 10)].to_vec();
    image.put_bytes(REGIONS[1], &regions);
    for at in REGIONS {
        seal_crc(image, at, 64 << 10);
    }
}

/// What an entry of a log changes.
#[derive(Clone, Copy)]
pub(super) enum Change {
    /// A sector of this byte, at an offset.
    Sector(u64, u8),
    /// So many zeros, at an offset.
    Zeros(u64, u64),
}

/// An entry of a log: its bytes, and the sum that belongs to them.
pub(super) fn log_entry(number: u64, guid: &[u8], tail: u64, lens: (u64, u64), changes: &[Change]) -> Vec<u8> {
    let mut entry = Forged::new(Vec::new(), Order::Little);
    let head = (64 + 32 * changes.len()).next_multiple_of(4096);
    entry.put_bytes(0, b"loge").put(12, 4, tail).put(16, 8, number).put(24, 4, changes.len() as u64);
    entry.put_bytes(32, guid).put(48, 8, lens.0).put(56, 8, lens.1);
    let mut data = head;
    for (i, change) in changes.iter().enumerate() {
        let at = 64 + 32 * i;
        entry.put(at + 24, 8, number);
        match *change {
            Change::Zeros(offset, len) => entry.put_bytes(at, b"zero").put(at + 8, 8, len).put(at + 16, 8, offset),
            Change::Sector(offset, byte) => {
                entry.put_bytes(at, b"desc").put_bytes(at + 4, &[byte; 12]).put(at + 16, 8, offset);
                entry.put_bytes(data, &[byte; 4096]).put_bytes(data, b"data").put(data + 4, 4, number >> 32);
                entry.put(data + 4092, 4, number & 0xffff_ffff);
                data += 4096;
                &mut entry
            }
        };
    }
    entry.bytes.resize(data, 0);
    entry.put(8, 4, data as u64);
    seal_crc(&mut entry, 0, data);
    entry.bytes
}

/// Gives a VHDX a log of `len` bytes at its end that begins with these entries; the log's identifier is sixteen sevens.
pub(super) fn with_log(image: &mut Forged, len: usize, entries: &[Vec<u8>]) {
    let (at, header) = (image.bytes.len().next_multiple_of(1 << 20), vhdx_header(image));
    image.bytes.resize(at + len, 0);
    image.len = image.bytes.len() as u64;
    image.put_bytes(header + 48, &[7; 16]).put(header + 68, 4, len as u64).put(header + 72, 8, at as u64);
    let mut next = at;
    for entry in entries {
        image.put_bytes(next, entry);
        next += entry.len();
    }
    seal_vhdx(image);
}

/// A file of an archive, with the header that belongs to it.
pub(super) fn tar(name: &[u8], kind: u8, size: &[u8; 12], content: &[u8]) -> Vec<u8> {
    let mut header = vec![0u8; 512];
    header[..name.len()].copy_from_slice(name);
    header[124..136].copy_from_slice(size);
    header[148..156].fill(b' ');
    header[156] = kind;
    header[257..263].copy_from_slice(b"ustar\0");
    let sum: u32 = header.iter().map(|b| u32::from(*b)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header.extend_from_slice(content);
    header.resize(header.len().next_multiple_of(512), 0);
    header
}

/// The length of a file as archives write it.
pub(super) fn octal(len: usize) -> [u8; 12] {
    format!("{len:011o}\0").into_bytes().try_into().unwrap()
}

/// An archive of these files.
pub(super) fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes: Vec<u8> =
        files.iter().flat_map(|(name, c)| tar(name.as_bytes(), b'0', &octal(c.len()), c)).collect();
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

/// A chain that can be made as long as one wants.
pub(super) struct Chain {
    pub(super) name: &'static str,
    /// Makes so many images in a folder; the path of the top.
    pub(super) make: fn(&Path, usize) -> PathBuf,
    /// Whether a raw file holds what the top of a chain has to hold.
    pub(super) same: fn(&Path, &Path),
}

/// Blocks of the disk of a chain.
const BLOCKS: usize = 512;
/// Bytes of each.
const BLOCK: usize = 4096;

/// Whether the image with this number, the top being 0, holds a block: few do, and never two in a row.
fn holds(level: usize, block: usize) -> bool {
    (level * 7919 + block * 104_729 + level * block * 31).is_multiple_of(17)
}

fn expected(top: &Path) -> PathBuf {
    top.with_file_name("expected.raw")
}

/// Writes what a chain of so many images holds.
fn expect(folder: &Path, levels: usize) {
    let mut bytes = vec![0; BLOCKS * BLOCK];
    for (block, part) in bytes.chunks_mut(BLOCK).enumerate() {
        if let Some(level) = (0..levels).find(|level| holds(*level, block)) {
            part.fill(level as u8 | 1);
        }
    }
    std::fs::write(folder.join("expected.raw"), bytes).unwrap();
}

fn as_expected(top: &Path, out: &Path) {
    assert_same(expected(top), out);
}

pub(super) fn chains() -> [Chain; 5] {
    [
        Chain { name: "vdi", make: vdi_chain, same: as_expected },
        Chain { name: "vhd", make: vhd_chain, same: as_expected },
        Chain { name: "qcow2", make: qcow2_chain, same: as_expected },
        Chain { name: "qed", make: qed_chain, same: as_expected },
        Chain { name: "vmdk", make: vmdk_chain, same: as_expected },
    ]
}

/// An empty image of a disk of all blocks, as qemu-img makes it.
fn empty(folder: &Path, format: &str, options: &str, len: usize, order: Order) -> Forged {
    let path = folder.join("empty");
    let mut run = tool("qemu-img", &[&"create", &"-q", &"-f", &format]);
    if !options.is_empty() {
        run = run.args(["-o", options]);
    }
    run.arg(&path).arg(len.to_string()).ok();
    let forged = Forged::read(&path, order);
    std::fs::remove_file(path).unwrap();
    forged
}

fn vdi_chain(folder: &Path, levels: usize) -> PathBuf {
    expect(folder, levels);
    let base = empty(folder, "vdi", "", 3 << 20, Order::Little);
    for level in 0..levels {
        let mut image = base.clone();
        image.bytes.truncate(512);
        let here: Vec<usize> = (0..BLOCKS).filter(|b| holds(level, *b)).collect();
        let data = 512 + 4 * BLOCKS;
        image.put(0x4c, 4, if level + 1 == levels { 1 } else { 4 });
        image.put(0x154, 4, 512).put(0x158, 4, data as u64).put(0x170, 8, (BLOCKS * BLOCK) as u64);
        image.put(0x178, 4, BLOCK as u64).put(0x180, 4, BLOCKS as u64).put(0x184, 4, here.len() as u64);
        // Its own identifier, that of its last change, and the same of its parent.
        for (at, number) in [(0x188, level), (0x198, level), (0x1a8, level + 1), (0x1b8, level + 1)] {
            let none = at >= 0x1a8 && level + 1 == levels;
            image.put_bytes(at, &[if none { 0 } else { 9 }; 16]).put(at, 4, if none { 0 } else { number as u64 + 1 });
        }
        image.put_bytes(512, &[0xff; 4 * BLOCKS]);
        for (i, block) in here.into_iter().enumerate() {
            image.put(512 + 4 * block, 4, i as u64).put_bytes(data + i * BLOCK, &[level as u8 | 1; BLOCK]);
        }
        image.len = image.bytes.len() as u64;
        image.write(&folder.join(format!("{level}.vdi")));
    }
    folder.join("0.vdi")
}

fn vhd_chain(folder: &Path, levels: usize) -> PathBuf {
    expect(folder, levels);
    let base = empty(folder, "vpc", "subformat=dynamic,force_size=on", 3 << 20, Order::Big);
    for level in 0..levels {
        let mut image = base.clone();
        let last = level + 1 == levels;
        let here: Vec<usize> = (0..BLOCKS).filter(|b| holds(level, *b)).collect();
        let (table, data) = (1536, 1536 + 4 * BLOCKS);
        image.bytes.truncate(1536);
        image.put(48, 8, (BLOCKS * BLOCK) as u64).put(60, 4, if last { 3 } else { 4 });
        image.put_bytes(68, &[9; 16]).put(68, 4, level as u64);
        image.put(512 + 16, 8, table).put(512 + 28, 4, BLOCKS as u64).put(512 + 32, 4, BLOCK as u64);
        image.put_bytes(512 + 40, &[9; 16]).put(512 + 40, 4, level as u64 + 1);
        let parent: Vec<u8> = format!("{}.vhd", level + 1).encode_utf16().flat_map(u16::to_be_bytes).collect();
        image.put_bytes(512 + 64, &parent);
        image.put_bytes(table as usize, &[0xff; 4 * BLOCKS]);
        for (i, block) in here.iter().enumerate() {
            let at = data + i * (BLOCK + 512);
            image.put(table as usize + 4 * block, 4, at as u64 / 512).put_bytes(at, &[0xff; 512]);
            image.put_bytes(at + 512, &[level as u8 | 1; BLOCK]);
        }
        let end = data + here.len() * (BLOCK + 512);
        image.put_bytes(end, &[0; 512]);
        seal_vhd(&mut image);
        image.len = image.bytes.len() as u64;
        image.write(&folder.join(format!("{level}.vhd")));
    }
    folder.join("0.vhd")
}

/// Every image has one cluster, compressed.
fn qcow2_chain(folder: &Path, levels: usize) -> PathBuf {
    const CLUSTER: usize = 64 << 10;
    let plain = folder.join("plain");
    let bytes: Vec<u8> = (0..CLUSTER).map(|i| (i / 1000) as u8).collect();
    std::fs::write(&plain, &bytes).unwrap();
    let path = folder.join("one");
    tool("qemu-img", &[&"convert", &"-c", &"-f", &"raw", &"-O", &"qcow2", &"-o", &"cluster_size=64k", &plain, &path])
        .ok();
    let base = Forged::read(&path, Order::Big);
    let l2 = (base.get(base.get(40, 8) as usize, 8) & 0x00ff_ffff_ffff_fe00) as usize;
    let entry = base.get(l2, 8);
    let expected = std::fs::File::create(folder.join("expected.raw")).unwrap();
    expected.set_len((levels * CLUSTER) as u64).unwrap();
    for level in 0..levels {
        let mut image = base.clone();
        image.put(24, 8, (levels * CLUSTER) as u64).put(l2, 8, 0).put(l2 + 8 * level, 8, entry);
        if level + 1 < levels {
            let name = format!("{}.qcow2", level + 1);
            let at = base.get(100, 4) as usize + 1024;
            image.put(8, 8, at as u64).put(16, 4, name.len() as u64).put_bytes(at, name.as_bytes());
            // What stands between header and name are extensions; there are none.
            image.put(base.get(100, 4) as usize, 8, 0);
        }
        std::os::unix::fs::FileExt::write_all_at(&expected, &bytes, (level * CLUSTER) as u64).unwrap();
        tintype_tests::write_sparse(folder.join(format!("{level}.qcow2")), &image.bytes);
    }
    folder.join("0.qcow2")
}

fn qed_chain(folder: &Path, levels: usize) -> PathBuf {
    expect(folder, levels);
    let base = empty(folder, "qed", "cluster_size=4k,table_size=1", BLOCKS * BLOCK, Order::Little);
    for level in 0..levels {
        let mut image = base.clone();
        let here: Vec<usize> = (0..BLOCKS).filter(|b| holds(level, *b)).collect();
        let l1 = image.get(40, 8) as usize;
        let l2 = l1 + BLOCK;
        image.bytes.truncate(l1);
        if level + 1 < levels {
            let name = format!("{}.qed", level + 1);
            image.put(16, 8, 1).put(56, 4, 1024).put(60, 4, name.len() as u64).put_bytes(1024, name.as_bytes());
        }
        image.put_bytes(l1, &[0; 2 * BLOCK]).put(l1, 8, l2 as u64);
        for (i, block) in here.into_iter().enumerate() {
            let at = l2 + BLOCK + i * BLOCK;
            image.put(l2 + 8 * block, 8, at as u64).put_bytes(at, &[level as u8 | 1; BLOCK]);
        }
        image.len = image.bytes.len() as u64;
        image.write(&folder.join(format!("{level}.qed")));
    }
    folder.join("0.qed")
}

fn vmdk_chain(folder: &Path, levels: usize) -> PathBuf {
    expect(folder, levels);
    for level in 0..levels {
        let here: Vec<usize> = (0..BLOCKS).filter(|b| holds(level, *b)).collect();
        let mut image = Forged::new(Vec::new(), Order::Little);
        let (grain, table) = (BLOCK as u64 / 512, 2048usize);
        let data = table + 4 * BLOCKS;
        image.put_bytes(0, b"KDMV").put(4, 4, 1).put(8, 4, 1).put(12, 8, (BLOCKS * BLOCK / 512) as u64);
        image.put(20, 8, grain).put(28, 8, 1).put(36, 8, 2).put(44, 4, BLOCKS as u64).put(56, 8, 3);
        image.put(64, 8, data as u64 / 512).put_bytes(73, b"\n \r\n").put_bytes(79, &[0; 433]);
        let parent = match level + 1 < levels {
            true => format!("parentCID=00000001\nparentFileNameHint=\"{}.vmdk\"\n", level + 1),
            false => "parentCID=ffffffff\n".to_owned(),
        };
        let text = format!(
            "# Disk DescriptorFile\nversion=1\nCID=00000001\n{parent}createType=\"monolithicSparse\"\nRW {} SPARSE \"{level}.vmdk\"\n",
            BLOCKS * BLOCK / 512
        );
        image.put_bytes(512, text.as_bytes()).put(1536, 4, table as u64 / 512).put_bytes(table, &[0; 4 * BLOCKS]);
        for (i, block) in here.into_iter().enumerate() {
            let at = data + i * BLOCK;
            image.put(table + 4 * block, 4, at as u64 / 512).put_bytes(at, &[level as u8 | 1; BLOCK]);
        }
        image.len = image.bytes.len() as u64;
        image.write(&folder.join(format!("{level}.vmdk")));
    }
    folder.join("0.vmdk")
}
