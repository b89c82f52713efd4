//! What the fuzz targets share: reading everything there is, within bounds.

use std::sync::Arc;
use tintype_codec::deflate::{Compressor, Decompressor, Level, Progress};
use tintype_core::testing::{Bytes, MemoryOutlet, Model, create_request, feed_model, open_request};
use tintype_core::{CreateRequest, Extent, Format, Image, Limits, OpenRequest, Seal, Source, State, extents};

/// Most bytes that are read of one image: a small file may claim to be a large disk.
const MOST: u64 = 4 << 20;
/// Most extents that are walked.
const EXTENTS: usize = 10_000;

/// Opens `data` as `format` and reads what it holds. Errors are right; panics, hangs and large allocations are not.
pub fn open(format: &Format, data: &[u8]) {
    let Some(open) = format.open else { return };
    let request = request(format.extensions.first().copied().unwrap_or("img"), data);
    if let Some(check) = format.check {
        let _ = check(&request);
    }
    if let Ok(image) = open(&request) {
        read(&image);
    }
}

/// What would open `data` under the name of a first file. A second file, if a marker cuts the data in two, is beside it.
fn request(extension: &str, data: &[u8]) -> OpenRequest {
    const CUT: &[u8] = b"--cut--";
    let outlet = MemoryOutlet::new();
    let (first, second) = match data.windows(CUT.len()).position(|w| w == CUT) {
        Some(at) => (&data[..at], Some(&data[at + CUT.len()..])),
        None => (data, None),
    };
    let name = format!("f.{extension}");
    outlet.insert(&name, first.to_vec());
    if let Some(second) = second {
        for next in ["f.e02", "f.E02", "f.s02", "f.002", "f.ab", "f.02", "f-flat.vmdk", "f-s001.vmdk"] {
            outlet.insert(next, second.to_vec());
        }
    }
    OpenRequest {
        limits: Limits { allocation: 64 << 20, tables: 64 << 20, depth: 20, files: 100 },
        ..open_request(&outlet, &name)
    }
}

/// Reads an image, its parts, its extents and its details.
fn read(image: &Image) {
    walk(&*image.disk);
    for part in image.parts.iter().take(20) {
        if let Ok(source) = (part.open)() {
            walk(&*source);
        }
    }
}

fn walk(disk: &dyn Source) {
    let len = disk.len();
    let _ = disk.facts();
    for extent in extents(disk, 0, len).take(EXTENTS) {
        let Ok(extent) = extent else { break };
        assert!(extent.len > 0 && extent.end() <= len, "{extent:?} leaves a disk of {len} bytes");
    }
    let mut buf = vec![0; 70_000];
    let mut at = 0;
    while at < len.min(MOST) {
        let now = (len - at).min(buf.len() as u64) as usize;
        let _ = disk.read_at(&mut buf[..now], at);
        let _ = disk.detail_at(at);
        at += now as u64;
    }
    // The end, and odd places on the way there.
    for at in [len.saturating_sub(1), len / 2, len / 3] {
        if at < len {
            let now = (len - at).min(513) as usize;
            let _ = disk.read_at(&mut buf[..now], at);
        }
    }
    let _ = disk.read_at(&mut buf[..1], len);
}

