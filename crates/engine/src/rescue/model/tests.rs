use super::*;

fn played(text: &str, range: Range<u64>) -> Outcome {
    Model::parse(text).unwrap().read(range).unwrap().outcome
}

#[test]
fn every_kind_of_fault_is_played() {
    assert_eq!(played("bad 4096 512", 0..4096), Outcome::Good);
    assert_eq!(played("bad 4096 512", 0..4608), Outcome::Failed);
    assert_eq!(played("hang 4096 512", 4096..8192), Outcome::Hung);
    assert_eq!(played("garbage 0 4096", 0..4096), Outcome::Good);
    assert_eq!(played("flaky 0 512 1", 0..512), Outcome::Failed);
    assert_eq!(played("flaky 0 512 0", 0..512), Outcome::Good);
    assert_eq!(played("dies 0", 0..512), Outcome::Failed);
    assert!(Model::parse("vanish 0").unwrap().read(0..512).is_err());
    let mut weak = Model::parse("weak 0 512 2").unwrap();
    let all: Vec<_> = (0..3).map(|_| weak.read(0..512).unwrap().outcome).collect();
    assert_eq!(all, [Outcome::Failed, Outcome::Failed, Outcome::Good]);
}

#[test]
fn the_later_line_counts() {
    // As in the rig's faultdisk, which fills an array line by line.
    assert_eq!(played("bad 0 512\nweak 0 512 0", 0..512), Outcome::Good);
    assert_eq!(played("weak 0 512 0\nbad 0 512", 0..512), Outcome::Failed);
}

#[test]
fn what_is_untrue_is_counted() {
    let model = Model::parse("size 65536\ngarbage 0 4096\nzeros 8192 512\nbad 1024 512").unwrap();
    assert_eq!((model.size(), model.untrue(0..65536), model.recoverable(0..65536)), (Some(65536), 4096, 65536 - 512));
}

#[test]
fn a_flaky_sector_is_as_flaky_as_it_says_and_the_same_every_time() {
    let run = |seed: u64| -> Vec<bool> {
        let mut model = Model::parse(&format!("seed {seed}\nflaky 0 512 0.25")).unwrap();
        (0..4000).map(|_| model.read(0..512).unwrap().outcome == Outcome::Failed).collect()
    };
    let failed = run(7).iter().filter(|f| **f).count();
    assert!((900..1100).contains(&failed), "{failed} of 4000");
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

#[test]
fn heads_are_laid_out_as_ddrescuelog_lays_them() {
    // ddrescuelog --make-test=6000:8:1200-700:FF:3 names 24 bad stripes, an eighth of the drive.
    let model = Model::parse("heads 8 24 153600000 89600000\nhead 3 bad").unwrap();
    let len = model.size().unwrap();
    assert!((23_300_000_000..23_400_000_000).contains(&len), "{len}");
    assert_eq!(model.faults.len(), 24);
    assert_eq!(model.recoverable(0..len), len / 8 * 7);
}

#[test]
fn a_mapfile_is_a_model() {
    let map = "# Mapfile. Created by ddrescuelog\n0x0 ? 1\n0x0 0x10000 +\n0x10000 0x200 -\n0x10200 0x600 ?\n0x10800 0x800 +\n";
    let model = Model::parse(map).unwrap();
    assert_eq!((model.size(), model.recoverable(0..0x11000)), (Some(0x11000), 0x10800));
}

#[test]
fn scratches_and_single_sectors_come_as_ordered() {
    let model = Model::parse("size 1073741824\nseed 3\nscattered 200\nscratch 536870912 1048576").unwrap();
    let len = model.size().unwrap();
    let dead = len - model.recoverable(0..len);
    assert!((300_000..1_300_000).contains(&dead), "{dead}");
    let around = model.recoverable(533 << 20..540 << 20);
    assert!(around < 7 << 20);
    assert_eq!(Model::parse("# model scattered size 4096\nrate_mbs 150").unwrap().size(), Some(4096));
}

#[test]
fn what_is_not_understood_is_named() {
    for (text, words) in [
        ("bad 0", "line 1 of the model: a number is missing"),
        ("rate_mbs 1\nbad 0 100", "line 2 of the model: 100 is no multiple of 512"),
        ("worse 0 512", "worse is not known"),
        ("flaky 0 512 2", "a share is from 0 to 1"),
        ("bad 9223372036854775296 512", "ends beyond all drives"),
        ("head 0 bad", "there is no such head"),
        ("scattered 5", "the size has to come first"),
        ("bad 0 512 7", "7 is too much"),
        ("heads 0 1 512 512", "heads COUNT ZONES OUTER INNER"),
        ("0x0 + 1\n0x0 0x200 x\n", ""),
    ] {
        let e = Model::parse(text).err().unwrap();
        assert!(e.what().contains(words), "{text:?}: {e}");
    }
}
