use super::*;
use tintype_core::testing::Bytes;
use tintype_core::{Kind as Failure, Shape};

/// Status, type, start and length in sectors.
type Row = (u8, u8, u32, u32);

fn record(disk: &mut [u8], at: usize, rows: &[Row]) {
    for (i, (status, kind, start, sectors)) in rows.iter().enumerate() {
        let entry = &mut disk[at + 446 + i * 16..at + 462 + i * 16];
        entry[0] = *status;
        entry[4] = *kind;
        entry[8..12].copy_from_slice(&start.to_le_bytes());
        entry[12..16].copy_from_slice(&sectors.to_le_bytes());
    }
    disk[at + 510..at + 512].copy_from_slice(&[0x55, 0xaa]);
}

fn found(disk: Vec<u8>) -> Table {
    read(&Bytes(disk)).unwrap().unwrap()
}

fn numbers(table: &Table) -> Vec<(u32, u64, u64)> {
    table.partitions.iter().map(|p| (p.number, p.offset / 512, p.len / 512)).collect()
}

/// A primary, an extended one with two logical ones, the first record being empty.
fn chained() -> Vec<u8> {
    let mut disk = vec![0; 512 * 400];
    disk[440..444].copy_from_slice(&0x1234_abcdu32.to_le_bytes());
    record(&mut disk, 0, &[(0x80, 0x83, 1, 50), (0, 0x0f, 100, 300)]);
    record(&mut disk, 100 * 512, &[(0, 0, 0, 0), (0, 5, 50, 60)]);
    record(&mut disk, 150 * 512, &[(0, 0x82, 1, 20), (0, 5, 200, 60)]);
    record(&mut disk, 300 * 512, &[(0, 0x07, 2, 30)]);
    disk
}

#[test]
fn logical_partitions_count_from_five() {
    let table = found(chained());
    assert_eq!(numbers(&table), [(1, 1, 50), (2, 100, 300), (5, 151, 20), (6, 302, 30)]);
    assert_eq!((table.kind, &table.id[..], table.warnings.len()), (Kind::Mbr, "0x1234abcd", 0));
    let p = &table.partitions[2];
    assert_eq!((p.role, &p.type_id[..], &p.uuid[..]), (Role::Logical, "82", "1234abcd-05"));
    assert!(table.partitions[0].boot);
}

#[test]
fn broken_chains_end_with_a_warning() {
    let mut loops = chained();
    record(&mut loops, 300 * 512, &[(0, 0x07, 2, 30), (0, 5, 50, 60)]);
    let table = found(loops);
    assert_eq!(table.partitions.len(), 4);
    assert!(table.warnings.iter().any(|w| w.contains("leads back")), "{:?}", table.warnings);
    let mut cut = chained();
    cut.truncate(512 * 250);
    let table = found(cut);
    assert_eq!(table.partitions.len(), 3);
    assert!(table.warnings.iter().any(|w| w.contains("broken at sector 300")), "{:?}", table.warnings);
    assert!(table.warnings.iter().any(|w| w.contains("beyond the end")));
    let mut far = chained();
    record(&mut far, 150 * 512, &[(0, 0x82, 1, 20), (0, 5, u32::MAX, u32::MAX)]);
    assert_eq!(found(far).partitions.len(), 3);
}

#[test]
fn overlaps_are_told_once_each() {
    let mut disk = vec![0; 512 * 100];
    record(&mut disk, 0, &[(0, 0x83, 1, 60), (0, 0x83, 10, 5), (0, 0x83, 40, 50), (0, 0x83, 95, 9)]);
    let table = found(disk);
    let overlaps: Vec<_> = table.warnings.iter().filter(|w| w.contains("overlap")).collect();
    assert_eq!(overlaps, ["partitions 1 and 2 overlap", "partitions 1 and 3 overlap"]);
    assert_eq!(table.warnings.len(), 3);
}

/// The head of a FAT16 boot sector.
fn parameter_block(sector: &mut [u8]) {
    sector[..3].copy_from_slice(&[0xeb, 0x3c, 0x90]);
    sector[11..24].copy_from_slice(&[0, 2, 4, 1, 0, 2, 0, 2, 0x40, 0x9c, 0xf8, 0x28, 0]);
}

