//! Putting an image back.

use tintype_tests::{Layout, LoopDevice, Mount, Need::*, Scratch, assert_same, ours, read, sample, sample_file, tool};

tintype_tests::topic! {
    every_format_onto_a_drive: [Loop],
    into_a_file: [],
    a_larger_drive_keeps_its_rest: [Loop],
    too_small_a_drive_is_refused: [Loop],
    a_mounted_drive_is_refused: [Loop, Tool("mkfs.ext4")],
    a_drive_with_a_mounted_partition_is_refused: [Loop, Tool("mkfs.ext4"), Tool("sfdisk")],
    a_target_inside_the_source_is_refused: [Loop],
    a_target_that_holds_the_source_is_refused: [Loop, Tool("mkfs.ext4")],
    a_read_only_drive_is_refused: [Loop],
    dry_run_touches_nothing: [Loop],
    a_drive_needs_consent: [Loop],
    what_was_there_does_not_shine_through: [Loop],
    damaged_images_are_not_restored_in_silence: [Loop],
    verify_reads_the_drive: [Loop],
    onto_standard_output: [],
    special_files_are_no_targets: [Loop, Tool("mkfifo")],
    a_full_standard_output_is_an_error: [],
}

fn blank(scratch: &Scratch, name: &str, len: usize) -> std::path::PathBuf {
    // Something that is neither zero nor the image, so that what was not written shows.
    scratch.file(name, &vec![0xA5; len])
}

fn every_format_onto_a_drive() {
    for sector in [512, 4096] {
        for name in ["t.img", "t.001", "t.gz", "t.zst", "t.E01"] {
            let scratch = Scratch::new();
            let (disk, _) = sample_file(&scratch, "d.raw", 12 << 20, 60, Layout::Full);
            let image = scratch.join(name);
            ours(&[&"image", &disk, &image, &"-q"]).ok();
            let backing = blank(&scratch, "backing", 12 << 20);
            let device = LoopDevice::new(&backing, sector);
            let json = ours(&[&"restore", &image, &device, &"--yes", &"--json"]).ok().json();
            assert_eq!(json["size"], 12 << 20, "{json}");
            assert_same(&disk, device.path());
            ours(&[&"compare", &image, &device]).ok();
            drop(device);
            assert_same(&disk, &backing);
        }
    }
}

fn into_a_file() {
    let scratch = Scratch::new();
    let (disk, _) = sample_file(&scratch, "d.raw", 3_000_320, 61, Layout::Full);
    let image = scratch.join("t.E01");
    ours(&[&"image", &disk, &image, &"-q"]).ok();
    let out = scratch.join("o.img");
    ours(&[&"restore", &image, &out]).ok();
    assert_same(&disk, &out);
}

fn a_larger_drive_keeps_its_rest() {
    let scratch = Scratch::new();
    let (disk, bytes) = sample_file(&scratch, "d.raw", 5 << 20, 62, Layout::Full);
    let backing = blank(&scratch, "backing", 9 << 20);
    let device = LoopDevice::new(&backing, 512);
    ours(&[&"restore", &disk, &device, &"--yes"]).ok();
    drop(device);
    let now = read(&backing);
    assert!(now[..5 << 20] == bytes, "the image is not there");
    assert!(now[5 << 20..].iter().all(|b| *b == 0xA5), "bytes behind the image were changed");
}

fn too_small_a_drive_is_refused() {
    let scratch = Scratch::new();
    let (disk, _) = sample_file(&scratch, "d.raw", 5 << 20, 63, Layout::Full);
    let backing = blank(&scratch, "backing", (5 << 20) - 512);
    let device = LoopDevice::new(&backing, 512);
    for force in [&[][..], &["--force"]] {
        let run = ours(&[&"restore", &disk, &device, &"--yes"]).args(force).exits(2);
        assert!(run.stderr.contains("larger drive"), "{run}");
    }
    drop(device);
    assert!(read(&backing).iter().all(|b| *b == 0xA5), "something was written");
}

