use super::*;
use std::sync::Arc;
use tintype_core::testing::{MemoryOutlet, Model, check_source, check_writer, open_request};
use tintype_core::{Backing, Image, Kind, Options, Result, Severity};

const SUBFORMATS: [&str; 5] =
    ["monolithicSparse", "monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat", "streamOptimized"];

fn options(words: &[&str]) -> Options {
    Options::parse(FORMAT.options, words).unwrap()
}

fn mixed(len: usize, seed: u64) -> Model {
    Model::mixed(len, &[State::Data, State::Zero], 512, seed)
}

fn written(model: &Model, words: &[&str]) -> (Image, MemoryOutlet) {
    check_writer(create::create, read::open, "d.vmdk", model, |request| request.options = options(words))
}

/// The bytes of `name` opened with nothing but what `outlet` has; at most 64 MiB of what may claim to be more.
fn bytes_of(outlet: &MemoryOutlet, name: &str) -> Result<Vec<u8>> {
    let image = read::open(&open_request(outlet, name))?;
    let mut bytes = vec![0; image.disk.len().min(64 << 20) as usize];
    image.disk.read_at(&mut bytes, 0)?;
    Ok(bytes)
}

#[test]
fn any_size_comes_back_in_every_subformat() {
    for subformat in SUBFORMATS {
        for len in [0, 1, 511, 512, 65536, 65537, 1_000_003, 40 << 20] {
            let (image, outlet) = written(&mixed(len, len as u64), &[&format!("subformat={subformat}")]);
            assert_eq!(image.variant, subformat);
            assert_eq!(check::check(&open_request(&outlet, "d.vmdk")).unwrap(), []);
        }
    }
}

#[test]
fn workers_may_be_of_any_order() {
    use tintype_core::testing::create_request;
    use tintype_core::{Coded, Piece, PieceBody, Seal};
    for subformat in SUBFORMATS {
        let model = Model::noise(3_000_320, 14);
        let outlet = MemoryOutlet::new();
        let mut request = create_request(outlet.clone(), "d.vmdk", &model);
        request.options = options(&[&format!("subformat={subformat}")]);
        let mut sink = create::create(&request).unwrap();
        let pieces: Vec<&[u8]> = model.bytes.chunks(3 * 65536).collect();
        let mut coded: Vec<Coded> = vec![Coded::default(); pieces.len()];
        let mut workers = [sink.encoder().unwrap(), sink.encoder().unwrap()];
        // Each the pieces that the other one leaves, from the end.
        for i in (0..pieces.len()).rev() {
            workers[i % 2].encode(pieces[i], i as u64 * 3 * 65536, &[], &mut coded[i]).unwrap();
        }
        for (i, (plain, coded)) in pieces.iter().zip(&coded).enumerate() {
            let body = PieceBody::Bytes { plain, coded, marks: &[] };
            sink.put(Piece { offset: i as u64 * 3 * 65536, len: plain.len() as u64, body }).unwrap();
        }
        sink.finish(&Seal { len: model.bytes.len() as u64, ..Seal::default() }).unwrap();
        assert!(bytes_of(&outlet, "d.vmdk").unwrap() == model.bytes, "{subformat}");
        assert_eq!(check::check(&open_request(&outlet, "d.vmdk")).unwrap(), []);
    }
}

/// A base, and what stands on it.
fn overlay(base: &Model, top: &Model, words: &[&str]) -> (Image, MemoryOutlet) {
    let (below, files) = check_writer(create::create, read::open, "base.vmdk", base, |_| {});
    check_writer(create::create, read::open, "d.vmdk", top, |request| {
        request.options = options(words);
        request.outlet.create("base.vmdk").unwrap().write_at(&files.bytes("base.vmdk").unwrap(), 0).unwrap();
        request.backing = Some(Backing {
            name: "base.vmdk".into(),
            format: FORMAT.name,
            variant: below.variant.clone(),
            source: Arc::clone(&below.disk),
            fields: below.disk.facts().fields.clone(),
        });
    })
}

