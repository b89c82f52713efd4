//! The shared parts, by themselves.

use super::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tintype_core::testing::{Bytes, MemoryOutlet, Model, check_source, feed_model};
use tintype_core::{Error, Extent, Kind, Outlet, Result, Seal, Source, State, Stored, Written, extents, in_range};

/// A map in memory: an entry per block.
struct Listed {
    block: u64,
    places: Vec<Place>,
}

impl BlockMap for Listed {
    fn run_at(&self, offset: u64, _most: u64) -> Result<Run> {
        let (n, inside) = ((offset / self.block) as usize, offset % self.block);
        let place = match self.places[n] {
            Place::At(at) => Place::At(at + inside),
            other => other,
        };
        Ok(Run::new(self.block - inside, place))
    }

    fn unpack(&self, _packed: &Packed, stored: &[u8], out: &mut [u8]) -> Result<Unpacked> {
        // A block of one byte, repeated.
        out.fill(stored[0]);
        Ok(Unpacked::Whole)
    }
}

fn host(bytes: Vec<u8>) -> HostFile {
    HostFile { name: "h".into(), source: Arc::new(Bytes(bytes)) }
}

#[test]
fn blocks_of_every_kind_are_read() {
    let noise = Model::noise(3000, 1).bytes;
    let below = Model::noise(4500, 2).bytes;
    let packed = Place::Packed(Packed { at: 7, stored: 10, block: 4000, plain: 1000 });
    let places = vec![Place::At(1500), Place::Zero, Place::At(500), Place::Absent, packed, Place::Absent];
    let mut bytes = noise[1500..2500].to_vec();
    bytes.resize(2000, 0);
    bytes.extend(&noise[500..1500]);
    bytes.extend(&below[3000..4000]);
    bytes.resize(5000, noise[7]);
    // The image below ends in front of this one.
    bytes.resize(5700, 0);
    let model = Model { bytes, runs: Vec::new(), sector: 512 };
    let map = Listed { block: 1000, places };
    let mapped = Mapped::new(map, host(noise), 5700, 1000).standing_on(Some(Arc::new(Bytes(below))));
    check_source(&mapped, &model);
    let states: Vec<_> = extents(&mapped, 0, 5700).map(|e| e.unwrap()).map(|e| (e.len, e.state)).collect();
    let zero = |len| (len, State::Zero);
    assert_eq!(states, [(1000, State::Data), zero(1000), (3000, State::Data), zero(700)]);
    let detail = |at| mapped.detail_at(at).unwrap().unwrap();
    assert_eq!((detail(10).host_offset, detail(10).depth), (Some(1510), 0));
    assert_eq!(detail(3100).depth, 1);
    assert!(detail(4100).compressed);
}

#[test]
fn what_is_known_of_the_file_is_known_of_the_disk() {
    let model = Model::mixed(200_000, &State::ALL, 512, 3);
    let map = Listed { block: 200_000, places: vec![Place::At(0)] };
    let file = HostFile { name: "h".into(), source: Arc::new(model.clone()) };
    let mapped = Mapped::new(map, file, 200_000, 200_000);
    check_source(&mapped, &model);
    let runs: Vec<Extent> = extents(&mapped, 0, 200_000).map(|e| e.unwrap()).collect();
    assert_eq!(runs, model.runs);
}

/// Reads the first `good` bytes and no more.
struct Broken(u64);

impl Source for Broken {
    fn len(&self) -> u64 {
        1 << 20
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        in_range(self.len(), offset, buf.len() as u64)?;
        match self.0.saturating_sub(offset) {
            good if good >= buf.len() as u64 => Ok(()),
            good => Err(Error::unreadable("broken", good, Some(self.0.max(offset)))),
        }
    }
}

#[test]
fn a_failure_below_says_how_far_it_came() {
    let places = vec![Place::Zero, Place::At(5000)];
    let file = HostFile { name: "h".into(), source: Arc::new(Broken(5100)) };
    let mapped = Mapped::new(Listed { block: 1000, places }, file, 2000, 1000);
    let e = mapped.read_at(&mut [0; 1500], 300).unwrap_err();
    assert_eq!(e.kind(), Kind::Unreadable { good: 800, first_bad: Some(1100) });
}

