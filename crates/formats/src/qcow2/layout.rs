//! On-disk structures of QCOW2: header, extensions, table entries. Numbers are big-endian.
//!
//! The specification is `docs/interop/qcow2.rst` of QEMU.

use crate::blocks::{Coding, Packed, Place, backing_name, be32, be64};
use tintype_core::{Error, Result, Source};

/// Bytes of a sector: lengths of disks are whole numbers of them.
pub(super) const SECTOR: u64 = 512;

pub(super) const MAGIC: [u8; 4] = *b"QFI\xfb";
/// Subclusters of a cluster with extended L2 entries.
pub(super) const SUBCLUSTERS: u64 = 32;
pub(super) const CLUSTER_BITS: std::ops::RangeInclusive<u32> = 9..=21;
/// Bytes of the header of version 2.
pub(super) const HEADER_2: usize = 72;
/// Bytes of the header of version 3 with the kind of compression.
pub(super) const HEADER_3: usize = 112;

// Incompatible features.
pub(super) const DIRTY: u64 = 1;
pub(super) const CORRUPT: u64 = 1 << 1;
pub(super) const DATA_FILE: u64 = 1 << 2;
pub(super) const COMPRESSION: u64 = 1 << 3;
pub(super) const EXTENDED_L2: u64 = 1 << 4;
const KNOWN: u64 = DIRTY | CORRUPT | DATA_FILE | COMPRESSION | EXTENDED_L2;
/// A compatible feature.
pub(super) const LAZY: u64 = 1;
// Autoclear features.
pub(super) const BITMAPS: u64 = 1;
pub(super) const RAW_DATA: u64 = 1 << 1;

// Extensions of the header.
pub(super) const BACKING_FORMAT: u32 = 0xe279_2aca;
pub(super) const FEATURES: u32 = 0x6803_f857;
pub(super) const BITMAPS_AT: u32 = 0x2385_2875;
pub(super) const ENCRYPTION_AT: u32 = 0x0537_be77;
pub(super) const DATA_FILE_NAME: u32 = 0x4441_5441;
/// Our own: the exact length of an image that is no whole number of sectors. Others ignore it and see the sectors.
pub(super) const EXACT_LEN: u32 = 0x7474_6c6e;

/// The table entry is the only reference to what it points to.
pub(super) const COPIED: u64 = 1 << 63;
pub(super) const COMPRESSED: u64 = 1 << 62;
/// The offset in entries of L1, L2 and bitmap tables.
pub(super) const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;
/// The cluster reads as zeros.
pub(super) const ZERO: u64 = 1;

/// How compressed clusters are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Codec {
    Zlib,
    Zstd,
}

impl Codec {
    pub(super) fn name(self) -> &'static str {
        match self {
            Codec::Zlib => "zlib",
            Codec::Zstd => "zstd",
        }
    }

    /// How the bytes of a cluster are made from those that are stored.
    pub(super) fn coding(self) -> Coding {
        match self {
            Codec::Zlib => Coding::Deflate,
            Codec::Zstd => Coding::Zstd,
        }
    }
}

/// How the content of clusters is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    None,
    Aes,
    Luks,
}

/// The sizes that follow from the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Geometry {
    pub(super) cluster_bits: u32,
    pub(super) extended: bool,
    pub(super) refcount_order: u32,
}

impl Geometry {
    pub(super) fn cluster(self) -> u64 {
        1 << self.cluster_bits
    }

    /// Bytes of an entry of an L2 table.
    pub(super) fn entry(self) -> u64 {
        if self.extended { 16 } else { 8 }
    }

    pub(super) fn l2_entries(self) -> u64 {
        self.cluster() / self.entry()
    }

    /// Bytes of the disk that one L2 table maps.
    pub(super) fn l2_span(self) -> u64 {
        self.l2_entries() << self.cluster_bits
    }

    /// The unit of allocation: a subcluster, or a whole cluster where there are none.
    pub(super) fn subcluster(self) -> u64 {
        if self.extended { self.cluster() / SUBCLUSTERS } else { self.cluster() }
    }

    /// References counted in one refcount block.
    pub(super) fn counts(self) -> u64 {
        (self.cluster() * 8) >> self.refcount_order
    }

    /// The highest reference count that can be written.
    pub(super) fn most_references(self) -> u64 {
        u64::MAX >> (64 - (1 << self.refcount_order))
    }

    /// Where the number of sectors begins in the descriptor of a compressed cluster.
    fn packed_shift(self) -> u32 {
        62 - (self.cluster_bits - 8)
    }

