//! `map` beside ddrescuelog: the same maps through both, block for block.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use tintype_core::mapfile::{Gaps, Heading, Mapfile, Phase, Progress, Status};
use tintype_core::{RangeMap, State};
use tintype_tests::{Invocation, Layout, Need::*, Run, Scratch, ours, read, sample, sample_file, tool};

tintype_tests::topic! {
    logic_agrees_with_ddrescuelog: [Tool("ddrescuelog")],
    changes_agree_with_ddrescuelog: [Tool("ddrescuelog")],
    comparisons_agree_with_ddrescuelog: [Tool("ddrescuelog")],
    lists_and_bitmaps_agree_with_ddrescuelog: [Tool("ddrescuelog")],
    maps_of_lists_and_bitmaps_agree_with_ddrescuelog: [Tool("ddrescuelog")],
    sums_agree_with_ddrescuelog: [Tool("ddrescuelog")],
    filled_gaps_agree_with_ddrescuelog: [Tool("ddrescuelog")],
    shifts_agree_with_ddrescuelog: [Tool("ddrescuelog")],
    what_is_a_mapfile_is_what_ddrescuelog_takes: [Tool("ddrescuelog")],
    ddrescue_goes_on_from_our_maps: [Tool("ddrescue")],
    what_ddrescue_writes_when_it_is_stopped_is_written_again_to_the_byte: [Tool("ddrescue")],
    merging_takes_the_furthest_status: [],
    images_merge_by_their_maps: [],
    images_that_differ_are_told: [],
    images_are_not_merged_with_foreign_maps: [],
    a_format_keeps_what_merged_images_lack: [],
    maps_go_through_json: [],
    images_become_domain_maps: [],
    what_a_map_does_not_reach_was_not_read: [],
    a_drawn_map_hides_no_loss: [],
    json_and_statuses_tell_how_far_it_is: [],
    maps_are_written_with_care: [],
    broken_maps_are_refused_by_line: [],
}

/// Numbers that look random and are the same every time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % n
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }

    /// A map from 0 to `len` whose borders lie on multiples of `grain`, half of the time.
    fn map(&mut self, len: u64, grain: u64) -> Mapfile {
        let grain = self.one(&[1, grain]);
        let mut blocks = RangeMap::new();
        let mut at = 0;
        while at < len {
            let run = ((1 + self.below(len / 8)) / grain + 1) * grain;
            blocks.set(at..at + run, self.one(&Status::ALL));
            at += run;
        }
        blocks.clear(len..u64::MAX);
        let phase = self.one(&[Phase::Copying, Phase::Trimming, Phase::Scraping, Phase::Retrying, Phase::Finished]);
        Mapfile::new(Progress { pos: self.below(len), phase, pass: 1 + self.below(9) as u32 }, blocks)
    }

    /// The same part of maps for both: ddrescuelog's words and ours.
    fn domain(&mut self, scratch: &Scratch, len: u64) -> (Vec<String>, Vec<String>) {
        let (mut theirs, mut own) = (Vec::new(), Vec::new());
        if self.below(2) == 0 {
            let offset = self.below(len);
            theirs.push(format!("--input-position={offset}"));
            own.push(format!("--offset={offset}"));
        }
        if self.below(2) == 0 {
            let size = 1 + self.below(len);
            theirs.push(format!("--size={size}"));
            own.push(format!("--size={size}"));
        }
        if self.below(2) == 0 {
            let map = self.map(len, 512);
            let path = scratch.file("domain.map", map.text(&Heading::of("test")).as_bytes());
            theirs.push(format!("--domain-mapfile={}", path.display()));
            own.push(format!("--domain={}", path.display()));
        }
        (theirs, own)
    }
}

fn put(scratch: &Scratch, name: &str, map: &Mapfile) -> PathBuf {
    scratch.file(name, map.text(&Heading::of("test")).as_bytes())
}

#[track_caller]
fn parse(bytes: &[u8]) -> Mapfile {
    Mapfile::parse(bytes, Gaps::Refused).unwrap_or_else(|e| panic!("{e} in {}", String::from_utf8_lossy(bytes)))
}

fn map_verb(words: &[&dyn AsRef<OsStr>]) -> Invocation {
    ours(&[&"map"]).args(words.iter().map(|w| (*w).as_ref().to_owned()))
}

/// True if ddrescuelog had nothing to do, which it says of a domain without a byte.
fn idle(run: &Run) -> bool {
    run.code() == Some(0) && run.stderr.contains("domain is empty")
}

#[track_caller]
fn same_bytes(a: &[u8], b: &[u8]) {
    let first = a.iter().zip(b).position(|(x, y)| x != y);
    assert!(a == b, "{} and {} bytes, which differ at {first:?}", a.len(), b.len());
}

#[track_caller]
fn same_map(theirs: &Run, own: &Run) {
    let (a, b) = (parse(&theirs.stdout), parse(&own.stdout));
    assert!(a.blocks() == b.blocks() && a.progress == b.progress, "{theirs}\n{own}");
}

const LEN: u64 = 60_000;

