//! File systems beside the programs that make and mend them: the same blocks in use, the same files, the same owners.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use tintype_tests::{LoopDevice, Mount, Need::*, Scratch, ours, read, sample, tool};

tintype_tests::topic! {
    used_blocks_of_ext_agree_with_dumpe2fs: [Tool("mke2fs"), Tool("dumpe2fs")],
    files_of_ext_come_out_as_they_went_in: [Tool("mke2fs"), Tool("debugfs"), Tool("diff")],
    blocks_of_files_agree_with_debugfs: [Loop, Tool("mke2fs"), Tool("debugfs"), Tool("mount")],
    owners_agree_with_sleuthkit_and_debugfs: [Loop, Tool("mke2fs"), Tool("blkstat"), Tool("debugfs"), Tool("ffind"), Tool("mount")],
    deleted_names_agree_with_sleuthkit: [Loop, Tool("mke2fs"), Tool("fls"), Tool("mount")],
    what_is_in_doubt_counts_as_used: [Loop, Tool("mke2fs"), Tool("debugfs"), Tool("mount")],
    used_clusters_of_fat_agree_with_fsck: [Tool("mkfs.fat"), Tool("fsck.fat"), Tool("mcopy"), Tool("mdel")],
    files_of_fat_come_out_as_they_went_in: [Tool("mkfs.fat"), Tool("mcopy"), Tool("mdel"), Tool("fls"), Tool("diff")],
    a_fat_that_is_in_doubt_counts_as_used: [Tool("mkfs.fat"), Tool("mcopy")],
    a_lost_boot_sector_or_table_is_made_up_for: [Tool("mkfs.fat"), Tool("mcopy"), Tool("mke2fs")],
    hurt_files_are_named: [Tool("mke2fs"), Tool("debugfs"), Tool("sfdisk")],
    a_disk_with_several_file_systems: [Tool("mke2fs"), Tool("mkfs.fat"), Tool("sfdisk")],
    nothing_is_written_through_links: [Tool("mke2fs"), Tool("debugfs")],
    damage_is_survived: [Tool("mke2fs"), Tool("mkfs.fat"), Tool("mcopy")],
}

/// Options of mke2fs, each with a size.
const EXT: &[&str] = &[
    "16M -t ext2",
    "16M -t ext2 -b 1024 -r 0",
    "50001K -t ext2 -b 1024 -O sparse_super",
    "40M -t ext3 -b 2048",
    "64M -t ext4",
    "64M -t ext4 -b 1024 -O 64bit",
    "300M -t ext4 -b 1024 -O meta_bg,^resize_inode",
    "300M -t ext4 -b 1024 -O meta_bg,^resize_inode,^flex_bg,64bit -g 512 -N 20000",
    "300M -t ext4 -O ^flex_bg",
    "600M -t ext4 -O ^metadata_csum,uninit_bg",
    "600M -t ext4 -b 1024 -O ^metadata_csum,uninit_bg,64bit",
    "100M -t ext4 -b 1024 -O ^metadata_csum,^uninit_bg",
    "600M -t ext4 -O bigalloc -C 65536",
    "200M -t ext4 -b 1024 -O bigalloc -C 8192",
    "300M -t ext4 -O sparse_super2",
    "300M -t ext4 -b 1024 -O sparse_super2 -E num_backup_sb=1",
    "100M -t ext4 -O inline_data -I 256",
    "100M -t ext4 -O inline_data -I 1024 -b 4096",
    "64M -t ext4 -b 65536",
    "64M -t ext4 -b 16384 -O ^has_journal",
    "64M -t ext4 -I 128",
    "64M -t ext4 -O ea_inode,large_dir,casefold,encrypt,verity,project,quota",
    "64M -t ext4 -O orphan_file,metadata_csum_seed",
    "64M -t ext4 -O mmp",
    "3G -t ext4 -E lazy_itable_init=1",
    "3G -t ext4 -G 4 -J size=64",
    "64M -t ext4 -O ^filetype",
    "50000K -t ext4 -b 1024 -g 8192",
    "200M -t ext4 -E packed_meta_blocks=1",
];

/// A folder with what file systems keep in different ways.
fn tree(scratch: &Scratch) -> PathBuf {
    let tree = scratch.folder("tree");
    let put = |name: &str, bytes: &[u8]| {
        let path = tree.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    };
    put("empty", b"");
    // mke2fs makes holes of blocks of zeros.
    let full = |len: usize, seed: u64| -> Vec<u8> { sample(len, seed).into_iter().map(|b| b | 1).collect() };
    put("tiny", &full(70, 1));
    put("inline", &full(120, 2));
    put("Folder/deeper/Some Long Name.dat", &full(2_000_001, 3));
    put("Folder/ümläut ñ.txt", "größer".as_bytes());
    for i in 0..400 {
        put(&format!("many/a name that is rather long, number {i}"), format!("file {i}").as_bytes());
    }
    tree
}

