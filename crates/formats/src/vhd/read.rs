//! The reader.

use super::layout::{ABSENT, EPOCH, FOOTER, Footer, Header, Kind, MOST, SECTOR, VERSION};
use super::{geometry, parent};
use crate::blocks::{Bits, BlockMap, Entry, HostFile, Mapped, Place, Run, Straight, Table};
use crate::uuid;
use std::sync::Arc;
use tintype_core::{Checksums, Error, Facts, Finding, Image, OpenRequest, Result, Source};

/// What an image says about itself.
pub(super) struct Parsed {
    pub(super) footer: Footer,
    pub(super) kind: Kind,
    pub(super) len: u64,
    /// Where the last footer is, or would be.
    pub(super) end: u64,
    pub(super) host: HostFile,
    /// Header and block table of what is not fixed.
    pub(super) dynamic: Option<(Header, Table)>,
    pub(super) findings: Vec<Finding>,
    pub(super) warnings: Vec<String>,
}

/// Reads footers and header of an image.
pub(super) fn parse(request: &OpenRequest) -> Result<Parsed> {
    let name = &request.entry.name;
    parse_source(name, request.entry.source()?).map_err(|e| e.in_path(name))
}

fn at<const N: usize>(source: &dyn Source, offset: u64) -> Result<Option<[u8; N]>> {
    let mut bytes = [0; N];
    if offset.checked_add(N as u64).is_none_or(|end| end > source.len()) {
        return Ok(None);
    }
    source.read_at(&mut bytes, offset)?;
    Ok(Some(bytes))
}

/// The footer at the end, and where it is.
fn last_footer(source: &dyn Source) -> Result<Option<(Footer, u64)>> {
    let len = source.len();
    if let Some(place) = len.checked_sub(FOOTER)
        && let Some(bytes) = at::<512>(source, place)?
        && let Some(footer) = Footer::parse(&bytes)
    {
        return Ok(Some((footer, place)));
    }
    if let Some(place) = len.checked_sub(FOOTER - 1)
        && let Some(bytes) = at::<511>(source, place)?
        && let Some(footer) = Footer::parse(&bytes)
    {
        return Ok(Some((footer, place)));
    }
    Ok(None)
}

fn parse_source(name: &str, source: &Arc<dyn Source>) -> Result<Parsed> {
    let mut findings = Vec::new();
    let mut damage = |what: &str, at: u64| findings.push(Finding::damage(what).in_file(name, at));
    let last = last_footer(&**source)?;
    // A fixed disk may hold another VHD: its first sector is the disk's, unless its own footer says otherwise.
    let fixed = last.is_some_and(|(footer, _)| footer.is_intact() && footer.disk_type.get() == Kind::Fixed as u32);
    let first = match fixed {
        true => None,
        false => at::<512>(&**source, 0)?.and_then(|bytes| Footer::parse(&bytes)),
    };
    let end = last.map_or(source.len(), |(_, at)| at);
    let intact = |footer: &Option<Footer>| footer.is_some_and(|f| f.is_intact());
    let last = last.map(|(footer, _)| footer);
    let footer = match (intact(&last), intact(&first)) {
        (true, first_is) => {
            if !fixed && !first_is {
                damage("the copy of the footer at the start is missing or damaged", 0);
            } else if !fixed && first != last {
                damage("the footer and its copy at the start disagree; the footer holds", 0);
            }
            last
        }
        (false, true) => {
            damage("the footer is missing or damaged; its copy at the start holds", end);
            first
        }
        // Some writers get it wrong, and then in both places alike.
        (false, false)
            if first == last || first.is_none() && last.is_some_and(|f| f.kind().is_ok_and(|k| k == Kind::Fixed)) =>
        {
            if last.is_some() {
                damage("the checksum of the footer does not match; it is believed all the same", end);
            }
            last
        }
        (false, false) if last.is_some() || first.is_some() => {
            return Err(Error::corrupt("the checksum of the footer does not match, nor that of a copy").at(end));
        }
        (false, false) => None,
    };
    let footer = footer.ok_or_else(|| Error::corrupt("is no VHD: there is no footer").at(end))?;
    let kind = footer.kind()?;
    if footer.file_format_version.get() >> 16 != VERSION >> 16 {
        let what = format!("format version {:#010x} is not known", footer.file_format_version);
        return Err(Error::unsupported(what));
    }
    let (len, odd) = geometry::len(&footer, (kind == Kind::Fixed).then_some(end));
    if len > MOST || !len.is_multiple_of(SECTOR) {
        let what = format!("a disk of {len} bytes is none: it has whole sectors, and at most 2,040 GiB");
        return Err(Error::corrupt(what).at(end));
    }
    let mut warnings: Vec<String> = odd.into_iter().collect();
    if footer.saved_state != 0 {
        warnings.push("the machine of this disk was suspended, not shut down".into());
    }
    let host = HostFile::new(name, source);
    let dynamic = match kind {
        Kind::Fixed => {
            if len > end {
                let what =
                    format!("the disk of {len} bytes is longer than the file, which has {end} before its footer");
                return Err(Error::corrupt(what).at(end));
            }
            None
        }
        _ => {
            let place = footer.data_offset.get();
            let header = at::<1024>(&**source, place)?.and_then(|bytes| Header::parse(&bytes));
            let header = header.ok_or_else(|| Error::corrupt("the header of the dynamic disk is missing").at(place))?;
            if !header.is_intact() {
                damage("the checksum of the header of the dynamic disk does not match", place);
            }
            Some((header, table(&host, &header, len)?))
        }
    };
    Ok(Parsed { footer, kind, len, end, host, dynamic, findings, warnings })
}