fn a_mounted_drive_is_refused() {
    let scratch = Scratch::new();
    let (disk, _) = sample_file(&scratch, "d.raw", 5 << 20, 64, Layout::Full);
    let backing = blank(&scratch, "backing", 16 << 20);
    let device = LoopDevice::new(&backing, 512);
    tool("mkfs.ext4", &[&"-q", &"-F", &device]).ok();
    let mount = Mount::device(device.path(), scratch.folder("mnt"), "ro");
    let before = read(&backing);
    for force in [&[][..], &["--force"]] {
        let run = ours(&[&"restore", &disk, &device, &"--yes"]).args(force).exits(2);
        assert!(run.stderr.contains("mounted"), "{run}");
    }
    let source = LoopDevice::new(&disk, 512);
    let run = ours(&[&"clone", &source, &device, &"--yes"]).exits(2);
    assert!(run.stderr.contains("mounted"), "{run}");
    drop(source);
    assert!(read(&backing) == before, "something was written");
    drop(mount);
    ours(&[&"restore", &disk, &device, &"--yes"]).ok();
}

fn a_drive_with_a_mounted_partition_is_refused() {
    let scratch = Scratch::new();
    let (disk, _) = sample_file(&scratch, "d.raw", 5 << 20, 65, Layout::Full);
    let backing = scratch.file("backing", &vec![0; 32 << 20]);
    let script = scratch.file("script", b"label: dos\nstart=2048, type=83\n");
    tool("sfdisk", &[&"-q", &backing]).stdin(std::fs::File::open(&script).unwrap()).ok();
    let device = LoopDevice::with_partitions(&backing);
    let part = std::path::PathBuf::from(format!("{}p1", device.path().display()));
    if !part.exists() {
        // No device nodes are made here (a container without udev): then the kernel's own list has to do.
        return;
    }
    tool("mkfs.ext4", &[&"-q", &"-F", &part]).ok();
    let _mount = Mount::device(&part, scratch.folder("mnt"), "ro");
    let run = ours(&[&"restore", &disk, &device, &"--yes", &"--force"]).exits(2);
    assert!(run.stderr.contains("mounted"), "{run}");
}

fn a_target_inside_the_source_is_refused() {
    let scratch = Scratch::new();
    let (disk, bytes) = sample_file(&scratch, "d.raw", 5 << 20, 66, Layout::Full);
    // The drive whose bytes are in the very file that is read.
    let device = LoopDevice::new(&disk, 512);
    for verb in ["restore", "clone"] {
        let run = ours(&[&verb, &disk, &device, &"--yes", &"--force"]).exits(2);
        assert!(!run.stderr.is_empty(), "{run}");
    }
    ours(&[&"clone", &device, &device, &"--yes", &"--force"]).exits(2);
    assert!(read(&disk) == bytes, "the source was written");
}

fn a_target_that_holds_the_source_is_refused() {
    let scratch = Scratch::new();
    let backing = blank(&scratch, "backing", 32 << 20);
    let device = LoopDevice::new(&backing, 512);
    tool("mkfs.ext4", &[&"-q", &"-F", &device]).ok();
    let mount = Mount::device(device.path(), scratch.folder("mnt"), "rw");
    let image = mount.path().join("d.img");
    std::fs::write(&image, sample(3 << 20, 67)).unwrap();
    // Its file system is mounted, so it is refused anyhow; and an image of a drive may not grow on that very drive.
    ours(&[&"restore", &image, &device, &"--yes", &"--force"]).exits(2);
    let run = ours(&[&"image", &device, &mount.path().join("self.img"), &"--force"]).exits(2);
    assert!(!run.stderr.is_empty() && !mount.path().join("self.img").exists(), "{run}");
}

fn a_read_only_drive_is_refused() {
    let scratch = Scratch::new();
    let (disk, _) = sample_file(&scratch, "d.raw", 1 << 20, 68, Layout::Full);
    let backing = blank(&scratch, "backing", 1 << 20);
    let device = LoopDevice::read_only(&backing);
    let run = ours(&[&"restore", &disk, &device, &"--yes"]).run().exited_any(&[2, 3]);
    assert!(run.stderr.contains("write-protected"), "{run}");
    assert!(read(&backing).iter().all(|b| *b == 0xA5));
}

