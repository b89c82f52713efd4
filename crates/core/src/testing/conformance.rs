//! What every source and every sink has to get right, for one line each.

use super::memory::MemoryOutlet;
use super::model::{Model, Rng};
use crate::{
    Coded, CreateRequest, Extent, Image, Kind, OpenRequest, Piece, PieceBody, Result, Seal, Sink, Source, State,
};
use crate::{Entry, Facts, Limits, NoFiles, NoSecrets, Options, Silent, extents};
use std::sync::Arc;

/// Panics unless `source` behaves as a source and holds exactly the bytes of `model`.
///
/// Odd offsets and lengths, both ends, reads beyond the end, reads from several threads, extents that ascend, cover and
/// agree with the bytes.
pub fn check_source(source: &dyn Source, model: &Model) {
    let len = model.bytes.len();
    assert_eq!(source.len(), len as u64, "length");
    let whole = read(source, 0, len);
    if let Some(at) = whole.iter().zip(&model.bytes).position(|(a, b)| a != b) {
        panic!("first difference at {at} of {len}");
    }
    let mut rng = Rng(len as u64 + 1);
    for _ in 0..200 {
        let offset = rng.next() as usize % (len + 1);
        let span = [1, 7, 511, 512, 4097, 70_000][rng.next() as usize % 6].min(len - offset);
        assert_eq!(read(source, offset, span), model.bytes[offset..offset + span], "{span} bytes at {offset}");
    }
    for (offset, span) in [(len as u64, 1), (0, len + 1), (u64::MAX, 1), (u64::MAX - 3, 8)] {
        let e = source.read_at(&mut vec![0; span], offset).expect_err("a read beyond the end");
        assert_eq!(e.kind(), Kind::Usage, "{e}");
    }
    source.read_at(&mut [], len as u64).expect("nothing, at the end");
    assert!(source.extent_at(len as u64).is_err(), "an extent beyond the end");

    let mut at = 0;
    for extent in extents(source, 0, len as u64) {
        let extent = extent.expect("extents of a good image");
        assert_eq!(extent.offset, at, "extents are gapless");
        if extent.state.reads_zero() {
            let bytes = &model.bytes[at as usize..extent.end() as usize];
            assert!(bytes.iter().all(|b| *b == 0), "{extent:?} claims zeros that are not there");
        }
        at = extent.end();
    }
    assert_eq!(at, len as u64, "extents cover the whole");
    for _ in 0..50.min(len) {
        let offset = rng.next() % len as u64;
        let extent = source.extent_at(offset).expect("an extent inside");
        assert!(extent.offset <= offset && extent.len > 0 && extent.end() > offset, "{extent:?} for {offset}");
        assert!(extent.end() <= len as u64, "{extent:?} leaves the source");
    }

    std::thread::scope(|scope| {
        for t in 0..4u64 {
            scope.spawn(move || {
                let mut rng = Rng(t + 77);
                for _ in 0..50 {
                    let offset = rng.next() as usize % (len + 1);
                    let span = (rng.next() as usize % 40_000).min(len - offset);
                    assert_eq!(read(source, offset, span), model.bytes[offset..offset + span]);
                }
            });
        }
    });
}

fn read(source: &dyn Source, offset: usize, len: usize) -> Vec<u8> {
    let mut buf = vec![0xCC; len];
    source.read_at(&mut buf, offset as u64).unwrap_or_else(|e| panic!("{len} bytes at {offset}: {}", e.chain()));
    buf
}

/// Feeds `model` from `from` on to `sink` in pieces of at most `unit` chunks, as the engine would.
pub fn feed_model(sink: &mut dyn Sink, model: &Model, from: u64, to: u64, unit: usize) -> Result<()> {
    let feed = sink.feed();
    let mut encoder = sink.encoder();
    let step = u64::from(feed.chunk) * unit as u64;
    let mut at = from;
    while at < to {
        let end = (at + step).min(to);
        let marks: Vec<Extent> = model
            .runs
            .iter()
            .filter(|r| r.state != State::Data && feed.carries.has(r.state))
            .filter_map(|r| r.clip(at, end))
            .collect();
        let plain = &model.bytes[at as usize..end as usize];
        let len = end - at;
        if let [only] = marks[..]
            && only.len == len
            && only.state.reads_zero()
        {
            sink.put(Piece { offset: at, len, body: PieceBody::Run(only.state) })?;
        } else {
            let mut coded = Coded::default();
            if let Some(encoder) = &mut encoder {
                encoder.encode(plain, at, &marks, &mut coded)?;
            }
            sink.put(Piece { offset: at, len, body: PieceBody::Bytes { plain, coded: &coded, marks: &marks } })?;
        }
        at = end;
    }
    Ok(())
}

