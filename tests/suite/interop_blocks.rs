//! Block-mapped disks of virtual machines, both ways beside the programs that people trust with them.

use serde_json::Value;
use std::path::{Path, PathBuf};
use tintype_tests::{Layout, Need::*, Scratch, assert_same, ours, python, read, sample_file, tool};

tintype_tests::topic! {
    vdi_of_qemu_is_read: [Tool("qemu-img")],
    vhd_of_qemu_is_read: [Tool("qemu-img")],
    vhdx_of_qemu_is_read: [Tool("qemu-img")],
    parallels_of_qemu_is_read: [Tool("qemu-img")],
    ours_reads_in_qemu: [Tool("qemu-img")],
    ours_reads_in_seven_zip: [Tool("7zz")],
    ours_reads_in_libvhdi: [Python("pyvhdi")],
    patterns_that_qemu_writes_into_ours_come_back: [Tool("qemu-img"), Tool("qemu-io")],
    chs_sizes_are_those_of_qemu: [Tool("qemu-img")],
    azure_takes_only_whole_mebibytes: [Tool("qemu-img")],
    sparse_images_of_android_are_read: [Tool("img2simg")],
    ours_reads_in_simg2img: [Tool("simg2img")],
    bochs_of_bximage_is_read: [Tool("bximage"), Tool("qemu-img")],
    cloop_is_read: [Tool("create_compressed_fs")],
    what_qemu_calls_damaged_is_damage: [Tool("qemu-img")],
    half_a_sector_is_padded_and_proved: [Tool("qemu-img")],
}

/// A whole number of MiB; a few sectors more; nothing round at all; mostly holes.
const SIZES: [usize; 4] = [4 << 20, (3 << 20) + 1536, 12_345 * 512, 40 << 20];

fn disk(scratch: &Scratch, len: usize) -> PathBuf {
    let path = scratch.join("disk.raw");
    if len < 40 << 20 {
        return sample_file(scratch, "disk.raw", len, len as u64, Layout::Sparse).0;
    }
    let mut bytes = vec![0; len];
    for at in [0, 5 << 20, (17 << 20) + 512, len - 4096] {
        let noise = tintype_core::testing::Model::noise(4096, at as u64).bytes;
        bytes[at..at + 4096].copy_from_slice(&noise);
    }
    tintype_tests::write_sparse(&path, &bytes);
    path
}

/// Makes images with qemu-img in every way, and reads them in every way we have.
fn read_of_qemu(format: &str, theirs: &str, ending: &str, ways: &[&str]) {
    for len in SIZES {
        for way in ways {
            let scratch = Scratch::new();
            let raw = disk(&scratch, len);
            let image = scratch.join(format!("d.{ending}"));
            let mut make = tool("qemu-img", &[&"convert", &"-q", &"-f", &"raw", &"-O", &theirs]);
            if !way.is_empty() {
                make = make.args(["-o", way]);
            }
            make.arg(&raw).arg(&image).ok();
            let how = format!("{theirs} {way} of {len}");
            let seen = scratch.join("theirs.raw");
            tool("qemu-img", &[&"convert", &"-q", &"-f", &theirs, &"-O", &"raw", &image, &seen]).ok();
            let json = ours(&[&"info", &image, &"--json", &"--extents"]).ok().json();
            assert_eq!(json["format"], format, "{how}: {json}");
            let out = scratch.join("out.img");
            ours(&[&"convert", &image, &out, &"-q"]).ok();
            assert_same(&seen, &out);
            ours(&[&"verify", &image, &"--against", &seen]).ok();
            same_zeros(&image, theirs, &json, &how);
        }
    }
}

/// Where qemu-img knows zeros, we do too.
fn same_zeros(image: &Path, theirs: &str, json: &Value, how: &str) {
    let map = tool("qemu-img", &[&"map", &"-f", &theirs, &"--output=json", &image]).ok();
    let map: Value = serde_json::from_str(&map.out()).unwrap();
    let ours = json["extent_list"].as_array().unwrap();
    let number = |v: &Value| v.as_u64().unwrap();
    for theirs in map.as_array().unwrap().iter().filter(|e| e["zero"] == true) {
        let (from, to) = (number(&theirs["start"]), number(&theirs["start"]) + number(&theirs["length"]));
        for extent in ours {
            let (a, b) = (number(&extent["offset"]), number(&extent["offset"]) + number(&extent["len"]));
            if a < to && from < b && b.min(to) - a.max(from) >= 4096 {
                assert_eq!(extent["state"], "zero", "{how}: {theirs} is {extent}");
            }
        }
    }
}