fn dry_run_touches_nothing() {
    let scratch = Scratch::new();
    let (disk, _) = sample_file(&scratch, "d.raw", 1 << 20, 69, Layout::Full);
    let backing = blank(&scratch, "backing", 1 << 20);
    let device = LoopDevice::new(&backing, 512);
    let before = std::fs::metadata(&backing).unwrap().modified().unwrap();
    let source = LoopDevice::new(&disk, 512);
    for (verb, from) in [("restore", disk.as_path()), ("clone", source.path())] {
        let run = ours(&[&verb, &from, &device, &"--dry-run"]).ok();
        assert!(!run.out().is_empty() || !run.stderr.is_empty(), "it does not say what it would do: {run}");
    }
    drop(source);
    drop(device);
    assert_eq!(std::fs::metadata(&backing).unwrap().modified().unwrap(), before);
    assert!(read(&backing).iter().all(|b| *b == 0xA5));
    let out = scratch.join("o.img");
    ours(&[&"restore", &disk, &out, &"--dry-run"]).ok();
    ours(&[&"image", &disk, &out, &"--dry-run"]).ok();
    ours(&[&"convert", &disk, &out, &"--dry-run"]).ok();
    assert_eq!(scratch.names(), ["backing", "d.raw"]);
}

fn a_drive_needs_consent() {
    let scratch = Scratch::new();
    let (disk, _) = sample_file(&scratch, "d.raw", 1 << 20, 70, Layout::Full);
    let backing = blank(&scratch, "backing", 1 << 20);
    let device = LoopDevice::new(&backing, 512);
    let source = LoopDevice::new(&disk, 512);
    for (verb, from) in [("restore", disk.as_path()), ("clone", source.path())] {
        let run = ours(&[&verb, &from, &device]).exits(2);
        assert!(run.stderr.contains("--yes"), "{run}");
        // --force is for files, it is no consent.
        ours(&[&verb, &from, &device, &"--force"]).exits(2);
    }
    drop(source);
    let wrong = scratch.file("answer", b"yes\n");
    ours(&[&"restore", &disk, &device]).stdin(std::fs::File::open(&wrong).unwrap()).exits(2);
    drop(device);
    assert!(read(&backing).iter().all(|b| *b == 0xA5), "something was written");
}

fn what_was_there_does_not_shine_through() {
    let scratch = Scratch::new();
    // Mostly holes: the target's old bytes must be gone all the same.
    let disk = scratch.join("d.raw");
    let file = std::fs::File::create(&disk).unwrap();
    file.set_len(24 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[3; 5000], 9 << 20).unwrap();
    drop(file);
    for name in ["t.img", "t.zst", "t.E01"] {
        let image = scratch.join(name);
        ours(&[&"image", &disk, &image, &"-q"]).ok();
        let backing = blank(&scratch, &format!("backing-{name}"), 24 << 20);
        let device = LoopDevice::new(&backing, 512);
        ours(&[&"restore", &image, &device, &"--yes"]).ok();
        drop(device);
        assert_same(&disk, &backing);
    }
}

fn damaged_images_are_not_restored_in_silence() {
    let scratch = Scratch::new();
    let disk = scratch.file("d.raw", &tintype_core::testing::Model::noise(2 << 20, 71).bytes);
    let image = scratch.join("t.E01");
    ours(&[&"image", &disk, &image, &"-q", &"--compression", &"none"]).ok();
    let mut bytes = read(&image);
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&image, &bytes).unwrap();
    let device = LoopDevice::new(blank(&scratch, "backing", 2 << 20), 512);
    let run = ours(&[&"restore", &image, &device, &"--yes"]).run();
    assert!(matches!(run.code(), Some(1 | 3)), "{run}");
}