fn ext(scratch: &Scratch, options: &str, tree: Option<&Path>) -> PathBuf {
    let image = scratch.join("ext.img");
    let (size, options) = options.split_once(' ').unwrap_or((options, ""));
    let _ = std::fs::remove_file(&image);
    tool("truncate", &[&"-s", &size, &image]).ok();
    let mut make = tool("mke2fs", &[&"-q", &"-F"]).args(options.split_whitespace());
    if let Some(tree) = tree {
        make = make.arg("-d").arg(tree);
    }
    make.arg(&image).ok();
    image
}

fn fat(scratch: &Scratch, options: &str) -> PathBuf {
    let image = scratch.join("fat.img");
    let (size, options) = options.split_once(' ').unwrap_or((options, ""));
    let _ = std::fs::remove_file(&image);
    tool("truncate", &[&"-s", &size, &image]).ok();
    tool("mkfs.fat", &[]).args(options.split_whitespace()).arg(&image).ok();
    image
}

fn mcopy(image: &Path, from: &Path, to: &str) {
    tool("mcopy", &[&"-i", &image, &"-s", &from, &to]).env("LC_ALL", "C.UTF-8").ok();
}

/// What `map used` calls free, in units of `unit`; nothing where it has doubts.
fn free(image: &Path, unit: u64) -> BTreeSet<u64> {
    let run = ours(&[&"map", &"used", &image]).ok();
    let mut free = BTreeSet::new();
    for line in run.out().lines().filter(|l| !l.starts_with('#')).skip(1) {
        let words: Vec<_> = line.split_whitespace().collect();
        let number = |s: &str| u64::from_str_radix(s.trim_start_matches("0x"), 16).unwrap();
        let (offset, len) = (number(words[0]), number(words[1]));
        if words[2] == "?" {
            assert!(offset % unit == 0 && len % unit == 0, "{line}");
            free.extend(offset / unit..(offset + len) / unit);
        }
    }
    free
}

fn number_after(text: &str, words: &str) -> u64 {
    let line = text.lines().find(|l| l.starts_with(words)).unwrap_or_else(|| panic!("no {words} in {text}"));
    line[words.len()..].split_whitespace().next().unwrap().parse().unwrap()
}

fn used_blocks_of_ext_agree_with_dumpe2fs() {
    let scratch = Scratch::new();
    let tree = tree(&scratch);
    for options in EXT {
        let image = ext(&scratch, options, Some(&tree));
        let text = tool("dumpe2fs", &[&image]).ok().out();
        let block = number_after(&text, "Block size:");
        let blocks = number_after(&text, "Block count:");
        let cluster = if options.contains("bigalloc") { number_after(&text, "Cluster size:") / block } else { 1 };
        let mut theirs = BTreeSet::new();
        for list in text.lines().filter_map(|l| l.strip_prefix("  Free blocks: ")) {
            for run in list.split(", ").filter(|r| !r.is_empty()) {
                let (first, last) = run.split_once('-').unwrap_or((run, run));
                let (first, last): (u64, u64) = (first.parse().unwrap(), last.parse().unwrap());
                // With clusters it names the first block of the last one.
                theirs.extend(first..(last + cluster).min(blocks));
            }
        }
        assert_eq!(theirs.len() as u64, number_after(&text, "Free blocks:"), "{options}: dumpe2fs is not understood");
        assert!(free(&image, block) == theirs, "{options}");
    }
}

fn files_of_ext_come_out_as_they_went_in() {
    let scratch = Scratch::new();
    let tree = tree(&scratch);
    std::os::unix::fs::symlink("Folder/deeper", tree.join("short link")).unwrap();
    std::os::unix::fs::symlink("x".repeat(200), tree.join("long link")).unwrap();
    for options in EXT {
        let image = ext(&scratch, options, Some(&tree));
        let out = scratch.join("out");
        let done = ours(&[&"files", &"extract", &image, &"/", &out, &"--json"]).ok().json();
        assert_eq!((done["files"].as_u64(), done["links"].as_u64()), (Some(405), Some(2)), "{options}: {done}");
        tool("diff", &[&"-r", &"--no-dereference", &"-x", &"lost+found", &tree, &out]).ok();
        std::fs::remove_dir_all(&out).unwrap();
    }
    // What debugfs says of one of them.
    let image = ext(&scratch, "64M -t ext4", Some(&tree));
    let told = ours(&[&"files", &"stat", &image, &"/inline", &"--json"]).ok().json();
    let text = tool("debugfs", &[&"-R", &"stat /inline", &image]).ok().out();
    assert!(text.contains(&format!("Inode: {} ", told["node"])), "{text}");
    assert!(
        text.contains(&format!("(0):{}", told["extents"][0]["disk_offset"].as_u64().unwrap() / 1024)),
        "{text} {told}"
    );
    let cat = ours(&[&"files", &"cat", &image, &"Folder/deeper/Some Long Name.dat"]).ok();
    assert!(cat.stdout == read(tree.join("Folder/deeper/Some Long Name.dat")));
}

