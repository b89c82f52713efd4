//! What we write, attached: in QEMU as drives of a guest, and by QEMU's own server.

use serde_json::Value;
use std::path::{Path, PathBuf};
use tintype_tests::{Bus, Guest, GuestDrive, Need::*, Scratch, assert_same, ours, read, tool, write_sparse};

tintype_tests::topic! {
    a_server_of_qemu_shows_ours: [Tool("qemu-nbd"), Tool("nbdcopy"), Tool("nbdinfo")],
    a_guest_reads_ours: [Long, Tool("qemu-system-x86_64"), Tool("sg_raw"), Tool("apt-get"), Tool("sha256sum")],
}

/// A serial number, our name of the format, options, the file, and QEMU's name of the format.
type Way = (&'static str, &'static str, &'static [&'static str], &'static str, &'static str);

const WAYS: [Way; 16] = [
    ("QCOW2", "qcow2", &[], "d.qcow2", "qcow2"),
    ("QCOW2ZLIB", "qcow2", &["--compression", "zlib"], "zlib.qcow2", "qcow2"),
    ("QCOW2ZSTD", "qcow2", &["--compression", "zstd"], "zstd.qcow2", "qcow2"),
    ("QCOW2L2", "qcow2", &["--option", "extended_l2=on"], "l2.qcow2", "qcow2"),
    ("QCOW2ON", "qcow2", &["--backing", "base.qcow2"], "on.qcow2", "qcow2"),
    ("VMDK", "vmdk", &["--option", "subformat=monolithicSparse"], "d.vmdk", "vmdk"),
    ("VMDKFLAT", "vmdk", &["--option", "subformat=monolithicFlat"], "flat.vmdk", "vmdk"),
    ("VMDKTWO", "vmdk", &["--option", "subformat=twoGbMaxExtentSparse"], "two.vmdk", "vmdk"),
    ("VMDKTWOFLAT", "vmdk", &["--option", "subformat=twoGbMaxExtentFlat"], "twoflat.vmdk", "vmdk"),
    ("VMDKSTREAM", "vmdk", &["--option", "subformat=streamOptimized"], "stream.vmdk", "vmdk"),
    ("VHD", "vhd", &[], "d.vhd", "vpc"),
    ("VHDFIXED", "vhd", &["--option", "subformat=fixed"], "fixed.vhd", "vpc"),
    ("VHDX", "vhdx", &[], "d.vhdx", "vhdx"),
    ("VHDXFIXED", "vhdx", &["--option", "subformat=fixed"], "fixed.vhdx", "vhdx"),
    ("VDI", "vdi", &[], "d.vdi", "vdi"),
    ("PARALLELS", "parallels", &[], "d.hds", "parallels"),
];

/// The same for what can be written only where there is a writer for it.
const QED: Way = ("QED", "qed", &[], "d.qed", "qed");

fn ways() -> Vec<Way> {
    let qed = tintype_formats::by_name("qed").is_ok_and(|f| f.create.is_some());
    WAYS.into_iter().chain(qed.then_some(QED)).collect()
}

/// A disk of `len` bytes with noise here and there, in a folder; and a part of it, in a QCOW2 beside it.
fn disk(scratch: &Scratch, len: usize) -> (PathBuf, Vec<u8>) {
    let mut bytes = vec![0; len];
    for (i, at) in [0, 100_000, len / 3, len / 2 + 512, len - 70_000].into_iter().enumerate() {
        bytes[at..at + 66_000].copy_from_slice(&tintype_core::testing::Model::noise(66_000, 3000 + i as u64).bytes);
    }
    let (path, base) = (scratch.join("disk.raw"), scratch.join("base.raw"));
    write_sparse(&path, &bytes);
    let mut part = bytes.clone();
    part[len / 2..].fill(0);
    part[5000..9000].fill(7);
    write_sparse(&base, &part);
    ours(&[&"convert", &base, &scratch.join("base.qcow2"), &"-q", &"--hash", &"none"]).ok();
    (path, bytes)
}

fn write(scratch: &Scratch, disk: &Path, (_, format, options, name, _): Way) -> PathBuf {
    let image = scratch.join(name);
    let run = ours(&[&"convert", &disk, &image, &"--to", &format, &"-q", &"--hash", &"none"]);
    run.args(options).folder(scratch.path()).ok();
    image
}

fn a_server_of_qemu_shows_ours() {
    let scratch = Scratch::new();
    let (disk, bytes) = disk(&scratch, 64 << 20);
    for way in ways() {
        let image = write(&scratch, &disk, way);
        let out = scratch.join("out.raw");
        let server = |run: tintype_tests::Invocation| {
            run.args(["--", "[", "qemu-nbd", "-r", "-f", way.4]).arg(&image).arg("]").folder(scratch.path())
        };
        server(tool("nbdcopy", &[])).arg(&out).ok();
        assert_same(&disk, &out);
        // Where it knows zeros we do too, and what we call zeros is nothing else.
        let map: Value = serde_json::from_str(&server(tool("nbdinfo", &[&"--map", &"--json"])).ok().out()).unwrap();
        let info = ours(&[&"info", &image, &"--extents", &"--json", &"-q"]).ok().json();
        let number = |v: &Value| v.as_u64().unwrap() as usize;
        let mut zeros = vec![false; bytes.len()];
        for extent in info["extent_list"].as_array().unwrap().iter().filter(|e| e["state"] == "zero") {
            zeros[number(&extent["offset"])..][..number(&extent["len"])].fill(true);
        }
        assert!(zeros.iter().zip(&bytes).all(|(zero, byte)| !zero || *byte == 0), "{}: zeros that are none", way.0);
        let mut theirs = 0;
        for extent in map.as_array().unwrap().iter().filter(|e| e["type"].as_u64().unwrap() & 2 != 0) {
            let (at, len) = (number(&extent["offset"]), number(&extent["length"]));
            let missing = zeros[at..at + len].iter().filter(|zero| !**zero).count();
            assert!(missing < 4096, "{}: {extent} is not told: {missing} bytes", way.0);
            theirs += len;
        }
        // Of some formats it tells nothing.
        let told = ["qcow2", "vmdk"].contains(&way.1);
        assert!(!told || theirs > bytes.len() / 2, "{}: it knows of {theirs} bytes of zeros", way.0);
        for file in [image, out] {
            std::fs::remove_file(file).unwrap();
        }
    }
}

fn a_guest_reads_ours() {
    let scratch = Scratch::new();
    let (disk, bytes) = disk(&scratch, 16 << 20);
    let sum = tool("sha256sum", &[&disk]).ok().out();
    let sum = sum.split_whitespace().next().unwrap();
    let drive = |way: Way| {
        let image = write(&scratch, &disk, way);
        GuestDrive { format: way.4, ..GuestDrive::new(Bus::Scsi, &image, way.0) }
    };
    let mut guest = Guest::boot(ways().into_iter().map(drive).collect());
    for way in ways() {
        let path = guest.path_of(way.0);
        let said = guest.ok(&format!("sha256sum {path}")).text();
        assert_eq!(said.split_whitespace().next(), Some(sum), "{}", way.0);
    }
    assert_eq!(read(&disk), bytes);
}
