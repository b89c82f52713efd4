//! Proving an image: what is wrong is found and named, and what is right is not called wrong.

use tintype_tests::{Behaviour, Drive, Layout, Need::*, Scratch, ours, read, sample, sample_file};

tintype_tests::topic! {
    a_good_image_is_good: [],
    a_flipped_byte_anywhere_in_an_e01_is_found: [],
    a_flipped_byte_in_a_packed_image_is_found: [],
    damage_below_an_image_is_found: [],
    damage_is_placed: [],
    a_truncated_e01_is_found: [],
    a_truncated_packed_image_is_found: [],
    a_missing_segment_is_named: [],
    a_stranger_among_the_segments_is_found: [],
    a_missing_part_of_a_split_image_is_named: [],
    against_another_source: [],
    against_a_drive: [Loop],
    a_raw_image_has_nothing_to_prove_it_by: [],
    what_proves_the_bytes_is_said: [],
    a_sound_structure_is_not_called_verified: [],
    corrupt_and_unreadable_parts_are_both_listed: [Fuse, Tool("nbdfuse"), Tool("nbdkit")],
}

/// A small E01 of `len` bytes, and its bytes.
fn e01(scratch: &Scratch, name: &str, len: usize, words: &[&str]) -> std::path::PathBuf {
    let (disk, _) = sample_file(scratch, "d.raw", len, len as u64, Layout::Full);
    let target = scratch.join(name);
    ours(&[&"image", &disk, &target, &"-q"]).args(words).ok();
    target
}

fn a_good_image_is_good() {
    for name in ["t.E01", "t.gz", "t.zst", "t.001", "t.img"] {
        let scratch = Scratch::new();
        let target = e01(&scratch, name, 3 << 20, &[]);
        ours(&[&"verify", &target]).ok();
    }
}

fn a_flipped_byte_anywhere_in_an_e01_is_found() {
    for compression in ["none", "fast"] {
        let scratch = Scratch::new();
        let target = e01(&scratch, "t.E01", 96 << 10, &["--compression", compression]);
        let good = read(&target);
        let mut unnoticed = Vec::new();
        // Every byte of the first header, many of the structures at both ends, some of the rest; all of them in the long run.
        let ends = |i: usize| i < 6000 || i + 3000 > good.len();
        let chosen = |i: &usize| *i < 500 || (ends(*i) && i.is_multiple_of(13)) || i.is_multiple_of(509);
        for i in (0..good.len()).filter(chosen) {
            let mut bytes = good.clone();
            bytes[i] ^= 1 << (i % 8);
            std::fs::write(&target, &bytes).unwrap();
            let run = ours(&[&"verify", &target, &"-q"]).run();
            match run.code() {
                Some(1) => {}
                Some(0) if is_padding(&target, &good, i) => {}
                Some(0) => unnoticed.push(i),
                // What no longer looks like E01 at all cannot be opened; that is no silence.
                Some(3) if i < 16 => {}
                _ => panic!("byte {i}: {run}"),
            }
        }
        assert!(unnoticed.is_empty(), "{compression}: flips went unnoticed at {unnoticed:?} of {}", good.len());
    }
}

/// True if the bit that was flipped at `i` means nothing: a deflate stream ends inside a byte, and no checksum covers the
/// bits that are left over. Then the image says of itself what it said before, and the whole byte flipped is noticed.
pub fn is_padding(image: &std::path::Path, good: &[u8], i: usize) -> bool {
    let said = ours(&[&"info", &image, &"--json"]).run().stdout;
    let digest = ours(&[&"hash", &image, &"--json"]).ok().json()["digests"].clone();
    let mut bytes = good.to_vec();
    bytes[i] ^= 0xFF;
    std::fs::write(image, &bytes).unwrap();
    let noticed = ours(&[&"verify", &image, &"-q"]).run().code() == Some(1);
    std::fs::write(image, good).unwrap();
    let same = ours(&[&"info", &image, &"--json"]).ok().stdout == said
        && ours(&[&"hash", &image, &"--json"]).ok().json()["digests"] == digest;
    noticed && same
}