fn logic_agrees_with_ddrescuelog() {
    let mut dice = Dice(1);
    for _ in 0..60 {
        let scratch = Scratch::new();
        let a = put(&scratch, "a.map", &dice.map(LEN, 512));
        let len = dice.one(&[LEN, LEN / 2, LEN * 2]);
        let b = put(&scratch, "b.map", &dice.map(len, 512));
        let (theirs, own) = dice.domain(&scratch, LEN);
        for (option, words) in [
            ("--xor-mapfile", &["xor"][..]),
            ("--and-mapfile", &["intersect"]),
            ("--or-mapfile", &["merge", "--finished-only"]),
        ] {
            // What the second map does not reach, ddrescuelog takes for finished in both, against its manual.
            if option == "--and-mapfile" && len < LEN {
                continue;
            }
            let other = format!("{option}={}", b.display());
            let theirs = tool("ddrescuelog", &[&other]).args(&theirs).arg(&a).ok();
            let own = map_verb(&[]).args(words).arg(&a).arg(&b).args(&own).ok();
            if !idle(&theirs) {
                same_map(&theirs, &own);
            }
        }
        // What is not finished in B and finished in A.
        let inverted = tool("ddrescuelog", &[&"-n", &b]).ok();
        let inverted = scratch.file("not-b.map", &inverted.stdout);
        let without = tool("ddrescuelog", &[&format!("--and-mapfile={}", inverted.display()), &a]).ok();
        if len >= LEN {
            same_map(&without, &map_verb(&[&"subtract", &a, &b]).ok());
        }
    }
}

fn changes_agree_with_ddrescuelog() {
    let mut dice = Dice(2);
    let changes = ["*/,?", "?*/-,+", "+-,-+", "-,/?", "+,-", "?*/-+,+-/*?", "++,-?"];
    for i in 0..60 {
        let scratch = Scratch::new();
        let a = put(&scratch, "a.map", &dice.map(LEN, 512));
        let (theirs, own) = dice.domain(&scratch, LEN);
        let change = changes[i % changes.len()];
        let run = tool("ddrescuelog", &[&format!("--change-types={change}")]).args(&theirs).arg(&a).ok();
        if idle(&run) {
            continue;
        }
        let same = map_verb(&[&"convert", &a, &format!("--change={}", change.replace(',', "="))]).args(&own).ok();
        same_map(&run, &same);
        let run = tool("ddrescuelog", &[&"--invert-mapfile"]).args(&theirs).arg(&a).ok();
        same_map(&run, &map_verb(&[&"invert", &a]).args(&own).ok());
    }
}

fn comparisons_agree_with_ddrescuelog() {
    let mut dice = Dice(3);
    let mut equal = 0;
    for i in 0..80 {
        let scratch = Scratch::new();
        let first = dice.map(LEN, 512);
        let a = put(&scratch, "a.map", &first);
        let b = scratch.join("b.map");
        match i % 4 {
            0 => {
                let len = dice.one(&[LEN, LEN / 2, LEN * 2]);
                put(&scratch, "b.map", &dice.map(len, 512));
            }
            // Differs where nothing is finished, or nowhere in the domain.
            1 => drop(std::fs::write(&b, tool("ddrescuelog", &[&"-a", &"?*/,-", &a]).ok().stdout)),
            2 => drop(std::fs::write(&b, tool("ddrescuelog", &[&"-a", &"+,-", &"-i", &"30000", &a]).ok().stdout)),
            _ => drop(std::fs::copy(&a, &b).unwrap()),
        }
        let (theirs, own) = dice.domain(&scratch, LEN);
        for (option, word) in [("--compare-mapfile", None), ("--compare-as-domain", Some("--finished"))] {
            let run = tool("ddrescuelog", &[&format!("{option}={}", b.display())]).args(&theirs).arg(&a).run();
            if idle(&run) {
                continue;
            }
            let own = map_verb(&[&"compare", &a, &b]).args(word).args(&own).run();
            assert_eq!(run.code(), own.code(), "{run}\n{own}");
            equal += usize::from(own.code() == Some(0));
        }
    }
    assert!(equal > 20, "only {equal} were equal");
}