#[test]
fn a_table_that_cannot_be_read_is_no_good_bytes() {
    // A table of which the first half can be read, and it leads to zeros.
    let file = HostFile { name: "h".into(), source: Arc::new(Broken(8192)) };
    let table = Table::new("the table", file.clone(), 0, 1 << 17, Entry::Le64).unwrap();
    struct Ones(Table);
    impl BlockMap for Ones {
        fn run_at(&self, offset: u64, _most: u64) -> Result<Run> {
            match offset {
                0..4096 => Ok(Run::new(4096 - offset, Place::Zero)),
                _ => Ok(Run::new(4096, if self.0.get(0)? == 0 { Place::Zero } else { Place::Absent })),
            }
        }
    }
    let mapped = Mapped::new(Ones(table), file, 1 << 20, 4096);
    let e = mapped.read_at(&mut [0; 9000], 1000).unwrap_err();
    assert_eq!(e.kind(), Kind::Unreadable { good: 3096, first_bad: None });
}

/// Zeros, of which only some are no hole; counts reads.
struct Sparse {
    len: u64,
    data: std::ops::Range<u64>,
    reads: AtomicU64,
}

impl Source for Sparse {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        in_range(self.len, offset, buf.len() as u64)?;
        self.reads.fetch_add(1, Ordering::Relaxed);
        for (i, byte) in buf.iter_mut().enumerate() {
            *byte = u8::from(self.data.contains(&(offset + i as u64)));
        }
        Ok(())
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        in_range(self.len, offset, 1)?;
        Ok(match offset {
            at if at < self.data.start => Extent::new(at, self.data.start - at, State::Zero),
            at if at < self.data.end => Extent::new(at, self.data.end - at, State::Data),
            at => Extent::new(at, self.len - at, State::Zero),
        })
    }
}

#[test]
fn holes_of_a_table_cost_nothing() {
    let data = 1 << 30..(1 << 30) + 4096;
    let file = Arc::new(Sparse { len: 8 << 40, data, reads: AtomicU64::new(0) });
    let source: Arc<dyn Source> = file.clone();
    let table = Table::new("the table", HostFile::new("t", &source), 0, 1 << 40, Entry::Le64).unwrap();
    let (mut n, mut steps, mut full) = (0, 0, 0);
    while n < table.entries() {
        let (value, len) = table.run(n, u64::MAX, |first, _, v| (v == 0) == (first == 0)).unwrap();
        full += if value != 0 { len } else { 0 };
        (n, steps) = (n + len, steps + 1);
    }
    assert_eq!(full, 512);
    assert!(steps < 10 && file.reads.load(Ordering::Relaxed) < 4, "{steps} steps");
    assert_eq!(table.get(1 << 40).unwrap_err().kind(), Kind::Corrupt);
}

#[test]
fn tables_are_read_in_every_width() {
    let bytes: Vec<u8> = (0..80_000u32).flat_map(|i| i.to_be_bytes()).collect();
    let file = host(bytes.clone());
    for (entry, n) in [(Entry::Be32, 79_000), (Entry::Le32, 79_000), (Entry::Be64, 39_000), (Entry::Le64, 39_000)] {
        let table = Table::new("t", file.clone(), 8, n, entry).unwrap();
        for i in [0, 1, 4095, 4096, n - 1] {
            let at = 8 + (i * entry.width()) as usize;
            let four: [u8; 4] = bytes[at..at + 4].try_into().unwrap();
            let eight: [u8; 8] = bytes[at..at + 8].try_into().unwrap();
            let want = match entry {
                Entry::Be32 => u32::from_be_bytes(four).into(),
                Entry::Le32 => u32::from_le_bytes(four).into(),
                Entry::Be64 => u64::from_be_bytes(eight),
                Entry::Le64 => u64::from_le_bytes(eight),
                Entry::Byte | Entry::Pair => unreachable!(),
            };
            assert_eq!((table.get(i).unwrap(), table.place(i)), (want, at as u64));
        }
        assert!(Table::new("t", file.clone(), 320_000, 1, entry).is_err());
    }
}

#[test]
fn an_entry_that_reaches_into_the_next_window_is_whole() {
    // A table may begin anywhere: numbers of 32 bits from byte 2 on, over several windows.
    let bytes: Vec<u8> = (0..100_000u32).flat_map(|i| (i * 7).to_le_bytes()).collect();
    let file = host([&[1, 2][..], &bytes].concat());
    let table = Table::new("t", file, 2, 100_000, Entry::Le32).unwrap();
    for n in [0, 4094, 4095, 4096, 8191, 99_999] {
        assert_eq!(table.get(n).unwrap(), n * 7);
    }
    let mut n = 0;
    while n < 100_000 {
        let (_, count) = table.run(n, u64::MAX, |first, i, value| value == first + i * 7).unwrap();
        n += count;
    }
    assert_eq!(n, 100_000);
    let mut sum = 0;
    table
        .each(&mut |n, count, value| {
            assert!(count == 1 && value == n * 7);
            sum += 1;
            Ok(())
        })
        .unwrap();
    assert_eq!(sum, 100_000);
}