/// An image that is sound itself has no bytes where the one that it stands on has lost them.
fn damage_below_an_image_is_found() {
    for (below, above) in [("a.qcow2", "b.qcow2"), ("a.vmdk", "b.vmdk"), ("a.qed", "b.qcow2")] {
        let scratch = Scratch::new();
        let (disk, mut bytes) = sample_file(&scratch, "d.raw", 3 << 20, 4, Layout::Full);
        let (base, top) = (scratch.join(below), scratch.join(above));
        ours(&[&"convert", &disk, &base]).ok();
        bytes[..512].fill(0x55);
        std::fs::write(&disk, bytes).unwrap();
        ours(&[&"convert", &disk, &top, &"--backing", &base]).ok();
        ours(&[&"verify", &top]).ok();
        let file = std::fs::File::options().write(true).open(&base).unwrap();
        file.set_len(1 << 20).unwrap();
        let run = ours(&[&"verify", &top]).run();
        assert!(run.code() == Some(1) && run.out().contains(below), "{above} on {below}: {run}");
    }
}

fn a_flipped_byte_in_a_packed_image_is_found() {
    for name in ["t.gz", "t.zst"] {
        let scratch = Scratch::new();
        let target = e01(&scratch, name, 300 << 10, &[]);
        let good = read(&target);
        let sum = ours(&[&"hash", &target, &"--json"]).ok().json()["digests"]["sha256"].clone();
        for i in (0..good.len()).step_by((good.len() / 150).max(1)).chain(good.len().saturating_sub(40)..good.len()) {
            let mut bytes = good.clone();
            bytes[i] ^= 0x10;
            std::fs::write(&target, &bytes).unwrap();
            let run = ours(&[&"verify", &target, &"-q"]).run();
            if run.code() == Some(0) {
                // Fields such as a time stamp prove nothing; the bytes have to be the same then.
                let again = ours(&[&"hash", &target, &"--json"]).run();
                assert!(
                    again.code() == Some(0) && again.json()["digests"]["sha256"] == sum,
                    "{name}: byte {i} of {} was called good but reads differently",
                    good.len()
                );
            } else {
                run.exited_any(&[1, 3]);
            }
        }
    }
}

fn damage_is_placed() {
    let scratch = Scratch::new();
    let target = e01(&scratch, "t.E01", 4 << 20, &["--compression", "none", "--option", "chunk=32KiB"]);
    let disk = read(scratch.join("d.raw"));
    let mut bytes = read(&target);
    // A sector of the disk that is found once in the file tells where its chunk is.
    let sector = (0..disk.len() / 512)
        .map(|s| s * 512)
        .find(|s| *s > 2 << 20 && disk[*s..s + 512].iter().collect::<std::collections::HashSet<_>>().len() > 60)
        .expect("a sample has noise");
    let at = bytes.windows(512).position(|w| w == &disk[sector..sector + 512]).expect("it is stored as it is");
    bytes[at + 100] ^= 1;
    std::fs::write(&target, &bytes).unwrap();
    let run = ours(&[&"verify", &target, &"--json"]).exits(1);
    let text = run.json().to_string();
    let chunk = sector / 32768 * 32768;
    let inside = |n: u64| n >= chunk as u64 && n < (chunk + 32768) as u64;
    let numbers = text.split(|c: char| !c.is_ascii_digit()).filter_map(|w| w.parse::<u64>().ok());
    assert!(numbers.into_iter().any(inside), "no offset inside {chunk}..{} in {text}", chunk + 32768);
    let said = ours(&[&"verify", &target]).exits(1);
    assert!(format!("{}{}", said.out(), said.stderr).contains(&chunk.to_string()), "{said}");
    // Anything but verify cannot be carried out.
    let run = ours(&[&"convert", &target, &scratch.join("o.img")]).exits(3);
    assert!(!scratch.join("o.img").exists(), "{run}");
}

