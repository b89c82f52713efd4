use super::*;
use std::sync::Mutex;
use tintype_codec::digest::{Algorithm, digest};
use tintype_core::layers::{DiskSink, Fault, Faulty, Unused};
use tintype_core::testing::{MemoryDisk, Model};
use tintype_core::{Checkpoint, Kind, Result, Silent};

fn job(source: Arc<dyn Source>, lanes: Vec<Lane>) -> Job {
    Job {
        input: Input::Source(source),
        from: 0,
        lanes,
        hashers: vec![Hasher::new(Algorithm::Sha256)],
        policy: Policy::default(),
        title: "test".into(),
        watch: Arc::new(Silent::default()),
    }
}

fn disk_lane(disk: &Arc<MemoryDisk>) -> Lane {
    let disk: Arc<dyn tintype_core::Disk> = Arc::clone(disk) as _;
    Lane { name: "disk".into(), sink: Box::new(DiskSink::new(disk, 4096, Unused::Zero)), from: 0, journal: None }
}

#[test]
fn copies_and_digests_any_size() {
    for len in [0usize, 1, 4095, 1 << 20, (5 << 20) + 4097] {
        let model = Model::mixed(len, &[State::Data, State::Zero, State::Unused], 512, len as u64);
        let disk = Arc::new(MemoryDisk::new(len));
        let outcome =
            run(job(Arc::new(model.clone()), vec![disk_lane(&disk), disk_lane(&Arc::new(MemoryDisk::new(len)))]));
        assert!(outcome.error.is_none());
        assert_eq!(disk.bytes(), model.bytes, "{len}");
        assert_eq!(outcome.totals.values().sum::<u64>(), len as u64);
        let expected = digest(Algorithm::Sha256, &model.bytes);
        assert_eq!(outcome.hashers.into_iter().map(|h| h.finish()).collect::<Vec<_>>(), vec![expected]);
    }
}

#[test]
fn digests_of_parts_alone_are_the_same() {
    for len in [0usize, 1, 1 << 20, (1 << 20) + 1, 40 << 20, (21 << 20) + 4097] {
        let mut model = Model::mixed(len, &[State::Data, State::Zero], 1 << 20, len as u64);
        // A long run of zeros among data, cut by no unit.
        if len > 30 << 20 {
            model = Model::noise(len, 3);
            model.bytes[(2 << 20) + 512..(39 << 20) + 5].fill(0);
            let from = (2 << 20) + 512;
            model.runs = vec![
                Extent::new(0, from, State::Data),
                Extent::new(from, (39 << 20) + 5 - from, State::Zero),
                Extent::new((39 << 20) + 5, len as u64 - (39 << 20) - 5, State::Data),
            ];
        }
        let job = Job { hashers: vec![Hasher::new(Algorithm::Blake3)], ..job(Arc::new(model.clone()), Vec::new()) };
        let outcome = run(job);
        assert!(outcome.error.is_none());
        assert_eq!(outcome.totals.values().sum::<u64>(), len as u64);
        let found: Vec<_> = outcome.hashers.into_iter().map(|h| h.finish()).collect();
        assert_eq!(found, [digest(Algorithm::Blake3, &model.bytes)], "{len}");
    }
    let model = Model::noise(6 << 20, 1);
    let bad: ExtentMap = [Extent::new((3 << 20) + 512, 1024, State::Bad)].into_iter().collect();
    let source = Arc::new(Faulty::new(Arc::new(model.clone()), bad.clone(), Fault::default()));
    let outcome = run(Job { hashers: vec![Hasher::new(Algorithm::Blake3)], ..job(source, Vec::new()) });
    assert_eq!(outcome.lost, bad);
    let mut expected = model.bytes;
    expected[(3 << 20) + 512..(3 << 20) + 1536].fill(0);
    let found: Vec<_> = outcome.hashers.into_iter().map(|h| h.finish()).collect();
    assert_eq!(found, [digest(Algorithm::Blake3, &expected)]);
}