fn lists_and_bitmaps_agree_with_ddrescuelog() {
    let mut dice = Dice(4);
    for _ in 0..60 {
        let scratch = Scratch::new();
        let a = put(&scratch, "a.map", &dice.map(LEN, 512));
        let (mut theirs, mut own) = dice.domain(&scratch, LEN);
        let size: u64 = dice.one(&[512, 512, 100, 4096]);
        let types = dice.one(&["-", "/-", "+", "?*/-", "?*/-+"]);
        let mut listing = Vec::new();
        if !theirs.iter().any(|w| w.starts_with("--input")) {
            let by = dice.below(20) * size;
            theirs.push(format!("--output-position={by}"));
            listing.push(format!("--shift=+{by}"));
        } else {
            // The end of its domain is that of the first, so what is moved down begins with it.
            let by = dice.below(4) * size;
            theirs.retain(|w| !w.starts_with("--input"));
            own.retain(|w| !w.starts_with("--offset"));
            theirs.extend([format!("--input-position={by}"), "--output-position=0".to_owned()]);
            own.push(format!("--offset={by}"));
            listing.push(format!("--shift=-{by}"));
        }
        let their = |more: &[&str]| {
            let run = tool("ddrescuelog", &[&format!("--list-blocks={types}"), &format!("--block-size={size}")]);
            run.args(more).args(&theirs).arg(&a).ok()
        };
        let run = their(&[]);
        if idle(&run) {
            continue;
        }
        let words = [format!("--status={types}"), format!("--sector-size={size}")];
        let list = map_verb(&[&"list", &a, &"--sectors"]).args(&words).args(&own).args(&listing).ok();
        same_bytes(&run.stdout, &list.stdout);
        let list = map_verb(&[&"convert", &a, &"--to=list"]).args(&words).args(&own).args(&listing).ok();
        same_bytes(&run.stdout, &list.stdout);
        for form in ["bitmap-le", "bitmap-be"] {
            let run = their(&[&format!("--format={form}")]);
            let bitmap = map_verb(&[&"convert", &a, &"--to", &form]).args(&words).args(&own).args(&listing).ok();
            assert!(run.stdout == bitmap.stdout, "{run}\n{bitmap}");
        }
    }
}

fn maps_of_lists_and_bitmaps_agree_with_ddrescuelog() {
    let mut dice = Dice(5);
    for _ in 0..60 {
        let scratch = Scratch::new();
        let size: u64 = dice.one(&[512, 512, 100, 4096]);
        // Whole sectors: of a part at the end ddrescuelog says nothing, and we do.
        let len = size * (1 + dice.below(200));
        let numbers: Vec<String> = (0..dice.below(60)).map(|_| dice.below(250).to_string()).collect();
        let list = scratch.file("list", (numbers.join("\n") + "\n").as_bytes());
        // No neighbours: ddrescuelog drops runs of bits of which a part lies outside the domain, and all that is listed in it.
        let bits: Vec<u8> = (0..1 + dice.below(30)).map(|_| dice.below(256) as u8 & 0x55).collect();
        let bitmap = scratch.file("bitmap", &bits);
        let types = dice.one(&["+-", "-+", "+?", "/+"]);
        let (theirs, own) = match dice.below(3) {
            0 => (vec![], vec![]),
            1 => {
                let by = size * dice.below(20);
                (vec![format!("--output-position={by}")], vec![format!("--shift={by}")])
            }
            _ => {
                let by = size * dice.below(20);
                (vec![format!("--input-position={by}")], vec![format!("--offset={by}")])
            }
        };
        for (form, input) in [("list", &list), ("bitmap-le", &bitmap), ("bitmap-be", &bitmap)] {
            let target = scratch.join(format!("{form}.map"));
            let words = [format!("--create-mapfile={types}"), format!("--format={form}")];
            let words = words.into_iter().chain([format!("--block-size={size}"), format!("--size={len}")]);
            tool("ddrescuelog", &[])
                .args(words)
                .args(&theirs)
                .arg(&target)
                .stdin(std::fs::File::open(input).unwrap())
                .ok();
            let words = [format!("--from={form}"), format!("--types={types}")];
            let words = words.into_iter().chain([format!("--sector-size={size}"), format!("--size={len}")]);
            let run =
                map_verb(&[&"convert", &"-"]).args(words).args(&own).stdin(std::fs::File::open(input).unwrap()).ok();
            let (a, b) = (parse(&read(&target)), parse(&run.stdout));
            assert!(a.blocks() == b.blocks(), "{}\n{run}", String::from_utf8_lossy(&read(&target)));
        }
    }
}

/// Bytes and areas that ddrescuelog says are in each status.
fn their_sums(text: &str) -> Vec<(u64, u64)> {
    ["non-tried:", "non-trimmed:", "non-scraped:", "bad-sector:", "rescued:"]
        .iter()
        .map(|word| {
            let line = text.lines().find(|l| l.trim_start().starts_with(word)).unwrap_or_else(|| panic!("{text}"));
            let numbers: Vec<u64> = line.split_whitespace().filter_map(|w| w.parse().ok()).collect();
            (numbers[0], numbers[1])
        })
        .collect()
}

fn sums_agree_with_ddrescuelog() {
    let mut dice = Dice(6);
    for i in 0..60 {
        let scratch = Scratch::new();
        let mut map = dice.map(9000, 64);
        if i % 5 == 0 {
            map = Mapfile::uniform(9000, Status::Finished);
        }
        let a = put(&scratch, "a.map", &map);
        let (theirs, own) = dice.domain(&scratch, 9000);
        let run = tool("ddrescuelog", &[&"--show-status"]).args(&theirs).arg(&a).ok();
        if idle(&run) {
            continue;
        }
        let json = map_verb(&[&"stats", &a, &"--json"]).args(&own).ok().json();
        let sums: Vec<(u64, u64)> = Status::ALL
            .iter()
            .map(|s| &json["statuses"][s.name()])
            .map(|s| (s["bytes"].as_u64().unwrap(), s["areas"].as_u64().unwrap()))
            .collect();
        assert_eq!(their_sums(&run.out()), sums, "{run}\n{json}");
        let done = tool("ddrescuelog", &[&"--done-status"]).args(&theirs).arg(&a).run();
        let own = map_verb(&[&"stats", &a, &"--done"]).args(&own).run();
        assert_eq!(done.code(), own.code(), "{done}\n{own}");
    }
}