/// A file system that the kernel has written to for a while: scattered files, folders with hash trees, deleted names.
fn lived_in(scratch: &Scratch, options: &str) -> PathBuf {
    let image = ext(scratch, options, None);
    let device = LoopDevice::new(&image, 512);
    let mount = Mount::device(device.path(), scratch.folder("mnt"), "rw");
    let at = |name: &str| mount.path().join(name);
    // Two files that grow in turns, with gaps, do not lie in one piece.
    use std::io::Write;
    use std::os::unix::fs::FileExt;
    let (mut a, mut b) = (std::fs::File::create(at("a")).unwrap(), std::fs::File::create(at("b")).unwrap());
    for i in 0..60 {
        a.write_all(&sample(9000, i)).unwrap();
        a.sync_all().unwrap();
        b.write_all(&sample(5000, 100 + i)).unwrap();
        b.sync_all().unwrap();
    }
    let sparse = std::fs::File::create(at("sparse")).unwrap();
    for i in 0..200 {
        sparse.write_all_at(b"here", i * 70_000).unwrap();
    }
    std::fs::create_dir(at("names")).unwrap();
    for i in 0..1500 {
        std::fs::write(at(&format!("names/file with a name that fills its folder {i}")), [b'x'; 10]).unwrap();
    }
    for i in (1..1500).step_by(3) {
        std::fs::remove_file(at(&format!("names/file with a name that fills its folder {i}"))).unwrap();
    }
    std::fs::write(at("keep me"), sample(3000, 9)).unwrap();
    std::fs::remove_file(at("b")).unwrap();
    std::fs::write(at("late"), sample(200_000, 10)).unwrap();
    drop((a, b, sparse, mount, device));
    image
}

fn blocks_of_files_agree_with_debugfs() {
    for (options, block) in
        [("64M -t ext4 -b 1024", 1024), ("64M -t ext2 -b 1024", 1024), ("64M -t ext3 -b 4096", 4096)]
    {
        let scratch = Scratch::new();
        let image = lived_in(&scratch, options);
        for name in ["/a", "/sparse", "/late", "/names"] {
            let told = ours(&[&"files", &"stat", &image, &name, &"--json"]).ok().json();
            let mut ours = BTreeMap::new();
            for run in told["extents"].as_array().unwrap() {
                let (at, len, disk) = (
                    run["offset"].as_u64().unwrap(),
                    run["len"].as_u64().unwrap(),
                    run["disk_offset"].as_u64().unwrap(),
                );
                ours.extend((0..len / block).map(|i| (at / block + i, disk / block + i)));
            }
            let blocks = told["size"].as_u64().unwrap().div_ceil(block);
            let orders: String = (0..blocks).map(|i| format!("bmap {name} {i}\n")).collect();
            let orders = scratch.file("orders", orders.as_bytes());
            let text = tool("debugfs", &[&"-f", &orders, &image]).ok().out();
            let theirs: BTreeMap<u64, u64> = (0..)
                .zip(
                    text.lines()
                        .filter(|l| !l.starts_with("debugfs:"))
                        .map(|l| l.split_whitespace().next().unwrap_or("0").parse().unwrap()),
                )
                .filter(|(_, block): &(u64, u64)| *block != 0)
                .collect();
            assert!(theirs.len() > 1 && ours == theirs, "{options} {name}:\n{ours:?}\n{theirs:?}");
        }
        assert_eq!(
            ours(&[&"files", &"cat", &image, &"/a"]).ok().stdout,
            (0..60).flat_map(|i| sample(9000, i)).collect::<Vec<u8>>()
        );
    }
}

