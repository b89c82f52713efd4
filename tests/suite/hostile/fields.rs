//! Which numbers the headers of each format have, to put every edge into every one of them.

use super::made::{self, BAT, Bases, Change, METADATA, log_entry, vhdx_header, vhdx_region, with_log};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use tintype_tests::{Forged, Layout, Order, Scratch, sample_file, tool};

/// A number in an image: its name, where it is, and how many bytes it has.
type Field = (&'static str, usize, usize);

/// A kind of image, with its numbers.
pub(super) struct Kind {
    pub(super) name: &'static str,
    image: Forged,
    fields: Vec<Field>,
    /// Makes sums anew.
    seal: fn(&mut Forged),
}

/// What is put into a number of so many bytes.
fn edges(width: usize, now: u64) -> Vec<u64> {
    let all = match width {
        8 => u64::MAX,
        _ => (1 << (8 * width)) - 1,
    };
    let mut list = vec![0, 1, 2, 3, 512, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff];
    list.extend([0x7fff_ffff, 0x8000_0000, 0xffff_fe00, 0xffff_ffff, 1 << 40, 1 << 62, i64::MAX as u64, 1 << 63]);
    list.extend([u64::MAX - 511, u64::MAX, now.wrapping_add(1), now.wrapping_sub(1), now.wrapping_mul(2)]);
    let mut list: Vec<u64> = list.into_iter().filter(|v| *v <= all && *v != now).collect();
    list.sort_unstable();
    list.dedup();
    // Of a number of four bytes, the small edges are those of smaller numbers.
    let dull =
        |v: &u64| width < 4 || !(4..0x7fff_0000).contains(v) || v.abs_diff(now) == 1 || *v == now * 2 || *v == 512;
    list.retain(dull);
    list
}

impl Kind {
    /// Shows `each` the image with every edge in every field.
    pub(super) fn sweep(&self, folder: &Path, each: &mut dyn FnMut(&Path, &str)) {
        let path = folder.join(self.name);
        self.image.write(&path);
        let file = File::options().write(true).open(&path).unwrap();
        for &(field, at, width) in &self.fields {
            for value in edges(width, self.image.get(at, width)) {
                let mut image = self.image.clone();
                image.put(at, width, value);
                (self.seal)(&mut image);
                // Only what has changed is written.
                let put = |image: &Forged, other: &Forged| {
                    for (i, (a, b)) in image.bytes.chunks(4096).zip(other.bytes.chunks(4096)).enumerate() {
                        if a != b {
                            file.write_all_at(a, i as u64 * 4096).unwrap();
                        }
                    }
                };
                put(&image, &self.image);
                each(&path, &format!("{}: {field} is {value:#x}", self.name));
                put(&self.image, &image);
            }
        }
    }
}

pub(super) fn kinds(scratch: &Scratch) -> Vec<Kind> {
    let bases = Bases::new(scratch);
    let nothing: fn(&mut Forged) = |_| {};
    let kind = |name, image, fields, seal| Kind { name, image, fields, seal };
    let mut kinds = vec![
        // The largest first, since two work on them.
        qcow2(scratch),
        vhdx(&bases, "d.vhdx"),
        vhdx_log(&bases),
    ];
    let vmdk_fields = |image: &Forged| {
        let mut fields = vmdk_header(0);
        let directory = image.get(56, 8) as usize * 512;
        fields.push(("directory", directory, 4));
        fields.push(("table", image.get(directory, 4) as usize * 512, 4));
        fields
    };
    kinds.push(kind("d.vmdk", bases.vmdk.clone(), vmdk_fields(&bases.vmdk), nothing));
    // QEMU writes the directory where the header says, so that there is no footer.
    let mut fields = vmdk_header(0);
    let directory = bases.stream.get(56, 8) as usize * 512;
    let table = bases.stream.get(directory, 4) as usize * 512;
    let grain = bases.stream.get(table, 4) as usize * 512;
    fields.extend([("directory", directory, 4), ("table", table, 4), ("lba", grain, 8), ("size", grain + 8, 4)]);
    kinds.push(kind("stream.vmdk", bases.stream.clone(), fields, nothing));
    kinds.push(kind("d.vhd", bases.vhd.clone(), vhd(), made::seal_vhd));
    // The same as a differencing disk, whose parent is looked for.
    let mut child = bases.vhd.clone();
    child.put(60, 4, 4).put_bytes(512 + 64, b"\0n\0o\0n\0e");
    child.put_bytes(512 + 576, b"W2ru").put(512 + 584, 4, 20).put(512 + 592, 8, 1024);
    made::seal_vhd(&mut child);
    kinds.push(kind("child.vhd", child, vhd(), made::seal_vhd));
    let mut fields = vec![("version", 0x44, 4), ("header", 0x48, 4), ("type", 0x4c, 4), ("flags", 0x50, 4)];
    fields.extend([("blocks at", 0x154, 4), ("data at", 0x158, 4), ("sector", 0x168, 4), ("disk", 0x170, 8)]);
    fields.extend([("block", 0x178, 4), ("extra", 0x17c, 4), ("blocks", 0x180, 4), ("allocated", 0x184, 4)]);
    fields.push(("map", bases.vdi.get(0x154, 4) as usize, 4));
    kinds.push(kind("d.vdi", bases.vdi.clone(), fields, nothing));
    let fields = vec![
        ("version", 16, 4),
        ("tracks", 28, 4),
        ("entries", 32, 4),
        ("sectors", 36, 8),
        ("in use", 44, 4),
        ("data", 48, 4),
        ("flags", 52, 4),
        ("extension", 56, 8),
        ("table", 64, 4),
    ];
    kinds.push(kind("d.hds", bases.parallels.clone(), fields.clone(), nothing));
    let mut old = bases.parallels.clone();
    old.put_bytes(0, b"WithoutFreeSpace");
    kinds.push(kind("old.hds", old, fields, nothing));
    let (l1, l2) = levels(&bases.qed, 40, u64::MAX);
    let mut fields = vec![("cluster", 4, 4), ("table", 8, 4), ("header", 12, 4), ("features", 16, 8), ("l1", 40, 8)];
    fields.extend([
        ("size", 48, 8),
        ("name at", 56, 4),
        ("name", 60, 4),
        ("an L1 entry", l1, 8),
        ("an L2 entry", l2, 8),
    ]);
    kinds.push(kind("d.qed", bases.qed.clone(), fields, nothing));
    let (l1, l2) = levels(&bases.qcow, 40, u64::MAX);
    let mut fields = vec![("name at", 8, 8), ("name", 16, 4), ("size", 24, 8), ("cluster", 32, 1), ("l2 bits", 33, 1)];
    fields.extend([("crypt", 36, 4), ("l1", 40, 8), ("an L1 entry", l1, 8), ("an L2 entry", l2, 8)]);
    kinds.push(kind("d.qcow", bases.qcow.clone(), fields, nothing));
    let mut fields = vec![("version", 0x40, 4), ("header", 0x44, 4), ("catalog", 0x48, 4), ("bitmap", 0x4c, 4)];
    fields.extend([("extent", 0x50, 4), ("time", 0x54, 4), ("disk", 0x58, 8)]);
    fields.push(("an extent", bases.bochs.get(0x44, 4) as usize, 4));
    kinds.push(kind("d.bochs", bases.bochs.clone(), fields, nothing));
    let fields = vec![("block", 128, 4), ("blocks", 132, 4), ("an offset", 136, 8), ("the next", 144, 8)];
    kinds.push(kind("d.cloop", bases.cloop.clone(), fields, nothing));
    kinds.push(simg(scratch));
    kinds
}

fn vmdk_header(at: usize) -> Vec<Field> {
    let fields = [
        ("version", 4, 4),
        ("flags", 8, 4),
        ("capacity", 12, 8),
        ("grain", 20, 8),
        ("descriptor", 28, 8),
        ("descriptor's size", 36, 8),
        ("entries", 44, 4),
        ("rgd", 48, 8),
        ("gd", 56, 8),
        ("overhead", 64, 8),
        ("compression", 77, 2),
    ];
    fields.map(|(name, field, width)| (name, at + field, width)).to_vec()
}

fn vhd() -> Vec<Field> {
    vec![
        ("features", 8, 4),
        ("version", 12, 4),
        ("header at", 16, 8),
        ("creator", 28, 4),
        ("size", 48, 8),
        ("cylinders", 56, 2),
        ("type", 60, 4),
        ("table at", 512 + 16, 8),
        ("header's version", 512 + 24, 4),
        ("entries", 512 + 28, 4),
        ("block", 512 + 32, 4),
        ("locator's length", 512 + 584, 4),
        ("locator", 512 + 592, 8),
        ("a block", 1536, 4),
    ]
}

/// Where the first used entries of two levels of tables are, `mask` of an entry being its offset.
fn levels(image: &Forged, l1_at: usize, mask: u64) -> (usize, usize) {
    let used = |from: usize| (0..512).map(|i| from + 8 * i).find(|at| image.get(*at, 8) != 0).unwrap();
    let l1 = used(image.get(l1_at, 8) as usize);
    (l1, used((image.get(l1, 8) & mask) as usize))
}

/// With a snapshot and a bitmap.
fn qcow2(scratch: &Scratch) -> Kind {
    let (disk, _) = sample_file(scratch, "small.raw", 256 << 10, 2100, Layout::Full);
    let path = scratch.join("full.qcow2");
    let options = "cluster_size=4k,compression_type=zlib";
    tool("qemu-img", &[&"convert", &"-f", &"raw", &"-O", &"qcow2", &"-o", &options, &disk, &path]).ok();
    tool("qemu-img", &[&"snapshot", &"-c", &"one", &path]).ok();
    tool("qemu-img", &[&"bitmap", &"--add", &"-g", &"4k", &path, &"b0"]).ok();
    let mut image = Forged::read(&path, Order::Big);
    let (l1, l2) = levels(&image, 40, 0x00ff_ffff_ffff_fe00);
    let counts = image.get(image.get(48, 8) as usize, 8) as usize;
    let snapshot = image.get(64, 8) as usize;
    let mut extension = image.get(100, 4) as usize;
    while image.get(extension, 4) != 0x2385_2875 {
        extension += 8 + (image.get(extension + 4, 4) as usize).next_multiple_of(8);
    }
    let bitmap = image.get(extension + 24, 8) as usize;
    // One of the clusters is compressed, or says so.
    image.put(l2 + 8, 8, 1 << 62 | 0x1000);
    let fields = vec![
        ("version", 4, 4),
        ("name at", 8, 8),
        ("name", 16, 4),
        ("cluster", 20, 4),
        ("size", 24, 8),
        ("crypt", 32, 4),
        ("l1's size", 36, 4),
        ("l1", 40, 8),
        ("counts", 48, 8),
        ("counts' size", 56, 4),
        ("snapshots", 60, 4),
        ("snapshots at", 64, 8),
        ("incompatible", 72, 8),
        ("autoclear", 88, 8),
        ("order", 96, 4),
        ("header", 100, 4),
        ("an extension", image.get(100, 4) as usize + 4, 4),
        ("bitmaps", extension + 8, 4),
        ("bitmaps' size", extension + 16, 8),
        ("bitmaps at", extension + 24, 8),
        ("an L1 entry", l1, 8),
        ("an L2 entry", l2, 8),
        ("a compressed cluster", l2 + 8, 8),
        ("a block of counts", image.get(48, 8) as usize, 8),
        ("a count", counts, 2),
        ("snapshot's L1", snapshot, 8),
        ("snapshot's L1's size", snapshot + 8, 4),
        ("snapshot's id", snapshot + 12, 2),
        ("snapshot's name", snapshot + 14, 2),
        ("snapshot's extra", snapshot + 36, 4),
        ("snapshot's size", snapshot + 48, 8),
        ("bitmap's table", bitmap, 8),
        ("bitmap's size", bitmap + 8, 4),
        ("bitmap's flags", bitmap + 12, 4),
        ("bitmap's kind", bitmap + 16, 1),
        ("bitmap's bits", bitmap + 17, 1),
        ("bitmap's name", bitmap + 18, 2),
        ("bitmap's extra", bitmap + 20, 4),
        ("bitmap's part", image.get(bitmap, 8) as usize, 8),
    ];
    Kind { name: "d.qcow2", image, fields, seal: |_| {} }
}

fn vhdx(bases: &Bases, name: &'static str) -> Kind {
    let image = bases.vhdx.clone();
    let header = vhdx_header(&image);
    let ((bat, bat_entry), (metadata, metadata_entry)) = (vhdx_region(&image, BAT), vhdx_region(&image, METADATA));
    let mut fields = vec![
        ("sequence", header + 8, 8),
        ("log's version", header + 64, 2),
        ("version", header + 66, 2),
        ("log's length", header + 68, 4),
        ("log", header + 72, 8),
        ("regions", (192 << 10) + 8, 4),
        ("table", bat_entry + 16, 8),
        ("table's length", bat_entry + 24, 4),
        ("metadata", metadata_entry + 16, 8),
        ("metadata's length", metadata_entry + 24, 4),
        ("items", metadata + 10, 2),
        ("a block", bat, 8),
    ];
    for i in 0..image.get(metadata + 10, 2) as usize {
        let item = metadata + 32 + 32 * i;
        fields.extend([
            ("item's offset", item + 16, 4),
            ("item's length", item + 20, 4),
            ("item's flags", item + 24, 4),
        ]);
        let (at, len) = (metadata + image.get(item + 16, 4) as usize, image.get(item + 20, 4) as usize);
        if len <= 8 {
            fields.push(("item", at, len.min(4)));
        }
        if len == 8 {
            fields.push(("item, all of it", at, 8));
        }
    }
    Kind { name, image, fields, seal: made::seal_vhdx }
}

/// With an entry in the log that changes nothing.
fn vhdx_log(bases: &Bases) -> Kind {
    let mut image = bases.vhdx.clone();
    let end = image.bytes.len().next_multiple_of(1 << 20) as u64;
    let entry = log_entry(1, &[7; 16], 0, (end, end), &[Change::Zeros(512 << 10, 4096), Change::Sector(516 << 10, 0)]);
    with_log(&mut image, 1 << 20, &[entry]);
    let at = end as usize;
    let fields = vec![
        ("length", at + 8, 4),
        ("tail", at + 12, 4),
        ("sequence", at + 16, 8),
        ("changes", at + 24, 4),
        ("flushed", at + 48, 8),
        ("last", at + 56, 8),
        ("zeros", at + 64 + 8, 8),
        ("zeros at", at + 64 + 16, 8),
        ("sector at", at + 96 + 16, 8),
    ];
    fn seal(image: &mut Forged) {
        let at = image.bytes.len() - (1 << 20);
        let len = (image.get(at + 8, 4) as usize).min(1 << 20);
        image.put(at + 4, 4, 0);
        let sum = tintype_tests::crc32c(image.bytes[at..at + len].iter().copied());
        image.put(at + 4, 4, sum.into());
    }
    Kind { name: "log.vhdx", image, fields, seal }
}

fn simg(scratch: &Scratch) -> Kind {
    let (disk, path) = (scratch.join("disk.raw"), scratch.join("full.simg"));
    tool("img2simg", &[&disk, &path]).ok();
    let image = Forged::read(&path, Order::Little);
    let mut fields = vec![("major", 4, 2), ("header", 8, 2), ("chunk's header", 10, 2), ("block", 12, 4)];
    fields.extend([("blocks", 16, 4), ("chunks", 20, 4), ("kind", 28, 2), ("chunk's blocks", 32, 4), ("total", 36, 4)]);
    let second = 28 + image.get(36, 4) as usize;
    fields.extend([("second kind", second, 2), ("second's blocks", second + 4, 4), ("second's total", second + 8, 4)]);
    Kind { name: "d.simg", image, fields, seal: |_| {} }
}