fn vdi_of_qemu_is_read() {
    read_of_qemu("vdi", "vdi", "vdi", &["", "static=on"]);
}

fn vhd_of_qemu_is_read() {
    let ways =
        ["subformat=dynamic", "subformat=fixed", "subformat=dynamic,force_size=on", "subformat=fixed,force_size=on"];
    read_of_qemu("vhd", "vpc", "vhd", &ways);
}

fn vhdx_of_qemu_is_read() {
    let ways = [
        "",
        "subformat=fixed",
        "block_size=1M",
        "block_size=2M,block_state_zero=off",
        "block_size=256M",
        "log_size=4M,block_size=16M",
    ];
    read_of_qemu("vhdx", "vhdx", "vhdx", &ways);
}

fn parallels_of_qemu_is_read() {
    read_of_qemu("parallels", "parallels", "hds", &["", "cluster_size=64k", "cluster_size=4M"]);
}

/// Format, its name in qemu, its ending, and our options.
const WRITTEN: [(&str, &str, &str, &[&str]); 14] = [
    ("vdi", "vdi", "vdi", &[]),
    ("vdi", "vdi", "vdi", &["static=on"]),
    ("vhd", "vpc", "vhd", &[]),
    ("vhd", "vpc", "vhd", &["subformat=fixed"]),
    ("vhd", "vpc", "vhd", &["size=chs"]),
    ("vhd", "vpc", "vhd", &["size=chs", "subformat=fixed"]),
    ("vhd", "vpc", "vhd", &["azure=on"]),
    ("vhdx", "vhdx", "vhdx", &[]),
    ("vhdx", "vhdx", "vhdx", &["subformat=fixed"]),
    ("vhdx", "vhdx", "vhdx", &["block_size=1MiB"]),
    ("vhdx", "vhdx", "vhdx", &["block_size=32MiB", "subformat=fixed"]),
    ("vhdx", "vhdx", "vhdx", &["block_size=256MiB"]),
    ("parallels", "parallels", "hds", &[]),
    ("parallels", "parallels", "hdd", &[]),
];

fn write(raw: &Path, image: &Path, format: &str, options: &[&str]) {
    let mut make = ours(&[&"convert", &raw, &image, &"--to", &format, &"-q", &"--verify"]);
    for option in options {
        make = make.args(["--option", option]);
    }
    make.ok();
}

fn ours_reads_in_qemu() {
    for len in SIZES {
        for (format, theirs, ending, options) in WRITTEN {
            let scratch = Scratch::new();
            let raw = disk(&scratch, len);
            let image = scratch.join(format!("d.{ending}"));
            write(&raw, &image, format, options);
            let how = format!("{format} {options:?} of {len}");
            let run = tool("qemu-img", &[&"compare", &"-f", &"raw", &"-F", &theirs, &raw, &image]).run();
            assert!(run.code() == Some(0), "{how}: {run}");
            // qemu-img has no check of VHD.
            if theirs != "vpc" {
                let run = tool("qemu-img", &[&"check", &"-f", &theirs, &image]).run();
                assert!(run.code() == Some(0), "{how}: {run}");
            }
            let json = ours(&[&"info", &image, &"--json"]).ok().json();
            let info = tool("qemu-img", &[&"info", &"-f", &theirs, &"--output=json", &image]).ok();
            let info: Value = serde_json::from_str(&info.out()).unwrap();
            assert_eq!(info["virtual-size"], json["size"], "{how}");
            ours(&[&"verify", &image, &"--against", &image]).ok();
            // What is zero takes no room.
            if len == 40 << 20 {
                let stored = std::os::unix::fs::MetadataExt::blocks(&std::fs::metadata(&image).unwrap()) * 512;
                assert!(stored < 1 << 20, "{how}: {stored} bytes");
            }
        }
    }
}

fn ours_reads_in_seven_zip() {
    for (format, _, ending, options) in WRITTEN.into_iter().filter(|w| w.0 != "parallels") {
        let scratch = Scratch::new();
        // It opens no VHDX, whoever made it, whose disk is no multiple of 4096 bytes.
        let raw = disk(&scratch, SIZES[0]);
        let image = scratch.join(format!("d.{ending}"));
        write(&raw, &image, format, options);
        let out = scratch.join("out.raw");
        let to = std::fs::File::create(&out).unwrap();
        tool("7zz", &[&"x", &"-so", &format!("-t{format}"), &image]).stdout(to).ok();
        let (want, got) = (read(&raw), read(&out));
        assert!(got.starts_with(&want) && got[want.len()..].iter().all(|b| *b == 0), "{format} {options:?}");
    }
}