fn owners_agree_with_sleuthkit_and_debugfs() {
    for (options, block) in [("64M -t ext4 -b 1024", 1024u64), ("48M -t ext2 -b 4096", 4096)] {
        let scratch = Scratch::new();
        let image = lived_in(&scratch, options);
        let blocks = std::fs::metadata(&image).unwrap().len() / block;
        let mut met = BTreeSet::new();
        let mut numbers: Vec<u64> =
            (0..30).map(|i| i * 97 % blocks).chain((0..20).map(|i| i * 7919 % (blocks / 3))).collect();
        for name in ["/a", "/late", "/names", "/sparse"] {
            let told = ours(&[&"files", &"stat", &image, &name, &"--json"]).ok().json();
            let runs = told["extents"].as_array().unwrap();
            numbers.extend(runs.iter().step_by(7).map(|run| run["disk_offset"].as_u64().unwrap() / block));
        }
        for number in numbers {
            let run = ours(&[&"files", &"at", &image, &(number * block).to_string(), &block.to_string(), &"--json"])
                .ok()
                .json();
            let state = tool("blkstat", &[&image, &number.to_string()]).ok().out();
            let is_free = run["free"].as_u64() == Some(block);
            assert_eq!(is_free, state.contains("Not Allocated"), "{options} block {number}: {run} {state}");
            let text = tool("debugfs", &[&"-R", &format!("icheck {number}"), &image]).ok().out();
            let node = text.lines().nth(1).unwrap_or_default().split_whitespace().nth(1).unwrap_or_default();
            let named = run["files"].as_array().unwrap();
            let folder = run["metadata"].as_array().unwrap().iter().find(|m| m["what"] == "folder");
            let node: Option<u64> = node.parse().ok();
            if let Some(file) = named.first() {
                assert_eq!(file["node"].as_u64(), node, "{options} block {number}: {run}");
                let theirs = tool("ffind", &[&image, &file["node"].to_string()]).ok().out();
                assert_eq!(Some(theirs.trim()), file["path"].as_str());
                met.insert("file");
            } else if let Some(folder) = folder {
                assert_eq!(folder["node"].as_u64(), node, "{options} block {number}: {run}");
                met.insert("folder");
            } else {
                met.insert(if is_free { "free" } else { "metadata" });
            }
        }
        assert!(met.contains("file") && met.contains("free") && met.contains("metadata"), "{met:?}");
    }
}

fn deleted_names_agree_with_sleuthkit() {
    let scratch = Scratch::new();
    let image = lived_in(&scratch, "64M -t ext4 -b 1024");
    let found = ours(&[&"files", &"find", &image, &"/names", &"--deleted", &"--json"]).ok().json();
    let ours: BTreeSet<String> = found["files"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|f| f["deleted"] == true)
        .map(|f| f["path"].as_str().unwrap().trim_start_matches('/').to_owned())
        .collect();
    let text = tool("fls", &[&"-r", &"-d", &"-p", &image]).ok().out();
    let theirs: BTreeSet<String> = text
        .lines()
        .filter_map(|l| Some(l.split_once('\t')?.1.to_owned()))
        .filter(|n| n.starts_with("names/file"))
        .collect();
    assert!(!theirs.is_empty());
    let missing: Vec<_> = theirs.difference(&ours).collect();
    assert!(missing.is_empty(), "{missing:?}");
    // Names that were moved when a block of the folder was split were not deleted.
    let present: BTreeSet<String> = tool("fls", &[&"-r", &"-u", &"-p", &image])
        .ok()
        .out()
        .lines()
        .filter_map(|l| Some(l.split_once('\t')?.1.to_owned()))
        .collect();
    let both: Vec<_> = ours.intersection(&present).collect();
    assert!(both.is_empty(), "{both:?}");
}

/// `map used` says that everything is used, and why.
#[track_caller]
fn doubted(image: &Path, why: &str) {
    let run = ours(&[&"map", &"used", &image]).ok();
    assert!(run.stderr.contains(why), "{why}: {}", run.stderr);
    assert!(!run.out().lines().skip(1).any(|l| !l.starts_with('#') && l.ends_with("  ?")), "{run}");
}