#[test]
fn what_differs_from_a_parent_is_kept() {
    for words in [&[][..], &["zeroed_grain=on"], &["subformat=twoGbMaxExtentSparse"]] {
        for (base, top) in [(3_000_000, 3_000_000), (1_000_000, 3_000_320), (3_000_000, 1_000_001), (512, 0)] {
            let (base, top) = (mixed(base, 1), mixed(top, 2));
            let (image, _) = overlay(&base, &top, words);
            assert_eq!(image.chain.len(), 1);
        }
        // Nothing but zeros over something, and nothing that differs.
        let base = Model::noise(3_000_000, 3);
        let zeros = Model::mixed(3_000_000, &[State::Zero], 512, 1);
        let (_, outlet) = overlay(&base, &zeros, words);
        let zeroed = words.first().is_some_and(|w| w.contains("zeroed"));
        let stored = |outlet: &MemoryOutlet| {
            outlet.names().iter().filter(|n| n.starts_with('d')).map(|n| outlet.bytes(n).unwrap().len()).sum::<usize>()
        };
        assert_eq!(stored(&outlet) < 200_000, zeroed, "{} bytes", stored(&outlet));
        let (_, outlet) = overlay(&base, &base, words);
        assert!(stored(&outlet) < 200_000);
    }
}

#[test]
fn names_with_colons_are_read_back() {
    let model = mixed(200_000, 6);
    for subformat in ["monolithicFlat", "twoGbMaxExtentSparse"] {
        check_writer(create::create, read::open, "nbd:d.vmdk", &model, |request| {
            request.options = options(&[&format!("subformat={subformat}")]);
        });
    }
    let (below, files) = check_writer(create::create, read::open, "nbd:b.vmdk", &model, |_| {});
    let (image, _) = check_writer(create::create, read::open, "d.vmdk", &mixed(200_000, 7), |request| {
        request.outlet.create("nbd:b.vmdk").unwrap().write_at(&files.bytes("nbd:b.vmdk").unwrap(), 0).unwrap();
        request.backing = Some(Backing {
            name: "nbd:b.vmdk".into(),
            format: FORMAT.name,
            variant: below.variant.clone(),
            source: Arc::clone(&below.disk),
            fields: below.disk.facts().fields.clone(),
        });
    });
    assert_eq!(image.chain.len(), 1);
}

#[test]
fn a_parent_that_changed_is_none() {
    let model = mixed(200_000, 4);
    let (_, outlet) = overlay(&model, &mixed(200_000, 5), &[]);
    let mut base = outlet.bytes("base.vmdk").unwrap();
    let at = base.windows(4).position(|w| w == b"CID=").unwrap();
    base[at + 4..at + 12].copy_from_slice(b"00000001");
    outlet.insert("base.vmdk", base);
    let e = bytes_of(&outlet, "d.vmdk").unwrap_err();
    assert!(e.kind() == Kind::Corrupt && e.what().contains("content identifier"), "{e}");
}

#[test]
fn a_disk_on_itself_is_a_loop() {
    let text = "# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=1\ncreateType=\"custom\"\n\
                parentFileNameHint=\"b.vmdk\"\nRW 1 ZERO\n";
    let outlet = MemoryOutlet::new();
    outlet.insert("a.vmdk", text.into());
    outlet.insert("b.vmdk", text.replace("b.vmdk", "a.vmdk").into());
    let e = bytes_of(&outlet, "a.vmdk").unwrap_err();
    assert!(e.kind() == Kind::Corrupt && e.chain().contains("loop"), "{}", e.chain());
}

#[test]
fn extents_of_every_kind_make_a_disk() {
    let outlet = MemoryOutlet::new();
    let noise = Model::noise(4096, 6).bytes;
    outlet.insert("f.bin", noise.clone());
    let (_, sparse) = written(&mixed(70_144, 7), &[]);
    outlet.insert("s.vmdk", sparse.bytes("d.vmdk").unwrap());
    let text = "# Disk DescriptorFile\r\nversion=1\r\nCID=7\r\nparentCID=ffffffff\r\ncreateType=\"custom\"\r\n\
                RW 3 FLAT \"f.bin\" 2\r\nRDONLY 5 ZERO\r\nRW 130 SPARSE \"s.vmdk\"\r\nRW 1 VMFS \"f.bin\"\r\n";
    outlet.insert("d.vmdk", text.into());
    let want: Vec<u8> = [&noise[1024..2560], &[0; 2560], &mixed(70_144, 7).bytes[..130 * 512], &noise[..512]].concat();
    assert!(bytes_of(&outlet, "d.vmdk").unwrap() == want);
    let model =
        Model { runs: vec![tintype_core::Extent::new(0, want.len() as u64, State::Data)], bytes: want, sector: 512 };
    check_source(&*read::open(&open_request(&outlet, "d.vmdk")).unwrap().disk, &model);
    for (from, to, kind) in [
        ("RW 3 FLAT", "RW 7 FLAT", Kind::Corrupt),
        ("RW 130 SPARSE", "RW 138 SPARSE", Kind::Corrupt),
        ("RW 3 FLAT", "NOACCESS 3 FLAT", Kind::Unsupported),
        ("RW 3 FLAT", "RW 3 VMFSRDM", Kind::Unsupported),
        ("f.bin", "gone.bin", Kind::Io),
        ("SPARSE \"s.vmdk\"", "SPARSE \"f.bin\"", Kind::Corrupt),
    ] {
        outlet.insert("d.vmdk", text.replacen(from, to, 1).into());
        assert_eq!(bytes_of(&outlet, "d.vmdk").unwrap_err().kind(), kind, "{to}");
    }
}