fn ours_reads_in_libvhdi() {
    const SCRIPT: &str = "import pyvhdi, sys\n\
        f = pyvhdi.file(); f.open(sys.argv[1])\n\
        n = f.get_media_size(); out = open(sys.argv[2], 'wb')\n\
        while n:\n  b = f.read_buffer(min(n, 1 << 20)); out.write(b); n -= len(b)\n";
    for (format, _, ending, options) in WRITTEN.into_iter().filter(|w| w.0.starts_with("vhd")) {
        let scratch = Scratch::new();
        let raw = disk(&scratch, SIZES[1]);
        let image = scratch.join(format!("d.{ending}"));
        write(&raw, &image, format, options);
        let out = scratch.join("out.raw");
        tool(&python().to_string_lossy(), &[&"-c", &SCRIPT, &image, &out]).ok();
        let (want, got) = (read(&raw), read(&out));
        assert!(got.starts_with(&want) && got[want.len()..].iter().all(|b| *b == 0), "{format} {options:?}");
    }
}

fn patterns_that_qemu_writes_into_ours_come_back() {
    for (format, theirs, ending, options) in WRITTEN {
        let scratch = Scratch::new();
        let raw = disk(&scratch, SIZES[0]);
        let image = scratch.join(format!("d.{ending}"));
        write(&raw, &image, format, options);
        // Over what is there, into what is not, and across a block.
        for (pattern, at, len) in [(0xA5, 512, 1024), (0x5A, (2 << 20) - 4096, 8192), (0x11, (4 << 20) - 512, 512)] {
            let command = format!("write -P {pattern} {at} {len}");
            tool("qemu-io", &[&"-f", &theirs, &"-c", &command, &image]).ok();
        }
        let (seen, out) = (scratch.join("theirs.raw"), scratch.join("out.img"));
        tool("qemu-img", &[&"convert", &"-q", &"-f", &theirs, &"-O", &"raw", &image, &seen]).ok();
        ours(&[&"convert", &image, &out, &"-q"]).ok();
        assert_same(&seen, &out);
        let bytes = read(&out);
        assert!(bytes[512..1536].iter().all(|b| *b == 0xA5), "{format} {options:?}");
        ours(&[&"verify", &image, &"--against", &seen]).ok();
    }
}

fn chs_sizes_are_those_of_qemu() {
    let scratch = Scratch::new();
    let (mine, theirs) = (scratch.join("o.vhd"), scratch.join("t.vhd"));
    let size = |path: &Path| {
        let info = tool("qemu-img", &[&"info", &"-f", &"vpc", &"--output=json", &path]).ok();
        serde_json::from_str::<Value>(&info.out()).unwrap()["virtual-size"].clone()
    };
    let mut sectors: u64 = 1;
    while sectors < 2040 * 2 * 1024 * 1024 {
        let len = sectors * 512;
        ours(&[&"create", &mine, &"--size", &len.to_string(), &"--option", &"size=chs", &"--force"]).ok();
        let _ = std::fs::remove_file(&theirs);
        tool("qemu-img", &[&"create", &"-q", &"-f", &"vpc", &theirs, &len.to_string()]).ok();
        assert_eq!(size(&mine), size(&theirs), "{len} bytes");
        assert_eq!(ours(&[&"info", &theirs, &"--json"]).ok().json()["size"], size(&theirs), "{len} bytes");
        sectors = sectors * 7 / 3 + 1;
    }
}

fn azure_takes_only_whole_mebibytes() {
    let scratch = Scratch::new();
    let raw = disk(&scratch, SIZES[1]);
    let image = scratch.join("a.vhd");
    let run = ours(&[&"convert", &raw, &image, &"--option", &"azure=on"]).ok();
    assert!(run.stderr.contains("whole MiB") || run.out().contains("whole MiB"), "{run}");
    let len = std::fs::metadata(&image).unwrap().len();
    assert_eq!(len % (1 << 20), 512);
    let footer = read(&image).split_off(len as usize - 512);
    assert_eq!((&footer[..8], &footer[48..56]), (&b"conectix"[..], &(len - 512).to_be_bytes()[..]));
    let most = ours(&[&"create", &scratch.join("b.vhd"), &"--size", &"2041GiB"]).run();
    assert!(most.code() != Some(0) && most.stderr.contains("2,040 GiB"), "{most}");
    ours(&[&"create", &scratch.join("b.vhd"), &"--size", &"2040GiB"]).ok();
}

