use super::*;
use crate::Kind;
use proptest::prelude::*;

fn parse(text: &str) -> crate::Result<Mapfile> {
    Mapfile::parse(text.as_bytes(), Gaps::Refused)
}

fn loose(text: &str) -> crate::Result<Mapfile> {
    Mapfile::parse(text.as_bytes(), Gaps::Filled(Status::NonTried))
}

fn signs(map: &Mapfile) -> Vec<(u64, u64, char)> {
    map.blocks().iter().map(|(r, s)| (r.start, r.end, s.sign())).collect()
}

// From the manual of ddrescue 1.30, chapter "Mapfile structure".
const MANUAL: &str = "\
# Mapfile. Created by GNU ddrescue version 1.30
# Command line: ddrescue -d -c18 /dev/fd0 fdimage mapfile
# Start time:   2015-07-21 09:37:44
# Current time: 2015-07-21 09:38:19
# Copying non-tried blocks... Pass 1 (forwards)
# current_pos  current_status  current_pass
0x00120000     ?               1
#      pos        size  status
0x00000000  0x00117000  +
0x00117000  0x00000200  -
0x00117200  0x00001000  /
0x00118200  0x00007E00  *
0x00120000  0x00048000  ?
";

#[test]
fn what_ddrescue_writes_is_written_again_to_the_byte() {
    let map = parse(MANUAL).unwrap();
    assert_eq!(map.progress, Progress { pos: 0x120000, phase: Phase::Copying, pass: 1 });
    assert_eq!(map.range(), 0..0x168000);
    let extents = map.extents();
    assert_eq!(extents.total(State::Data), 0x117000);
    assert_eq!(extents.get(0x117000), Some(Extent::new(0x117000, 512, State::Bad)));
    assert_eq!(extents.total(State::Unread), 0x1000 + 0x7e00 + 0x48000);
    let heading = Heading {
        program: "GNU ddrescue version 1.30".into(),
        command: "ddrescue -d -c18 /dev/fd0 fdimage mapfile".into(),
        started: "2015-07-21 09:37:44".into(),
        now: "2015-07-21 09:38:19".into(),
        doing: "Copying non-tried blocks... Pass 1 (forwards)".into(),
    };
    assert_eq!(map.text(&heading), MANUAL);
}

#[test]
fn numbers_are_those_of_c() {
    let map = parse("010 % 3 junk # c\n0 512 +# c\n\n  # c\n512 01000 - \n\t0x400 0X400 / x\r\n2048 512*\n").unwrap();
    assert_eq!(map.progress, Progress { pos: 8, phase: Phase::Sweeping, pass: 3 });
    assert_eq!(signs(&map), [(0, 512, '+'), (512, 1024, '-'), (1024, 2048, '/'), (2048, 2560, '*')]);
    let far = parse("0 F\n512 0x7fffffffffffffff +\n").unwrap();
    assert_eq!((far.progress.pass, far.range()), (1, 512..END));
    assert_eq!(parse("0 G 1\n0 99999999999999999999999 +\n").unwrap().range(), 0..END);
    assert!(parse("0 + 1\n0 0 ?\n").unwrap().blocks().is_empty());
}

#[test]
fn every_phase_is_read_and_written() {
    for phase in Phase::ALL {
        let map = Mapfile { progress: Progress { pos: 7, phase, pass: 2 }, ..Mapfile::uniform(512, Status::Bad) };
        assert_eq!(parse(&map.text(&Heading::of("test"))).unwrap(), map);
    }
}