fn a_truncated_e01_is_found() {
    let scratch = Scratch::new();
    let target = e01(&scratch, "t.E01", 700 << 10, &[]);
    let good = read(&target);
    for keep in (1..60).map(|i| good.len() * i / 60).chain([good.len() - 1, good.len() - 76, 13, 14, 1]) {
        std::fs::write(&target, &good[..keep]).unwrap();
        let run = ours(&[&"verify", &target]).run();
        // With less than a signature left there is nothing that says E01, but for the name.
        let raw = keep < 13 && run.code() == Some(0);
        assert!(raw || run.code() == Some(1) || (run.code() == Some(3) && keep < 2000), "{keep} bytes kept: {run}");
        let out = scratch.join("o.img");
        if keep >= 13 {
            let run = ours(&[&"convert", &target, &out]).run();
            assert!(run.code() == Some(3) && !out.exists(), "{keep} bytes kept: {run}");
        }
    }
}

fn a_truncated_packed_image_is_found() {
    for name in ["t.gz", "t.zst"] {
        let scratch = Scratch::new();
        let target = e01(&scratch, name, 700 << 10, &[]);
        let good = read(&target);
        for keep in (1..40).map(|i| good.len() * i / 40).chain([good.len() - 1]) {
            std::fs::write(&target, &good[..keep]).unwrap();
            let run = ours(&[&"verify", &target]).run();
            assert!(matches!(run.code(), Some(1 | 3)), "{name}: {keep} of {} bytes kept: {run}", good.len());
            let out = scratch.join("o.img");
            let run = ours(&[&"convert", &target, &out]).run();
            assert!(run.code() == Some(3) && !out.exists(), "{name}: {keep} of {} bytes kept: {run}", good.len());
        }
    }
}

fn segmented(scratch: &Scratch) -> std::path::PathBuf {
    let disk = scratch.file("d.raw", &tintype_core::testing::Model::noise(6 << 20, 50).bytes);
    let target = scratch.join("t.E01");
    ours(&[&"image", &disk, &target, &"--split", &"1MiB", &"--compression", &"none"]).ok();
    for name in ["t.E02", "t.E03", "t.E06"] {
        assert!(scratch.join(name).exists(), "{:?}", scratch.names());
    }
    ours(&[&"verify", &target]).ok();
    target
}

fn a_missing_segment_is_named() {
    let scratch = Scratch::new();
    let target = segmented(&scratch);
    let last = scratch.names().into_iter().rfind(|n| n.starts_with("t.E")).unwrap();
    for missing in ["t.E02", "t.E04", &last] {
        std::fs::rename(scratch.join(missing), scratch.join("away")).unwrap();
        let run = ours(&[&"verify", &target]).run().exited_any(&[1, 3]);
        assert!(format!("{}{}", run.out(), run.stderr).contains(missing), "{missing} is not named: {run}");
        let run = ours(&[&"convert", &target, &scratch.join("o.img")]).exits(3);
        assert!(run.stderr.contains(missing), "{run}");
        assert!(!scratch.join("o.img").exists());
        std::fs::rename(scratch.join("away"), scratch.join(missing)).unwrap();
    }
    ours(&[&"verify", &target]).ok();
}

fn a_stranger_among_the_segments_is_found() {
    let scratch = Scratch::new();
    let target = segmented(&scratch);
    let other = Scratch::new();
    let disk = other.file("d.raw", &tintype_core::testing::Model::noise(6 << 20, 51).bytes);
    ours(&[&"image", &disk, &other.join("t.E01"), &"--split", &"1MiB", &"--compression", &"none"]).ok();
    // The same number in another set; and the same set's segment at a wrong place.
    for from in [other.join("t.E03"), scratch.join("t.E04")] {
        let keep = read(scratch.join("t.E03"));
        std::fs::copy(&from, scratch.join("t.E03")).unwrap();
        let run = ours(&[&"verify", &target]).run();
        assert!(matches!(run.code(), Some(1 | 3)), "{} in place of t.E03: {run}", from.display());
        std::fs::write(scratch.join("t.E03"), keep).unwrap();
    }
}

fn a_missing_part_of_a_split_image_is_named() {
    let scratch = Scratch::new();
    let (disk, _) = sample_file(&scratch, "d.raw", 5 << 20, 52, Layout::Full);
    let target = scratch.join("t.001");
    ours(&[&"image", &disk, &target, &"--split", &"1MiB"]).ok();
    std::fs::remove_file(scratch.join("t.003")).unwrap();
    let run = ours(&[&"convert", &target, &scratch.join("o.img")]).exits(3);
    assert!(run.stderr.contains("t.003"), "{run}");
    let run = ours(&[&"verify", &target]).run().exited_any(&[1, 3]);
    assert!(format!("{}{}", run.out(), run.stderr).contains("t.003"), "{run}");
}