fn filled_gaps_agree_with_ddrescuelog() {
    let mut dice = Dice(7);
    let mut refused = 0;
    for _ in 0..100 {
        let scratch = Scratch::new();
        let mut text = "0x100 ? 1\n".to_owned();
        for _ in 0..1 + dice.below(6) {
            text.push_str(&format!(
                "{} {} {}\n",
                dice.below(40) * 100,
                1 + dice.below(300),
                dice.one(&['+', '+', '-'])
            ));
        }
        let loose = scratch.file("loose.map", text.as_bytes());
        let last = Mapfile::parse(text.as_bytes(), Gaps::Filled(Status::NonTried))
            .ok()
            .and_then(|map| map.blocks().iter().next_back().map(|(_, s)| s));
        for status in ["?", "-", "+"] {
            // Then ddrescuelog goes on to the end of the world.
            if last.map(|s| s.sign().to_string()).as_deref() == Some(status) {
                continue;
            }
            let run = tool("ddrescuelog", &[&format!("--complete-mapfile={status}"), &loose]).run();
            let own = map_verb(&[&"convert", &loose, &"--gaps", &status]).run();
            match run.code() {
                Some(0) => same_map(&run, &own.exited(0)),
                _ => {
                    refused += 1;
                    own.exited(3);
                }
            }
        }
        let whole = put(&scratch, "whole.map", &Mapfile::uniform(5000, Status::NonTried));
        let run = tool("ddrescuelog", &[&"-L", &"-m", &loose, &"-n", &whole]).run();
        let own = map_verb(&[&"invert", &whole, &"--loose", &"--domain", &loose]).run();
        match run.code() {
            Some(0) if !idle(&run) => same_map(&run, &own.exited(0)),
            Some(0) => {}
            _ => drop(own.exited(3)),
        }
    }
    assert!(refused > 20, "only {refused} were refused");
}

fn shifts_agree_with_ddrescuelog() {
    let mut dice = Dice(8);
    for _ in 0..60 {
        let scratch = Scratch::new();
        let a = put(&scratch, "a.map", &dice.map(LEN, 512));
        let by = dice.below(LEN / 2);
        let (theirs, own) = match dice.below(2) {
            0 => (vec![format!("-o{by}")], format!("--shift=+{by}")),
            _ => (vec![format!("-i{by}"), "-o0".to_owned()], format!("--shift=-{by}")),
        };
        let run = tool("ddrescuelog", &[&"--shift"]).args(&theirs).arg(&a).ok();
        same_map(&run, &map_verb(&[&"convert", &a, &own]).ok());
    }
}

fn what_is_a_mapfile_is_what_ddrescuelog_takes() {
    let mut dice = Dice(9);
    let scratch = Scratch::new();
    let words = [
        "0", "512", "0x200", "01000", "1024", "1536", "?", "+", "-", "/", "*", "%", "F", "G", "#", "\n", "\n", " ",
        "x", "0x", "08",
    ];
    let (mut taken, mut refused) = (0, 0);
    for i in 0..600 {
        let mut text = "0 ? 1\n0 512 +\n512 512 -\n1024 512 ?\n".to_owned();
        for _ in 0..1 + dice.below(3) {
            // A word in place of another, between others, or none.
            let cuts: Vec<usize> =
                text.char_indices().filter(|(_, c)| c.is_whitespace()).map(|(i, _)| i).chain([text.len()]).collect();
            let cut = dice.one(&cuts);
            let end = cut + usize::try_from(dice.below(4)).unwrap();
            let end = if text.is_char_boundary(end) { end.min(text.len()) } else { text.len() };
            let word = dice.one(&words);
            text.replace_range(
                cut..end.max(cut),
                &if dice.below(3) == 0 { String::new() } else { format!(" {word} ") },
            );
        }
        let path = scratch.file(&format!("{i}.map"), text.as_bytes());
        let run = tool("ddrescuelog", &[&"-a", &"+,+", &path]).run();
        match (run.code(), Mapfile::parse(text.as_bytes(), Gaps::Refused)) {
            (Some(0), Ok(map)) if idle(&run) => assert!(map.blocks().is_empty(), "{text:?}: {run}"),
            (Some(0), Ok(map)) => {
                let theirs = parse(&run.stdout);
                assert!(theirs.blocks() == map.blocks() && theirs.progress == map.progress, "{text:?}: {run}");
                taken += 1;
            }
            (Some(2), Err(e)) => {
                let line = run.stderr.split("line ").nth(1).and_then(|t| t.split(':').next()).unwrap_or_default();
                // A sweeping run is new in 1.30.
                let sweeping = text.lines().find(|l| !l.trim().is_empty()).is_some_and(|l| l.contains('%'));
                let status_line = sweeping || e.to_string().contains("no status line");
                assert!(status_line || e.to_string().contains(&format!("line {line}:")), "{text:?}: {e}: {run}");
                refused += 1;
            }
            // A sweeping run is new in 1.30.
            (Some(2), Ok(map)) => assert!(map.progress.phase == Phase::Sweeping, "{text:?}: {run}"),
            // An empty file is no map to us: it does not say what was read.
            (Some(0), Err(e)) => {
                assert!(idle(&run) && e.to_string().contains("no status line"), "{text:?}: {e}: {run}")
            }
            (_, map) => panic!("{text:?}: {map:?}: {run}"),
        }
    }
    assert!(taken > 100 && refused > 100, "{taken} were taken, {refused} refused");
}

