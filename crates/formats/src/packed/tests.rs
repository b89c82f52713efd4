use super::points::Grain;
use super::*;
use std::io::Write as _;
use std::sync::Mutex;
use tintype_codec::deflate::{Compressor, Level};
use tintype_codec::stream::Kind as Codec;
use tintype_core::testing::{MemoryOutlet, Model, check_source, open_bytes};
use tintype_core::{Checksums, Error, Event, Format, Kind, Probe, Silent, State, Watch};

const FINE: Grain = Grain { spacing: 50_000, most: 8, packed: 8 << 20, worth_keeping: 0 };

fn model(len: usize) -> Model {
    Model::mixed(len, &[State::Data, State::Zero], 512, len as u64)
}

fn zlib(plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Compressor::new(Level::Fast).zlib(plain, &mut out);
    out
}

fn bzip2(plain: &[u8]) -> Vec<u8> {
    let mut writer = ::bzip2::write::BzEncoder::new(Vec::new(), ::bzip2::Compression::fast());
    writer.write_all(plain).unwrap();
    writer.finish().unwrap()
}

fn lz4(plain: &[u8]) -> Vec<u8> {
    let mut writer = lz4_flex::frame::FrameEncoder::with_frame_info(
        lz4_flex::frame::FrameInfo::new()
            .block_size(lz4_flex::frame::BlockSize::Max64KB)
            .block_mode(lz4_flex::frame::BlockMode::Linked)
            .content_checksum(true),
        Vec::new(),
    );
    writer.write_all(plain).unwrap();
    writer.finish().unwrap()
}

fn lzma(plain: &[u8]) -> Vec<u8> {
    let options = liblzma::stream::LzmaOptions::new_preset(0).unwrap();
    let stream = liblzma::stream::Stream::new_lzma_encoder(&options).unwrap();
    let mut writer = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
    writer.write_all(plain).unwrap();
    writer.finish().unwrap()
}

/// The same with the length of the content in the header.
fn lzma_sized(plain: &[u8], len: u64) -> Vec<u8> {
    let mut out = lzma(plain);
    out[5..13].copy_from_slice(&len.to_le_bytes());
    out
}

type Row = (&'static Format, &'static str, fn(&[u8]) -> Vec<u8>);

fn rows() -> [Row; 4] {
    [(&ZLIB, "d.zz", zlib), (&BZIP2, "d.bz2", bzip2), (&LZ4, "d.lz4", lz4), (&LZMA, "d.lzma", lzma)]
}

fn fine(request: &OpenRequest, kind: Codec) -> tintype_core::Result<Streamed> {
    let spec = Spec { kind, memory: WINDOW, live: 3 };
    Streamed::open_with(request, &Packed::new(request)?, spec, None, FINE)
}

#[test]
fn every_kind_is_recognised_and_read() {
    for (row, name, pack) in rows() {
        for len in [0, 1, 70_000, 600_001] {
            let model = model(len);
            let request = open_bytes(name, pack(&model.bytes));
            assert_eq!(crate::probe(&request).unwrap().name, row.name, "{len}");
            let image = (row.open.unwrap())(&request).unwrap_or_else(|e| panic!("{name} {len}: {}", e.chain()));
            check_source(&*image.disk, &model);
        }
    }
}

#[test]
fn raw_disks_are_left_alone() {
    let mut sector = vec![0; 4096];
    for (head, name) in
        [(&[0x78, 0x9c][..], "d.img"), (&[0x5d, 0, 0, 0x80, 0], "d.img"), (b"BZh9", "d.bz2"), (b"PK", "d.zip")]
    {
        sector[..head.len()].copy_from_slice(head);
        let probe = Probe { name, folder: false, head: &sector, tail: &[], len: 4096 };
        for format in crate::FORMATS.iter().filter(|f| f.name != "raw") {
            assert_eq!((format.probe)(&probe), 0, "{} takes {head:?}", format.name);
        }
    }
}

#[test]
fn places_are_bounded_and_lead_to_the_same_bytes() {
    let model = model(2_000_000);
    let source = fine(&open_bytes("d.zz", zlib(&model.bytes)), Codec::Zlib).unwrap();
    assert!(source.places() > 2 && source.places() <= FINE.most);
    check_source(&source, &model);
    // Backwards, which is the worst.
    for at in (0..1_990_000).rev().step_by(70_001) {
        let mut buf = vec![0; 10_000];
        source.read_at(&mut buf, at).unwrap();
        assert_eq!(buf, model.bytes[at as usize..][..10_000]);
    }
}