    /// The descriptor of a compressed cluster of `len` bytes from `offset`.
    pub(super) fn packed(self, offset: u64, len: u64) -> u64 {
        let sectors = (offset + len - 1) / SECTOR - offset / SECTOR;
        COMPRESSED | sectors << self.packed_shift() | offset
    }

    /// True if a compressed cluster can be described that begins at `offset`.
    pub(super) fn can_pack_at(self, offset: u64) -> bool {
        offset >> self.packed_shift().min(56) == 0
    }

    /// Where the compressed cluster lies that the entry describes, and at most how many bytes it has.
    pub(super) fn unpacked(self, entry: u64) -> (u64, u64) {
        let shift = self.packed_shift();
        let offset = entry & ((1 << shift) - 1);
        let sectors = (entry >> shift) & ((1 << (self.cluster_bits - 8)) - 1);
        (offset, (sectors + 1) * SECTOR - offset % SECTOR)
    }
}

/// Where the bitmap directory lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BitmapsAt {
    pub(super) count: u32,
    pub(super) offset: u64,
    pub(super) len: u64,
}

/// The header with its extensions.
#[derive(Clone, Debug)]
pub(super) struct Header {
    pub(super) version: u32,
    pub(super) geometry: Geometry,
    pub(super) size: u64,
    pub(super) method: Method,
    pub(super) l1_size: u32,
    pub(super) l1_table_offset: u64,
    pub(super) refcount_table_offset: u64,
    pub(super) refcount_table_clusters: u32,
    pub(super) nb_snapshots: u32,
    pub(super) snapshots_offset: u64,
    pub(super) incompatible: u64,
    pub(super) compatible: u64,
    pub(super) autoclear: u64,
    pub(super) codec: Codec,
    pub(super) backing_file: Option<String>,
    pub(super) backing_format: Option<String>,
    pub(super) data_file: Option<String>,
    pub(super) bitmaps: Option<BitmapsAt>,
    /// Offset and length of the LUKS header.
    pub(super) encryption_at: Option<(u64, u64)>,
    pub(super) exact_len: Option<u64>,
}

/// The text in an extension, up to the first NUL: some writers fill up with those.
fn text(bytes: &[u8], what: &str) -> Result<String> {
    let bytes = bytes.split(|b| *b == 0).next().unwrap_or_default();
    String::from_utf8(bytes.to_vec()).map_err(|_| Error::unsupported(format!("the name of the {what} is no UTF-8")))
}

