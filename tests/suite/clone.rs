//! Drive to drive.

use tintype_tests::{Layout, LoopDevice, Need::*, Scratch, assert_same, ours, read, sample_file};

tintype_tests::topic! {
    drives_of_one_size: [Loop],
    onto_a_larger_drive: [Loop],
    onto_a_smaller_drive_is_refused: [Loop],
    sector_sizes_may_differ_only_with_a_word: [Loop],
    a_clone_can_be_verified: [Loop],
}

fn pair(scratch: &Scratch, from: usize, to: usize, sectors: (u32, u32)) -> (LoopDevice, LoopDevice) {
    let (disk, _) = sample_file(scratch, "from", from, 80, Layout::Full);
    let backing = scratch.file("to", &vec![0xA5; to]);
    (LoopDevice::new(disk, sectors.0), LoopDevice::new(backing, sectors.1))
}

fn drives_of_one_size() {
    for sector in [512, 4096] {
        let scratch = Scratch::new();
        let (from, to) = pair(&scratch, 14 << 20, 14 << 20, (sector, sector));
        let json = ours(&[&"clone", &from, &to, &"--yes", &"--json"]).ok().json();
        assert_eq!(json["size"], 14 << 20, "{json}");
        assert_same(from.path(), to.path());
        ours(&[&"compare", &from, &to]).ok();
    }
}

fn onto_a_larger_drive() {
    let scratch = Scratch::new();
    let (from, to) = pair(&scratch, 6 << 20, 8 << 20, (512, 512));
    ours(&[&"clone", &from, &to, &"--yes"]).ok();
    let (a, b) = (read(from.path()), read(to.path()));
    assert!(a[..] == b[..a.len()], "the clone differs");
}

fn onto_a_smaller_drive_is_refused() {
    let scratch = Scratch::new();
    let (from, to) = pair(&scratch, 6 << 20, (6 << 20) - 4096, (512, 512));
    let run = ours(&[&"clone", &from, &to, &"--yes", &"--force"]).exits(2);
    assert!(run.stderr.contains("larger drive"), "{run}");
    assert!(read(to.path()).iter().all(|b| *b == 0xA5), "something was written");
}

fn sector_sizes_may_differ_only_with_a_word() {
    let scratch = Scratch::new();
    let (from, to) = pair(&scratch, 6 << 20, 6 << 20, (512, 4096));
    let run = ours(&[&"clone", &from, &to, &"--yes"]).run();
    // Partition tables count sectors, so this makes a drive nobody can read; it is refused or said.
    match run.code() {
        Some(0) => assert!(run.stderr.contains("sector"), "it is not said: {run}"),
        _ => assert!(run.code() == Some(2) && run.stderr.contains("sector"), "{run}"),
    }
}

fn a_clone_can_be_verified() {
    let scratch = Scratch::new();
    let (from, to) = pair(&scratch, 6 << 20, 6 << 20, (512, 512));
    ours(&[&"clone", &from, &to, &"--yes", &"--verify"]).ok();
    assert_same(from.path(), to.path());
}