/// Writes `model` with `create`, reads it back with `open`, and panics unless bytes and the states that the sink said it
/// carries are the same. Returns the opened image and the folder it lies in.
pub fn check_writer(
    create: impl Fn(&CreateRequest) -> Result<Box<dyn Sink>>,
    open: impl Fn(&OpenRequest) -> Result<Image>,
    name: &str,
    model: &Model,
    change: impl Fn(&mut CreateRequest),
) -> (Image, MemoryOutlet) {
    let outlet = MemoryOutlet::new();
    let mut request = create_request(outlet.clone(), name, model);
    change(&mut request);
    let mut sink = create(&request).unwrap_or_else(|e| panic!("create: {}", e.chain()));
    let feed = sink.feed();
    assert!(feed.chunk > 0 && feed.chunk <= 64 << 20, "chunk of {} bytes", feed.chunk);
    let len = model.bytes.len() as u64;
    feed_model(&mut *sink, model, 0, len, 3).unwrap_or_else(|e| panic!("put: {}", e.chain()));
    let lost: Vec<Extent> = model.runs.iter().filter(|r| r.state.is_lost()).copied().collect();
    let written =
        sink.finish(&Seal { len, digests: Vec::new(), lost }).unwrap_or_else(|e| panic!("finish: {}", e.chain()));
    for file in &written.files {
        assert!(outlet.bytes(file).is_some(), "{file} was reported but not written");
    }
    let image = open(&open_request(&outlet, name)).unwrap_or_else(|e| panic!("open: {}", e.chain()));
    check_source(&*image.disk, model);
    for run in &model.runs {
        if run.state != State::Data && run.state != State::Zero && feed.carries.has(run.state) {
            for extent in extents(&*image.disk, run.offset, run.end()) {
                assert_eq!(extent.expect("an extent").state, run.state, "state of {run:?}");
            }
        }
    }
    (image, outlet)
}

/// A request to write `model` as `name` into `outlet`, with every choice left to the format.
pub fn create_request(outlet: MemoryOutlet, name: &str, model: &Model) -> CreateRequest {
    CreateRequest {
        outlet: Arc::new(outlet),
        name: name.to_owned(),
        len: Some(model.bytes.len() as u64),
        shape: model.shape(),
        facts: Facts::default(),
        options: Options::default(),
        compression: None,
        split: None,
        digests: Vec::new(),
        order: crate::Order::Any,
        backing: None,
    }
}

/// A request to open `name` in `outlet`.
pub fn open_request(outlet: &MemoryOutlet, name: &str) -> OpenRequest {
    let source = crate::Opener::open(outlet, name).unwrap_or_else(|e| panic!("{}", e.chain()));
    OpenRequest {
        entry: Entry::bytes(name, source),
        opener: Arc::new(outlet.clone()),
        sidecars: None,
        limits: Limits::default(),
        watch: Arc::new(Silent::default()),
        secrets: Arc::new(NoSecrets),
        care: crate::Care::Read,
        above: Vec::new(),
    }
}

/// A request to open `bytes` as a single file called `name`.
pub fn open_bytes(name: &str, bytes: Vec<u8>) -> OpenRequest {
    OpenRequest {
        entry: Entry::bytes(name, Arc::new(super::Bytes(bytes))),
        opener: Arc::new(NoFiles),
        sidecars: None,
        limits: Limits::default(),
        watch: Arc::new(Silent::default()),
        secrets: Arc::new(NoSecrets),
        care: crate::Care::Read,
        above: Vec::new(),
    }
}