impl Header {
    /// Reads and checks the header at the start of `source`, and its extensions.
    pub(super) fn read(source: &dyn Source) -> Result<Self> {
        let mut fixed = [0; HEADER_3];
        let held = source.len().min(HEADER_3 as u64) as usize;
        source.read_at(&mut fixed[..held], 0)?;
        let version = be32(&fixed, 4);
        if fixed[..4] != MAGIC {
            return Err(Error::corrupt("does not begin like a QCOW2 image"));
        }
        if !(2..=3).contains(&version) {
            return Err(Error::unsupported(format!("QCOW2 of version {version}; versions 2 and 3 are known")));
        }
        let least = if version == 2 { HEADER_2 } else { 104 };
        if held < least {
            return Err(Error::corrupt("the file ends inside its header").at(held as u64));
        }
        let cluster_bits = be32(&fixed, 20);
        if !CLUSTER_BITS.contains(&cluster_bits) {
            let what = format!("clusters of 2^{cluster_bits} bytes; they have 2^9 to 2^21");
            return Err(Error::unsupported(what).at(20));
        }
        let length = if version == 2 { HEADER_2 as u64 } else { u64::from(be32(&fixed, 100)) };
        if length < least as u64 || length > 1 << cluster_bits || (version > 2 && !length.is_multiple_of(8)) {
            return Err(Error::corrupt(format!("the header calls itself {length} bytes long")).at(100));
        }
        if version == 2 {
            fixed[HEADER_2..].fill(0);
        }
        fixed[(length as usize).min(HEADER_3)..].fill(0);
        let incompatible = be64(&fixed, 72);
        let geometry = Geometry {
            cluster_bits,
            extended: incompatible & EXTENDED_L2 != 0,
            refcount_order: if version == 2 { 4 } else { be32(&fixed, 96) },
        };
        let mut header = Header {
            version,
            geometry,
            size: be64(&fixed, 24),
            method: Method::None,
            l1_size: be32(&fixed, 36),
            l1_table_offset: be64(&fixed, 40),
            refcount_table_offset: be64(&fixed, 48),
            refcount_table_clusters: be32(&fixed, 56),
            nb_snapshots: be32(&fixed, 60),
            snapshots_offset: be64(&fixed, 64),
            incompatible,
            compatible: be64(&fixed, 80),
            autoclear: be64(&fixed, 88),
            codec: Codec::Zlib,
            backing_file: None,
            backing_format: None,
            data_file: None,
            bitmaps: None,
            encryption_at: None,
            exact_len: None,
        };
        let name_at = be64(&fixed, 8);
        let name_len = be32(&fixed, 16);
        let names = header.extensions(source, length, name_at)?;
        let unknown = incompatible & !KNOWN;
        if unknown != 0 {
            let bits = (0..64).filter(|bit| unknown >> bit & 1 != 0);
            let called = |bit: u8| names.iter().find(|(b, _)| *b == bit).map_or("a feature without a name", |(_, n)| n);
            let list: Vec<_> = bits.map(|bit| format!("{} (bit {bit})", called(bit))).collect();
            return Err(
                Error::unsupported(format!("the image needs what is not known here: {}", list.join(", "))).at(72)
            );
        }
        header.codec = match (incompatible & COMPRESSION != 0, fixed[104]) {
            (false, 0) => Codec::Zlib,
            (true, 1) => Codec::Zstd,
            (false, kind) => {
                let what = format!("compression {kind} without the feature bit that says so");
                return Err(Error::corrupt(what).at(104));
            }
            (true, 0) => return Err(Error::corrupt("a feature bit names a compression that is not there").at(104)),
            (true, kind) => return Err(Error::unsupported(format!("clusters compressed in way {kind}")).at(104)),
        };
        header.method = match be32(&fixed, 32) {
            0 => Method::None,
            1 => Method::Aes,
            2 => Method::Luks,
            other => return Err(Error::unsupported(format!("clusters encrypted in way {other}")).at(32)),
        };
        if name_at != 0 {
            if name_at.checked_add(name_len.into()).is_none_or(|end| end > geometry.cluster()) {
                return Err(Error::corrupt("the name of the backing file lies outside the first cluster").at(8));
            }
            if name_len > 0 {
                header.backing_file = Some(backing_name(source, name_at, name_len)?);
            }
        }
        header.sound()?;
        Ok(header)
    }

    /// Refuses numbers that contradict each other.
    fn sound(&self) -> Result<()> {
        let corrupt = |what: String, at: u64| Err(Error::corrupt(what).at(at));
        let cluster = self.geometry.cluster();
        if self.geometry.extended && self.geometry.cluster_bits < 14 {
            return corrupt(format!("subclusters in clusters of {cluster} bytes; they need 16 KiB"), 20);
        }
        if self.geometry.refcount_order > 6 {
            return corrupt(format!("reference counts of 2^{} bits", self.geometry.refcount_order), 96);
        }
        if self.size > i64::MAX as u64 {
            return corrupt(format!("a disk of {} bytes", self.size), 24);
        }
        let needed = self.size.div_ceil(self.geometry.l2_span());
        if needed > u64::from(self.l1_size) {
            return corrupt(format!("the L1 table has {} entries, the disk needs {needed}", self.l1_size), 36);
        }
        for (what, offset, at) in [
            ("L1 table", self.l1_table_offset, 40),
            ("refcount table", self.refcount_table_offset, 48),
            ("snapshot table", self.snapshots_offset, 64),
        ] {
            if !offset.is_multiple_of(cluster) || offset > i64::MAX as u64 {
                return corrupt(format!("the {what} begins at {offset}, which is no cluster"), at);
            }
        }
        if self.autoclear & RAW_DATA != 0 && self.incompatible & DATA_FILE == 0 {
            return corrupt("a raw data file without a data file".into(), 88);
        }
        Ok(())
    }

