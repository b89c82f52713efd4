//! What files of others do not show.

use super::layout::{Header, IN_USE, NEW, OLD};
use super::*;
use tintype_core::testing::{MemoryOutlet, Model, check_source, check_writer, open_bytes, open_request};
use tintype_core::{Entry, Image, Kind, OpenRequest};
use zerocopy::IntoBytes;
use zerocopy::little_endian::{U32, U64};

const STATES: [State; 2] = [State::Data, State::Zero];

fn findings(request: &OpenRequest) -> String {
    let found = check::check(request).unwrap_or_else(|e| panic!("{}", e.chain()));
    found.iter().map(|f| f.what.clone()).collect::<Vec<_>>().join("; ")
}

#[test]
fn any_size_comes_back() {
    for len in [0, 512, 1 << 20, (1 << 20) + 512, 5_000_192] {
        let model = Model::mixed(len, &STATES, 512, len as u64);
        let (_, outlet) = check_writer(write::create, bundle::open, "d.hds", &model, |_| {});
        assert_eq!(findings(&open_request(&outlet, "d.hds")), "");
    }
}

/// An image whose clusters of `tracks` sectors lie in reverse order; every third is left out.
fn image(model: &mut Model, magic: [u8; 16], tracks: usize) -> Vec<u8> {
    let cluster = tracks * 512;
    let clusters = model.bytes.len().div_ceil(cluster);
    let first = (64 + 4 * clusters).next_multiple_of(cluster);
    let header = Header {
        magic,
        version: U32::new(2),
        heads: U32::new(16),
        cylinders: U32::new(1),
        tracks: U32::new(tracks as u32),
        bat_entries: U32::new(clusters as u32),
        // With the old signature the upper half means nothing.
        sectors: U64::new((model.bytes.len() / 512) as u64 | if magic == OLD { 7 << 32 } else { 0 }),
        in_use: U32::new(0),
        data_offset: U32::new(0),
        flags: U32::new(0),
        extension_offset: U64::new(0),
    };
    let mut file = header.as_bytes().to_vec();
    let unit = if magic == OLD { 512 } else { cluster };
    let places: Vec<usize> = (0..clusters).map(|n| first + (clusters - 1 - n) * cluster).collect();
    for (n, at) in places.iter().enumerate() {
        let entry = if n % 3 == 1 { 0 } else { at / unit };
        file.extend((entry as u32).to_le_bytes());
    }
    file.resize(first + clusters * cluster, 0);
    for (n, at) in places.iter().enumerate() {
        let from = n * cluster;
        let to = (from + cluster).min(model.bytes.len());
        file[*at..at + to - from].copy_from_slice(&model.bytes[from..to]);
        if n % 3 == 1 {
            model.bytes[from..to].fill(0);
        }
    }
    file
}

#[test]
fn both_kinds_and_odd_clusters_are_read() {
    for (magic, tracks) in [(OLD, 63), (OLD, 504), (NEW, 63), (NEW, 2048)] {
        let mut model = Model::noise(512 * 5000, 7);
        let file = image(&mut model, magic, tracks);
        check_source(&*bundle::open(&open_bytes("d.hds", file.clone())).unwrap().disk, &model);
        assert_eq!(findings(&open_bytes("d.hds", file)), "");
    }
}

#[test]
fn damage_is_found() {
    let good = image(&mut Model::noise(512 * 500, 8), NEW, 63);
    let with = |at: usize, bytes: &[u8]| {
        let mut file = good.clone();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        open_bytes("d.hds", file)
    };
    let third = good[64 + 8..64 + 12].to_vec();
    assert!(findings(&with(64, &third)).contains("blocks 0 and 2 lie over each other"));
    assert!(findings(&with(64, &[200])).contains("cluster 0 is said to lie"));
    assert!(findings(&with(48, &[0, 1])).contains("in front of the data"));
    assert!(findings(&with(44, &IN_USE.to_le_bytes())).contains("not closed"));
    let open: Image = bundle::open(&with(44, &IN_USE.to_le_bytes())).unwrap();
    assert_eq!(open.damage.len(), 1);
    assert_eq!(
        bundle::open(&with(64, &[200])).unwrap().disk.read_at(&mut [0; 4], 0).unwrap_err().kind(),
        Kind::Corrupt
    );
    for (at, bytes, kind) in [
        (16, &[3][..], Kind::Unsupported),
        (28, &[0, 0, 0, 0], Kind::Corrupt),
        (32, &[1, 0], Kind::Corrupt),
        (39, &[0xFF; 5], Kind::Corrupt),
        (0, b"X", Kind::Corrupt),
    ] {
        let e = bundle::open(&with(at, bytes)).err().unwrap_or_else(|| panic!("{at}"));
        assert_eq!(e.kind(), kind, "{at}: {e}");
    }
}