#[test]
fn loses_exactly_the_bad_sectors() {
    let model = Model::noise(6 << 20, 1);
    let bad: ExtentMap =
        [(512 * 7, 512u64), (1 << 20, 1024), ((3 << 20) + 512 * 100, 512 * 40), ((6 << 20) - 512, 512)]
            .into_iter()
            .map(|(offset, len)| Extent::new(offset, len, State::Bad))
            .collect();
    let source = Arc::new(Faulty::new(Arc::new(model.clone()), bad.clone(), Fault::default()));
    let disk = Arc::new(MemoryDisk::new(6 << 20));
    let outcome = run(job(source, vec![disk_lane(&disk)]));
    assert!(outcome.error.is_none());
    assert_eq!(outcome.lost, bad);
    let mut expected = model.bytes;
    for extent in bad.iter() {
        expected[extent.offset as usize..extent.end() as usize].fill(0);
    }
    assert_eq!(disk.bytes(), expected);
}

#[test]
fn leaves_the_rest_of_a_unit_after_many_failures() {
    let model = Model::noise(3 << 20, 2);
    let bad: ExtentMap = [Extent::new(1 << 20, 512 * 500, State::Bad)].into_iter().collect();
    let outcome = run(job(Arc::new(Faulty::new(Arc::new(model), bad, Fault::default())), Vec::new()));
    assert_eq!(outcome.lost.get(1 << 20), Some(Extent::new(1 << 20, 512 * 64, State::Bad)));
    let rest = outcome.lost.get((1 << 20) + 512 * 64).expect("the rest was left");
    assert_eq!((rest.state, rest.end()), (State::Unread, 2 << 20));
}

#[test]
fn an_error_above_the_limit_ends_the_run() {
    let model = Model::noise(3 << 20, 2);
    let bad: ExtentMap = [Extent::new(1 << 20, 512 * 5, State::Bad)].into_iter().collect();
    let mut job = job(Arc::new(Faulty::new(Arc::new(model), bad, Fault::default())), Vec::new());
    job.policy.max_errors = Some(3);
    assert!(run(job).error.is_some());
}

type Noted = Arc<Mutex<Vec<(u64, Vec<Extent>)>>>;

struct Notes(Noted);

impl Journaling for Notes {
    fn record(&mut self, checkpoint: &Checkpoint, lost: &[Extent]) -> Result<()> {
        lock(&self.0).push((checkpoint.offset, lost.to_vec()));
        Ok(())
    }
}

/// Gone from an offset on.
struct Cut(Model, u64);

impl Source for Cut {
    fn len(&self) -> u64 {
        self.0.len()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        match offset + buf.len() as u64 <= self.1 {
            true => self.0.read_at(buf, offset),
            false => Err(Error::new(tintype_core::Kind::Io, "the drive has vanished").at(offset)),
        }
    }
}

#[test]
fn a_vanishing_source_leaves_a_checkpoint_of_all_that_came() {
    let model = Model::noise(20 << 20, 3);
    let disk = Arc::new(MemoryDisk::new(20 << 20));
    let notes = Arc::new(Mutex::new(Vec::new()));
    let lane = Lane { journal: Some(Box::new(Notes(Arc::clone(&notes)))), ..disk_lane(&disk) };
    let outcome = run(job(Arc::new(Cut(model.clone(), 12 << 20)), vec![lane]));
    assert!(outcome.error.is_some());
    assert_eq!(lock(&notes).last().expect("a checkpoint").0, 12 << 20);
    assert_eq!(disk.bytes()[..12 << 20], model.bytes[..12 << 20]);
}

struct FullSink;

impl Sink for FullSink {
    fn feed(&self) -> tintype_core::Feed {
        tintype_core::Feed {
            chunk: 4096,
            carries: tintype_core::States::of(&[State::Data]),
            zeros: 0,
            digests: Vec::new(),
        }
    }

