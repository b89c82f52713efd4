use super::*;

fn section(file: &mut Vec<u8>, kind: &str, data: &[u8]) {
    file.extend_from_slice(Descriptor::new(kind, file.len() as u64, data.len() as u64).as_bytes());
    file.extend_from_slice(data);
}

fn zlib(plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Compressor::new(Level::Best).zlib(plain, &mut out);
    out
}

fn small_volume(len: u64) -> SmallVolume {
    let mut volume = SmallVolume::new_zeroed();
    volume.reserved1 = U32::new(1);
    volume.chunks = U32::new(len.div_ceil(32768) as u32);
    volume.sectors_per_chunk = U32::new(64);
    volume.bytes_per_sector = U32::new(512);
    volume.sectors = U32::new((len / 512) as u32);
    volume
}

/// A table section with the chunks inside, as SMART (no checksum behind the entries) and EnCase 1 (with it) write it.
fn table_with_data(file: &mut Vec<u8>, chunks: &[(Vec<u8>, bool)], footer: bool) {
    let head = file.len() + 76 + 24 + 4 * chunks.len() + if footer { 4 } else { 0 };
    let mut at = head as u32;
    let mut entries = Vec::new();
    for (bytes, compressed) in chunks {
        entries.extend_from_slice(&(at | if *compressed { COMPRESSED } else { 0 }).to_le_bytes());
        at += bytes.len() as u32;
    }
    let mut data = TableHeader::new(chunks.len() as u32, 0).as_bytes().to_vec();
    data.extend_from_slice(&entries);
    if footer {
        data.extend_from_slice(&adler32(&entries).to_le_bytes());
    }
    chunks.iter().for_each(|(bytes, _)| data.extend_from_slice(bytes));
    section(file, "table", &data);
}

fn hash(md5: &[u8]) -> Hash {
    let mut hash = Hash::new_zeroed();
    hash.md5.copy_from_slice(md5);
    hash.sealed()
}

fn checked(image: &Image, model: &Model) {
    check_source(&*image.disk, model);
    assert_eq!(image.disk.facts().digests[0].value, digest(Algorithm::Md5, &model.bytes).as_bytes());
}

#[test]
fn smart_and_encase_1_tables_hold_their_chunks() {
    let model = Model::noise(80 * 1024, 4);
    for (signature, footer, header, variant) in [
        (
            *b"SMART",
            false,
            "1\nmain\nc\tn\ta\te\tt\tav\tov\tm\tu\tp\tr\n1\t2\t3\t4\t5\t3\tWin\t2002 3 4 10 19 59\t\t0\tb\n",
            "SMART (S01)",
        ),
        (
            [0; 5],
            true,
            "1\r\nmain\r\nc\tn\ta\te\tt\tm\tu\tp\tr\r\n1\t2\t3\t4\t5\t2002 3 4 10 19 59\t\t0\tb\r\n\r\n",
            "EnCase 1",
        ),
    ] {
        let mut file = FileHeader::new(1).as_bytes().to_vec();
        section(&mut file, "header", &zlib(header.as_bytes()));
        let mut volume = small_volume(80 * 1024);
        volume.signature = signature;
        section(&mut file, "volume", volume.sealed().as_bytes());
        let chunks: Vec<_> = model
            .bytes
            .chunks(32768)
            .map(|c| if footer { ([c, &adler32(c).to_le_bytes()].concat(), false) } else { (zlib(c), true) })
            .collect();
        table_with_data(&mut file, &chunks, footer);
        section(&mut file, "hash", hash(digest(Algorithm::Md5, &model.bytes).as_bytes()).as_bytes());
        let at = file.len() as u64;
        // SMART gives these a size of 76.
        let mut done = Descriptor::last("done", at);
        done.size = U64::new(76);
        file.extend_from_slice(done.sealed().as_bytes());
        let request = open_bytes("x.s01", file);
        let image = open(&request).unwrap_or_else(|e| panic!("{}", e.chain()));
        checked(&image, &model);
        assert_eq!(image.variant, variant);
        assert_eq!(image.disk.facts().case.acquired, "2002-03-04T10:19:59");
        assert_eq!(check(&request).unwrap(), vec![]);
    }
}