#[test]
fn a_file_that_was_cut_off_gives_no_other_disk() {
    for subformat in ["monolithicSparse", "streamOptimized"] {
        let model = mixed(700_160, 8);
        let (_, outlet) = written(&model, &[&format!("subformat={subformat}")]);
        let good = outlet.bytes("d.vmdk").unwrap();
        for len in (0..good.len()).step_by(15_331).chain((good.len() - 1536..good.len()).step_by(37)) {
            outlet.insert("d.vmdk", good[..len].to_vec());
            match bytes_of(&outlet, "d.vmdk") {
                Ok(bytes) => assert!(bytes == model.bytes, "{subformat} cut to {len}"),
                Err(e) => assert!(matches!(e.kind(), Kind::Corrupt | Kind::Unsupported), "{}", e.chain()),
            }
        }
    }
}

#[test]
fn a_flipped_bit_ends_nothing() {
    for subformat in ["monolithicSparse", "streamOptimized"] {
        let model = mixed(300_032, 9);
        let (_, outlet) = written(&model, &[&format!("subformat={subformat}")]);
        let good = outlet.bytes("d.vmdk").unwrap();
        let places = (0..90).chain((512..4096).step_by(29)).chain((10_000..good.len()).step_by(6007));
        for at in places.chain((good.len() - 4096..good.len()).step_by(41)) {
            let mut bytes = good.clone();
            bytes[at] ^= 1 << (at % 8);
            outlet.insert("d.vmdk", bytes);
            let _ = bytes_of(&outlet, "d.vmdk");
            let _ = check::check(&open_request(&outlet, "d.vmdk"));
        }
    }
}

#[test]
fn a_flipped_bit_in_a_packed_grain_is_found() {
    let model = Model::noise(300_032, 10);
    let (_, outlet) = written(&model, &["subformat=streamOptimized"]);
    let good = outlet.bytes("d.vmdk").unwrap();
    // From the first grain to the end of the last but for what fills up its sector.
    for at in (65536..65536 + 300_000).step_by(997) {
        let mut bytes = good.clone();
        bytes[at] ^= 4;
        outlet.insert("d.vmdk", bytes);
        match bytes_of(&outlet, "d.vmdk") {
            Ok(bytes) => assert!(bytes == model.bytes, "{at}"),
            Err(e) => assert_eq!(e.kind(), Kind::Corrupt),
        }
    }
}

/// Where the tables of a sparse file begin: those of the copy, and the others.
fn tables(bytes: &[u8]) -> [usize; 2] {
    [48, 56].map(|at| {
        let directory = u64::from_le_bytes(*bytes[at..].first_chunk().unwrap()) as usize * 512;
        u32::from_le_bytes(*bytes[directory..].first_chunk().unwrap()) as usize * 512
    })
}

#[test]
fn the_check_finds_what_is_wrong_with_tables() {
    let (_, outlet) = written(&Model::noise(40 * 65536, 11), &[]);
    let good = outlet.bytes("d.vmdk").unwrap();
    let [copy, first] = tables(&good);
    let after = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        outlet.insert("d.vmdk", bytes);
        check::check(&open_request(&outlet, "d.vmdk")).unwrap()
    };
    let entry = |bytes: &mut Vec<u8>, table: usize, i: usize, value: u32| {
        bytes[table + i * 4..][..4].copy_from_slice(&value.to_le_bytes());
    };
    let both = |bytes: &mut Vec<u8>, i: usize, value: u32| {
        entry(bytes, first, i, value);
        entry(bytes, copy, i, value);
    };
    let second = u32::from_le_bytes(*good[first + 4..].first_chunk().unwrap());
    assert_eq!(after(&|_| {}), []);
    for (what, findings) in [
        ("in one place", after(&|b| both(b, 0, second))),
        ("in one place", after(&|b| both(b, 0, second + 1))),
        ("among the tables", after(&|b| both(b, 0, 3))),
        ("the file has none", after(&|b| both(b, 0, u32::MAX))),
        ("cut off", after(&|b| b.truncate(good.len() - 512))),
        ("do not say the same", after(&|b| entry(b, copy, 5, 0))),
        ("do not say the same", after(&|b| entry(b, first, 5, 0))),
    ] {
        let hit = findings.iter().any(|f| f.severity == Severity::Damage && f.what.contains(what));
        assert!(hit, "{what}: {findings:?}");
    }
    let leak = after(&|b| b.resize(good.len() + 65536, 1));
    assert!(leak.len() == 1 && leak[0].severity == Severity::Warning, "{leak:?}");
}