#[test]
fn a_file_system_without_a_table_is_no_table() {
    let mut disk = vec![0; 512 * 40_000];
    parameter_block(&mut disk);
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    disk[440..444].copy_from_slice(b"code");
    assert_eq!(recognise(&Bytes(disk[..512 * 40_000].to_vec())), Some("fat16"));
    assert_eq!(read(&Bytes(disk.clone())).unwrap(), None);
    // Text where the table would be.
    disk[446..510]
        .copy_from_slice(&b"Remove disks or other media.\xff\r\nDisk error\xff\r\nPress any key to re.."[..64]);
    assert_eq!(read(&Bytes(disk.clone())).unwrap(), None);
    // A boot loader kept the head, the table is real.
    disk[446..510].fill(0);
    record(&mut disk, 0, &[(0x80, 0x83, 63, 1000)]);
    assert_eq!(numbers(&found(disk.clone())), [(1, 63, 1000)]);
    disk[3..11].copy_from_slice(b"NTFS    ");
    disk[446..510].fill(0);
    assert_eq!(read(&Bytes(disk)).unwrap(), None);
    assert_eq!(read(&Bytes(vec![0; 511])).unwrap(), None);
    assert_eq!(read(&Bytes(vec![0; 51_200])).unwrap(), None);
}

#[test]
fn an_empty_table_is_a_table() {
    let mut disk = vec![0; 51_200];
    record(&mut disk, 0, &[]);
    assert_eq!(read(&Bytes(disk.clone())).unwrap(), None);
    disk[440] = 7;
    assert_eq!(found(disk).partitions, []);
}

fn header(disk: &mut [u8], sector: usize, own: usize, other: usize, entries: usize, count: usize) {
    let crc = crc32fast::hash(&disk[entries * sector..][..count * 128]);
    let head = &mut disk[own * sector..][..sector];
    head.fill(0);
    head[..8].copy_from_slice(b"EFI PART");
    head[8..16].copy_from_slice(&[0, 0, 1, 0, 92, 0, 0, 0]);
    head[24..32].copy_from_slice(&(own as u64).to_le_bytes());
    head[32..40].copy_from_slice(&(other as u64).to_le_bytes());
    head[56..72].fill(0xd1);
    head[72..80].copy_from_slice(&(entries as u64).to_le_bytes());
    head[80..84].copy_from_slice(&(count as u32).to_le_bytes());
    head[84..88].copy_from_slice(&128u32.to_le_bytes());
    head[88..92].copy_from_slice(&crc.to_le_bytes());
    let own_crc = crc32fast::hash(&head[..92]);
    head[16..20].copy_from_slice(&own_crc.to_le_bytes());
}

/// 100 sectors, entries 1 and 5 of 8 in use, both copies.
fn gpt(sector: usize) -> Vec<u8> {
    let mut disk = vec![0; sector * 100];
    record(&mut disk, 0, &[(0, 0xee, 1, 99)]);
    let mut entries = vec![0u8; 8 * 128];
    for (i, first, last) in [(0usize, 10u64, 19u64), (4, 20, 20)] {
        let entry = &mut entries[i * 128..][..128];
        let kind = uuid::uuid!("0fc63daf-8483-4772-8e79-3d69d8477de4");
        entry[..16].copy_from_slice(&kind.to_bytes_le());
        entry[16..32].fill(i as u8 + 1);
        entry[32..40].copy_from_slice(&first.to_le_bytes());
        entry[40..48].copy_from_slice(&last.to_le_bytes());
        entry[48] = 4;
        for (n, c) in "ä b".encode_utf16().enumerate() {
            entry[56 + n * 2..58 + n * 2].copy_from_slice(&c.to_le_bytes());
        }
        entry[64] = b'?';
    }
    for at in [2, 95] {
        disk[at * sector..][..entries.len()].copy_from_slice(&entries);
    }
    header(&mut disk, sector, 1, 99, 2, 8);
    header(&mut disk, sector, 99, 1, 95, 8);
    disk
}

#[test]
fn both_sector_sizes_of_gpt() {
    for sector in [512, 4096] {
        let table = found(gpt(sector));
        assert_eq!((table.kind, table.sector as usize), (Kind::Gpt, sector));
        assert_eq!(table.warnings, [""; 0]);
        let s = sector as u64;
        let ranges: Vec<_> = table.partitions.iter().map(|p| (p.number, p.offset, p.len)).collect();
        assert_eq!(ranges, [(1, 10 * s, 10 * s), (5, 20 * s, s)]);
        let p = &table.partitions[0];
        assert_eq!((&p.name[..], p.type_name, p.boot), ("ä b", "Linux", true));
        assert_eq!(p.uuid, "01010101-0101-0101-0101-010101010101");
    }
}

