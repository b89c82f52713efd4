use super::algebra::{self, Alike, Changes, Logic, Shift};
use super::forms::{Bits, Listed, Sectors, bits_of, write_bitmap, write_list};
use super::gather::{Conflicts, Rescued, gather};
use super::{Domain, draw};
use std::sync::Arc;
use tintype_core::layers::Masked;
use tintype_core::mapfile::{Mapfile, Progress, Status};
use tintype_core::testing::{Model, check_source};
use tintype_core::{ExtentMap, RangeMap, Silent, Source, State};

fn map(runs: &[(u64, char)]) -> Mapfile {
    let mut blocks = RangeMap::new();
    let mut at = 0;
    for (len, sign) in runs {
        blocks.set(at..at + len, Status::of_sign(*sign).unwrap());
        at += len;
    }
    Mapfile::new(Progress::default(), blocks)
}

fn signs(map: &Mapfile) -> Vec<(u64, char)> {
    map.blocks().iter().map(|(r, s)| (r.end - r.start, s.sign())).collect()
}

#[test]
fn combining_keeps_the_first_map_but_for_what_is_finished() {
    let (a, b) = (map(&[(10, '+'), (10, '/'), (10, '+')]), map(&[(5, '+'), (10, '-'), (10, '+')]));
    let all = Domain::default();
    let result = |logic, removed| signs(&algebra::combine(&a, &b, logic, removed, &all));
    assert_eq!(result(Logic::And, Status::Bad), [(5, '+'), (5, '-'), (10, '/'), (5, '+'), (5, '-')]);
    assert_eq!(result(Logic::Or, Status::Bad), [(10, '+'), (5, '/'), (15, '+')]);
    assert_eq!(result(Logic::Xor, Status::NonTried), [(5, '?'), (5, '+'), (5, '/'), (5, '+'), (5, '?'), (5, '+')]);
    assert_eq!(result(Logic::Without, Status::Bad), [(5, '-'), (5, '+'), (10, '/'), (5, '-'), (5, '+')]);
    let part = Domain::new(0..7, None);
    assert_eq!(signs(&algebra::combine(&a, &b, Logic::And, Status::Bad, &part))[..2], [(5, '+'), (2, '-')]);
}

#[test]
fn merging_covers_what_any_map_covers() {
    let merged =
        algebra::merge(&map(&[(10, '?')]), &[map(&[(5, '-'), (20, '/')]), map(&[(2, '+')])], &Domain::default());
    assert_eq!(signs(&merged), [(2, '+'), (3, '-'), (20, '/')]);
}

#[test]
fn changes_and_shifts_and_comparisons() {
    let a = map(&[(10, '+'), (10, '/'), (10, '*')]);
    let all = Domain::default();
    assert_eq!(signs(&algebra::change(&a, &Changes::parse("*/=?").unwrap(), &all)), [(10, '+'), (20, '?')]);
    assert_eq!(signs(&algebra::change(&a, &Changes::inversion(), &all)), [(10, '-'), (20, '+')]);
    for wrong in ["", "=", "+", "+=", "=+", "x=+", "+=%"] {
        assert!(Changes::parse(wrong).is_err(), "{wrong}");
    }
    assert_eq!(signs(&algebra::shift(&a, Shift::Up(7), &all)), [(7, '?'), (10, '+'), (10, '/'), (10, '*')]);
    assert_eq!(signs(&algebra::shift(&a, Shift::Down(7), &all)), [(3, '+'), (10, '/'), (10, '*')]);
    let b = map(&[(10, '+'), (20, '/')]);
    let found = algebra::compare(&a, &b, Alike::Status, &all, 10);
    assert_eq!((found.bytes, found.list.len()), (10, 1));
    assert_eq!(algebra::compare(&a, &b, Alike::Finished, &all, 10).bytes, 0);
    assert_eq!(algebra::compare(&a, &map(&[(5, '+')]), Alike::Status, &all, 0).bytes, 25);
}