/// Counts passes.
#[derive(Default)]
struct Passes(Mutex<usize>);

impl Watch for Passes {
    fn event(&self, event: &Event) {
        *self.0.lock().unwrap() += usize::from(matches!(event, Event::Begin { .. }));
    }
}

#[test]
fn a_sidecar_saves_the_pass_and_a_bad_one_does_not_harm() {
    let model = model(1_000_000);
    let file = [zlib(&model.bytes), b"foreign".to_vec()].concat();
    let outlet = MemoryOutlet::new();
    let passes = Arc::new(Passes::default());
    let open = |file: &[u8]| {
        let mut request = open_bytes("d.zz", file.to_vec());
        request.sidecars = Some(Arc::new(outlet.clone()));
        request.watch = passes.clone();
        let before = *passes.0.lock().unwrap();
        let source = fine(&request, Codec::Zlib).unwrap();
        assert!(source.foreign().is_some() && source.is_checked(), "what was found out is told, side-car or not");
        (source, *passes.0.lock().unwrap() - before)
    };
    assert_eq!(open(&file).1, 1);
    let good = outlet.bytes("d.zz.tintype-index").expect("a side-car");
    assert_eq!(outlet.names(), ["d.zz.tintype-index"]);
    let (source, passes) = open(&file);
    assert_eq!(passes, 0);
    assert!(source.places() > 2);
    check_source(&source, &model);
    for i in (0..good.len()).step_by(good.len() / 60) {
        let mut bad = good.clone();
        bad[i] ^= 0x10;
        outlet.insert("d.zz.tintype-index", bad);
        let (source, passes) = open(&file);
        assert_eq!(passes, 1, "byte {i}");
        assert_eq!(source.len(), 1_000_000);
        assert_eq!(outlet.bytes("d.zz.tintype-index").unwrap(), good, "it is made again");
        outlet.insert("d.zz.tintype-index", good[..i].to_vec());
        assert_eq!(open(&file).1, 1, "cut at {i}");
    }
    // Of another file of the same length.
    let mut other = Model::noise(1_000_000, 77);
    other.bytes[0] = 1;
    let other_file = [zlib(&other.bytes), b"foreign".to_vec()].concat();
    let (source, passes) = open(&other_file);
    assert_eq!(passes, 1);
    check_source(&source, &other);
}

/// A frame of stored blocks, which does not say its length, with a window of 128 KiB.
fn zstd(plain: &[u8]) -> Vec<u8> {
    let mut out = vec![0x28, 0xb5, 0x2f, 0xfd, 0, 7 << 3];
    let mut blocks = plain.chunks(100_000).peekable();
    while let Some(block) = blocks.next() {
        let header = (block.len() as u32) << 3 | u32::from(blocks.peek().is_none());
        out.extend_from_slice(&header.to_le_bytes()[..3]);
        out.extend_from_slice(block);
    }
    out
}

/// Counts the bytes that are read.
struct Counting(Arc<dyn Source>, Mutex<u64>);