#[test]
fn nonsense_is_refused_by_line() {
    for (text, line) in [
        ("", ""),
        ("# only a comment\n", ""),
        ("0\n", "line 1"),
        ("# c\n0 Z 1\n", "line 2"),
        ("0 ? 0\n", "line 1"),
        ("0 ? -1\n", "line 1"),
        ("-1 ? 1\n", "line 1"),
        ("0x10000 ?\n1 2 x\n", "line 2"),
        ("0 ?\n0 512 %\n", "line 2"),
        ("0 ?\n0 09 +\n", "line 2"),
        ("0 ?\n0 512\n+\n", "line 2"),
        ("0 ?\n0 1K +\n", "line 2"),
        ("0 ?\n0 -5 +\n", "line 2"),
        ("0 ?\n\n0 10 +\n# c\n5 10 +\n", "line 5"),
        ("0 ?\n0 10 +\n11 10 +\n", "line 3"),
        ("0 ?\n0xffffffffffffffff 5 +\n", "line 2"),
        ("0 ?\n5 0 +\n", "line 2"),
    ] {
        let error = parse(text).unwrap_err();
        assert!(error.kind() == Kind::Corrupt && error.to_string().contains(line), "{text:?}: {error}");
    }
}

#[test]
fn gaps_are_filled_where_that_is_asked_for() {
    let map = loose("0 ?\n2048 512 -\n512 512 +\n600 1000 +\n").unwrap();
    assert_eq!(signs(&map), [(0, 512, '?'), (512, 1600, '+'), (1600, 2048, '?'), (2048, 2560, '-')]);
    let error = loose("0 ?\n0 512 +\n100 512 -\n").unwrap_err();
    assert!(error.to_string().contains("line 3"), "{error}");
    // Without that, the first block may begin anywhere and nothing before it is known.
    assert_eq!(parse("0 ?\n512 512 +\n").unwrap().range(), 512..1024);
}

#[test]
fn comments_need_not_be_text_and_commands_cannot_break_them() {
    let mut bytes = b"# Command line: ddrescue \xe4\xff".to_vec();
    bytes.extend(b"\n0 + 1\n0 512 +\n");
    assert_eq!(Mapfile::parse(&bytes, Gaps::Refused).unwrap().range(), 0..512);
    let map = Mapfile::uniform(512, Status::Bad);
    let text = map.text(&Heading { command: "rescue 'a\n0 + 1\r\n0 512 +'".into(), ..Heading::of("test") });
    assert_eq!(parse(&text).unwrap(), map);
}

#[test]
fn losses_become_a_map() {
    let lost = [Extent::new(512, 1024, State::Bad), Extent::new(4096, 512, State::Unread)];
    let map = Mapfile::of_losses(10_000, &lost);
    assert_eq!(map.extents().iter().filter(|e| e.state.is_lost()).collect::<Vec<_>>(), lost);
    assert_eq!(map.total(Status::Finished), 10_000 - 1024 - 512);
    assert_eq!(parse(&map.text(&Heading::of("test"))).unwrap(), map);
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        runs in proptest::collection::vec((1u64..1 << 40, 0usize..5), 0..200),
        first in 0u64..1 << 50,
        pos in 0..=END,
        phase in 0usize..8,
        pass in 1u32..,
    ) {
        let mut blocks = RangeMap::new();
        let mut at = first;
        for (len, status) in runs {
            blocks.set(at..at + len, Status::ALL[status]);
            at += len;
        }
        let map = Mapfile::new(Progress { pos, phase: Phase::ALL[phase], pass }, blocks);
        prop_assert_eq!(&parse(&map.text(&Heading::of("test"))).unwrap(), &map);
    }

    #[test]
    fn no_text_does_harm(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        for gaps in [Gaps::Refused, Gaps::Filled(Status::Bad)] {
            let _ = Mapfile::parse(&bytes, gaps);
        }
    }

    #[test]
    fn no_line_does_harm(lines in proptest::collection::vec("(0x)?[0-9a-f]{0,17} (0x)?[0-9]{1,20} ?[?*/+-]", 0..20)) {
        let text = format!("0 ? 1\n{}\n", lines.join("\n"));
        for gaps in [Gaps::Refused, Gaps::Filled(Status::Bad)] {
            if let Ok(map) = Mapfile::parse(text.as_bytes(), gaps) {
                let again = parse(&map.text(&Heading::of("test"))).unwrap();
                prop_assert_eq!(again, map);
            }
        }
    }
}