fn against_another_source() {
    let scratch = Scratch::new();
    let target = e01(&scratch, "t.E01", 3 << 20, &[]);
    let disk = scratch.join("d.raw");
    ours(&[&"verify", &target, &"--against", &disk]).ok();
    let mut bytes = read(&disk);
    bytes[2_000_000] ^= 1;
    let other = scratch.file("other.raw", &bytes);
    let run = ours(&[&"verify", &target, &"--against", &other]).exits(1);
    let said = format!("{}{}", run.out(), run.stderr);
    let places = [2_000_000u64, 2_000_000 / 512 * 512, 2_000_000 / 4096 * 4096];
    assert!(places.iter().any(|p| said.contains(&p.to_string())), "{run}");
    bytes[2_000_000] ^= 1;
    bytes.truncate(2 << 20);
    std::fs::write(&other, &bytes).unwrap();
    ours(&[&"verify", &target, &"--against", &other]).exits(1);
}

fn against_a_drive() {
    let scratch = Scratch::new();
    let target = e01(&scratch, "t.E01", 3 << 20, &[]);
    let device = tintype_tests::LoopDevice::new(scratch.join("d.raw"), 512);
    ours(&[&"verify", &target, &"--against", &device]).ok();
    drop(device);
    let other = scratch.file("other", &sample(3 << 20, 99));
    let device = tintype_tests::LoopDevice::new(other, 512);
    ours(&[&"verify", &target, &"--against", &device]).exits(1);
}

fn a_raw_image_has_nothing_to_prove_it_by() {
    let scratch = Scratch::new();
    // A file that nobody imaged: no report beside it, no checksum inside.
    let disk = scratch.file("d.img", &sample(100_000, 53));
    let run = ours(&[&"verify", &disk]).exits(2);
    assert!(run.stderr.contains("--against"), "it does not say what would prove it: {run}");
    // One that we made has a report beside it, with a digest.
    let image = scratch.join("t.img");
    ours(&[&"image", &disk, &image]).ok();
    ours(&[&"verify", &image]).ok();
    let mut bytes = read(&image);
    bytes[50_000] ^= 1;
    std::fs::write(&image, bytes).unwrap();
    ours(&[&"verify", &image]).exits(1);
}

fn what_proves_the_bytes_is_said() {
    let scratch = Scratch::new();
    let (disk, _) = sample_file(&scratch, "d.raw", 1 << 20, 55, Layout::Full);
    // What each format sums, as its specification has it.
    for (name, sum) in [
        ("t.E01", "the Adler-32 of every chunk"),
        ("t.gz", "the CRC-32 of every member"),
        ("t.zst", "the XXH64 of every frame"),
        ("t.ova", "the digest of the disk's file in the manifest"),
    ] {
        let image = scratch.join(name);
        ours(&[&"convert", &disk, &image, &"-q"]).ok();
        let run = ours(&[&"verify", &image]).ok();
        assert!(run.out().contains(&format!("verified by {sum}")), "{name}: {run}");
        let json = ours(&[&"verify", &image, &"--json"]).ok().json();
        assert_eq!((&json["verified"], &json["proved"]), (&true.into(), &"bytes".into()), "{name}: {json}");
    }
}