fn what_is_in_doubt_counts_as_used() {
    let scratch = Scratch::new();
    // A copy of a file system while it is mounted and written to.
    for options in ["64M -t ext4", "64M -t ext2"] {
        let image = ext(&scratch, options, None);
        let device = LoopDevice::new(&image, 512);
        let mount = Mount::device(device.path(), scratch.folder("mnt"), "rw");
        std::fs::write(mount.path().join("new"), sample(100_000, 1)).unwrap();
        rustix::fs::sync();
        let copy = scratch.file("copy", &read(device.path()));
        drop((mount, device));
        doubted(&copy, "was not closed");
        assert!(free(&image, 1024).len() > 10_000);
    }
    // One bit of a bitmap.
    let image = ext(&scratch, "64M -t ext4", None);
    let text = tool("dumpe2fs", &[&image]).ok().out();
    let bitmap = number_after(text.trim_start_matches(|_| false), "Block size:")
        * text
            .split("Block bitmap at ")
            .nth(1)
            .unwrap()
            .split(|c: char| !c.is_ascii_digit())
            .next()
            .unwrap()
            .parse::<u64>()
            .unwrap();
    let sound = read(&image);
    for options in ["64M -t ext4", "64M -t ext2"] {
        let image = ext(&scratch, options, None);
        let mut bytes = read(&image);
        let at = match options {
            "64M -t ext4" => bitmap,
            _ => {
                let text = tool("dumpe2fs", &[&image]).ok().out();
                let block = text.split("Block bitmap at ").nth(1).unwrap();
                number_after(&text, "Block size:")
                    * block.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse::<u64>().unwrap()
            }
        };
        bytes[at as usize + 1000] ^= 4;
        doubted(&scratch.file("flipped", &bytes), "group 0");
    }
    // Cut short.
    doubted(&scratch.file("short", &sound[..sound.len() - 4096]), "only");
    // Features of the future.
    for feature in ["FEATURE_R30", "FEATURE_I30"] {
        let image = scratch.file("future", &sound);
        tool("debugfs", &[&"-w", &"-R", &format!("feature {feature}"), &image]).ok();
        doubted(&image, "not known");
    }
    // Marked by the kernel or by hand.
    let image = scratch.file("marked", &sound);
    tool("debugfs", &[&"-w", &"-R", &"set_super_value state 3", &image]).ok();
    doubted(&image, "having errors");
}

const FAT: &[&str] = &[
    "1440K -F 12",
    "4M -F 12 -s 2",
    "20M -F 16",
    "100M -F 16 -s 8",
    "33M -F 16 -f 1 -r 512",
    "40M -F 32 -s 1",
    "300M -F 32",
    "600M -F 32 -R 64",
];

/// The same without what FAT cannot keep, and small enough for a floppy.
fn small_tree(scratch: &Scratch) -> PathBuf {
    let tree = scratch.folder("small");
    std::fs::create_dir_all(tree.join("Sub/deeper")).unwrap();
    std::fs::write(tree.join("SHORT.BIN"), sample(700, 1)).unwrap();
    std::fs::write(tree.join("empty"), b"").unwrap();
    std::fs::write(tree.join("Sub/deeper/Some Long Name.dat"), sample(200_001, 2)).unwrap();
    std::fs::write(tree.join("Sub/ümläut ñ.txt"), b"text").unwrap();
    for i in 0..60 {
        std::fs::write(tree.join(format!("Sub/a name that is rather long, number {i}")), format!("file {i}")).unwrap();
    }
    tree
}

/// Copies the tree between two files of which one is deleted, so that it lies in pieces.
fn fill(scratch: &Scratch, image: &Path) -> PathBuf {
    let tree = small_tree(scratch);
    let hole = scratch.file("hole", &sample(30_000, 8));
    mcopy(image, &hole, "::/hole");
    mcopy(image, &tree.join("SHORT.BIN"), "::/SHORT.BIN");
    tool("mdel", &[&"-i", &image, &"::/hole"]).ok();
    for name in ["empty", "Sub"] {
        mcopy(image, &tree.join(name), "::/");
    }
    tree
}

fn used_clusters_of_fat_agree_with_fsck() {
    let scratch = Scratch::new();
    for options in FAT {
        let image = fat(&scratch, options);
        fill(&scratch, &image);
        let text = tool("fsck.fat", &[&"-n", &"-v", &image]).ok().out();
        let cluster: u64 =
            text.lines().find_map(|l| l.trim().strip_suffix(" bytes per cluster")?.parse().ok()).unwrap();
        let (used, all) =
            text.lines().find_map(|l| l.split_once(" files, ")?.1.strip_suffix(" clusters")?.split_once('/')).unwrap();
        let theirs = (all.parse::<u64>().unwrap() - used.parse::<u64>().unwrap()) * cluster;
        assert_eq!(free(&image, 512).len() as u64 * 512, theirs, "{options}: {text}");
    }
}

fn files_of_fat_come_out_as_they_went_in() {
    let scratch = Scratch::new();
    for options in FAT {
        let image = fat(&scratch, options);
        let tree = fill(&scratch, &image);
        let out = scratch.join("out");
        ours(&[&"files", &"extract", &image, &"/", &out]).ok();
        tool("diff", &[&"-r", &tree, &out]).ok();
        std::fs::remove_dir_all(&out).unwrap();
        // Capitals do not matter.
        let cat = ours(&[&"files", &"cat", &image, &"sub/DEEPER/some long NAME.dat"]).ok();
        assert!(cat.stdout == read(tree.join("Sub/deeper/Some Long Name.dat")));
        let found = ours(&[&"files", &"ls", &image, &"--deleted", &"--json"]).ok().json();
        let deleted: Vec<_> = found["files"].as_array().unwrap().iter().filter(|f| f["deleted"] == true).collect();
        let theirs = tool("fls", &[&"-d", &"-p", &image]).ok().out();
        assert_eq!(deleted.len(), theirs.lines().count(), "{options}: {deleted:?} {theirs}");
    }
}

