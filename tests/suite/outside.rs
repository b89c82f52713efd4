//! What an image names, and who else has it open: files elsewhere, drives and addresses are not touched, and what somebody writes to is
//! not read, unless a person says so.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tintype_tests::{Forged, Layout, LoopDevice, Need::*, Order, Scratch, ours, read, sample_file, tool};

tintype_tests::topic! {
    nothing_outside_is_opened_unasked: [Tool("qemu-img")],
    no_drive_is_opened_whoever_asks: [Tool("qemu-img"), Loop],
    what_a_machine_writes_to_is_not_read_unasked: [Tool("qemu-img"), Tool("qemu-io")],
}

/// What names another file.
struct Way {
    name: &'static str,
    /// Makes an image in a folder that names a file; the path of the image. None if the format cannot say this name.
    make: fn(&Path, &str) -> Option<PathBuf>,
    /// The ending of what it can stand on.
    below: &'static str,
}

fn ways() -> [Way; 11] {
    [
        Way { name: "qcow2 backing", make: |folder, name| backed(folder, "qcow2", name), below: "raw" },
        Way { name: "qcow backing", make: |folder, name| backed(folder, "qcow", name), below: "raw" },
        Way { name: "qed backing", make: |folder, name| backed(folder, "qed", name), below: "raw" },
        Way { name: "qcow2 data file", make: data_file, below: "raw" },
        Way { name: "vmdk flat extent", make: |folder, name| extent(folder, name, "FLAT", " 0"), below: "raw" },
        Way { name: "vmdk sparse extent", make: |folder, name| extent(folder, name, "SPARSE", ""), below: "vmdk" },
        Way { name: "vmdk parent", make: vmdk_parent, below: "vmdk" },
        Way { name: "vhd parent", make: vhd_parent, below: "vhd" },
        Way { name: "vhdx parent", make: vhdx_parent, below: "vhdx" },
        Way { name: "parallels file", make: parallels, below: "raw" },
        Way { name: "ovf href", make: ovf, below: "raw" },
    ]
}

fn backed(folder: &Path, format: &str, name: &str) -> Option<PathBuf> {
    let path = folder.join(format!("d.{format}"));
    // The name is put there by hand: qemu-img looks at what it names.
    tool("qemu-img", &[&"create", &"-q", &"-f", &format, &path, &"1M"]).ok();
    let mut image = Forged::read(&path, if format == "qed" { Order::Little } else { Order::Big });
    let len = name.len() as u64;
    match format {
        // Said to be plain bytes, so that nothing has to be guessed.
        "qed" => image.put(16, 8, 5).put(56, 4, 1024).put(60, 4, len).put_bytes(1024, name.as_bytes()),
        "qcow2" => {
            let at = image.get(100, 4) as usize;
            image.put(at, 4, 0xe279_2aca).put(at + 4, 4, 3).put_bytes(at + 8, b"raw\0\0\0\0\0").put(at + 16, 8, 0);
            image.put(8, 8, 1024).put(16, 4, len).put_bytes(1024, name.as_bytes())
        }
        _ => image.put(8, 8, 1024).put(16, 4, len).put_bytes(1024, name.as_bytes()),
    };
    // Of QCOW the first table follows on the header: here it lies behind the name.
    if format == "qcow" {
        let table = image.bytes.len().next_multiple_of(4096).max(4096);
        image.put_bytes(table, &[0; 4096]).put(40, 8, table as u64);
    }
    image.write(&path);
    Some(path)
}

fn data_file(folder: &Path, name: &str) -> Option<PathBuf> {
    let path = folder.join("d.qcow2");
    tool("qemu-img", &[&"create", &"-q", &"-f", &"qcow2", &path, &"1M"]).ok();
    let mut image = Forged::read(&path, Order::Big);
    let at = image.get(100, 4) as usize;
    let incompatible = image.get(72, 8) | 4;
    image.put(72, 8, incompatible).put(at, 4, 0x4441_5441).put(at + 4, 4, name.len() as u64);
    image.put_bytes(at + 8, &vec![0; name.len().next_multiple_of(8) + 8]).put_bytes(at + 8, name.as_bytes());
    image.write(&path);
    Some(path)
}

fn descriptor(folder: &Path, more: &str) -> Option<PathBuf> {
    let path = folder.join("d.vmdk");
    let head = "# Disk DescriptorFile\nversion=1\nCID=00000001\ncreateType=\"custom\"\n";
    std::fs::write(&path, format!("{head}{more}\n")).unwrap();
    Some(path)
}