/// Lines of a mapfile that are no comment of its heading.
fn body(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text[text.find("# current_pos").expect("a mapfile has its heading")..].to_owned()
}

fn ddrescue_goes_on_from_our_maps() {
    let mut dice = Dice(10);
    for _ in 0..10 {
        let scratch = Scratch::new();
        let (disk, bytes) = sample_file(&scratch, "disk", 120_000 / 512 * 512, 5, Layout::Full);
        let map = dice.map(bytes.len() as u64, 512);
        let mut blocks = map.into_blocks();
        blocks.clear(bytes.len() as u64..u64::MAX);
        let progress = Progress { pos: 0, phase: Phase::Copying, pass: 1 };
        let map = put(&scratch, "before.map", &Mapfile::new(progress, blocks));
        // What the program writes, in place of what this test writes.
        let ours_map = scratch.join("ours.map");
        map_verb(&[&"convert", &map, &"--change", &"+=+", &"-o", &ours_map]).ok();
        assert_eq!(body(&read(&map)), body(&read(&ours_map)));
        let before = parse(&read(&ours_map));
        let copy = scratch.file("copy", &vec![0xaa; bytes.len()]);
        tool("ddrescue", &[&"-q", &"-r1", &disk, &copy, &ours_map]).ok();
        let after = read(&copy);
        let mut wanted = bytes.clone();
        for (range, _) in before.blocks().iter().filter(|(_, s)| *s == Status::Finished) {
            wanted[range.start as usize..range.end as usize].fill(0xaa);
        }
        same_bytes(&wanted, &after);
        map_verb(&[&"stats", &"--done", &ours_map]).ok();
        assert_eq!(parse(&read(&ours_map)).progress.phase, Phase::Finished);
    }
}

fn what_ddrescue_writes_when_it_is_stopped_is_written_again_to_the_byte() {
    let mut dice = Dice(11);
    let mut phases = std::collections::BTreeSet::new();
    for round in 0..3 {
        let scratch = Scratch::new();
        let (disk, bytes) = sample_file(&scratch, "disk", 1 << 20, 6, Layout::Full);
        // Blocks that are not finished in this map fail to be read.
        let mut blocks = RangeMap::new();
        blocks.set(0..bytes.len() as u64, Status::Finished);
        for _ in 0..6 {
            let at = dice.below(2000) * 512;
            blocks.set(at..at + 512 * (1 + dice.below(40)), Status::Bad);
        }
        blocks.clear(bytes.len() as u64..u64::MAX);
        let model = put(&scratch, "model.map", &Mapfile::new(Progress::default(), blocks));
        for errors in (round..60).step_by(3).chain((60..600).step_by(60)) {
            let (copy, map) = (scratch.join(format!("c{errors}")), scratch.join(format!("m{errors}.map")));
            let run = tool("ddrescue", &[&"-q", &"-r2", &"-c16", &"-H", &model, &"-X", &errors.to_string()]);
            run.args([&disk, &copy, &map]).run();
            let text = read(&map);
            let parsed = parse(&text);
            phases.insert(parsed.progress.phase.name());
            assert_eq!(parsed.range(), 0..bytes.len() as u64);
            let run = map_verb(&[&"convert", &map]).ok();
            assert_eq!(body(&text), body(&run.stdout));
            // What the map calls finished is the disk's, and an image with its map says so too.
            let copied = read(&copy);
            for (range, _) in parsed.blocks().iter().filter(|(_, s)| *s == Status::Finished) {
                let range = range.start as usize..range.end as usize;
                same_bytes(&bytes[range.clone()], &copied[range]);
            }
        }
    }
    assert!(phases.len() >= 4, "only {phases:?} were seen");
}

fn blocks(map: &[(u64, u64, char)]) -> Mapfile {
    let mut blocks = RangeMap::new();
    for (start, end, sign) in map {
        blocks.set(*start..*end, Status::of_sign(*sign).unwrap());
    }
    Mapfile::new(Progress::default(), blocks)
}