/// Entries that are offsets; 1 says zeros.
struct Offsets;

impl Meaning for Offsets {
    const FIRST: &'static str = "the first table";
    const FURTHER: &'static str = "a table";

    fn table(&self, _n: u64, entry: u64) -> Result<Place> {
        self.block(0, entry)
    }

    fn block(&self, offset: u64, entry: u64) -> Result<Place> {
        match entry {
            0 => Ok(Place::Absent),
            1 => Ok(Place::Zero),
            at if at % 512 == 0 => Ok(Place::At(at)),
            at => Err(Error::corrupt(format!("{offset} at {at}"))),
        }
    }
}

#[test]
fn two_levels_of_tables_lead_to_blocks() {
    // Four tables of 64 blocks of 512 bytes: the first two lie side by side, one is missing, one is all zeros.
    let mut words = vec![512u64, 1024, 0, 1];
    words.resize(64, 0);
    // Of the first table blocks 3 and 4 lie together, of both blocks 60 to 67; 10 is zeros, 11 is broken.
    let mut tables = vec![0u64; 128];
    (tables[3], tables[4], tables[10], tables[11]) = (4096, 4608, 1, 77);
    (60..68).for_each(|n| tables[n as usize] = 8192 + (n - 60) * 512);
    words.extend(tables);
    let mut bytes: Vec<u8> = words.iter().flat_map(|w| w.to_be_bytes()).collect();
    bytes.resize(16384, 0);
    let noise = Model::noise(16384, 9).bytes;
    bytes[4096..].copy_from_slice(&noise[4096..]);
    let file = host(bytes);
    let levels = Levels {
        tables: Tables::new(file.clone()),
        at: 0,
        entries: 4,
        first: Entry::Be64,
        further: Entry::Be64,
        blocks: 64,
        block: 512,
        meaning: Offsets,
    };
    let run = |block: u64, inside: u64| levels.run_at(block * 512 + inside, u64::MAX / 2);
    let is = |blocks: u64, inside: u64, place| Run::new(blocks * 512 - inside, place);
    assert_eq!(run(0, 0).unwrap(), is(3, 0, Place::Absent));
    assert_eq!(run(3, 100).unwrap(), is(2, 100, Place::At(4196)));
    assert_eq!(run(10, 0).unwrap(), is(1, 0, Place::Zero));
    let e = run(11, 7).unwrap_err();
    assert_eq!((e.kind(), e.offset()), (Kind::Corrupt, Some(512 + 11 * 8)));
    assert_eq!(run(60, 0).unwrap(), is(8, 0, Place::At(8192)));
    assert_eq!(run(68, 0).unwrap(), is(60, 0, Place::Absent));
    assert_eq!(run(130, 5).unwrap(), is(62, 5, Place::Absent));
    assert_eq!(run(192, 0).unwrap(), is(64, 0, Place::Zero));
    // Beyond the tables there is nothing, as far as anybody wants to know.
    assert_eq!(run(300, 0).unwrap().place, Place::Absent);
    // Nobody looks further than is wanted.
    assert_eq!(levels.run_at(60 * 512, 600).unwrap(), is(2, 0, Place::At(8192)));
    let mut model = vec![0; 200 * 512];
    model[3 * 512..5 * 512].copy_from_slice(&noise[4096..5120]);
    model[60 * 512..68 * 512].copy_from_slice(&noise[8192..12288]);
    let mapped = Mapped::new(levels, file, 200 * 512, 512);
    let mut read = vec![0; model.len()];
    assert_eq!(mapped.read_at(&mut read, 0).unwrap_err().kind(), Kind::Corrupt);
    for (from, to) in [(0, 11 * 512), (12 * 512, model.len()), (60 * 512 + 3, 67 * 512 + 1)] {
        mapped.read_at(&mut read[from..to], from as u64).unwrap();
        assert!(read[from..to] == model[from..to], "{from} to {to}");
    }
}

/// Blocks of 4096 bytes, each stored as a length and a byte, `stored` telling fewer bytes than there are.
struct Lengths {
    stored: u64,
}

impl BlockMap for Lengths {
    fn run_at(&self, offset: u64, _most: u64) -> Result<Run> {
        let block = offset / 4096 * 4096;
        let packed = Packed { at: offset / 4096 * 100, stored: self.stored, block, plain: 4096 };
        Ok(Run::new(block + 4096 - offset, Place::Packed(packed)))
    }