fn extent(folder: &Path, name: &str, kind: &str, offset: &str) -> Option<PathBuf> {
    descriptor(folder, &format!("parentCID=ffffffff\nRW 2048 {kind} \"{name}\"{offset}"))
}

fn vmdk_parent(folder: &Path, name: &str) -> Option<PathBuf> {
    let cid = std::fs::read(folder.parent()?.join("secret.vmdk")).ok()?;
    let at = cid.windows(4).position(|w| w == b"CID=")?;
    let cid = String::from_utf8(cid[at + 4..at + 12].to_vec()).ok()?;
    descriptor(folder, &format!("parentCID={cid}\nparentFileNameHint=\"{name}\"\nRW 2048 ZERO"))
}

fn vhd_sum(bytes: &[u8], own: usize) -> u64 {
    let counted = bytes.iter().enumerate().filter(|(i, _)| !(own..own + 4).contains(i));
    u64::from(!counted.map(|(_, b)| u32::from(*b)).sum::<u32>())
}

fn vhd_parent(folder: &Path, name: &str) -> Option<PathBuf> {
    let path = folder.join("d.vhd");
    tool("qemu-img", &[&"create", &"-q", &"-f", &"vpc", &"-o", &"force_size=on", &path, &"1M"]).ok();
    let mut image = Forged::read(&path, Order::Big);
    let wide: Vec<u8> = name.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let secret = read(folder.parent()?.join("secret.vhd"));
    image.put(60, 4, 4).put_bytes(512 + 40, &secret[68..84]).put_bytes(512 + 64, wide.get(..wide.len().min(510))?);
    let header = vhd_sum(&image.bytes[512..1536], 36);
    image.put(512 + 36, 4, header);
    let footer = vhd_sum(&image.bytes[..512], 64);
    image.put(64, 4, footer);
    let (footer, end) = (image.bytes[..512].to_vec(), image.bytes.len() - 512);
    image.put_bytes(end, &footer).write(&path);
    Some(path)
}

fn vhdx_parent(folder: &Path, name: &str) -> Option<PathBuf> {
    let path = folder.join("d.vhdx");
    tool("qemu-img", &[&"create", &"-q", &"-f", &"vhdx", &path, &"1M"]).ok();
    let mut image = Forged::read(&path, Order::Little);
    let region = |first: u64| {
        let entries = (0..2).map(|i| (192 << 10) + 16 + 32 * i);
        entries.into_iter().find(|at| image.get(*at, 4) == first).map(|at| image.get(at + 16, 8) as usize)
    };
    let metadata = region(0x8B7C_A206)?;
    let items = image.get(metadata + 10, 2) as usize;
    let item = |image: &Forged, first: u64| {
        let entries = (0..items).map(|i| metadata + 32 + 32 * i);
        entries.into_iter().find(|at| image.get(*at, 4) == first).map(|at| metadata + image.get(at + 16, 4) as usize)
    };
    let parameters = item(&image, 0xCAA1_6737)?;
    // The way to the parent: its kind, and two pairs of texts.
    let pairs = [("parent_linkage", "{00000001-0000-0000-0000-000000000000}"), ("relative_path", name)];
    let mut way = Forged::new(Vec::new(), Order::Little);
    way.put_bytes(0, &[0xb7, 0xef, 0x4a, 0xb0, 0x9e, 0xd1, 0x81, 0x4a, 0xb7, 0x89, 0x25, 0xb8, 0xe9, 0x44, 0x59, 0x13]);
    way.put(16, 2, 0).put(18, 2, 2).put_bytes(20, &[0; 24]);
    for (i, (key, value)) in pairs.into_iter().enumerate() {
        for (field, text) in [(0, key), (4, value)] {
            let (at, wide) = (way.bytes.len(), text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>());
            way.put(20 + 12 * i + field, 4, at as u64).put(20 + 12 * i + 8 + field / 2, 2, wide.len() as u64);
            way.put_bytes(at, &wide);
        }
    }
    let entry = metadata + 32 + 32 * items;
    let id = [0x2d, 0x5f, 0xd3, 0xa8, 0x0b, 0xb3, 0x4d, 0x45, 0xab, 0xf7, 0xd3, 0xd8, 0x48, 0x34, 0xab, 0x0c];
    image.put(metadata + 10, 2, items as u64 + 1).put_bytes(entry, &id).put(entry + 16, 4, 512 << 10);
    image.put(entry + 20, 4, way.bytes.len() as u64).put(entry + 24, 4, 4);
    image.put_bytes(metadata + (512 << 10), &way.bytes);
    let kind = image.get(parameters + 4, 4) | 2;
    image.put(parameters + 4, 4, kind).write(&path);
    Some(path)
}