fn a_fat_that_is_in_doubt_counts_as_used() {
    let scratch = Scratch::new();
    for options in ["20M -F 16", "40M -F 32 -s 1"] {
        let image = fat(&scratch, options);
        fill(&scratch, &image);
        let sound = read(&image);
        let le16 = |at: usize| usize::from(u16::from_le_bytes([sound[at], sound[at + 1]]));
        let table = le16(14) * 512;
        let len = if le16(22) != 0 { le16(22) } else { le16(36) } * 512;
        let wide = options.contains("32");
        let mut bytes = sound.clone();
        bytes[table + len + 40] ^= 1;
        doubted(&scratch.file("differ", &bytes), "differ");
        // The mark that it was closed.
        let mut bytes = sound.clone();
        let mark = table + if wide { 7 } else { 3 };
        for copy in [0, len] {
            bytes[mark + copy] &= if wide { 0xf7 } else { 0x7f };
        }
        doubted(&scratch.file("open", &bytes), "was not closed");
        let mut bytes = sound.clone();
        bytes[if wide { 65 } else { 37 }] |= 1;
        doubted(&scratch.file("mounted", &bytes), "was not closed");
        doubted(&scratch.file("short", &sound[..sound.len() / 2]), "only");
    }
}

/// A mapfile that calls everything finished but these ranges of bytes.
fn map(scratch: &Scratch, len: u64, lost: &[(u64, u64)]) -> PathBuf {
    let mut text = String::from("0x0 + 1\n");
    let mut at = 0;
    for (offset, len) in lost {
        if *offset > at {
            text += &format!("{at:#x} {:#x} +\n", offset - at);
        }
        text += &format!("{offset:#x} {len:#x} -\n");
        at = offset + len;
    }
    text += &format!("{at:#x} {:#x} +\n", len - at);
    scratch.file(&format!("lost-{}.map", lost.len()), text.as_bytes())
}

fn a_lost_boot_sector_or_table_is_made_up_for() {
    let scratch = Scratch::new();
    let image = fat(&scratch, "40M -F 32 -s 1");
    let tree = fill(&scratch, &image);
    let mut bytes = read(&image);
    let len = bytes.len() as u64;
    let (table, table_len) = (u64::from(bytes[14]) * 512, u64::from(u16::from_le_bytes([bytes[36], bytes[37]])) * 512);
    let check = |bytes: &[u8], map: &Path| {
        let image = scratch.file("lost.img", bytes);
        let cat = ours(&[&"files", &"cat", &image, &"/Sub/deeper/Some Long Name.dat", &"--map", &map]).ok();
        assert!(cat.stdout == read(tree.join("Sub/deeper/Some Long Name.dat")));
    };
    for at in [0, table] {
        bytes[at as usize..at as usize + 512].fill(0);
    }
    check(&bytes, &map(&scratch, len, &[(0, 512), (table, table_len / 2)]));
    // The superblock and the group descriptors of ext.
    let big = tree.join("Sub/deeper/Some Long Name.dat");
    let image = ext(&scratch, "64M -t ext4 -b 1024", Some(&tree));
    let mut bytes = read(&image);
    bytes[..4096].fill(0);
    let map = map(&scratch, bytes.len() as u64, &[(0, 4096)]);
    let image = scratch.file("lost.img", &bytes);
    let cat = ours(&[&"files", &"cat", &image, &"/Sub/deeper/Some Long Name.dat", &"--map", &map]).ok();
    assert!(cat.stdout == read(big));
    let used = ours(&[&"map", &"used", &image, &"--map", &map]).ok();
    assert!(used.stderr.contains("superblock is lost"), "{used}");
}

/// A disk with these file systems in partitions.
fn disk(scratch: &Scratch, parts: &[&Path]) -> (PathBuf, Vec<u64>) {
    let disk = scratch.join("disk.img");
    let mut script = String::from("label: gpt\n");
    let mut at = 2048;
    let mut places = Vec::new();
    for part in parts {
        let sectors = std::fs::metadata(part).unwrap().len() / 512;
        script += &format!("start={at}, size={sectors}\n");
        places.push(at * 512);
        at += sectors.next_multiple_of(2048);
    }
    std::fs::write(&disk, b"").unwrap();
    std::fs::File::options().write(true).open(&disk).unwrap().set_len((at + 2048) * 512).unwrap();
    let script = scratch.file("script", script.as_bytes());
    tool("sfdisk", &[&"-q", &disk]).stdin(std::fs::File::open(script).unwrap()).ok();
    use std::os::unix::fs::FileExt;
    let file = std::fs::File::options().write(true).open(&disk).unwrap();
    for (part, place) in parts.iter().zip(&places) {
        file.write_all_at(&read(part), *place).unwrap();
    }
    (disk, places)
}