#[test]
fn sectors_are_listed_once_and_bitmaps_have_their_bits() {
    let a = map(&[(100, '-'), (1000, '+'), (30, '-'), (2000, '/'), (600, '-')]);
    let sectors = Sectors::new(512, Shift::Up(512)).unwrap();
    let all = Domain::default();
    let runs = || sectors.of(&a, &[Status::Bad], &all);
    assert_eq!(runs().collect::<Vec<_>>(), [1..2, 3..4, 7..9]);
    let mut list = Vec::new();
    write_list(runs(), &mut list).unwrap();
    assert_eq!(list, b"1\n3\n7\n8\n");
    for (order, bytes) in [(Bits::Little, [0x8a, 0x01]), (Bits::Big, [0x51, 0x80])] {
        let mut bitmap = Vec::new();
        write_bitmap(runs(), bits_of(&a, sectors, &all).unwrap(), order, &mut bitmap).unwrap();
        assert_eq!(bitmap, bytes);
        let whole = Sectors::new(512, Shift::Up(0)).unwrap();
        let listed = Listed {
            sectors: whole,
            listed: Status::Bad,
            others: Status::Finished,
            domain: Domain::new(0..5000, None),
        };
        let back = listed.from_bitmap(&bitmap, order).unwrap();
        assert_eq!(back, listed.from_list(&list).unwrap());
        assert_eq!(back.total(Status::Bad), 4 * 512);
    }
    assert!(Sectors::new(512, Shift::Down(100)).is_err() && Sectors::new(0, Shift::Up(0)).is_err());
}

#[test]
fn a_cell_shows_the_worst() {
    let drawing = draw::draw(&map(&[(1000, '+'), (1, '-'), (999, '+'), (500, '?')]), &Domain::default(), 5);
    let signs: String = drawing.cells.iter().map(|c| c.unwrap().sign()).collect();
    assert_eq!((drawing.cell, signs.as_str()), (500, "++-+?"));
    assert!(draw::draw(&map(&[]), &Domain::default(), 5).cells.is_empty());
}

#[test]
fn gathered_rescues_are_a_source_like_any() {
    let model = Model::mixed(300_000, &[State::Data, State::Zero], 512, 3);
    let bytes = model.bytes.clone();
    let whole: Arc<dyn Source> = Arc::new(model);
    let first = map(&[(100_000, '+'), (100_000, '-'), (100_000, '?')]);
    let second = map(&[(50_000, '/'), (130_000, '+'), (120_000, '-')]);
    let rescues = vec![
        Rescued::new("a", first.clone(), Arc::clone(&whole)).unwrap(),
        Rescued::new("b", second, Arc::clone(&whole)).unwrap(),
    ];
    let gathered = gather(rescues, Conflicts::First, &Silent::default()).unwrap();
    assert!(gathered.conflicts.is_empty());
    assert_eq!(signs(&gathered.map), [(180_000, '+'), (120_000, '-')]);
    assert_eq!(gathered.given, [100_000, 80_000]);
    let mut expected = bytes;
    expected[180_000..].fill(0);
    let mut read = vec![1; 300_000];
    gathered.source.read_at(&mut read, 0).unwrap();
    assert!(read == expected);
    check_source(&*gathered.source, &Model { bytes: expected, runs: Vec::new(), sector: 512 });
    // What the image itself calls lost is not taken, and a map of more than the image has is of something else.
    let mut lost = ExtentMap::new();
    lost.set(tintype_core::Extent::new(0, 512, State::Bad));
    let masked = Arc::new(Masked::new(Arc::clone(&whole), lost));
    let one = gather(vec![Rescued::new("a", first, masked).unwrap()], Conflicts::First, &Silent::default()).unwrap();
    assert_eq!(signs(&one.map)[..2], [(512, '-'), (99_488, '+')]);
    assert!(Rescued::new("a", map(&[(300_001, '+')]), whole).is_err());
}