impl Source for Counting {
    fn len(&self) -> u64 {
        self.0.len()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> tintype_core::Result<()> {
        *self.1.lock().unwrap() += buf.len() as u64;
        self.0.read_at(buf, offset)
    }
}

#[test]
fn a_jump_into_one_zstd_frame_does_not_start_it_over() {
    let model = Model::noise(9_000_000, 4);
    let request = open_bytes("d.zst", zstd(&model.bytes));
    let mut packed = Packed::new(&request).unwrap();
    let counting = Arc::new(Counting(Arc::clone(&packed.source), Mutex::new(0)));
    packed.source = counting.clone();
    let spec = Spec { kind: Codec::Zstd, memory: WINDOW, live: 2 };
    let grain = Grain { most: 64, ..FINE };
    let source = Streamed::open_with(&request, &packed, spec, None, grain).unwrap();
    // Eight windows apart.
    assert!(source.places() >= 8);
    for at in (0..8_900_000_u64).rev().step_by(900_001) {
        let before = *counting.1.lock().unwrap();
        let mut buf = vec![0; 10_000];
        source.read_at(&mut buf, at).unwrap();
        assert_eq!(buf, model.bytes[at as usize..][..10_000]);
        let read = *counting.1.lock().unwrap() - before;
        assert!(read < 2_000_000, "{read} bytes for a jump to {at}");
    }
    check_source(&source, &model);
}

#[test]
fn a_pass_can_be_stopped() {
    let watch = Arc::new(Silent::default());
    let mut request = open_bytes("d.zz", zlib(&model(1_000_000).bytes));
    request.watch = watch.clone();
    watch.stop();
    assert_eq!(fine(&request, Codec::Zlib).err().map(|e| e.kind()), Some(Kind::Cancelled));
}

#[test]
fn a_known_length_is_held_against_the_content() {
    let model = model(300_000);
    let open = |len| (LZMA.open.unwrap())(&open_bytes("d.lzma", lzma_sized(&model.bytes, len)));
    check_source(&*open(300_000).unwrap().disk, &model);
    let file = zlib(&model.bytes);
    for len in [299_999u64, 300_001, 1 << 40] {
        let request = open_bytes("d.zz", file.clone());
        let spec = Spec { kind: Codec::Zlib, memory: 0, live: 2 };
        let known = Some(Known { len, crc32: None, is_checked: true });
        let source = Streamed::open(&request, &Packed::new(&request).unwrap(), spec, known).unwrap();
        let mut buf = vec![0; 10];
        let e = source.read_at(&mut buf, len - 10).expect_err("the end is not there");
        assert_eq!(e.kind(), Kind::Corrupt, "{e}");
        source.read_at(&mut buf, 1000).unwrap();
        assert_eq!(buf, model.bytes[1000..1010]);
    }
}

#[test]
fn cuts_and_flipped_bits_are_found() {
    let model = model(80_000);
    let read = |row: &Format, request: &OpenRequest| -> tintype_core::Result<Vec<u8>> {
        let image = (row.open.unwrap())(request)?;
        if !image.notes().is_empty() {
            return Err(Error::corrupt("warned"));
        }
        let mut bytes = vec![0; image.disk.len().min(1 << 20) as usize];
        image.disk.read_at(&mut bytes, 0)?;
        Ok(bytes)
    };
    for (row, name, pack) in rows() {
        let whole = pack(&model.bytes);
        for cut in (0..whole.len()).step_by(37 * 5) {
            match read(row, &open_bytes(name, whole[..cut].to_vec())) {
                Ok(_) => panic!("{name} cut at {cut} was read"),
                Err(e) => assert_eq!(e.kind(), Kind::Corrupt, "{name} {cut}: {}", e.chain()),
            }
        }
        for i in 0..200 {
            let mut file = whole.clone();
            let bit = i * 7919 % (file.len() * 8);
            file[bit / 8] ^= 1 << (bit % 8);
            match read(row, &open_bytes(name, file)) {
                // lzma-alone has no checksum, and the flags of an LZ4 frame may say it has none either.
                Ok(bytes) => assert!(bytes == model.bytes || row.name == "lzma" || bit / 8 < 7, "{name} bit {bit}"),
                Err(e) => {
                    let kinds = matches!(e.kind(), Kind::Corrupt | Kind::Unsupported | Kind::Limit);
                    assert!(kinds, "{name} bit {bit}: {}", e.chain());
                }
            }
        }
    }
}

/// An LZ4 frame of one block as it is, with flags of one's choice.
fn lz4_frame(plain: &[u8], content_checksum: bool) -> Vec<u8> {
    let info = lz4_flex::frame::FrameInfo::new().content_checksum(content_checksum);
    let mut writer = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
    writer.write_all(plain).unwrap();
    writer.finish().unwrap()
}

fn lz4_legacy(plain: &[u8]) -> Vec<u8> {
    let mut block = Vec::new();
    tintype_codec::lz4::block_encode(plain, &mut block);
    [&[0x02, 0x21, 0x4c, 0x18][..], &(block.len() as u32).to_le_bytes(), &block].concat()
}

/// An lzop file of one block that is stored as it is.
fn lzop(plain: &[u8], is_checked: bool) -> Vec<u8> {
    let flags = u32::from(is_checked);
    let mut header = [&[0x10, 0x40, 0x20, 0xa0, 0x09, 0x40, 1, 5][..], &flags.to_be_bytes(), &[0; 13]].concat();
    let sum = tintype_codec::checksum::adler32(&header);
    header.extend(sum.to_be_bytes());
    let len = (plain.len() as u32).to_be_bytes();
    let sum = if is_checked { tintype_codec::checksum::adler32(plain).to_be_bytes().to_vec() } else { Vec::new() };
    [&tintype_codec::lzop::MAGIC[..], &header, &len, &len, &sum, plain, &[0; 4]].concat()
}

#[test]
fn only_what_has_checksums_is_called_proved() {
    let model = model(50_000);
    let (whole, none) = (Checksums::Whole, Checksums::None);
    let plain = &model.bytes[..];
    let (head, tail) = plain.split_at(20_000);
    let files = [
        (&ZLIB, "d.zz", zlib(plain), whole),
        (&BZIP2, "d.bz2", bzip2(plain), whole),
        (&LZMA, "d.lzma", lzma(plain), none),
        (&LZMA, "d.lzma", lzma_sized(plain, 50_000), none),
        (&LZ4, "d.lz4", lz4_frame(plain, true), whole),
        (&LZ4, "d.lz4", lz4_frame(plain, false), none),
        (&LZ4, "d.lz4", lz4_legacy(plain), none),
        (&LZ4, "d.lz4", [lz4_frame(head, true), lz4_frame(tail, false)].concat(), none),
        (&LZ4, "d.lz4", [lz4_legacy(head), lz4_frame(tail, true)].concat(), none),
        (&LZOP, "d.lzo", lzop(plain, true), whole),
        (&LZOP, "d.lzo", lzop(plain, false), none),
        (&LZOP, "d.lzo", [lzop(head, false), lzop(tail, true)].concat(), none),
    ];
    for (i, (row, name, file, proved)) in files.into_iter().enumerate() {
        let image =
            (row.open.unwrap())(&open_bytes(name, file.clone())).unwrap_or_else(|e| panic!("{i}: {}", e.chain()));
        assert_eq!(image.checksums, proved, "{i}: {name}");
        assert!(image.notes().is_empty());
        check_source(&*image.disk, &model);
        let image = (row.open.unwrap())(&open_bytes(name, [&file[..], b"something"].concat()));
        // What follows a legacy frame is the length of its next block.
        if let Ok(image) = image {
            assert!(proved == none || image.damage[0].offset == Some(file.len() as u64), "{i}: {name}");
        }
    }
}

/// Fails to be read once, somewhere.
struct Shaky {
    inner: Arc<dyn Source>,
    from: u64,
    fails: Mutex<usize>,
}

impl Source for Shaky {
    fn len(&self) -> u64 {
        self.inner.len()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> tintype_core::Result<()> {
        let mut fails = self.fails.lock().unwrap();
        if *fails > 0 && offset + buf.len() as u64 > self.from {
            *fails -= 1;
            return Err(Error::unreadable("a cable came loose", 0, None));
        }
        self.inner.read_at(buf, offset)
    }
}

#[test]
fn what_could_not_be_read_once_can_be_read_later() {
    let model = model(2_000_000);
    let mut deflated = Vec::new();
    Compressor::new(Level::Fast).raw(&model.bytes, &mut deflated);
    let crc32 = Some(tintype_codec::checksum::crc32(&model.bytes));
    let request = open_bytes("d.zip", deflated);
    let mut packed = Packed::new(&request).unwrap();
    let from = packed.source.len() / 2;
    let inner = Arc::clone(&packed.source);
    packed.source = Arc::new(Shaky { inner, from, fails: Mutex::new(2) });
    let spec = Spec { kind: Codec::Deflate, memory: 0, live: 2 };
    let known = Some(Known { len: 2_000_000, crc32, is_checked: true });
    let source = Streamed::open(&request, &packed, spec, known).unwrap();
    let mut failed = 0;
    for at in (0..2_000_000).step_by(100_000) {
        let mut buf = vec![0; 100_000];
        while let Err(e) = source.read_at(&mut buf, at) {
            assert_eq!(e.kind(), Kind::Io, "{}", e.chain());
            failed += 1;
        }
        assert_eq!(buf, model.bytes[at as usize..][..100_000]);
    }
    assert_eq!(failed, 2);
    check_source(&source, &model);
}