/// Opens `data` as one of these file systems, in part as one that is lost, and goes through everything in it.
pub fn file_system(names: &[&str], data: &[u8]) {
    use std::ops::ControlFlow;
    use tintype_volumes::filesystems::{FILE_SYSTEMS, Survey, content, walk};
    let Some(row) = FILE_SYSTEMS.iter().find(|row| row.names == names) else { panic!("there is no {names:?}") };
    let whole: Arc<dyn Source> = Arc::new(Bytes(data.to_vec()));
    let len = data.len() as u64;
    for range in (row.heads)(len).into_iter().chain((row.spares)(len)) {
        assert!(range.start < range.end);
    }
    let mut lost = tintype_core::ExtentMap::new();
    for at in (8192..len).step_by(20_480) {
        lost.set(Extent::new(at, 512.min(len - at), State::Bad));
    }
    let holed: Arc<dyn Source> = Arc::new(tintype_core::layers::Masked::new(Arc::clone(&whole), lost));
    for source in [whole, holed] {
        let Ok(Some(fs)) = (row.open)(&source) else { continue };
        Survey::default().look(&*fs, &mut |part, _| {
            assert!(part.range.start < part.range.end && part.range.end <= len, "{part:?} leaves {len} bytes");
        });
        if let Ok(used) = fs.used() {
            assert!(used.iter().all(|(range, ())| range.end <= len), "more is used than there is");
        }
        let mut left = 300;
        walk(&*fs, fs.root(), b"", &mut |met| {
            if let Ok(met) = met {
                let _ = (fs.node(met.entry.id), fs.extents(met.entry.id), fs.link(met.entry.id));
                if let Ok(content) = content(&*fs, met.entry.id) {
                    let mut buf = vec![0; content.len().min(70_000) as usize];
                    let _ = content.read_at(&mut buf, 0);
                }
            }
            left -= 1;
            if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        let mut left = 300;
        let _ = fs.nodes(&mut |_| {
            left -= 1;
            if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
    }
}

/// Writes a disk that `data` describes, reads it, and panics unless it came back.
pub fn round_trip(format: &Format, data: &[u8]) {
    let (Some(create), Some(open)) = (format.create, format.open) else { return };
    let Some((model, choice)) = model(data) else { return };
    let outlet = MemoryOutlet::new();
    let name = format!("f.{}", format.extensions[0]);
    let mut request: CreateRequest = create_request(outlet.clone(), &name, &model);
    if let Some(word) = format.caps.compression.get(choice as usize % format.caps.compression.len().max(1)) {
        request.compression = word.parse().ok();
    }
    if format.caps.split && choice & 0x40 != 0 {
        request.split = Some(1 << 20);
    }
    // A format may refuse a disk that it cannot hold, such as one with half a sector.
    let Ok(mut sink) = create(&request) else { return };
    let digests =
        sink.feed().digests.into_iter().map(|d| (d.clone(), vec![1; if d == "md5" { 16 } else { 20 }])).collect();
    let carries = sink.feed().carries;
    let len = model.bytes.len() as u64;
    feed_model(&mut *sink, &model, 0, len, 1 + usize::from(choice & 7)).expect("memory takes everything");
    let lost: Vec<Extent> = model.runs.iter().filter(|r| r.state.is_lost()).copied().collect();
    sink.finish(&Seal { len, digests, lost }).expect("memory takes everything");
    let image = open(&open_request(&outlet, &name)).expect("our own image opens");
    let disk: Arc<dyn Source> = image.disk;
    // Formats that count in sectors add zeros.
    assert!(disk.len() >= len);
    let mut back = vec![0; model.bytes.len()];
    disk.read_at(&mut back, 0).expect("our own image reads");
    assert!(back == model.bytes, "the bytes differ");
    let mut more = vec![1; (disk.len() - len) as usize];
    disk.read_at(&mut more, len).expect("our own image reads");
    assert!(more.iter().all(|b| *b == 0), "what was added is not zero");
    for run in model.runs.iter().filter(|r| r.state.is_lost() && carries.has(r.state)) {
        for extent in extents(&*disk, run.offset, run.end()) {
            assert_eq!(extent.expect("an extent").state, run.state, "{run:?}");
        }
    }
}

/// A disk of at most 2 MiB: pairs of a state and a length in sectors, then bytes to fill it from.
fn model(data: &[u8]) -> Option<(Model, u8)> {
    let (&[choice, count, tail], rest) = data.split_first_chunk::<3>()?;
    let (runs, fill) = rest.split_at_checked(usize::from(count) * 2)?;
    let mut model = Model { bytes: Vec::new(), runs: Vec::new(), sector: 512 };
    for run in runs.chunks_exact(2) {
        let state = State::ALL[usize::from(run[0]) % State::ALL.len()];
        push(&mut model, state, (usize::from(run[1]) % 32 + 1) * 512, fill);
    }
    push(&mut model, State::Data, usize::from(tail), fill);
    Some((model, choice))
}

fn push(model: &mut Model, state: State, len: usize, fill: &[u8]) {
    if len == 0 {
        return;
    }
    let at = model.bytes.len();
    match state {
        State::Data => {
            model.bytes.extend((0..len).map(|i| fill.get((at + i) % fill.len().max(1)).copied().unwrap_or(1)))
        }
        _ => model.bytes.resize(at + len, 0),
    }
    match model.runs.last_mut() {
        Some(last) if last.state == state => last.len += len as u64,
        _ => model.runs.push(Extent::new(at as u64, len as u64, state)),
    }
}

/// Compresses `data`, and what it describes, at the fast level, and wants it back from both decoders.
pub fn deflate_round(data: &[u8]) {
    let (sizes, rest) = data.split_at(data.len().min(2));
    let size = sizes.iter().fold(1, |size, byte| size * 256 + usize::from(*byte)) % 80_000 + 1;
    let mut reused = Compressor::new(Level::Fast);
    for plain in [rest.to_vec(), described(rest)] {
        for chunk in plain.chunks(size).take(40).chain([&plain[..]]) {
            let mut packed = b"before".to_vec();
            let len = reused.zlib(chunk, &mut packed);
            let packed = &packed[packed.len() - len..];
            decodes(packed, chunk);

            let mut again = Vec::new();
            assert_eq!(Compressor::new(Level::Fast).zlib_bounded(chunk, len, &mut again), Some(len));
            assert!(again == packed, "the result depends on what was compressed before");
            assert_eq!(reused.zlib_bounded(chunk, len - 1, &mut again), None);
            assert_eq!(again.len(), len);
            // Never longer than stored blocks, of which 64 KiB take two.
            assert!(len <= chunk.len() + 6 + 10 * chunk.len().div_ceil(65536).max(1));
        }
    }
}

fn decodes(packed: &[u8], plain: &[u8]) {
    let whole = Progress { consumed: packed.len(), written: plain.len() };
    let mut back = vec![0; plain.len()];
    assert_eq!(Decompressor::new().zlib(packed, &mut back).expect("libdeflate decodes it"), whole);
    assert!(back == plain);
    back.fill(0);
    assert_eq!(Decompressor::exact().zlib(packed, &mut back).expect("our decoder decodes it"), whole);
    assert!(back == plain);
}

/// Takes four bytes at a time for an order: bytes as they are, a run, or a copy from a distance.
fn described(orders: &[u8]) -> Vec<u8> {
    const MOST: usize = 200_000;
    let mut plain = Vec::new();
    for [kind, a, b, c] in orders.as_chunks().0 {
        let wide = usize::from(u16::from_le_bytes([*a, *b]));
        match kind % 4 {
            0 => plain.extend_from_slice(&[*a, *b, *c]),
            1 => plain.extend(std::iter::repeat_n(*c, wide)),
            2 => plain.extend((0..wide as u32 % 4096).map(|i| ((i + 1).wrapping_mul(2_654_435_761) >> (c % 25)) as u8)),
            _ => {
                let distance = wide % 32_800 + 1;
                for _ in 0..usize::from(*c) + 3 {
                    plain.push(plain.len().checked_sub(distance).map_or(*kind, |from| plain[from]));
                }
            }
        }
        if plain.len() > MOST {
            break;
        }
    }
    plain
}