    fn put(&mut self, piece: tintype_core::Piece<'_>) -> Result<()> {
        match piece.offset {
            0 => Ok(()),
            _ => Err(Error::io("cannot write", std::io::Error::from_raw_os_error(28))),
        }
    }

    fn finish(self: Box<Self>, _seal: &tintype_core::Seal) -> Result<tintype_core::Written> {
        Ok(tintype_core::Written::default())
    }
}

#[test]
fn a_full_target_does_not_stop_the_other() {
    let model = Model::noise(9 << 20, 4);
    let disk = Arc::new(MemoryDisk::new(9 << 20));
    let full = || Lane { name: "full".into(), sink: Box::new(FullSink), from: 0, journal: None };
    let outcome = run(job(Arc::new(model.clone()), vec![full(), disk_lane(&disk)]));
    assert!(outcome.error.is_none());
    assert!(outcome.lanes[0].sink.is_err() && outcome.lanes[1].sink.is_ok());
    assert_eq!(disk.bytes(), model.bytes);
    let outcome = run(job(Arc::new(model), vec![full(), full()]));
    assert!(outcome.lanes.iter().all(|l| l.sink.is_err()));
}

#[test]
fn a_stream_is_cut_into_the_same_units() {
    let model = Model::noise((2 << 20) + 77, 5);
    let disk = Arc::new(MemoryDisk::new(model.bytes.len()));
    let stream = std::io::Cursor::new(model.bytes.clone());
    let mut job = job(Arc::new(model.clone()), vec![disk_lane(&disk)]);
    job.input = Input::Stream(Box::new(stream), None);
    let outcome = run(job);
    assert!(outcome.error.is_none());
    assert_eq!((outcome.len, disk.bytes() == model.bytes), (model.bytes.len() as u64, true));
    let mut job = self::job(Arc::new(model.clone()), Vec::new());
    job.input = Input::Stream(Box::new(std::io::Cursor::new(model.bytes)), Some(5 << 20));
    assert!(run(job).error.is_some(), "a stream shorter than promised");
}

/// Asks to stop as soon as a sink has been given everything.
struct StopAtEnd(std::sync::atomic::AtomicBool);