fn merging_takes_the_furthest_status() {
    let mut dice = Dice(12);
    let scratch = Scratch::new();
    for _ in 0..20 {
        let maps: Vec<Mapfile> = (0..3).map(|_| dice.map(LEN, 512)).collect();
        let paths: Vec<PathBuf> = maps.iter().enumerate().map(|(i, m)| put(&scratch, &format!("{i}.map"), m)).collect();
        let merged = parse(&map_verb(&[&"merge"]).args(&paths).ok().stdout);
        let end = maps.iter().map(|m| m.range().end).max().unwrap();
        assert_eq!(merged.range(), 0..end);
        assert_eq!(merged.progress, maps[0].progress);
        for at in (0..end).step_by(97).chain([end - 1]) {
            let best = maps.iter().filter_map(|m| m.blocks().get(at)).map(|(_, s)| s).max();
            assert_eq!(merged.blocks().get(at).map(|(_, s)| s), best, "at {at}");
        }
    }
}

/// Two rescues of one disk: bytes where the map says so, rubbish elsewhere.
fn rescue(scratch: &Scratch, name: &str, disk: &[u8], map: &Mapfile) -> (PathBuf, PathBuf) {
    let mut bytes = vec![0x55; disk.len()];
    for (range, _) in map.blocks().iter().filter(|(_, s)| *s == Status::Finished) {
        let range = range.start as usize..range.end as usize;
        bytes[range.clone()].copy_from_slice(&disk[range]);
    }
    (put(scratch, &format!("{name}.map"), map), scratch.file(&format!("{name}.img"), &bytes))
}

fn images_merge_by_their_maps() {
    let mut dice = Dice(13);
    let disk = sample(60_000, 13);
    for _ in 0..12 {
        let scratch = Scratch::new();
        let mut maps = Vec::new();
        let mut words: Vec<PathBuf> = vec!["merge".into()];
        let mut images: Vec<PathBuf> = Vec::new();
        for i in 0..3 {
            let mut blocks = dice.map(disk.len() as u64, 512).into_blocks();
            blocks.clear(disk.len() as u64..u64::MAX);
            let map = Mapfile::new(Progress::default(), blocks);
            let (path, image) = rescue(&scratch, &format!("r{i}"), &disk, &map);
            words.push(path);
            images.extend(["--image".into(), image]);
            maps.push(map);
        }
        let (new, map) = (scratch.join("new.img"), scratch.join("new.map"));
        let run = map_verb(&[]).args(&words).args(&images).args([Path::new("--into"), &new, Path::new("-o"), &map]);
        let json = run.arg("--json").arg("--verify").ok().json();
        let merged = parse(&read(&map));
        let mut wanted = vec![0; disk.len()];
        for (range, _) in merged.blocks().iter().filter(|(_, s)| *s == Status::Finished) {
            let range = range.start as usize..range.end as usize;
            wanted[range.clone()].copy_from_slice(&disk[range]);
        }
        same_bytes(&wanted, &read(&new));
        let plain = parse(&map_verb(&[]).args(&words).ok().stdout);
        assert_eq!(plain.blocks(), merged.blocks());
        let given: u64 = json["given"].as_array().unwrap().iter().map(|g| g["bytes"].as_u64().unwrap()).sum();
        assert_eq!(given, merged.total(Status::Finished));
        assert_eq!((&json["conflicting"], &json["size"]), (&0.into(), &60_000.into()));
    }
}

fn images_that_differ_are_told() {
    let scratch = Scratch::new();
    let disk = sample(8192, 14);
    let (a_map, a) = rescue(&scratch, "a", &disk, &blocks(&[(0, 4096, '+'), (4096, 8192, '-')]));
    let (b_map, b) = rescue(&scratch, "b", &disk, &blocks(&[(0, 1000, '?'), (1000, 8192, '+')]));
    let mut other = read(&b);
    other[1500] ^= 1;
    // Not what anybody calls finished.
    other[3] ^= 1;
    std::fs::write(&b, &other).unwrap();
    let merge = |name: &str, words: &[&str]| {
        let (new, map) = (scratch.join(format!("{name}.img")), scratch.join(format!("{name}.map")));
        let run = map_verb(&[&"merge", &a_map, &b_map, &"--image", &a, &"--image", &b, &"--into", &new, &"-o", &map]);
        let run = run.args(words).arg("--json").exits(1);
        same_bytes(&disk, &read(&new));
        let json = run.json();
        assert_eq!(json["conflicts"], serde_json::json!([{ "offset": 1024, "len": 512 }]));
        assert_eq!(json["conflicting"], 512);
        parse(&read(&map))
    };
    assert_eq!(merge("first", &[]).blocks(), Mapfile::uniform(8192, Status::Finished).blocks());
    let untried = merge("untried", &["--conflicts", "untried"]);
    assert_eq!(untried.blocks(), blocks(&[(0, 1024, '+'), (1024, 1536, '?'), (1536, 8192, '+')]).blocks());
}