    fn unpack(&self, _packed: &Packed, stored: &[u8], out: &mut [u8]) -> Result<Unpacked> {
        match stored.get(99) {
            Some(last) => out.fill(*last),
            None => return Ok(Unpacked::Needs(100)),
        }
        Ok(Unpacked::Whole)
    }
}

#[test]
fn packed_blocks_are_read_together_and_as_long_as_they_are() {
    let bytes: Vec<u8> = (0..50).flat_map(|n| [vec![0; 99], vec![n]].concat()).collect();
    let plain: Vec<u8> = (0..50).flat_map(|n| vec![n; 4096]).collect();
    for stored in [10, 100, 1000] {
        let mapped = Mapped::new(Lengths { stored }, host(bytes.clone()), plain.len() as u64, 4096);
        for (from, len) in [(0, plain.len()), (5000, 100), (4096, 4096), (4000, 9000), (190_000, 14_800)] {
            let mut read = vec![0; len];
            mapped.read_at(&mut read, from as u64).unwrap();
            assert!(read == plain[from..from + len], "{stored}: {len} from {from}");
        }
        // The last one was cut off.
        let short = bytes[..bytes.len() - 1].to_vec();
        let mapped = Mapped::new(Lengths { stored }, host(short), plain.len() as u64, 4096);
        let e = mapped.read_at(&mut vec![0; plain.len()], 0).unwrap_err();
        assert_eq!((e.kind(), e.offset()), (Kind::Corrupt, Some(4900)));
    }
}

fn sink_of(model: &Model, block: u64, slots: Slots) -> (Arc<Space>, MemoryOutlet) {
    let outlet = MemoryOutlet::new();
    let file = outlet.create("s").unwrap();
    let len = model.bytes.len() as u64;
    let space = Space::new(file, "s", len, block, slots).unwrap();
    let mut sink = BlockSink::boxed(Arc::clone(&space), |space, _| {
        space.file().set_len(space.end())?;
        Ok(Written::default())
    });
    feed_model(&mut *sink, model, 0, len, 3).unwrap();
    sink.finish(&Seal { len, ..Seal::default() }).unwrap();
    (space, outlet)
}

#[test]
fn blocks_are_written_where_the_space_says() {
    let model = Model::mixed(700_001, &[State::Data, State::Zero, State::Zero], 4096, 5);
    for (block, lead, placement) in [
        (4096, 0, Placement::ByNeed),
        (65536, 512, Placement::ByNeed),
        (1 << 20, 0, Placement::ByNeed),
        (65536, 0, Placement::InOrder),
    ] {
        let slots = Slots { base: 8192, stride: block + lead, lead: vec![0xFF; lead as usize], placement };
        let (space, outlet) = sink_of(&model, block, slots);
        let bytes = outlet.bytes("s").unwrap();
        assert_eq!(bytes.len() as u64, space.end());
        let mut places = Vec::new();
        for n in 0..space.blocks() {
            places.push(match space.slot(n) {
                Some(slot) => Place::At(space.place(slot) + lead),
                None => Place::Absent,
            });
            assert!(space.slot(n).is_none() || !space.is_bare(n));
        }
        let file = space.file();
        let stored: Arc<dyn Source> = Arc::new(Stored::new(Arc::clone(file), file.len().unwrap()));
        let file = HostFile::new("s", &stored);
        check_source(&Mapped::new(Listed { block, places }, file, 700_001, block), &model);
        if placement == Placement::ByNeed && block == 4096 {
            assert!(space.used() < space.blocks(), "zeros took room");
        }
    }
}

#[test]
fn overlaps_are_found_in_pieces() {
    // More than fit into memory at once in a test.
    let mut places: Vec<u64> = (0..50).map(|i| i * 100).collect();
    places[20] = 3050;
    places[33] = 700;
    places[7] = 3001;
    let list = |each: overlap::Take<'_>| {
        places.iter().enumerate().for_each(|(i, at)| each(i as u64, *at, 100));
        Ok(())
    };
    let mut found = Vec::new();
    overlap::overlaps(100, &list, &mut |a, b, at| found.push((a, b, at))).unwrap();
    // 20 and 7 lie over 30 and 31; 33 fills the place that 7 left.
    assert_eq!(found, [(30, 7, 3001), (7, 20, 3050), (20, 31, 3100)]);
    let mut same = 0;
    let list = |each: overlap::Take<'_>| {
        (0..100).for_each(|i| each(i, 77, 1));
        Ok(())
    };
    overlap::overlaps(5, &list, &mut |_, _, at| {
        assert_eq!(at, 77);
        same += 1;
    })
    .unwrap();
    assert_eq!(same, 5);
}