fn sparse_images_of_android_are_read() {
    for len in [4096, 1 << 20, 12_288 * 100 + 512] {
        let scratch = Scratch::new();
        let raw = disk(&scratch, len);
        for block in ["4096", "1024", "65536"] {
            let image = scratch.join("d.simg");
            tool("img2simg", &[&raw, &image, &block]).ok();
            let json = ours(&[&"info", &image, &"--json"]).ok().json();
            assert_eq!(json["format"], "simg");
            let out = scratch.join("out.img");
            ours(&[&"convert", &image, &out, &"-q", &"--force"]).ok();
            let (want, got) = (read(&raw), read(&out));
            assert!(got.starts_with(&want) && got[want.len()..].iter().all(|b| *b == 0), "{len} {block}");
            std::fs::remove_file(image).unwrap();
        }
    }
}

fn ours_reads_in_simg2img() {
    for len in [512, 4096, 1 << 20, 12_345 * 512, 40 << 20] {
        let scratch = Scratch::new();
        let raw = disk(&scratch, len);
        let (image, out) = (scratch.join("d.simg"), scratch.join("out.raw"));
        write(&raw, &image, "simg", &[]);
        tool("simg2img", &[&image, &out]).ok();
        assert_same(&raw, &out);
    }
}

fn bochs_of_bximage_is_read() {
    let scratch = Scratch::new();
    // bximage knows only whole cylinders.
    let raw = disk(&scratch, 10_321_920);
    let image = scratch.join("d.bochs");
    tool("bximage", &[&"-q", &"-func=convert", &"-imgmode=growing", &raw, &image]).ok();
    ours(&[&"compare", &raw, &image]).ok();
    ours(&[&"verify", &image, &"--against", &raw]).ok();
    tool("qemu-img", &[&"compare", &"-f", &"raw", &"-F", &"bochs", &raw, &image]).ok();
}

fn cloop_is_read() {
    for len in [65536 * 10, SIZES[1]] {
        let scratch = Scratch::new();
        let raw = disk(&scratch, len);
        let image = scratch.join("d.cloop");
        tool("create_compressed_fs", &[&raw, &image]).ok();
        let out = scratch.join("out.img");
        ours(&[&"verify", &image]).ok();
        ours(&[&"convert", &image, &out, &"-q"]).ok();
        let (want, got) = (read(&raw), read(&out));
        assert!(got.starts_with(&want) && got[want.len()..].iter().all(|b| *b == 0), "{len}");
    }
}

fn what_qemu_calls_damaged_is_damage() {
    let scratch = Scratch::new();
    let raw = disk(&scratch, SIZES[0]);
    // Two blocks in one place; one outside; a count that is wrong.
    for (at, bytes) in [(0x204usize, &[0u8][..]), (0x204, &[77]), (0x184, &[1])] {
        let image = scratch.join("d.vdi");
        let _ = std::fs::remove_file(&image);
        tool("qemu-img", &[&"convert", &"-q", &"-f", &"raw", &"-O", &"vdi", &"-o", &"static=on", &raw, &image]).ok();
        let mut file = read(&image);
        file[at..at + bytes.len()].copy_from_slice(bytes);
        std::fs::write(&image, file).unwrap();
        assert_ne!(tool("qemu-img", &[&"check", &"-f", &"vdi", &image]).run().code(), Some(0));
        ours(&[&"verify", &image, &"--against", &image]).exits(1);
    }
    for (at, bytes) in [(64usize, &[9u8, 0, 0, 0][..]), (44, b"Ynot")] {
        let image = scratch.join("d.hds");
        let _ = std::fs::remove_file(&image);
        tool("qemu-img", &[&"convert", &"-q", &"-f", &"raw", &"-O", &"parallels", &raw, &image]).ok();
        let mut file = read(&image);
        file[at..at + bytes.len()].copy_from_slice(bytes);
        std::fs::write(&image, file).unwrap();
        assert_ne!(tool("qemu-img", &[&"check", &"-f", &"parallels", &image]).run().code(), Some(0));
        ours(&[&"verify", &image, &"--against", &image]).exits(1);
    }
}

fn half_a_sector_is_padded_and_proved() {
    let scratch = Scratch::new();
    let (raw, bytes) = sample_file(&scratch, "disk.raw", 1_000_003, 9, Layout::Full);
    for (format, theirs, ending, options) in WRITTEN {
        let image = scratch.join(format!("d.{ending}"));
        write(&raw, &image, format, options);
        let out = scratch.join("out.raw");
        tool("qemu-img", &[&"convert", &"-q", &"-f", &theirs, &"-O", &"raw", &image, &out]).ok();
        let got = read(&out);
        assert!(got.starts_with(&bytes) && got[bytes.len()..].iter().all(|b| *b == 0), "{format} {options:?}");
        std::fs::remove_file(image).unwrap();
    }
}