fn parallels(folder: &Path, name: &str) -> Option<PathBuf> {
    let bundle = folder.join("d.hdd");
    std::fs::create_dir_all(&bundle).ok()?;
    // The folder of a bundle is the bundle itself.
    let name = name.strip_prefix("../").map_or(name.to_owned(), |rest| format!("../../{rest}"));
    let escaped = name.replace('&', "&amp;").replace('<', "&lt;");
    let image = format!(
        "<Image><GUID>{{5fbaabe3-6958-40ff-92a7-860e329aab41}}</GUID><Type>Plain</Type><File>{escaped}</File></Image>"
    );
    let text = format!(
        "<?xml version='1.0'?>\n<Parallels_disk_image Version=\"1.0\"><StorageData><Storage><Start>0</Start>\
         <End>2048</End>{image}</Storage></StorageData></Parallels_disk_image>\n"
    );
    std::fs::write(bundle.join("DiskDescriptor.xml"), text).ok()?;
    Some(bundle)
}

fn ovf(folder: &Path, name: &str) -> Option<PathBuf> {
    let path = folder.join("d.ovf");
    let escaped = name.replace('&', "&amp;").replace('"', "&quot;");
    let text = format!(
        "<Envelope xmlns=\"http://schemas.dmtf.org/ovf/envelope/1\"><References><File id=\"f\" href=\"{escaped}\"/>\
         </References><DiskSection><Disk diskId=\"d\" fileRef=\"f\"/></DiskSection></Envelope>"
    );
    std::fs::write(&path, text).ok()?;
    Some(path)
}

/// Files that nobody may see from the folder beside them, one of each kind that something can stand on.
fn secrets(scratch: &Scratch) -> PathBuf {
    let (raw, _) = sample_file(scratch, "secret.raw", 1 << 20, 4000, Layout::Full);
    for (name, format) in [("secret.vmdk", "vmdk"), ("secret.vhd", "vpc"), ("secret.vhdx", "vhdx")] {
        let path = scratch.join(name);
        tool("qemu-img", &[&"convert", &"-f", &"raw", &"-O", &format, &raw, &path]).ok();
    }
    raw
}

/// Every verb refuses an image, with these words or without; what it names is in no result.
fn refused(image: &Path, words: &[&str], how: &str) -> String {
    let out = image.parent().unwrap().join("out.img");
    let mut said = String::new();
    for verb in ["info", "convert", "verify", "hash"] {
        let mut run = ours(&[&verb, &image]);
        if verb == "convert" {
            run = run.arg(&out);
        }
        let run = run.args(words).run();
        // Of what is wrong, `verify` says that the image is damaged.
        let expected: &[i32] = if verb == "verify" { &[1, 2, 3] } else { &[2, 3] };
        assert!(run.code().is_some_and(|c| expected.contains(&c)), "{how}: {run}");
        assert!(!run.out().contains("VERIFIED") && !out.exists(), "{how}: {run}");
        said += &run.stderr;
    }
    said
}

fn nothing_outside_is_opened_unasked() {
    let scratch = Scratch::new();
    secrets(&scratch);
    for way in ways() {
        let folder = scratch.folder("images");
        let secret = format!("secret.{}", way.below);
        let absolute = scratch.join(&secret).to_string_lossy().into_owned();
        let link = format!("link.{}", way.below);
        std::os::unix::fs::symlink(scratch.join(&secret), folder.join(&link)).unwrap();
        std::fs::create_dir_all(folder.join("d.hdd")).unwrap();
        std::os::unix::fs::symlink(scratch.join(&secret), folder.join("d.hdd").join(&link)).unwrap();
        for (what, name) in
            [("above", format!("../{secret}")), ("absolute", absolute.clone()), ("a link", link.clone())]
        {
            let how = format!("{}, {what}: {name}", way.name);
            let Some(image) = (way.make)(&folder, &name) else { panic!("{how}") };
            let said = refused(&image, &[], &how);
            // Paths of Windows that are absolute are looked for beside the image only.
            let windows = way.name.starts_with("vh") && what == "absolute";
            assert!(windows || said.contains("--allow-outside"), "{how}: {said}");
            let asked = ours(&[&"info", &image, &"--allow-outside"]).run();
            // Those that have to know each other are not made to.
            let strangers = windows || way.name == "vhdx parent";
            assert!(strangers || asked.code() == Some(0), "{how}: {asked}");
        }
        let json = format!("json:{{\"driver\":\"file\",\"filename\":\"{absolute}\"}}");
        for name in
            [&json[..], "nbd://localhost/x", "nbd:unix:/x", "https://localhost/x.raw", "fd:0", "/dev/null", "/dev/zero"]
        {
            let how = format!("{}: {name}", way.name);
            let Some(image) = (way.make)(&folder, name) else { continue };
            refused(&image, &[], &how);
            refused(&image, &["--allow-outside"], &how);
        }
        std::fs::remove_dir_all(folder).unwrap();
    }
}