#[test]
fn sizes_that_cannot_be_are_refused_before_they_cost_anything() {
    let (_, outlet) = written(&mixed(200_192, 12), &[]);
    let good = outlet.bytes("d.vmdk").unwrap();
    for (at, value) in [
        (12, u64::MAX),
        (12, 1 << 54),
        (12, 1 << 40),
        // Less than the descriptor says.
        (12, 8),
        (20, 0),
        (20, 3),
        (20, 1 << 60),
        (28, u64::MAX),
        (36, u64::MAX),
        (48, u64::MAX / 512),
        (56, u64::MAX - 1),
        (56, 1 << 50),
        (64, u64::MAX),
    ] {
        let mut bytes = good.clone();
        bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        outlet.insert("d.vmdk", bytes);
        let opened = read::open(&open_request(&outlet, "d.vmdk"));
        let told = opened.as_ref().is_ok_and(|image| !image.damage.is_empty());
        // The copy of the directory cannot be used, but nobody needs it.
        assert!(opened.is_err() || told || at == 48, "{value:#x} at {at}");
    }
}

fn le32(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_le_bytes()).collect()
}

fn le64(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_le_bytes()).collect()
}

fn descriptor(kind: &str, sectors: u64) -> Vec<u8> {
    let text = format!(
        "# Disk DescriptorFile\nversion=1\nCID=5\nparentCID=ffffffff\ncreateType=\"x\"\nRW {sectors} {kind} \"x-delta.vmdk\"\n"
    );
    text.into_bytes()
}

/// No program here makes these: the files are laid out by the description.
#[test]
fn cowd_and_sesparse_are_read_by_their_description() {
    let grain = Model::noise(4096, 13).bytes;
    let outlet = MemoryOutlet::new();
    // COWD: header, directory in sector 4, table in sector 5 (16 KiB), the third grain of 4 KiB behind it.
    let mut file = b"COWD".to_vec();
    file.extend(le32(&[1, 3, 64, 8, 4, 1, 45]));
    file.resize(2048, 0);
    file.extend(le32(&[5]));
    file.resize(5 * 512, 0);
    file.extend(le32(&[0, 0, 37]));
    file.resize(37 * 512, 0);
    file.extend(&grain);
    outlet.insert("x-delta.vmdk", file);
    outlet.insert("d.vmdk", descriptor("VMFSSPARSE", 64));
    let mut want = vec![0; 64 * 512];
    want[8192..12288].copy_from_slice(&grain);
    assert!(bytes_of(&outlet, "d.vmdk").unwrap() == want);
    let image = read::open(&open_request(&outlet, "d.vmdk")).unwrap();
    assert!(image.disk.facts().fields["unproved"].contains("COWD"));

    // seSparse: two headers, directory in sector 2, tables from 4 on, grains from 200 on; the grain is the second there.
    let mut fields = [0u64; 26];
    fields[..5].copy_from_slice(&[0xcafe_babe, 0x2_0000_0001, 64, 8, 64]);
    fields[10..12].copy_from_slice(&[1, 1]);
    fields[16..20].copy_from_slice(&[2, 1, 4, 64]);
    fields[24..].copy_from_slice(&[200, 16]);
    let mut file = le64(&fields);
    file.resize(512, 0);
    file.extend(le64(&[0xcafe_cafe, 0, 0, 0]));
    file.resize(1024, 0);
    file.extend(le64(&[0x1000_0000_0000_0000]));
    file.resize(4 * 512, 0);
    // The index is turned: its low 12 bits stand on top.
    file.extend(le64(&[0, 0x2000_0000_0000_0000, 0x3000_0000_0000_0000 | 1 << 48, 0x1000_0000_0000_0000]));
    file.resize(208 * 512, 0);
    file.extend(&grain);
    outlet.insert("x-delta.vmdk", file.clone());
    outlet.insert("d.vmdk", descriptor("SESPARSE", 64));
    assert!(bytes_of(&outlet, "d.vmdk").unwrap() == want);
    file[512 + 24] = 1;
    outlet.insert("x-delta.vmdk", file);
    let e = bytes_of(&outlet, "d.vmdk").unwrap_err();
    assert!(e.kind() == Kind::Unsupported && e.what().contains("journal"), "{e}");
}