#[test]
fn the_second_copy_stands_in() {
    let whole = found(gpt(512)).partitions;
    for (at, words) in [(512 + 60, "checksum"), (512, "missing"), (1024 + 40, "entries")] {
        let mut disk = gpt(512);
        disk[at] ^= 1;
        let table = found(disk);
        assert_eq!(table.partitions, whole);
        assert!(table.warnings[0].contains(words) && table.warnings[0].contains("second one was used"), "{table:?}");
    }
    for at in [99 * 512 + 30, 95 * 512 + 3] {
        let mut disk = gpt(512);
        disk[at] ^= 1;
        let table = found(disk);
        assert_eq!((table.partitions, table.warnings.len()), (whole.clone(), 1));
    }
    let mut grown = gpt(512);
    grown.resize(512 * 150, 0);
    assert!(found(grown).warnings[0].contains("enlarged"));
    let mut cut = gpt(512);
    cut.truncate(512 * 50);
    let table = found(cut);
    assert!(table.warnings.iter().any(|w| w.contains("second copy")), "{:?}", table.warnings);
    assert_eq!(table.partitions, whole);
    let mut both = gpt(512);
    both[512] ^= 1;
    both[99 * 512] ^= 1;
    let table = found(both);
    assert_eq!((table.kind, &table.partitions[0].type_id[..]), (Kind::Mbr, "ee"));
    assert!(table.warnings[0].contains("neither"));
}

#[test]
fn an_mbr_over_an_old_gpt_counts() {
    let mut disk = gpt(512);
    record(&mut disk, 0, &[(0, 0x83, 5, 90)]);
    assert_eq!(numbers(&found(disk.clone())), [(1, 5, 90)]);
    record(&mut disk, 0, &[(0, 0xee, 1, 9), (0, 0x83, 10, 10)]);
    let hybrid = found(disk);
    assert_eq!(hybrid.kind, Kind::Gpt);
    assert!(hybrid.warnings[0].contains("hybrid"));
    let mut bare = gpt(512);
    bare[..512].fill(0);
    assert!(found(bare).warnings[0].contains("protective"));
}

/// An MBR in sectors of 4096 bytes: of a drive that says so, and of an image that does not.
#[test]
fn sectors_of_4096_bytes_in_an_mbr() {
    struct Large(Bytes);
    impl Source for Large {
        fn len(&self) -> u64 {
            self.0.len()
        }
        fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
            self.0.read_at(buf, offset)
        }
        fn shape(&self) -> Shape {
            Shape { sector: 4096, physical: 4096, ..Shape::default() }
        }
    }
    let mut disk = vec![0; 4096 * 100];
    record(&mut disk, 0, &[(0, 0x83, 8, 50)]);
    assert_eq!(found(disk.clone()).partitions[0].offset, 8 * 512);
    let table = read(&Large(Bytes(disk.clone()))).unwrap().unwrap();
    assert_eq!((table.sector, table.partitions[0].offset), (4096, 8 * 4096));
    disk[8 * 4096..][..4].copy_from_slice(b"XFSB");
    assert_eq!(found(disk).sector, 4096);
}

#[test]
fn a_partition_is_a_slice() {
    let disk: Arc<dyn Source> = Arc::new(Bytes(chained()));
    let table = read(&*disk).unwrap().unwrap();
    assert_eq!(table.partition(Arc::clone(&disk), 5).unwrap().len(), 20 * 512);
    let e = table.partition(Arc::clone(&disk), 3).err().unwrap();
    assert_eq!(e.kind(), Failure::Usage);
    assert!(e.what().contains("there are: 1, 2, 5, 6"));
    let short: Arc<dyn Source> = Arc::new(Bytes(vec![0; 512 * 160]));
    assert!(table.partition(short, 5).err().unwrap().what().contains("beyond the end"));
}

/// No panic, no hang, no great allocation for any damage.
#[test]
fn damage_is_survived() {
    for disk in [chained(), gpt(512)] {
        for at in 0..512 * 4 {
            for bit in [0x01, 0x80, 0xff] {
                let mut hurt = disk.clone();
                hurt[at] ^= bit;
                read(&Bytes(hurt)).unwrap();
            }
        }
        for len in (0..disk.len()).step_by(509) {
            read(&Bytes(disk[..len].to_vec())).unwrap();
        }
    }
    // Headers with true checksums and lying fields.
    for (at, bytes) in [(72, [0xff; 8]), (80, [0xff; 8]), (84, [1, 0, 0, 0, 0, 0, 0, 0]), (32, [0xff; 8])] {
        let mut disk = gpt(512);
        disk[512 + at..512 + at + 8].copy_from_slice(&bytes);
        disk[512 + 16..512 + 20].fill(0);
        let crc = crc32fast::hash(&disk[512..512 + 92]);
        disk[512 + 16..512 + 20].copy_from_slice(&crc.to_le_bytes());
        read(&Bytes(disk)).unwrap().unwrap();
    }
}
