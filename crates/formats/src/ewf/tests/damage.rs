use super::resume::{files, seal};
use super::*;

fn small_image() -> (Model, Vec<u8>) {
    let model = Model::mixed(90_000, &STATES, 512, 2);
    let outlet = MemoryOutlet::new();
    let mut request = create_request(outlet.clone(), "d.E01", &model);
    settle(&mut request);
    request.options = options("16KiB");
    let mut sink = create(&request).unwrap();
    feed_model(&mut *sink, &model, 0, 90_000, 2).unwrap();
    sink.finish(&seal(&model)).unwrap();
    (model, outlet.bytes("d.E01").unwrap())
}

fn sweep() -> (Model, Vec<u8>, Sweep) {
    let (model, bytes) = small_image();
    let folder = MemoryOutlet::new();
    folder.insert("d.E01", bytes.clone());
    let sweep = Sweep::new(&super::super::FORMAT, &folder, "d.E01", &model);
    (model, bytes, sweep)
}

#[test]
fn truncated_images_are_refused() {
    for seen in sweep().2.cuts(37) {
        assert_eq!((seen.refused.or(seen.failed), &seen.wrong), (Some(Kind::Corrupt), &None), "{seen:?}");
    }
}

#[test]
fn flipped_bits_never_give_wrong_bytes() {
    let (_, bytes, sweep) = sweep();
    let mut seed = 12345u64;
    let some = (0..3000).map(|_| {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        Damage::Flip { at: (seed >> 33) % bytes.len() as u64, bits: 1 << ((seed >> 20) % 8) }
    });
    for seen in sweep.run(some) {
        assert!(seen.wrong.is_none() && !seen.is_silent(), "{seen:?}");
    }
}

#[test]
fn a_flipped_bit_in_any_section_is_found() {
    let (_, bytes, sweep) = sweep();
    // Whole bytes: single bits behind the end of a deflate stream stand for nothing.
    let some = (13..bytes.len() as u64).step_by(11).map(|at| Damage::Flip { at, bits: 0xff });
    for seen in sweep.run(some) {
        assert!(seen.is_told() && seen.unchecked.is_none(), "{seen:?}");
    }
}

fn set() -> (Model, MemoryOutlet) {
    let model = Model::noise(300_000, 9);
    let (_, outlet) = check_writer(create, open, "Disk.E01", &model, |r| {
        settle(r);
        r.split = Some(100_000);
    });
    assert!(outlet.names().len() > 4);
    (model, outlet)
}

fn without(outlet: &MemoryOutlet, name: &str) -> MemoryOutlet {
    let other = MemoryOutlet::new();
    files(outlet).into_iter().filter(|(n, _)| n != name).for_each(|(n, b)| other.insert(&n, b));
    other
}

fn refused(request: &OpenRequest) -> String {
    open(request).err().expect("it is refused").to_string()
}

#[test]
fn sets_with_gaps_and_strangers() {
    let (model, outlet) = set();
    for (n, name) in outlet.names().into_iter().enumerate().skip(1) {
        let text = refused(&open_request(&without(&outlet, &name), "Disk.E01"));
        assert!(text.contains(&name) && text.contains("missing"), "{n}: {text}");
    }
    let text = refused(&open_request(&outlet, "Disk.E03"));
    assert!(text.contains("Disk.E01") && text.contains("segment 3"), "{text}");

    let lower = MemoryOutlet::new();
    files(&outlet).into_iter().for_each(|(n, b)| lower.insert(&n.replace(".E03", ".e03"), b));
    check_source(&*open(&open_request(&lower, "Disk.E01")).unwrap().disk, &model);

    let swapped = without(&outlet, "Disk.E02");
    swapped.insert("Disk.E02", outlet.bytes("Disk.E03").unwrap());
    assert!(refused(&open_request(&swapped, "Disk.E01")).contains("segment 3"));

    let (_, foreign) = check_writer(create, open, "Disk.E01", &model, |r| {
        settle(r);
        r.facts.case.case = "another".into();
        r.split = Some(100_000);
    });
    swapped.insert("Disk.E02", foreign.bytes("Disk.E02").unwrap());
    assert!(refused(&open_request(&swapped, "Disk.E01")).contains("another image"));

    let longer = without(&outlet, "");
    let beyond = format!("Disk.E{:02}", outlet.names().len() + 1);
    longer.insert(&beyond, outlet.bytes("Disk.E02").unwrap());
    let image = open(&open_request(&longer, "Disk.E01")).unwrap();
    assert!(image.warnings.iter().any(|w| w.contains(&beyond)), "{:?}", image.warnings);
    let alone = refused(&open_bytes("Disk.E01", outlet.bytes("Disk.E01").unwrap()));
    assert!(alone.contains("Disk.E02"), "{alone}");
}

#[test]
fn a_damaged_table_is_read_from_its_copy() {
    let (model, bytes, sweep) = sweep();
    let tables: Vec<usize> = (0..bytes.len() - 6).filter(|i| bytes[*i..].starts_with(b"table")).collect();
    let [first, second] = tables[..] else { panic!("one table and its copy") };
    for at in [76 + 3, 76 + 24 + 5] {
        for which in [first, second] {
            let mut damaged = bytes.clone();
            damaged[which + at] ^= 1;
            let request = open_bytes("d.E01", damaged);
            let image = open(&request).unwrap();
            check_source(&*image.disk, &model);
            assert!(which == second || !image.warnings.is_empty());
            assert!(!check(&request).unwrap().is_empty());
        }
        let mut both = bytes[first + at..=second + at].to_vec();
        both[0] ^= 1;
        both[second - first] ^= 1;
        let [seen] = &sweep.run([Damage::Put { at: (first + at) as u64, bytes: both }])[..] else { panic!() };
        assert!(seen.refused.or(seen.failed).is_some() && seen.wrong.is_none(), "{seen:?}");
    }
}

#[test]
fn every_flipped_bit_of_the_chunks_is_found() {
    // Nothing that repeats at two distances: the other one stands for the same bytes, and no decoder can tell.
    let letters: Vec<u8> = Model::noise(1500, 1).bytes.iter().map(|b| b % 16 + b'a').collect();
    let bytes = [&letters[..], &letters[..]].concat();
    let runs = vec![Extent::new(0, bytes.len() as u64, State::Data)];
    let model = Model { bytes, runs, sector: 512 };
    let mut only_to_be_read = 0;
    for level in ["fast", "zlib:12"] {
        let (_, outlet) = check_writer(create, open, "d.E01", &model, |r| {
            settle(r);
            r.options = options("16KiB");
            r.compression = Some(level.parse().unwrap());
        });
        let bytes = outlet.bytes("d.E01").unwrap();
        let find = |what: &[u8]| bytes.windows(what.len()).position(|w| w == what).unwrap();
        for at in find(b"sectors\0")..find(b"table\0") {
            for bit in 0..8 {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << bit;
                let is_found = |care| {
                    let request = OpenRequest { care, ..open_bytes("d.E01", damaged.clone()) };
                    let image = open(&request);
                    let mut buf = vec![0; model.bytes.len()];
                    !check(&request).is_ok_and(|findings| findings.is_empty())
                        || image.is_err()
                        || image.is_ok_and(|i| i.disk.len() != buf.len() as u64 || i.disk.read_at(&mut buf, 0).is_err())
                };
                assert!(is_found(Care::Prove), "{level}: bit {bit} of byte {at}");
                only_to_be_read += u32::from(!is_found(Care::Read));
            }
        }
    }
    // What is only read is not given up for bits that stand for nothing.
    assert!((1..200).contains(&only_to_be_read), "{only_to_be_read}");
}