impl Watch for StopAtEnd {
    fn event(&self, event: &tintype_core::Event) {
        if let tintype_core::Event::Progress { done, .. } = event
            && *done > 0
        {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    fn cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

#[test]
fn a_stopped_run_never_looks_like_a_finished_one() {
    // So many zeros that hashing them takes longer than handing them out.
    let len = 4u64 << 30;
    let source = Arc::new(Holes(len));
    let mut job = job(source, Vec::new());
    job.hashers = vec![Hasher::new(Algorithm::Md5)];
    job.watch = Arc::new(StopAtEnd(AtomicBool::new(false)));
    let outcome = run(job);
    assert_eq!(outcome.error.map(|e| e.kind()), Some(tintype_core::Kind::Cancelled));
}

/// Nothing but zeros.
struct Holes(u64);

impl Source for Holes {
    fn len(&self) -> u64 {
        self.0
    }

    fn read_at(&self, buf: &mut [u8], _offset: u64) -> Result<()> {
        buf.fill(0);
        Ok(())
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        Ok(Extent::new(offset, self.0 - offset, State::Zero))
    }
}

#[test]
fn lanes_that_stopped_at_different_places_meet() {
    let model = Model::mixed(5 << 20, &[State::Data, State::Zero], 512, 11);
    let (a, b) = (Arc::new(MemoryDisk::new(5 << 20)), Arc::new(MemoryDisk::new(5 << 20)));
    let from = (2u64 << 20) + 12288;
    tintype_core::Disk::write_at(&*a, &model.bytes[..from as usize], 0).expect("room");
    let go_on = |disk: &Arc<MemoryDisk>, from: u64| {
        let disk: Arc<dyn tintype_core::Disk> = Arc::clone(disk) as _;
        Lane {
            name: "disk".into(),
            sink: Box::new(DiskSink::new(disk, 4096, Unused::Zero).from_offset(from)),
            from,
            journal: None,
        }
    };
    let outcome = run(job(Arc::new(model.clone()), vec![go_on(&a, from), go_on(&b, 0)]));
    assert!(outcome.error.is_none() && outcome.lanes.iter().all(|l| l.sink.is_ok()));
    assert!(a.bytes() == model.bytes && b.bytes() == model.bytes);
}

/// Fails the first read that reaches its end, as a checksum over the whole does.
struct FailsOnce(Model, Mutex<bool>);

impl Source for FailsOnce {
    fn len(&self) -> u64 {
        self.0.len()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        self.0.read_at(buf, offset)?;
        match offset + buf.len() as u64 == self.len() && !std::mem::replace(&mut *self.1.lock().unwrap(), true) {
            true => Err(Error::corrupt("the checksum of the whole does not match")),
            false => Ok(()),
        }
    }
}

#[test]
fn corruption_that_is_not_met_again_is_told() {
    let source = Arc::new(FailsOnce(Model::noise(3_000_000, 1), Mutex::new(false)));
    let policy = Policy { on_corrupt: OnCorrupt::Record, ..Policy::default() };
    let outcome = run(Job { policy, ..job(source, Vec::new()) });
    assert!(outcome.error.is_none());
    assert_eq!(outcome.corrupt.len(), 1);
    assert_eq!(outcome.corrupt[0].0.end(), 3_000_000);
}

/// A container whose chunks of 32 KiB have checksums: some do not match, and some lie on sectors that cannot be read.
struct Chunked {
    inner: Faulty,
    corrupt: Vec<u64>,
}

const CHUNK: u64 = 32 << 10;

impl Source for Chunked {
    fn len(&self) -> u64 {
        self.inner.len()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        // Chunk by chunk, as containers do: the first thing that is wrong is what is told.
        let mut at = offset;
        let end = offset + buf.len() as u64;
        while at < end {
            let next = ((at / CHUNK + 1) * CHUNK).min(end);
            if self.corrupt.contains(&(at / CHUNK)) {
                return Err(Error::corrupt("the checksum of a chunk does not match").at(at / CHUNK * CHUNK));
            }
            let part = &mut buf[(at - offset) as usize..(next - offset) as usize];
            self.inner.read_at(part, at).map_err(|e| match e.kind() {
                Kind::Unreadable { good, first_bad } => {
                    Error::unreadable("injected bad sector", at - offset + good, first_bad)
                }
                _ => e,
            })?;
            at = next;
        }
        Ok(())
    }
}

#[test]
fn corrupt_chunks_and_bad_sectors_are_found_side_by_side() {
    let len = 4 << 20;
    let model = Model::noise(len, 12);
    // Both kinds in one unit, each before the other, side by side, and alone; the last chunk of the disk too.
    let corrupt = vec![3, 9, 10, 40, 70, 127];
    let bad: Vec<Extent> =
        [(5 * CHUNK + 512, 512), (11 * CHUNK, 1024), (39 * CHUNK + 31 * 1024, 1024), (100 * CHUNK, 512)]
            .into_iter()
            .map(|(offset, len)| Extent::new(offset, len, State::Bad))
            .collect();
    let map: ExtentMap = bad.iter().copied().collect();
    let inner = Faulty::new(Arc::new(model.clone()), map.clone(), Fault::default());
    let mut job = job(Arc::new(Chunked { inner, corrupt: corrupt.clone() }), Vec::new());
    job.policy.on_corrupt = OnCorrupt::Record;
    let outcome = run(job);
    assert!(outcome.error.is_none(), "{:?}", outcome.error);
    assert_eq!(outcome.lost, map);
    let mut found: Vec<u64> = Vec::new();
    for (extent, _) in &outcome.corrupt {
        assert!(extent.offset.is_multiple_of(CHUNK) && extent.len.is_multiple_of(CHUNK), "{extent:?}");
        found.extend(extent.offset / CHUNK..extent.end() / CHUNK);
    }
    assert_eq!(found, corrupt);
}