fn images_are_not_merged_with_foreign_maps() {
    let scratch = Scratch::new();
    let disk = sample(8192, 15);
    let (a_map, a) = rescue(&scratch, "a", &disk, &blocks(&[(0, 8192, '+')]));
    let long = put(&scratch, "long.map", &blocks(&[(0, 8192, '+'), (8192, 9000, '+')]));
    let (new, map) = (scratch.join("new.img"), scratch.join("new.map"));
    let refused = |maps: &[&Path], images: &[&Path], into: &Path, why: &str| {
        let images = images.iter().flat_map(|i| [Path::new("--image"), i]);
        let run =
            map_verb(&[&"merge"]).args(maps).args(images).args([Path::new("--into"), into, Path::new("-o"), &map]);
        let run = run.exits(2);
        assert!(run.stderr.contains(why), "{run}");
        assert!(!new.exists() && !map.exists());
    };
    refused(&[&long], &[&a], &new, "does not have");
    refused(&[&a_map, &a_map], &[&a], &new, "every map needs its image");
    refused(&[&a_map], &[&a], &a, "one of the inputs");
    refused(&[&a_map], &[&a], Path::new("-"), "into a file");
    map_verb(&[&"merge", &a_map, &"--image", &a, &"--into", &new]).exits(2);
    same_bytes(&disk, &read(&a));
}

fn a_format_keeps_what_merged_images_lack() {
    let scratch = Scratch::new();
    let disk = sample(1 << 20, 16);
    let (a_map, a) = rescue(&scratch, "a", &disk, &blocks(&[(0, 1 << 19, '+'), (1 << 19, 1 << 20, '-')]));
    let (b_map, b) =
        rescue(&scratch, "b", &disk, &blocks(&[(0, 1 << 19, '?'), (1 << 19, 900_096, '+'), (900_096, 1 << 20, '-')]));
    let (new, map) = (scratch.join("new.E01"), scratch.join("new.map"));
    map_verb(&[&"merge", &a_map, &b_map, &"--image", &a, &"--image", &b, &"--into", &new, &"-o", &map, &"--verify"])
        .ok();
    let info = ours(&[&"info", &new, &"--json"]).ok().json();
    assert_eq!(info["bad"], serde_json::json!([{ "offset": 900_096, "len": (1 << 20) - 900_096 }]));
    let domain = parse(&map_verb(&[&"convert", &new, &"--from=image"]).ok().stdout);
    assert_eq!(domain.blocks(), parse(&read(&map)).blocks());
}

fn maps_go_through_json() {
    let mut dice = Dice(17);
    let scratch = Scratch::new();
    for _ in 0..10 {
        let map = dice.map(LEN, 512);
        let a = put(&scratch, "a.map", &map);
        let json = map_verb(&[&"convert", &a, &"--to", &"json"]).ok();
        let back = map_verb(&[&"convert", &"-", &"--from", &"json"]);
        let back = back.stdin(std::fs::File::open(scratch.file("a.json", &json.stdout)).unwrap()).ok();
        assert_eq!(parse(&back.stdout).blocks(), map.blocks());
        let listed = map_verb(&[&"list", &a, &"--json"]).ok().json();
        assert_eq!(listed["extent_list"], json.json()["extent_list"]);
        let bad = map_verb(&[&"list", &a, &"--json", &"--status", &"-"]).ok().json();
        assert_eq!(bad["bytes"].as_u64(), Some(map.total(Status::Bad)));
    }
    for text in [
        "",
        "[]",
        "{}",
        r#"{"extent_list":[{"offset":0,"len":0,"status":"+"}]}"#,
        r#"{"extent_list":[{"offset":0,"len":5}]}"#,
    ] {
        map_verb(&[&"convert", &scratch.file("bad.json", text.as_bytes()), &"--from=json"]).exits(3);
    }
}

fn images_become_domain_maps() {
    let scratch = Scratch::new();
    let (disk, bytes) = sample_file(&scratch, "disk.img", 4 << 20, 18, Layout::Sparse);
    let info = ours(&[&"info", &disk, &"--extents", &"--json"]).ok();
    let all = parse(&map_verb(&[&"convert", &disk, &"--from=image"]).ok().stdout);
    assert_eq!(all.blocks(), Mapfile::uniform(bytes.len() as u64, Status::Finished).blocks());
    let data = parse(&map_verb(&[&"convert", &disk, &"--from=image", &"--finished=data"]).ok().stdout);
    let known = info.json()["extents"][State::Data.name()].as_u64().unwrap();
    assert!(known < bytes.len() as u64);
    assert_eq!(data.total(Status::Finished), known);
    let listed = scratch.file("extents.json", &info.stdout);
    let same = map_verb(&[&"convert", &listed, &"--from=json", &"--finished=data"]).ok();
    assert_eq!(parse(&same.stdout).blocks(), data.blocks());
    assert!(
        data.blocks()
            .iter()
            .all(|(r, s)| s == Status::Finished || bytes[r.start as usize..r.end as usize].iter().all(|b| *b == 0))
    );
}

