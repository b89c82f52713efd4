//! File systems that lead round in circles, or count more than there is.

use super::images::{Ext, Fat};
use super::{opened, parts, walked};
use crate::filesystems::{NodeId, Survey, content, lookup, owners};
use std::time::Instant;
use tintype_core::{Kind, RangeMap};

/// Bounds that a debug build on a busy machine keeps easily, and that nothing which goes round in circles does.
#[track_caller]
fn ends_soon<T>(what: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let done = what();
    assert!(began.elapsed().as_secs() < 60, "it took {:?}", began.elapsed());
    done
}

#[test]
fn a_chain_that_leads_back_is_no_file() {
    for chain in [&[10, 11, 12][..], &[10], &[10, 11]] {
        for len in [3 * 512, 100 * 512, u32::MAX] {
            let mut fat = Fat::new(1000);
            fat.entry(2, 0, "LOOP", false, 10, len);
            fat.chain(chain, 10);
            let fs = opened(&fat.source());
            let id = lookup(&*fs, b"/LOOP").unwrap();
            match fs.extents(id) {
                Err(e) => assert!(e.kind() == Kind::Corrupt && e.to_string().contains("leads back"), "{e}"),
                // It has as many clusters as it needs before the circle begins anew.
                Ok(_) => assert!(chain.len() as u32 * 512 >= len, "{chain:?} {len}"),
            }
        }
    }
}

#[test]
fn a_chain_may_lead_anywhere() {
    for end in [0, 1, 5000, 0x0fff_fff7] {
        let mut fat = Fat::new(1000);
        fat.entry(2, 0, "FILE", false, 10, 1000);
        fat.chain(&[10], end);
        let fs = opened(&fat.source());
        let id = lookup(&*fs, b"/FILE").unwrap();
        assert_eq!(fs.extents(id).unwrap_err().kind(), Kind::Corrupt, "{end:#x}");
        assert!(content(&*fs, id).is_err());
    }
}

#[test]
fn a_folder_of_fat_that_is_in_itself_is_entered_once() {
    let mut fat = Fat::new(100);
    fat.entry(2, 0, "A", true, 10, 0);
    fat.entry(2, 1, "ROOT", true, 2, 0);
    fat.entry(10, 0, "B", true, 10, 0);
    fat.chain(&[10], Fat::END);
    let fs = opened(&fat.source());
    let (paths, errors) = walked(&*fs);
    assert!(paths.contains(&"/A/B".to_owned()) && paths.len() < 12 && !errors.is_empty(), "{paths:?} {errors:?}");
    assert!(parts(&*fs).len() < 12);
}

#[test]
fn folders_of_fat_that_lie_in_each_other_are_left_at_some_point() {
    let clusters = 200u32;
    let mut fat = Fat::new(clusters as usize);
    let all: Vec<u32> = (2..clusters + 2).collect();
    // One ring, all of it folders that begin somewhere in it.
    fat.chain(&all, 2);
    for cluster in &all {
        for i in 0..16 {
            let first = 2 + (cluster * 16 + i as u32) * 7 % clusters;
            fat.entry(*cluster, i, &format!("{:X}", cluster * 16 + i as u32), true, first, 0);
        }
    }
    let fs = opened(&fat.source());
    let (paths, errors) = ends_soon(|| walked(&*fs));
    assert!(errors.iter().any(|e| e.contains("lie in each other")), "{}", paths.len());
    let mut survey = Survey::default();
    ends_soon(|| survey.look(&*fs, &mut |_, _| {}));
    assert!(!survey.is_whole());
}

#[test]
fn more_clusters_than_there_is_room_for() {
    let mut fat = Fat::new(1000);
    fat.bytes[32..36].copy_from_slice(&u32::MAX.to_le_bytes());
    fat.bytes[36..40].copy_from_slice(&(u32::MAX / 128 + 1).to_le_bytes());
    let source = fat.source();
    ends_soon(|| {
        let Ok(Some(fs)) = crate::filesystems::open(&source) else { return };
        assert!(fs.used().is_err());
        assert!(fs.likely_used().iter().all(|(range, ())| range.end <= source.len()));
        assert!(parts(&*fs).iter().all(|part| part.range.end <= source.len()));
    });
}

#[test]
fn a_tree_of_extents_that_leads_back_is_left() {
    // Nodes that name themselves, each other, one block twice, and more depth than there may be.
    let make = |tree: &dyn Fn(&mut Ext)| {
        let mut ext = Ext::new(2000);
        ext.names(40, &[(2, 2, "."), (2, 2, ".."), (12, 1, "file")]);
        ext.inode(12, 0x81a4, 500_000);
        tree(&mut ext);
        ext
    };
    let twice = make(&|ext| {
        ext.tree(12, 1, &[(0, 60), (100, 60)]);
        ext.leaves(60, &[(0, 5, 100)]);
    });
    let itself = make(&|ext| {
        ext.tree(12, 3, &[(0, 60)]);
        ext.inner(60, 2, &[(0, 60), (10, 60), (20, 60)]);
    });
    let circle = make(&|ext| {
        ext.tree(12, 4, &[(0, 60)]);
        ext.inner(60, 3, &[(0, 61)]);
        ext.inner(61, 2, &[(0, 60)]);
    });
    let deep = make(&|ext| ext.tree(12, 60_000, &[(0, 60)]));
    let outside = make(&|ext| ext.tree(12, 1, &[(0, 4_000_000)]));
    let order = make(&|ext| ext.extents(12, &[(10, 5, 100), (3, 5, 200)]));
    let long = make(&|ext| ext.extents(12, &[(0, 0x7fff, 100)]));
    for ext in [twice, itself, circle, deep, outside, order, long] {
        let fs = opened(&ext.source());
        let e = fs.extents(NodeId(12)).unwrap_err();
        assert_eq!(e.kind(), Kind::Corrupt, "{e}");
        assert_eq!(walked(&*fs).0, ["/file"]);
        let mut survey = Survey::default();
        survey.look(&*fs, &mut |part, _| assert!(part.range.end <= ext.bytes.len() as u64));
        assert!(survey.is_whole(), "what is wrong is not waited for");
    }
}