fn hurt_files_are_named() {
    let scratch = Scratch::new();
    let tree = tree(&scratch);
    let part = ext(&scratch, "64M -t ext4 -b 1024", Some(&tree));
    let (disk, places) = disk(&scratch, &[&part]);
    let len = std::fs::metadata(&disk).unwrap().len();
    let debugfs = |order: &str| tool("debugfs", &[&"-R", &order, &part]).ok().out();
    let block =
        |name: &str, i: u64| places[0] + debugfs(&format!("bmap \"{name}\" {i}")).trim().parse::<u64>().unwrap() * 1024;
    let free = free(&part, 1024);
    let unused = places[0] + free.iter().nth(free.len() / 2).unwrap() * 1024;
    let big = "/Folder/deeper/Some Long Name.dat";
    // Only in free space: nothing is hurt.
    let quiet = map(&scratch, len, &[(unused, 512)]);
    let run = ours(&[&"map", &"files", &quiet, &disk, &"--json"]).ok().json();
    assert_eq!((run["free"].as_u64(), run["bytes"].as_u64()), (Some(512), Some(512)), "{run}");
    // Half a block of a file, a folder, and the end of another file's last block.
    let mut lost =
        vec![(block(big, 7) + 512, 512), (block("/many", 1), 1024), (block("/tiny", 0) + 512, 512), (unused, 512)];
    lost.sort_unstable();
    let hurt = map(&scratch, len, &lost);
    let run = ours(&[&"map", &"files", &hurt, &disk, &"--json"]).exits(1).json();
    let files = run["files"].as_array().unwrap();
    let named: BTreeMap<_, _> = files.iter().filter_map(|f| Some((f["path"].as_str()?, f))).collect();
    assert_eq!(named.keys().copied().collect::<Vec<_>>(), [big, "/tiny"], "{run}");
    assert_eq!(named[big]["ranges"], serde_json::json!([{ "offset": 7 * 1024 + 512, "len": 512 }]));
    assert_eq!(named[big]["disk"][0]["offset"].as_u64(), Some(block(big, 7) + 512));
    assert_eq!(named["/tiny"]["bytes"].as_u64(), Some(0), "only room behind its end");
    assert_eq!(run["metadata"][0]["what"], "folder", "{run}");
    assert_eq!(run["unknown"].as_u64(), Some(0));
    assert!(!run["errors"].as_array().unwrap().is_empty(), "names may be missing: {run}");
    // The superblock comes first.
    let first = map(&scratch, len, &[(places[0] + 1024, 512), (block(big, 7), 512)]);
    let run = ours(&[&"map", &"files", &first, &disk, &"--json"]).exits(1).json();
    assert_eq!(run["metadata"][0]["what"], "superblock", "{run}");
    assert!(run["files"].as_array().unwrap().iter().any(|f| f["path"] == big), "{run}");
    // The file itself, with its hole told.
    let cat = ours(&[&"files", &"cat", &disk, &big, &"--map", &hurt]).exits(1);
    assert!(cat.stderr.contains("512 bytes of the file from 7680 are lost"), "{cat}");
    let out = scratch.join("out");
    let done = ours(&[&"files", &"extract", &disk, &"/Folder", &out, &"--map", &hurt, &"--json"]).exits(1).json();
    assert_eq!(done["holed"][0]["lost"], serde_json::json!([{ "offset": 7680, "len": 512 }]), "{done}");
}

