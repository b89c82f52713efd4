//! File systems of which parts are missing, and come in.

use super::images::{Ext, Fat};
use super::{opened, parts, walked};
use crate::filesystems::{FileSystem, Followed, Part, Survey, lookup, open};
use std::sync::Arc;
use tintype_core::layers::Masked;
use tintype_core::{Extent, ExtentMap, Kind, Source, State};

/// The source of which these sectors were not read.
fn without(source: &Arc<dyn Source>, sectors: impl IntoIterator<Item = u64>) -> Arc<dyn Source> {
    let mut map = ExtentMap::new();
    for sector in sectors {
        let len = (source.len() - sector * 512).min(512);
        map.set(Extent::new(sector * 512, len, State::Unread));
    }
    Arc::new(Masked::new(Arc::clone(source), map))
}

/// Folders in folders, and a file in the last.
fn nested_fat() -> Fat {
    let mut fat = Fat::new(400);
    let mut at = 2;
    for depth in 0..6u32 {
        let below = 20 + depth * 10;
        for i in 0..3 {
            fat.entry(at, i, &format!("D{i}"), true, below + i as u32, 0);
            fat.chain(&[below + i as u32], Fat::END);
        }
        fat.entry(at, 3, "FILE", false, 200 + depth, 500);
        fat.chain(&[200 + depth], Fat::END);
        at = below + 1;
    }
    fat
}

/// Folders in folders, one of them with a tree of extents, and a file with blocks of pointers.
fn nested_ext() -> Ext {
    let mut ext = Ext::new(3000);
    ext.names(40, &[(2, 2, "."), (2, 2, ".."), (12, 2, "a"), (13, 1, "file")]);
    ext.inode(12, 0x41ed, 4096);
    ext.tree(12, 2, &[(0, 50)]);
    ext.inner(50, 1, &[(0, 51), (2, 52)]);
    ext.leaves(51, &[(0, 2, 60)]);
    ext.leaves(52, &[(2, 2, 70)]);
    ext.names(60, &[(12, 2, "."), (2, 2, ".."), (14, 1, "b")]);
    ext.names(61, &[(15, 1, "c")]);
    ext.names(70, &[(16, 1, "d")]);
    ext.names(71, &[(17, 1, "e")]);
    ext.inode(13, 0x81a4, 300_000);
    ext.pointer(13, 12, 80);
    ext.pointers(80, 0);
    ext.pointer(13, 13, 81);
    ext.pointers(81, 0);
    ext.bytes[81 * 1024..][..4].copy_from_slice(&82u32.to_le_bytes());
    for i in 14..18 {
        ext.inode(i, 0x81a4, 1000);
        ext.extents(i, &[(0, 1, 100 + i as u32)]);
    }
    ext
}

/// Whatever order sectors come in, a survey that goes on comes to the same as one over everything.
fn bit_by_bit(source: &Arc<dyn Source>) {
    let all = parts(&*opened(source));
    let sectors = source.len().div_ceil(512);
    for seed in 0..20u64 {
        let mut order: Vec<u64> = (0..sectors).collect();
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) + 1;
        for i in (1..order.len()).rev() {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            order.swap(i, (state >> 33) as usize % (i + 1));
        }
        // What opens it is there.
        order.retain(|sector| *sector > 4);
        let mut survey = Survey::default();
        let mut settled: Vec<Part> = Vec::new();
        for step in 0..=8 {
            let lost = &order[..order.len() * (8 - step) / 8];
            let fs = opened(&without(source, lost.iter().copied()));
            let before = settled.len();
            survey.look(&*fs, &mut |part, followed| settled.extend((followed == Followed::Whole).then_some(part)));
            assert!(step < 8 || settled.len() >= before);
        }
        assert!(survey.is_whole());
        settled.sort_by_key(|part| (part.rank, part.range.start, part.range.end));
        settled.dedup();
        assert_eq!(settled, all, "seed {seed}");
        // And what is whole tells nothing any more.
        survey.look(&*opened(source), &mut |part, _| panic!("{part:?} was told before"));
    }
}

#[test]
fn metadata_of_fat_comes_in_bit_by_bit() {
    let fat = nested_fat();
    assert!(parts(&*opened(&fat.source())).iter().filter(|p| p.what == "folder").count() == 18);
    bit_by_bit(&fat.source());
}

#[test]
fn metadata_of_ext_comes_in_bit_by_bit() {
    let ext = nested_ext();
    let fs = opened(&ext.source());
    assert_eq!(walked(&*fs).0, ["/a", "/file", "/a/b", "/a/c", "/a/d", "/a/e"]);
    bit_by_bit(&ext.source());
}

#[test]
fn a_lost_sector_of_the_table_hurts_only_its_own_clusters() {
    let mut fat = Fat::new(2000);
    // Entries of clusters 128 to 255 lie in the second sector of the table.
    fat.entry(2, 0, "HURT", false, 130, 1000);
    fat.chain(&[130, 131], Fat::END);
    fat.entry(2, 1, "SOUND", false, 300, 1000);
    fat.chain(&[300, 301], Fat::END);
    let fs = opened(&without(&fat.source(), [2]));
    let extents = |fs: &dyn FileSystem, name: &str| fs.extents(lookup(fs, name.as_bytes()).unwrap());
    assert!(matches!(extents(&*fs, "/HURT").unwrap_err().kind(), Kind::Unreadable { .. }));
    assert_eq!(extents(&*fs, "/SOUND").unwrap(), extents(&*opened(&fat.source()), "/SOUND").unwrap());
    // Nobody knows of these clusters whether they are free.
    let (likely, place) = (fs.likely_used(), fat.place(128) as u64);
    assert!(likely.get(place).is_some_and(|(range, ())| range.end >= place + 128 * 512));
}

#[test]
fn a_lost_piece_of_an_inode_table_hurts_only_its_own_inodes() {
    let ext = nested_ext();
    // Inodes 13 to 16: the table begins in block 5, and a sector has four.
    let fs = opened(&without(&ext.source(), [5 * 2 + 3]));
    let mut found = Vec::new();
    let mut errors = 0;
    fs.nodes(&mut |node| {
        match node {
            Ok(node) => found.push(node.id.0),
            Err(_) => errors += 1,
        }
        std::ops::ControlFlow::Continue(())
    })
    .unwrap();
    assert!(found == [2, 12, 17] && errors == 1, "{found:?} {errors}");
}

#[test]
fn nothing_is_opened_where_its_begin_is_lost() {
    for source in [nested_fat().source(), nested_ext().source()] {
        let sectors = source.len() / 512;
        assert!(open(&without(&source, 0..sectors)).unwrap().is_none());
        assert!(open(&without(&source, 0..4)).unwrap().is_none());
    }
}
