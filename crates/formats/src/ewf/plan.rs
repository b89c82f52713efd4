//! What a new image will look like, decided and proved possible before the first byte is written.

use super::encode::Packing;
use super::header::{Packed, Text, loses_lines, time_of};
use super::layout::{Descriptor, Digest, FileHeader, Hash, Sealed, TABLE_ENTRIES, Volume, table_len};
use super::names::Names;
use super::read::MAP;
use jiff::Timestamp;
use tintype_codec::deflate::Level;
use tintype_codec::digest::{Algorithm, digest};
use tintype_core::{Compression, CreateRequest, Error, OptionSpec, Result, human_size};
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromZeros, IntoBytes};

/// The option that sets the size of chunks.
pub(super) const CHUNK: OptionSpec = OptionSpec {
    name: "chunk",
    values: "16KiB..1MiB",
    default: "32KiB",
    help: "bytes that are compressed together, a power of two",
};

/// Most bytes of a segment if nobody says otherwise: what EnCase allows, and what fits a FAT32 stick.
const SPLIT: u64 = 2000 << 20;
/// Most bytes of a segment.
const MOST_SPLIT: u64 = i64::MAX as u64;
/// Most bytes from the start of a `sectors` section to the end of its chunks. With one more, libewf takes the table for one of
/// EnCase 6.7.1, whose entries use all 32 bits.
pub(super) const SECTION: u64 = i32::MAX as u64;

/// What a new image will look like.
pub(super) struct Plan {
    pub(super) names: Names,
    /// Bytes of the medium, where that is known.
    pub(super) len: Option<u64>,
    /// Bytes of a chunk.
    pub(super) chunk: u64,
    /// Most bytes of a segment.
    pub(super) split: u64,
    pub(super) packing: Packing,
    /// Digests that the image will hold.
    pub(super) digests: Vec<String>,
    /// Bytes of a sector, if the length allows it.
    sector: u32,
    media_type: u8,
    media_flags: u8,
    set: [u8; 16],
    pub(super) packed: Packed,
}

impl Plan {
    /// The plan for `request`; `Usage` if it cannot be carried out.
    pub(super) fn new(request: &CreateRequest) -> Result<Self> {
        let names =
            Names::of_first(&request.name).filter(|_| request.name.to_ascii_lowercase().ends_with(".e01")).ok_or_else(
                || Error::usage(format!("{}: the first file of an E01 image has to end in .E01", request.name)),
            )?;
        let chunk = request.options.size(CHUNK.name, 16 << 10..=1 << 20)?.unwrap_or(32 << 10);
        if !chunk.is_power_of_two() {
            return Err(Error::usage(format!("--option chunk={chunk}: it has to be a power of two")));
        }
        let text = Text::new(&request.facts, Timestamp::now());
        let packed = text.pack();
        let field = |name: &str| request.facts.fields.get(name).map_or("", String::as_str);
        let media_type = match field("media_type") {
            "removable" => 0,
            "optical" => 3,
            "memory" => 0x10,
            _ => 1,
        };
        let media_flags = if field("physical") == "no" { 1 } else { 3 };
        let mut plan = Plan {
            names,
            len: request.len,
            chunk,
            split: 0,
            packing: packing(request.compression.as_ref())?,
            digests: request.digests.iter().filter(|d| matches!(&d[..], "md5" | "sha1")).cloned().collect(),
            sector: wanted_sector(request, chunk),
            media_type,
            media_flags,
            set: set(text.identity(), request.len, chunk),
            packed,
        };
        if request.len.is_some_and(|len| len.div_ceil(chunk) > u64::from(u32::MAX)) {
            return Err(Error::usage(format!(
                "the image would have more than 2^32 chunks of {chunk} bytes; give a larger --option chunk="
            )));
        }
        plan.split = plan.choose_split(request.split)?;
        Ok(plan)
    }

    fn choose_split(&self, asked: Option<u64>) -> Result<u64> {
        let least = self.first_overhead() + self.cost_of_one() + self.tail(0);
        // Whole KiB: the case data is packed, and a date may take a byte more a second later.
        let least = (least + least / 512).next_multiple_of(1024);
        match asked {
            Some(split) if split < least => {
                Err(Error::usage(format!("--split {split}: a segment takes at least {least} bytes")))
            }
            Some(split) if !self.can_be_named(split) => {
                let mut enough = split;
                while !self.can_be_named(enough) {
                    enough = enough.saturating_mul(2);
                }
                Err(Error::usage(format!(
                    "--split {split}: the image may need more than the {} segments that can be named; --split {enough} is enough",
                    self.names.most()
                )))
            }
            Some(split) => Ok(split.min(MOST_SPLIT)),
            None => {
                let mut split = SPLIT;
                while !self.can_be_named(split) {
                    split *= 2;
                }
                Ok(split)
            }
        }
    }

    /// True if segments of at most `split` bytes have names enough even if nothing can be compressed.
    fn can_be_named(&self, split: u64) -> bool {
        let Some(len) = self.len else { return true };
        let each = self.chunk + 4 + 8;
        let usable = split.saturating_sub(self.first_overhead() + self.tail(split));
        let sections = usable / SECTION.min(u64::from(TABLE_ENTRIES) * each) + 2;
        let chunks = usable.saturating_sub(sections * (Descriptor::LEN + 2 * table_len(0) + each)) / each;
        let segments = len.div_ceil(self.chunk).div_ceil(chunks.max(1)) + 1;
        split >= MOST_SPLIT / 2 || segments <= u64::from(self.names.most())
    }