/// A bundle of two storages; the first in two states.
fn bundle_of(model: &Model, older: &Model) -> MemoryOutlet {
    let outlet = MemoryOutlet::new();
    let half = model.bytes.len() / 2;
    let part =
        |model: &Model, range: std::ops::Range<usize>| Model { bytes: model.bytes[range].to_vec(), ..model.clone() };
    let base = check_writer(write::create, bundle::open, "d", &part(older, 0..half), |_| {}).1.bytes("d").unwrap();
    // Only its first and third clusters are its own.
    let mut top = check_writer(write::create, bundle::open, "d", &part(model, 0..half), |_| {}).1.bytes("d").unwrap();
    top[68..72].fill(0);
    outlet.insert("base.hds", base);
    outlet.insert("top & more.hds", top);
    outlet.insert("plain.hds", model.bytes[half..].to_vec());
    let (a, b) = ("{11111111-1111-1111-1111-111111111111}", "{5FBAABE3-6958-40ff-92a7-860e329aab41}");
    let none = "{00000000-0000-0000-0000-000000000000}";
    let file = |guid, kind, file| format!("<Image><GUID>{guid}</GUID><Type>{kind}</Type><File>{file}</File></Image>");
    let (split, end) = (half / 512, model.bytes.len() / 512);
    let text = format!(
        "<?xml version='1.0'?>\n<Parallels_disk_image Version=\"1.0\"><Disk_Parameters><Disk_size>{end}</Disk_size>\
         <Padding>0</Padding><!-- > --><Name/></Disk_Parameters><StorageData>\
         <Storage><Start>{split}</Start><End>{end}</End>{}{}</Storage>\
         <Storage> <Start>0</Start> <End>{split}</End> {}{} </Storage></StorageData>\
         <Snapshots><Shot><GUID>{b}</GUID><ParentGUID>{a}</ParentGUID></Shot>\
         <Shot><GUID>{a}</GUID><ParentGUID>{none}</ParentGUID></Shot></Snapshots></Parallels_disk_image>\n",
        file(a, "Plain", "plain.hds"),
        file(b, "Compressed", "nothing.hds"),
        file(a, "Compressed", "base.hds"),
        file(b, "Compressed", "top &amp; more.hds"),
    );
    let mut nothing = image(&mut Model::noise(0, 0), NEW, 2048);
    nothing[36..44].copy_from_slice(&((end - split) as u64).to_le_bytes());
    nothing[32] = 3;
    nothing.resize(64 + 3 * 4, 0);
    outlet.insert("nothing.hds", nothing);
    outlet.insert("DiskDescriptor.xml", text.into_bytes());
    outlet
}

#[test]
fn a_bundle_is_one_disk_in_each_of_its_states() {
    let (model, older) = (Model::noise(6 << 20, 20), Model::noise(6 << 20, 21));
    let outlet = bundle_of(&model, &older);
    let mut now = model.clone();
    now.bytes[1 << 20..2 << 20].copy_from_slice(&older.bytes[1 << 20..2 << 20]);
    let mut then = older.clone();
    then.bytes[3 << 20..].copy_from_slice(&model.bytes[3 << 20..]);
    let by_file = open_request(&outlet, "DiskDescriptor.xml");
    let by_folder = OpenRequest { entry: Entry::folder("d.hdd"), ..by_file.clone() };
    for request in [&by_file, &by_folder] {
        let image = bundle::open(request).unwrap_or_else(|e| panic!("{}", e.chain()));
        check_source(&*image.disk, &now);
        assert_eq!(image.parts.len(), 1);
        check_source(&*(image.parts[0].open)().unwrap(), &then);
        assert_eq!(findings(request), "");
        assert_eq!(image.files.len(), 5);
    }
    let text = String::from_utf8(outlet.bytes("DiskDescriptor.xml").unwrap()).unwrap();
    for (from, to, kind) in [
        ("base.hds", "gone.hds", Kind::Io),
        ("base.hds", "../base.hds", Kind::Io),
        ("<End>", "<End>1", Kind::Corrupt),
        ("</Storage>", "", Kind::Corrupt),
        ("<Padding>0", "<Padding>1", Kind::Unsupported),
        ("{00000000-0000-0000-0000-000000000000}", "{5fbaabe3-6958-40ff-92a7-860e329aab41}", Kind::Corrupt),
        ("Plain", "Other", Kind::Unsupported),
    ] {
        outlet.insert("DiskDescriptor.xml", text.replace(from, to).into_bytes());
        let e = bundle::open(&open_request(&outlet, "DiskDescriptor.xml")).err().unwrap_or_else(|| panic!("{from}"));
        assert_eq!(e.kind(), kind, "{from}: {e}");
    }
}