    /// Reads what stands behind the header, up to the name of the backing file. Returns the names of incompatible features.
    fn extensions(&mut self, source: &dyn Source, from: u64, name_at: u64) -> Result<Vec<(u8, String)>> {
        let cluster = self.geometry.cluster();
        let end = if name_at >= from && name_at < cluster { name_at } else { cluster }.min(source.len());
        let mut area = vec![0; end.saturating_sub(from) as usize];
        source.read_at(&mut area, from)?;
        let mut names = Vec::new();
        let mut at = 0;
        while at + 8 <= area.len() {
            let (kind, len) = (be32(&area, at), be32(&area, at + 4) as usize);
            let place = from + at as u64;
            if kind == 0 {
                break;
            }
            let Some(data) = area.get(at + 8..).and_then(|rest| rest.get(..len)) else {
                return Err(Error::corrupt(format!("a header extension of {len} bytes does not fit")).at(place));
            };
            match kind {
                BACKING_FORMAT => {
                    self.backing_format =
                        Some(text(data, "format of the backing file")?).filter(|name| !name.is_empty());
                }
                DATA_FILE_NAME => self.data_file = Some(text(data, "data file")?),
                FEATURES => {
                    let (entries, _) = data.as_chunks::<48>();
                    names.extend(entries.iter().filter(|entry| entry[0] == 0).map(|[_, bit, name @ ..]| {
                        let name = name.split(|b| *b == 0).next().unwrap_or_default();
                        (*bit, String::from_utf8_lossy(name).escape_debug().to_string())
                    }));
                }
                BITMAPS_AT if len == 24 => {
                    self.bitmaps = Some(BitmapsAt { count: be32(data, 0), len: be64(data, 8), offset: be64(data, 16) });
                }
                ENCRYPTION_AT if len == 16 => self.encryption_at = Some((be64(data, 0), be64(data, 8))),
                BITMAPS_AT | ENCRYPTION_AT => {
                    return Err(Error::corrupt(format!("a header extension has {len} bytes")).at(place));
                }
                EXACT_LEN if len == 8 => self.exact_len = Some(be64(data, 0)),
                // To be ignored, says the specification.
                _ => {}
            }
            at += 8 + len.next_multiple_of(8);
        }
        Ok(names)
    }

    /// True if clusters lie in another file.
    pub(super) fn data_file_is_used(&self) -> bool {
        self.incompatible & DATA_FILE != 0
    }

    /// Where the cluster at `offset` of the disk is whose L2 entry this is, if it is compressed.
    fn packed(&self, offset: u64, entry: u64) -> Result<Option<Place>> {
        if entry & COMPRESSED == 0 {
            return Ok(None);
        }
        if self.data_file_is_used() {
            return Err(wrong(offset, "is compressed, which cannot be with a data file"));
        }
        let (at, stored) = self.geometry.unpacked(entry);
        Ok(Some(Place::Packed(Packed { at, stored, block: offset, plain: self.geometry.cluster() })))
    }

    /// Where the cluster at `offset` of the disk has room whose L2 entry this is, if it has.
    fn room(&self, offset: u64, entry: u64) -> Result<Option<u64>> {
        let host = entry & OFFSET;
        // With a data file a cluster may lie at its very start.
        let held = host != 0 || (self.data_file_is_used() && entry & COPIED != 0);
        if held && !host.is_multiple_of(self.geometry.cluster()) {
            return Err(wrong(offset, "lies at no multiple of the cluster size"));
        }
        Ok(held.then_some(host))
    }

    /// What an L2 entry says of the cluster at `offset` of the disk. Bits that are reserved are not looked at.
    pub(super) fn cluster(&self, offset: u64, entry: u64) -> Result<Place> {
        if let Some(packed) = self.packed(offset, entry)? {
            return Ok(packed);
        }
        let room = self.room(offset, entry)?;
        if entry & ZERO != 0 {
            return match self.version {
                2 => Err(wrong(offset, "is marked as zeros, which version 2 does not have")),
                _ => Ok(Place::Zero),
            };
        }
        Ok(room.map_or(Place::Absent, Place::At))
    }

    /// What an extended L2 entry, with the bits of the subclusters, says of subcluster `sub` of the cluster at `offset` of the disk.
    pub(super) fn subcluster(&self, offset: u64, (entry, bits): (u64, u64), sub: u64) -> Result<Place> {
        if let Some(packed) = self.packed(offset, entry)? {
            return Ok(packed);
        }
        match (bits >> sub & 1 != 0, bits >> (32 + sub) & 1 != 0, self.room(offset, entry)?) {
            (true, true, _) => Err(wrong(offset, "has a subcluster that is both data and zeros")),
            (true, false, Some(host)) => Ok(Place::At(host + sub * (self.geometry.cluster() / SUBCLUSTERS))),
            (true, false, None) => Err(wrong(offset, "has a subcluster that lies nowhere")),
            (false, true, _) => Ok(Place::Zero),
            (false, false, _) => Ok(Place::Absent),
        }
    }
}

/// What is wrong with the cluster at `offset` of the disk.
fn wrong(offset: u64, what: &str) -> Error {
    Error::corrupt(format!("the cluster at {offset} of the disk {what}"))
}