/// The last chunk holds more than the sectors say: a file whose size was no multiple of 512, or a chunk that was padded.
#[test]
fn the_last_chunk_may_be_longer_than_the_sectors_say() {
    for (sectors, stored, compressed, expect) in [
        (8, 4097, false, 4097),
        (8, 4097, true, 4097),
        (8, 32768, true, 4096),
        (8, 32768, false, 4096),
        (64, 32768 + 100, false, 32868),
        (64, 32768, true, 32768),
    ] {
        let model = Model::noise(stored, 4);
        let mut file = FileHeader::new(1).as_bytes().to_vec();
        let mut volume = Volume::new_zeroed();
        volume.chunks = U32::new(stored.div_ceil(32768) as u32);
        volume.sectors_per_chunk = U32::new(64);
        volume.bytes_per_sector = U32::new(512);
        volume.sectors = U64::new(sectors);
        section(&mut file, "disk", volume.sealed().as_bytes());
        let base = file.len();
        let (mut data, mut entries) = (Vec::new(), Vec::new());
        for chunk in model.bytes.chunks(32768) {
            let flag = if compressed { COMPRESSED } else { 0 };
            entries.extend_from_slice(&((76 + data.len()) as u32 | flag).to_le_bytes());
            data.extend(if compressed { zlib(chunk) } else { [chunk, &adler32(chunk).to_le_bytes()].concat() });
        }
        section(&mut file, "sectors", &data);
        let head = TableHeader::new(entries.len() as u32 / 4, base as u64);
        section(&mut file, "table", &[head.as_bytes(), &entries, &adler32(&entries).to_le_bytes()].concat());
        let at = file.len() as u64;
        file.extend_from_slice(Descriptor::last("done", at).as_bytes());
        let image = open(&open_bytes("x.E01", file)).unwrap_or_else(|e| panic!("{}", e.chain()));
        assert_eq!(image.disk.len(), expect, "{sectors} sectors, {stored} bytes");
        let model = Model { bytes: model.bytes[..expect as usize].to_vec(), ..model };
        check_source(&*image.disk, &model);
    }
}

struct Huge;

impl Source for Huge {
    fn len(&self) -> u64 {
        5 << 30
    }

    fn read_at(&self, _: &mut [u8], _: u64) -> tintype_core::Result<()> {
        Ok(())
    }
}

/// EnCase 6.7.1 let the offsets of chunks that are not compressed grow into the bit that says: compressed.
#[test]
fn offsets_of_encase_6_7_1_use_all_bits() {
    use crate::ewf::index::{Index, Stored};
    use crate::ewf::scan::{Entries, Segment, Table};
    let first: u32 = (1 << 31) - 3 * 32772;
    let raw: Vec<u32> = (0..6).map(|n| first + n * 32772).collect();
    let of = |raw: Vec<u32>, end: u64| {
        let segment = Segment { name: "x.E01".into(), source: Arc::new(Huge) };
        let entries = Entries::Memory(Arc::new(raw));
        let table = Table { segment: 0, count: 6, first: 0, base: 0, entries, copy: None, data: (76, end) };
        let index = Index::new(vec![segment], vec![table], 32768);
        let (table, loaded) = index.find(0).unwrap();
        (0..6).map(|i| index.stored(table, &loaded, i)).collect::<Vec<_>>()
    };
    let expect: Vec<_> =
        (0..6).map(|n| Stored { at: u64::from(first) + n * 32772, len: 32772, compressed: false }).collect();
    assert_eq!(of(raw, u64::from(first) + 6 * 32772), expect);
    // The same numbers in a short section are compressed chunks.
    let short = of((0..6).map(|n| (100 + n * 50) | COMPRESSED).collect(), 400);
    assert_eq!(short[5], Stored { at: 350, len: 50, compressed: true });
}

#[test]
fn other_evidence_is_refused_by_name() {
    for (magic, word) in [(crate::ewf::layout::MAGIC_LOGICAL, "L01"), (crate::ewf::layout::MAGIC_V2, "Ex01")] {
        let mut file = FileHeader::new(1);
        file.magic = magic;
        let e = open(&open_bytes("x.E01", file.as_bytes().to_vec())).err().unwrap();
        assert!(e.kind() == Kind::Unsupported && e.to_string().contains(word), "{e}");
    }
}

/// Firmware of Tableau's TD3 wrote stored blocks whose second length is 0 instead of the complement of the first.
#[test]
fn tableau_stored_blocks_are_read() {
    use crate::ewf::chunk::{Broken, decode};
    let plain = Model::noise(32768, 3).bytes;
    let mut stored = vec![0x78, 0x01, 1, 0x00, 0x80, 0, 0];
    stored.extend_from_slice(&plain);
    stored.extend_from_slice(&adler32(&plain).to_be_bytes());
    let mut decoder = tintype_codec::deflate::Decompressor::new();
    let mut out = vec![0; plain.len()];
    assert_eq!(decode(&mut decoder, &stored, true, &mut out, None), Ok(plain.len()));
    assert_eq!(out, plain);
    stored[5000] ^= 1;
    assert_eq!(decode(&mut decoder, &stored, true, &mut out, None), Err(Broken::Checksum));
}