fn a_sound_structure_is_not_called_verified() {
    let scratch = Scratch::new();
    let (disk, _) = sample_file(&scratch, "d.raw", 1 << 20, 56, Layout::Full);
    for (name, words) in [
        ("t.qcow2", &[][..]),
        ("t.vhdx", &[]),
        ("t.vhd", &[]),
        ("t.vdi", &[]),
        ("t.hds", &[]),
        ("t.simg", &[]),
        ("t.vmdk", &[]),
        ("s.vmdk", &["--option", "subformat=streamOptimized"]),
    ] {
        let image = scratch.join(name);
        ours(&[&"convert", &disk, &image, &"-q"]).args(words).ok();
        let run = ours(&[&"verify", &image]).ok();
        let last = run.out().lines().last().unwrap_or_default().to_owned();
        assert!(last.starts_with("the structure is sound") && last.contains("nothing proves"), "{name}: {run}");
        assert!(!run.out().contains("verified"), "{name}: {run}");
        let json = ours(&[&"verify", &image, &"--json"]).ok().json();
        let said = (&json["sound"], &json["verified"], &json["proved"]);
        assert_eq!(said, (&true.into(), &false.into(), &"structure".into()), "{name}: {json}");
        let json = ours(&[&"verify", &image, &"--against", &disk, &"--json"]).ok().json();
        assert_eq!((&json["verified"], &json["proved"]), (&true.into(), &"bytes".into()), "{name}: {json}");
    }
    // Packed grains have checksums, and these are compared.
    let stream = scratch.join("s.vmdk");
    let mut bytes = read(&stream);
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    std::fs::write(&stream, bytes).unwrap();
    let json = ours(&[&"verify", &stream, &"--json"]).exits(1).json();
    assert_eq!((&json["sound"], &json["proved"]), (&false.into(), &"nothing".into()), "{json}");
}

fn corrupt_and_unreadable_parts_are_both_listed() {
    const CHUNK: usize = 32 << 10;
    let scratch = Scratch::new();
    let noise = tintype_core::testing::Model::noise(4 << 20, 54).bytes;
    let disk = scratch.file("d.raw", &noise);
    let image = scratch.join("t.E01");
    ours(&[&"image", &disk, &image, &"-q", &"--compression", &"none", &"--option", &"chunk=32KiB"]).ok();
    let mut bytes = read(&image);
    // Where a chunk of the disk lies in the file: it is stored as it is.
    let place = |bytes: &[u8], chunk: usize| {
        let sector = &noise[chunk * CHUNK..][..512];
        bytes.windows(512).position(|w| w == sector).expect("it is stored as it is")
    };
    // In one unit of a read the corrupt one first, in another the unreadable one, and neighbours.
    let (corrupt, unreadable) = ([3, 40, 70, 71], [5, 38, 72]);
    let places: Vec<usize> = unreadable.iter().map(|c| place(&bytes, *c)).collect();
    for chunk in corrupt {
        let at = place(&bytes, chunk) + 1000;
        bytes[at] ^= 1;
    }
    std::fs::write(&image, &bytes).unwrap();
    let bad = places.iter().map(|at| ((at / 512 + 30) as u64, 1)).collect();
    let drive = Drive::as_file(&image, &scratch.folder("drive"), &Behaviour { bad, ..Behaviour::default() });
    let run = ours(&[&"verify", &drive.file(), &"--json"]).exits(1);
    let json = run.json();
    assert_eq!(json["verified"], false, "{json}");
    let ranges = |wanted: &dyn Fn(&str) -> bool| -> Vec<(u64, u64)> {
        let list = json["corrupt"].as_array().unwrap_or_else(|| panic!("no list: {json}"));
        let list = list.iter().filter(|r| wanted(r["what"].as_str().unwrap_or_default()));
        list.map(|r| (r["offset"].as_u64().unwrap(), r["offset"].as_u64().unwrap() + r["len"].as_u64().unwrap()))
            .collect()
    };
    let covers = |list: &[(u64, u64)], chunk: usize| {
        let (from, to) = ((chunk * CHUNK) as u64, ((chunk + 1) * CHUNK) as u64);
        (from..to).step_by(512).all(|at| list.iter().any(|(a, b)| *a <= at && at < *b))
    };
    let (damaged, lost) = (ranges(&|w| w.contains("checksum")), ranges(&|w| w.contains("cannot be read")));
    for chunk in corrupt {
        assert!(covers(&damaged, chunk), "the corrupt chunk {chunk} is not told of: {run}");
    }
    for chunk in unreadable {
        assert!(covers(&lost, chunk), "the unreadable chunk {chunk} is not told of: {run}");
    }
    let total: u64 = damaged.iter().chain(&lost).map(|(a, b)| b - a).sum();
    assert_eq!(total, ((corrupt.len() + unreadable.len()) * CHUNK) as u64, "more is told of than is wrong: {run}");
}