fn no_drive_is_opened_whoever_asks() {
    let scratch = Scratch::new();
    let device = LoopDevice::read_only(secrets(&scratch));
    let name = device.path().to_string_lossy().into_owned();
    for way in ways() {
        let folder = scratch.folder("images");
        std::os::unix::fs::symlink(device.path(), folder.join("link")).unwrap();
        for name in [&name[..], "link"] {
            let how = format!("{}: {name}", way.name);
            let Some(image) = (way.make)(&folder, name) else { panic!("{how}") };
            refused(&image, &[], &how);
            refused(&image, &["--allow-outside"], &how);
        }
        std::fs::remove_dir_all(folder).unwrap();
    }
}

/// A program of QEMU that has an image open until it is dropped.
struct Machine(Child);

impl Machine {
    fn open(words: &[&str], image: &Path) -> Self {
        let run = Command::new("qemu-io").args(words).arg(image).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = run.expect("qemu-io starts");
        // Its answer says that the image is open.
        writeln!(child.stdin.as_mut().unwrap(), "length").unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "{image:?} is not opened");
        Machine(child)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

fn what_a_machine_writes_to_is_not_read_unasked() {
    let scratch = Scratch::new();
    let (disk, _) = sample_file(&scratch, "disk.raw", 1 << 20, 4100, Layout::Full);
    for format in ["raw", "qcow2", "qcow", "qed", "vmdk", "vpc", "vhdx", "vdi", "parallels"] {
        let image = scratch.join(format!("d.{}", if format == "vpc" { "vhd" } else { format }));
        tool("qemu-img", &[&"convert", &"-f", &"raw", &"-O", &format, &disk, &image]).ok();
        let machine = Machine::open(&["-f", format], &image);
        let out = scratch.join("out.img");
        for verb in ["info", "hash", "convert", "compare"] {
            let call = |words: &[&str]| {
                let mut run = ours(&[&verb, &image]);
                match verb {
                    "convert" => run = run.arg(&out).arg("--force"),
                    "compare" => run = run.arg(&disk),
                    _ => {}
                }
                run.args(words).run()
            };
            let run = call(&[]).exited(2);
            assert!(run.stderr.contains("--allow-in-use") && run.stderr.contains(&*image.to_string_lossy()), "{run}");
            assert!(!out.exists(), "{run}");
            let run = call(&["--allow-in-use"]);
            assert!(run.code().is_some_and(|c| c < 2), "{run}");
            let _ = std::fs::remove_file(&out);
        }
        let json = ours(&[&"info", &image, &"--json", &"--allow-in-use"]).ok().json();
        assert!(json["warnings"].to_string().contains("virtual machine"), "{json}");
        drop(machine);
        // One that only reads is in nobody's way.
        let reader = Machine::open(&["-r", "-f", format], &image);
        ours(&[&"info", &image]).ok();
        drop(reader);
        ours(&[&"info", &image]).ok();
    }
    // What an image stands on counts as well.
    let top = scratch.join("top.qcow2");
    tool("qemu-img", &[&"create", &"-q", &"-f", &"qcow2", &"-b", &"d.qcow2", &"-F", &"qcow2", &top]).ok();
    let machine = Machine::open(&["-f", "qcow2"], &scratch.join("d.qcow2"));
    let run = ours(&[&"info", &top]).exits(2);
    assert!(run.stderr.contains("d.qcow2") && run.stderr.contains("--allow-in-use"), "{run}");
    drop(machine);
    ours(&[&"info", &top]).ok();
}