fn a_disk_with_several_file_systems() {
    let scratch = Scratch::new();
    let tree = small_tree(&scratch);
    let (a, b) = (ext(&scratch, "16M -t ext4 -L first", Some(&tree)), fat(&scratch, "20M -F 16 -n SECOND"));
    mcopy(&b, &tree.join("SHORT.BIN"), "::/");
    let (disk, places) = disk(&scratch, &[&a, &b]);
    let run = ours(&[&"files", &"ls", &disk]).exits(2);
    assert!(run.stderr.contains("#p1: ext4 \"first\"") && run.stderr.contains("#p2: fat16 \"SECOND\""), "{run}");
    let part = format!("{}#p2", disk.display());
    assert!(ours(&[&"files", &"ls", &part]).ok().out().contains("/SHORT.BIN"));
    let found = ours(&[&"files", &"find", &disk, &"*.BIN", &"--json"]).ok().json();
    let parts: Vec<_> = found["files"].as_array().unwrap().iter().map(|f| f["part"].as_str().unwrap()).collect();
    assert_eq!(parts, ["#p1", "#p2"], "{found}");
    // An offset of the whole disk.
    let stat = ours(&[&"files", &"stat", &part, &"/SHORT.BIN", &"--json"]).ok().json();
    let at = places[1] + stat["extents"][0]["disk_offset"].as_u64().unwrap();
    let at = ours(&[&"files", &"at", &disk, &at.to_string(), &"--json"]).ok().json();
    assert_eq!((&at["files"][0]["part"], &at["files"][0]["path"]), (&"#p2".into(), &"/SHORT.BIN".into()), "{at}");
    let at = ours(&[&"files", &"at", &disk, &"0", &"512", &"--json"]).ok().json();
    assert_eq!(at["metadata"][0]["what"], "partition table", "{at}");
    // Everything outside of free space counts as used.
    let used = ours(&[&"map", &"used", &disk, &"-o", &scratch.join("used.map"), &"--json"]).ok().json();
    let free_alone = (free(&a, 512).len() + free(&b, 512).len()) as u64 * 512;
    assert_eq!(used["size"].as_u64().unwrap() - used["used"].as_u64().unwrap(), free_alone, "{used}");
}

fn nothing_is_written_through_links() {
    let scratch = Scratch::new();
    let tree = scratch.folder("links");
    let outside = scratch.folder("outside");
    std::os::unix::fs::symlink(&outside, tree.join("aaa")).unwrap();
    std::fs::create_dir(tree.join("bbb")).unwrap();
    std::fs::write(tree.join("bbb/file"), b"caught").unwrap();
    let image = ext(&scratch, "16M -t ext4 -O ^metadata_csum", Some(&tree));
    // The folder gets the name of the link.
    let mut bytes = read(&image);
    let at = bytes.windows(3).position(|w| w == b"bbb").unwrap();
    bytes[at..at + 3].copy_from_slice(b"aaa");
    let image = scratch.file("twice.img", &bytes);
    let out = scratch.join("out");
    ours(&[&"files", &"extract", &image, &"/", &out]).run().exited_any(&[0, 1]);
    assert!(std::fs::read_dir(&outside).unwrap().next().is_none());
    // A name that leads out.
    bytes[at..at + 3].copy_from_slice(b"../");
    let image = scratch.file("out.img", &bytes);
    let run = ours(&[&"files", &"extract", &image, &"/", &scratch.join("out2")]).exits(1);
    assert!(run.stderr.contains("makes no sense"), "{run}");
    // What is there is left alone.
    ours(&[&"files", &"extract", &image, &"/", &outside]).exits(2);
}

fn damage_is_survived() {
    let scratch = Scratch::new();
    let tree = small_tree(&scratch);
    let images =
        [ext(&scratch, "4M -t ext4 -b 1024 -O ^metadata_csum,^has_journal", Some(&tree)), fat(&scratch, "1440K -F 12")];
    fill(&scratch, &images[1]);
    for image in images {
        let sound = read(&image);
        let used: Vec<usize> =
            sound.chunks(512).enumerate().filter(|(_, c)| c.iter().any(|b| *b != 0)).map(|(i, _)| i).collect();
        let mut seed = 7u64;
        let mut dice = |n: usize| {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (seed >> 33) as usize % n
        };
        for round in 0..60 {
            let mut bytes = sound.clone();
            for _ in 0..1 + round % 7 {
                let sector = if dice(2) == 0 { used[dice(used.len().min(40))] } else { used[dice(used.len())] };
                let value = [0, 0xff, 1, 0x80, dice(256) as u8][dice(5)];
                bytes[sector * 512 + dice(512)] = value;
            }
            let image = scratch.file("damaged.img", &bytes);
            for words in [["files", "ls", "-R", "--deleted"], ["map", "used", "-q", "-q"]] {
                let run = ours(&[]).args(words.iter().take(if words[0] == "map" { 3 } else { 4 })).arg(&image).run();
                run.exited_any(&[0, 1, 2, 3]);
            }
            ours(&[&"files", &"at", &image, &"0", &bytes.len().to_string()]).run().exited_any(&[0, 1, 2, 3]);
            let _ = std::fs::remove_dir_all(scratch.join("out"));
            ours(&[&"files", &"extract", &image, &"/", &scratch.join("out")]).run().exited_any(&[0, 1, 2, 3]);
        }
    }
}