fn verify_reads_the_drive() {
    let scratch = Scratch::new();
    let (disk, _) = sample_file(&scratch, "d.raw", 4 << 20, 72, Layout::Full);
    let device = LoopDevice::new(blank(&scratch, "backing", 4 << 20), 512);
    ours(&[&"restore", &disk, &device, &"--yes", &"--verify"]).ok();
    assert_same(&disk, device.path());
}

fn onto_standard_output() {
    let scratch = Scratch::new();
    let (disk, bytes) = sample_file(&scratch, "d.raw", 3_000_320, 73, Layout::Full);
    let image = scratch.join("t.E01");
    ours(&[&"image", &disk, &image, &"-q"]).ok();
    // A file or folder of that name is not what is meant.
    scratch.folder("here/-");
    let run = ours(&[&"restore", &image, &"-", &"--json"]).folder(scratch.join("here")).ok();
    assert!(run.stdout == bytes, "{} bytes came of {}", run.stdout.len(), bytes.len());
    let json: serde_json::Value = serde_json::from_str(&run.stderr).unwrap_or_else(|e| panic!("{e}: {run}"));
    assert_eq!((&json["size"], &json["written"]), (&bytes.len().into(), &bytes.len().into()), "{json}");
    let known = tool("md5sum", &[&disk]).ok().out();
    assert_eq!(json["digests"]["md5"].as_str(), known.split_whitespace().next(), "{json}");
    // Without --json nothing but the bytes goes there either.
    let run = ours(&[&"restore", &image, &"-"]).ok();
    assert!(run.stdout == bytes, "{} bytes came of {}", run.stdout.len(), bytes.len());
    // Nobody reads: that is no restore.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let run = ours(&[&"restore", &image, &"-", &"--json"]).stdout(writer).exits(3);
    assert!(run.stderr.contains("standard output"), "{run}");
}

fn a_full_standard_output_is_an_error() {
    let scratch = Scratch::new();
    let (disk, _) = sample_file(&scratch, "d.raw", 3 << 20, 74, Layout::Full);
    for words in [&["restore"][..], &["convert", "--to", "raw"], &["image", "--to", "gzip"]] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let run = ours(&[&words[0], &disk, &"-"]).args(&words[1..]).stdout(full).exits(3);
        assert!(run.stderr.contains("standard output") && run.stderr.contains("space"), "{run}");
    }
}

fn special_files_are_no_targets() {
    use std::os::unix::fs::FileTypeExt;
    let scratch = Scratch::new();
    let (disk, _) = sample_file(&scratch, "d.raw", 1 << 20, 75, Layout::Full);
    let source = LoopDevice::read_only(&disk);
    let fifo = scratch.join("t.fifo");
    tool("mkfifo", &[&fifo]).ok();
    let link = scratch.join("t.link");
    std::os::unix::fs::symlink("/dev/null", &link).unwrap();
    let socket = scratch.join("t.socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let targets = [fifo.clone(), link, socket, "/dev/null".into(), "/dev/full".into(), "/dev/zero".into()];
    let before = scratch.names();
    for target in &targets {
        for verb in ["image", "convert", "restore", "clone"] {
            for force in [&[][..], &["--force"]] {
                let from: &std::path::Path = if verb == "clone" { source.path() } else { &disk };
                let to: &[&str] = if matches!(verb, "image" | "convert") { &["--to", "raw"] } else { &["--yes"] };
                let run = ours(&[&verb, &from, target]).args(to).args(force).run();
                assert_eq!(run.code(), Some(2), "{run}");
                assert!(run.stderr.contains(&*target.to_string_lossy()), "{run}");
                assert_eq!(scratch.names(), before, "{run}");
            }
        }
    }
    assert!(std::fs::symlink_metadata(&fifo).unwrap().file_type().is_fifo());
    // A device that is not there is no file to be made.
    let run = ours(&[&"restore", &disk, &"/dev/no-such-drive", &"--yes"]).exits(2);
    assert!(run.stderr.contains("no such drive") && !std::path::Path::new("/dev/no-such-drive").exists(), "{run}");
}