fn table(host: &HostFile, header: &Header, len: u64) -> Result<Table> {
    if header.header_version.get() >> 16 != VERSION >> 16 {
        return Err(Error::unsupported(format!("header version {:#010x} is not known", header.header_version)));
    }
    let block = u64::from(header.block_size.get());
    if block < SECTOR || !block.is_power_of_two() {
        return Err(Error::corrupt(format!("blocks of {block} bytes are none; they are powers of 2")));
    }
    let entries = u64::from(header.max_table_entries.get());
    if entries * block < len {
        let what = format!("the disk of {len} bytes is larger than its {entries} blocks of {block}");
        return Err(Error::corrupt(what));
    }
    // What is beyond the disk is of no use, and may not be there.
    let needed = len.div_ceil(block);
    Table::new("the block table", host.clone(), header.table_offset.get(), needed, Entry::Be32)
}

/// Bytes of the bits in front of a block.
pub(super) fn lead(block: u64) -> u64 {
    (block / SECTOR).div_ceil(8).next_multiple_of(SECTOR)
}

struct Blocks {
    table: Table,
    block: u64,
    /// The bits of sectors, where they count.
    bits: Option<Bits>,
}

impl BlockMap for Blocks {
    fn run_at(&self, offset: u64, _most: u64) -> Result<Run> {
        let (n, inside) = (offset / self.block, offset % self.block);
        // In front of each block are its bits: no two lie together.
        let same = |first: u64, _: u64, value: u64| first == ABSENT && value == ABSENT;
        let (entry, count) = self.table.run(n, u64::MAX, same)?;
        if entry == ABSENT {
            return Ok(Run::new(count * self.block - inside, Place::Absent));
        }
        let at = entry * SECTOR;
        let place = Place::At(at + lead(self.block) + inside);
        let Some(bits) = &self.bits else { return Ok(Run::new(self.block - inside, place)) };
        let (set, sectors) = bits.run(at, inside / SECTOR, self.block / SECTOR)?;
        let len = sectors * SECTOR - inside % SECTOR;
        Ok(Run::new(len, if set { place } else { Place::Absent }))
    }
}

pub(super) fn open(request: &OpenRequest) -> Result<Image> {
    Ok(open_parsed(request, parse(request)?)?.0)
}

/// Opens an image and says what its identifier is.
pub(super) fn open_known(request: &OpenRequest) -> Result<(Image, [u8; 16])> {
    open_parsed(request, parse(request)?)
}

fn open_parsed(request: &OpenRequest, parsed: Parsed) -> Result<(Image, [u8; 16])> {
    let Parsed { footer, kind, len, host, dynamic, findings, warnings, .. } = parsed;
    let name = &request.entry.name;
    let facts = facts(&footer, kind, dynamic.as_ref().map(|(header, _)| header));
    let mut below = None;
    let disk: Arc<dyn Source> = match dynamic {
        None => Arc::new(Mapped::new(Straight { at: 0 }, host, len, 1 << 20).with_facts(facts)),
        Some((header, table)) => {
            let block = u64::from(header.block_size.get());
            let bits = (kind == Kind::Differencing).then(|| Bits::msb_first(host.clone(), lead(block)));
            let mapped = Mapped::new(Blocks { table, block, bits }, host.clone(), len, block).with_facts(facts);
            if kind == Kind::Differencing {
                below = Some(parent::open(request, &*host.source, &header)?);
            }
            Arc::new(mapped.standing_on(below.as_ref().map(|(_, image)| Arc::clone(&image.disk))))
        }
    };
    let mut image = Image {
        warnings,
        damage: findings,
        checksums: Checksums::Structure,
        ..Image::new(kind.name(), disk, vec![name.clone()])
    };
    if let Some((parent, below)) = below {
        image.stand_on(&parent, &super::FORMAT, &below);
    }
    Ok((image, footer.unique_id))
}

fn facts(footer: &Footer, kind: Kind, header: Option<&Header>) -> Facts {
    let mut facts = Facts::default();
    let mut field = |name: &str, value: String| drop(facts.fields.insert(name.to_owned(), value));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end_matches([' ', '\0']).to_owned();
    field("kind", kind.name().into());
    field("unique_id", uuid::plain_text(&footer.unique_id));
    field("creator", text(&footer.creator_application));
    field("creator_host", text(&footer.creator_host_os));
    field("current_size", footer.current_size.to_string());
    field("original_size", footer.original_size.to_string());
    field("geometry", format!("{}/{}/{}", footer.cylinders, footer.heads, footer.sectors));
    field("made_unix_time", (EPOCH + u64::from(footer.time_stamp.get())).to_string());
    if let Some(header) = header {
        field("block_size", header.block_size.to_string());
        if kind == Kind::Differencing {
            field("parent_unique_id", uuid::plain_text(&header.parent_unique_id));
        }
    }
    facts
}