fn what_a_map_does_not_reach_was_not_read() {
    let scratch = Scratch::new();
    let (disk, _) = sample_file(&scratch, "disk.img", 8192, 19, Layout::Full);
    let map = put(&scratch, "part.map", &blocks(&[(1024, 2048, '+'), (2048, 4096, '-')]));
    let info = ours(&[&"info", &disk, &"--map", &map, &"--json"]).ok().json();
    assert_eq!(info["extents"]["unread"], 1024 + 4096);
    assert_eq!(info["extents"]["bad"], 2048);
}

fn a_drawn_map_hides_no_loss() {
    let scratch = Scratch::new();
    let map = put(
        &scratch,
        "big.map",
        &blocks(&[(0, 1 << 40, '+'), (1 << 40, (1 << 40) + 512, '-'), ((1 << 40) + 512, 3 << 40, '+')]),
    );
    let out = map_verb(&[&"show", &map]).ok().out();
    let drawn: String = out.lines().filter(|l| l.contains('█') && !l.contains("cell")).collect();
    assert_eq!((drawn.matches('-').count(), drawn.matches('█').count()), (1, 1023), "{out}");
    assert!(out.contains(">99.99 %") && !out.contains("100.00"), "{out}");
    assert!(!out.contains('\x1b'), "no colours without a terminal: {out}");
    let json = map_verb(&[&"show", &map, &"--json", &"--columns=10", &"--rows=2"]).ok().json();
    assert_eq!(json["drawing"]["cells"], "++++++-+++++++++++++");
    let empty = put(&scratch, "empty.map", &Mapfile::new(Progress::default(), RangeMap::new()));
    map_verb(&[&"show", &empty]).ok();
    let far = put(&scratch, "far.map", &Mapfile::uniform(i64::MAX as u64, Status::NonTried));
    map_verb(&[&"show", &far]).ok();
    map_verb(&[&"convert", &far, &"--to=bitmap-le", &"--status=?"]).exits(3);
}

fn json_and_statuses_tell_how_far_it_is() {
    let scratch = Scratch::new();
    let a = put(&scratch, "a.map", &blocks(&[(0, 512, '+'), (512, 2048, '/')]));
    let b = put(&scratch, "b.map", &blocks(&[(0, 2048, '+')]));
    let json = map_verb(&[&"stats", &a, &b, &"--json"]).ok().json();
    assert_eq!(json["maps"][0]["statuses"]["non_scraped"]["bytes"], 1536);
    assert_eq!((&json["maps"][0]["finished"], &json["maps"][1]["finished"]), (&false.into(), &true.into()));
    map_verb(&[&"stats", &a, &"--done"]).exits(1);
    map_verb(&[&"stats", &b, &"--done"]).exits(0);
    let compared = map_verb(&[&"compare", &a, &b, &"--json"]).exits(1).json();
    assert_eq!(compared["differs"], serde_json::json!([{ "offset": 512, "len": 1536, "source": "/", "target": "+" }]));
    // The document is on standard error where the map is on standard output.
    let run = map_verb(&[&"invert", &a, &"--json"]).ok();
    assert_eq!(parse(&run.stdout).total(Status::Finished), 1536);
    assert!(run.stderr.contains("\"statuses\""), "{run}");
}

fn maps_are_written_with_care() {
    let scratch = Scratch::new();
    let a = put(&scratch, "a.map", &blocks(&[(0, 512, '+'), (512, 2048, '/')]));
    let out = scratch.join("out.map");
    map_verb(&[&"invert", &a, &"-o", &out]).ok();
    let first = read(&out);
    map_verb(&[&"convert", &a, &"-o", &out]).exits(2);
    same_bytes(&first, &read(&out));
    map_verb(&[&"convert", &a, &"-o", &out, &"--force"]).ok();
    assert_eq!(parse(&read(&out)).blocks(), parse(&read(&a)).blocks());
    map_verb(&[&"convert", &a, &"-o", &scratch.folder("folder"), &"--force"]).exits(2);
    map_verb(&[&"convert", &a, &"-o", &"/dev/null", &"--force"]).exits(2);
    // In place, as all of it is read first.
    map_verb(&[&"invert", &a, &"-o", &a, &"--force"]).ok();
    assert_eq!(body(&read(&a)), body(&first));
    assert_eq!(scratch.names(), ["a.map", "folder", "out.map"]);
    for words in
        [&["--change", "x=y"][..], &["--change", "+"], &["--to", "image"], &["--shift", "5x"], &["--from", "list"]]
    {
        map_verb(&[&"convert", &a]).args(words).exits(2);
    }
}

fn broken_maps_are_refused_by_line() {
    let scratch = Scratch::new();
    for (text, line) in
        [("0 ? 1\n0 512 +\n1024 512 -\n", "line 3"), ("0 ? 1\n0 512 %\n", "line 2"), ("", "no status line")]
    {
        let path = scratch.file("broken.map", text.as_bytes());
        for verb in ["show", "stats", "list", "invert"] {
            let run = map_verb(&[&verb, &path]).exits(3);
            assert!(run.stderr.contains(line) && run.stderr.contains("broken.map"), "{run}");
        }
    }
    map_verb(&[&"show", &scratch.join("no.map")]).exits(3);
}