#[test]
fn pointers_that_lead_back_are_left() {
    let mut ext = Ext::new(4000);
    ext.names(40, &[(2, 2, "."), (2, 2, ".."), (12, 1, "file")]);
    ext.inode(12, 0x81a4, u32::MAX);
    for i in 12..15 {
        ext.pointer(12, i, 60);
    }
    ext.pointers(60, 60);
    let fs = opened(&ext.source());
    let e = ends_soon(|| fs.extents(NodeId(12))).unwrap_err();
    assert_eq!(e.kind(), Kind::Corrupt, "{e}");
}

#[test]
fn one_block_is_not_a_whole_disk() {
    // Every pointer of every level names one block: the runs would be longer than the disk.
    let mut ext = Ext::new(4000);
    ext.names(40, &[(2, 2, "."), (2, 2, ".."), (12, 1, "file")]);
    ext.inode(12, 0x81a4, u32::MAX);
    ext.pointer(12, 13, 60);
    for i in 0..256u32 {
        ext.bytes[60 * 1024 + i as usize * 4..][..4].copy_from_slice(&(100 + i).to_le_bytes());
        ext.pointers(100 + i as usize, 3000);
    }
    let fs = opened(&ext.source());
    let e = ends_soon(|| fs.extents(NodeId(12))).unwrap_err();
    assert!(e.to_string().contains("longer than the disk"), "{e}");
}

#[test]
fn a_folder_of_ext_that_is_in_itself_is_entered_once() {
    let mut ext = Ext::new(2000);
    ext.names(40, &[(2, 2, "."), (2, 2, ".."), (12, 2, "sub"), (2, 2, "root")]);
    ext.inode(12, 0x41ed, 1024);
    ext.extents(12, &[(0, 1, 41)]);
    ext.names(41, &[(12, 2, "."), (2, 2, ".."), (12, 2, "again")]);
    let (paths, errors) = walked(&*opened(&ext.source()));
    assert_eq!(paths, ["/sub", "/root", "/sub/again"]);
    assert!(errors.len() == 2 && errors.iter().all(|e| e.contains("more than one place")), "{errors:?}");
}

#[test]
fn folders_of_ext_that_are_the_whole_disk_are_left_at_some_point() {
    let blocks = 600u32;
    let mut ext = Ext::new(blocks as usize);
    let names: Vec<(u32, u8, String)> = (12..128).map(|i| (i, 2, format!("{i}"))).collect();
    // A block with names of all of them, and folders that are as long as the disk, most of it one and the same block.
    let names: Vec<(u32, u8, &str)> = names.iter().take(80).map(|(i, k, n)| (*i, *k, n.as_str())).collect();
    ext.names(40, &names);
    for i in 12..128 {
        ext.inode(i, 0x41ed, blocks * 1024);
        ext.pointer(i, 12, 60);
        ext.pointer(i, 13, 61);
    }
    ext.pointers(60, 40);
    for i in 0..2u32 {
        ext.bytes[61 * 1024 + i as usize * 4..][..4].copy_from_slice(&(100 + i).to_le_bytes());
        ext.pointers(100 + i as usize, 40);
    }
    let fs = opened(&ext.source());
    let (paths, _) = ends_soon(|| walked(&*fs));
    // As many names as the folders that are looked at could hold, and no folder a second time.
    assert!(paths.len() <= 81 * 600 * 80, "{}", paths.len());
    ends_soon(|| parts(&*fs));
}

#[test]
fn more_groups_and_inodes_than_there_is_room_for() {
    // As many groups as numbers allow, on a disk that ends in the first.
    let mut ext = Ext::new(2000);
    ext.names(40, &[(2, 2, "."), (2, 2, "..")]);
    ext.superblock(0x20, 8);
    ext.superblock(0x24, 8);
    ext.superblock(0x28, 8);
    ext.superblock(0x4, u32::MAX);
    ext.superblock(0x0, (u32::MAX - 1).div_ceil(8).wrapping_mul(8));
    let source = ext.source();
    ends_soon(|| {
        let Ok(Some(fs)) = crate::filesystems::open(&source) else { return };
        assert!(fs.used().is_err());
        assert!(fs.likely_used().iter().all(|(range, ())| range.end <= source.len()));
        assert!(parts(&*fs).iter().all(|part| part.range.end <= source.len()));
        let _ = walked(&*fs);
        let mut all = RangeMap::new();
        all.set(0..source.len(), ());
        let _ = owners(&*fs, &all, &mut |_, _| {});
    });
}

#[test]
fn names_that_break_off() {
    for len in [0u16, 4, 7, 9, 1028, u16::MAX] {
        let mut ext = Ext::new(2000);
        ext.names(40, &[(2, 2, "."), (2, 2, ".."), (12, 1, "file")]);
        ext.bytes[40 * 1024 + 12 + 4..][..2].copy_from_slice(&len.to_le_bytes());
        let (paths, errors) = walked(&*opened(&ext.source()));
        assert!(paths.is_empty() && errors.len() == 1, "{len}: {paths:?} {errors:?}");
    }
}