    /// Bytes before the first chunk of the first segment.
    fn first_overhead(&self) -> u64 {
        let headers = 2 * self.packed.wide.len() + self.packed.narrow.len();
        FileHeader::LEN + 4 * Descriptor::LEN + headers as u64 + size_of::<Volume>() as u64
    }

    /// What a section with one chunk takes at most.
    fn cost_of_one(&self) -> u64 {
        Descriptor::LEN + self.chunk + 4 + 2 * table_len(1)
    }

    /// Bytes that are kept free in a segment for what follows its last table.
    pub(super) fn tail(&self, split: u64) -> u64 {
        let fixed = size_of::<Volume>() + size_of::<Digest>() + size_of::<Hash>();
        4 * Descriptor::LEN + fixed as u64 + (split / 1024).min(1 << 20)
    }

    /// The sector that a medium of `len` bytes is written with: the largest that it is a multiple of, so that every byte has a place.
    pub(super) fn sector(&self, len: u64) -> u32 {
        let mut sector = self.sector;
        while !len.is_multiple_of(sector.into()) {
            sector /= 2;
        }
        sector
    }

    /// The volume section of a medium of `len` bytes.
    pub(super) fn volume(&self, len: u64) -> Volume {
        let sector = self.sector(len);
        let mut volume = Volume::new_zeroed();
        volume.media_type = self.media_type;
        volume.chunks = U32::new(u32::try_from(len.div_ceil(self.chunk)).unwrap_or(u32::MAX));
        volume.sectors_per_chunk = U32::new((self.chunk / u64::from(sector)) as u32);
        volume.bytes_per_sector = U32::new(sector);
        volume.sectors = U64::new(len / u64::from(sector));
        volume.media_flags = self.media_flags;
        volume.compression = self.packing.on_disk();
        volume.granularity = U32::new(1);
        volume.set = self.set;
        volume.sealed()
    }

    /// The same plan for the set that a partial image belongs to.
    pub(super) fn of_set(mut self, set: [u8; 16]) -> Self {
        self.set = set;
        self
    }
}

fn packing(compression: Option<&Compression>) -> Result<Packing> {
    Ok(match compression {
        Some(Compression::None) => Packing::None,
        Some(Compression::Empty) => Packing::Empty,
        None | Some(Compression::Fast) => Packing::Zlib(Level::Fast),
        Some(Compression::Best) => Packing::Zlib(Level::Best),
        Some(Compression::Codec { name, level }) if name == "zlib" => match level {
            None => Packing::Zlib(Level::Fast),
            Some(level) => {
                let level = u8::try_from(*level).ok().and_then(Level::number);
                Packing::Zlib(level.ok_or_else(|| Error::usage("--compression zlib:N: N is 1 to 12"))?)
            }
        },
        Some(Compression::Codec { name, .. }) => {
            return Err(Error::usage(format!("--compression {name}: E01 knows none, empty, fast, best and zlib:N")));
        }
    })
}

fn wanted_sector(request: &CreateRequest, chunk: u64) -> u32 {
    let sector = request.shape.sector;
    if sector.is_power_of_two() && (512..=chunk.min(4096)).contains(&sector.into()) { sector } else { 512 }
}

/// A set identifier that looks like a random UUID but is the same for the same image.
fn set(text: &[u8], len: Option<u64>, chunk: u64) -> [u8; 16] {
    let mut bytes = text.to_vec();
    bytes.extend_from_slice(len.unwrap_or(u64::MAX).as_bytes());
    bytes.extend_from_slice(chunk.as_bytes());
    let md5 = digest(Algorithm::Md5, &bytes);
    let mut set = [0; 16];
    set.copy_from_slice(md5.as_bytes());
    set[7] = set[7] & 0x0f | 0x40;
    set[8] = set[8] & 0x3f | 0x80;
    set
}

/// What this image would lose, one sentence each.
pub(super) fn losses(request: &CreateRequest) -> Vec<String> {
    let mut losses = Vec::new();
    let chunk = 32 << 10;
    let mut sector = wanted_sector(request, chunk);
    while request.len.is_some_and(|len| !len.is_multiple_of(sector.into())) {
        sector /= 2;
    }
    let reach = u64::from(sector) << 32;
    if request.len.is_none_or(|len| len > reach) {
        losses.push(format!(
            "the error table of an E01 ends at {}; unreadable ranges beyond that go to the mapfile {}{MAP}, which other programs do not read",
            human_size(reach),
            request.name
        ));
    }
    let identity = &request.facts.identity;
    let named = [("firmware revision", &identity.firmware), ("world wide name", &identity.wwn)];
    let gone: Vec<_> = named.iter().filter(|(_, v)| !v.is_empty()).map(|(n, _)| *n).collect();
    if !gone.is_empty() {
        losses.push(format!("an E01 has no place for the {} of the drive", gone.join(" and the ")));
    }
    let case = &request.facts.case;
    let texts = [&case.case, &case.evidence, &case.examiner, &case.description, &case.notes];
    if texts.iter().any(|t| loses_lines(t)) {
        losses.push("line breaks and tabs in case data become spaces".into());
    }
    for (what, time) in [("acquisition", &case.acquired), ("system", &case.system_time)] {
        if !time.is_empty() && time_of(time).is_none() {
            losses.push(format!("the {what} time {time:?} cannot be understood and is replaced by the present one"));
        }
    }
    losses
}
