//! What files of others do not show.

use super::*;
use tintype_core::testing::{MemoryOutlet, Model, check_source, check_writer, open_request};
use tintype_core::{Format, Kind, Options, extents};

const STATES: [State; 2] = [State::Data, State::Zero];

fn written(model: &Model, words: &[&str]) -> MemoryOutlet {
    let create = FORMAT.create.unwrap();
    let options = Options::parse(FORMAT.options, words).unwrap();
    let change = |request: &mut tintype_core::CreateRequest| request.options = options.clone();
    check_writer(create, read::open, "d.vdi", model, change).1
}

fn set(outlet: &MemoryOutlet, name: &str, at: usize, bytes: &[u8]) {
    let mut file = outlet.bytes(name).unwrap();
    file[at..at + bytes.len()].copy_from_slice(bytes);
    outlet.insert(name, file);
}

#[test]
fn any_size_comes_back() {
    for len in [0, 512, 1 << 20, (1 << 20) + 512, 5_000_192] {
        let model = Model::mixed(len, &STATES, 512, len as u64);
        for words in [&[][..], &["static=on"]] {
            let outlet = written(&model, words);
            assert_eq!(check::check(&open_request(&outlet, "d.vdi")).unwrap(), []);
        }
    }
}

#[test]
fn half_a_sector_becomes_a_whole_one() {
    let model = Model::noise(1000, 1);
    let outlet = MemoryOutlet::new();
    let request = tintype_core::testing::create_request(outlet.clone(), "d.vdi", &model);
    assert!((FORMAT.losses.unwrap())(&request)[0].contains("24 bytes of zeros"));
    let mut sink = write::create(&request).unwrap();
    tintype_core::testing::feed_model(&mut *sink, &model, 0, 1000, 1).unwrap();
    sink.finish(&tintype_core::Seal { len: 1000, ..Default::default() }).unwrap();
    let image = read::open(&open_request(&outlet, "d.vdi")).unwrap();
    let mut padded = model.clone();
    padded.bytes.resize(1024, 0);
    check_source(&*image.disk, &padded);
}

/// A differencing image on `base.vdi`, whose blocks are: one of its own, one of zeros, and the parent's.
fn overlay(parent_len: usize) -> (MemoryOutlet, Model) {
    let base = Model::noise(parent_len, 2);
    let outlet = written(&base, &[]);
    let parent = outlet.bytes("d.vdi").unwrap();
    outlet.insert("base.VDI", parent.clone());
    let own = Model::noise(4 << 20, 3);
    let over = written(&own, &[]);
    let mut top = over.bytes("d.vdi").unwrap();
    top[0x4c] = 4;
    top[0x1a8..0x1b8].copy_from_slice(&parent[0x188..0x198]);
    top[0x1b8..0x1c8].copy_from_slice(&parent[0x198..0x1a8]);
    top[0x184] = 1;
    top[0x204..0x208].copy_from_slice(&[0xFE, 0xFF, 0xFF, 0xFF]);
    top[0x208..0x210].fill(0xFF);
    outlet.insert("d.vdi", top);
    let mut bytes = own.bytes[..1 << 20].to_vec();
    bytes.resize(2 << 20, 0);
    bytes.extend(&base.bytes[2 << 20..]);
    bytes.resize(4 << 20, 0);
    (outlet, Model { bytes, runs: Vec::new(), sector: 512 })
}

#[test]
fn an_overlay_finds_its_parent_by_its_identifier() {
    let (outlet, model) = overlay(3 << 20);
    outlet.insert("other.vdi", vec![0; 700]);
    let image = read::open(&open_request(&outlet, "d.vdi")).unwrap();
    check_source(&*image.disk, &model);
    assert_eq!((image.chain.len(), &*image.chain[0].request.entry.name, image.damage.len()), (1, "base.VDI", 0));
    // Beyond the end of the parent there are zeros.
    let last = extents(&*image.disk, 0, 4 << 20).last().unwrap().unwrap();
    assert_eq!((last.offset, last.state), (3 << 20, State::Zero));

    set(&outlet, "base.VDI", 0x198, &[9; 16]);
    let image = read::open(&open_request(&outlet, "d.vdi")).unwrap();
    assert!(image.damage[0].what.contains("written to"), "{:?}", image.damage);
    outlet.insert("base.VDI", vec![0; 10]);
    let e = read::open(&open_request(&outlet, "d.vdi")).err().unwrap();
    assert!(e.kind() == Kind::Corrupt && e.what().contains("identifier"), "{e}");
}

#[test]
fn one_that_is_its_own_parent_ends() {
    let (outlet, _) = overlay(3 << 20);
    let top = outlet.bytes("d.vdi").unwrap();
    let mut loops = top.clone();
    loops[0x188..0x198].copy_from_slice(&top[0x1a8..0x1b8]);
    // Two overlays that name each other.
    outlet.insert("base.VDI", loops.clone());
    let e = read::open(&open_request(&outlet, "d.vdi")).err().unwrap();
    assert_eq!(e.kind(), Kind::Corrupt, "{e}");
}

#[test]
fn damage_is_found() {
    let model = Model::noise(4 << 20, 4);
    let found = |at: usize, bytes: &[u8]| {
        let outlet = written(&model, &[]);
        set(&outlet, "d.vdi", at, bytes);
        let findings = check::check(&open_request(&outlet, "d.vdi")).unwrap();
        findings.iter().map(|f| f.what.clone()).collect::<Vec<_>>().join("; ")
    };
    assert!(found(0x204, &[0]).contains("blocks 0 and 1 lie over each other"));
    assert!(found(0x208, &[4]).contains("block 2 is said to lie"));
    assert!(found(0x184, &[3]).contains("4 blocks are there, the header says 3"));
    assert!(found(0x158, &[0, 0, 0]).contains("inside the block map"));
    let outlet = written(&model, &[]);
    set(&outlet, "d.vdi", 0x208, &[4]);
    let image = read::open(&open_request(&outlet, "d.vdi")).unwrap();
    let e = image.disk.read_at(&mut [0; 10], 2 << 20).unwrap_err();
    assert_eq!(e.kind(), Kind::Corrupt, "{e}");
    image.disk.read_at(&mut [0; 10], 3 << 20).unwrap();
}

#[test]
fn what_cannot_be_believed_is_refused() {
    let model = Model::noise(2 << 20, 5);
    for (at, bytes, kind) in [
        (0x44, &[2, 0, 1, 0][..], Kind::Unsupported),
        (0x48, &[0, 1], Kind::Corrupt),
        (0x4c, &[5], Kind::Unsupported),
        (0x154, &[0, 0, 0, 0x70], Kind::Corrupt),
        (0x168, &[0, 16], Kind::Unsupported),
        (0x176, &[1], Kind::Corrupt),
        (0x178, &[0, 0, 0], Kind::Corrupt),
        (0x182, &[0xff, 0xff], Kind::Corrupt),
        (0x1a8, &[1], Kind::Corrupt),
    ] {
        let outlet = written(&model, &[]);
        set(&outlet, "d.vdi", at, bytes);
        let e = read::open(&open_request(&outlet, "d.vdi")).err().unwrap_or_else(|| panic!("{at:#x} is believed"));
        assert_eq!(e.kind(), kind, "{at:#x}: {e}");
    }
    let format: &Format = &FORMAT;
    assert!(Options::parse(format.options, &["statc=on"]).is_err());
}
