//! The reader.
//!
//! Source: the head of `compressed_loop.h` of cloop, and files of create_compressed_fs looked at byte by byte.

use super::MAGIC;
use crate::blocks::{BlockMap, Coding, Entry, HostFile, Mapped, Packed, Place, Run, Table, Unpacked};
use std::sync::Arc;
use tintype_core::{Checksums, Error, Facts, Image, OpenRequest, Result};

/// Where the numbers are.
const NUMBERS: u64 = 128;
/// Where the offsets are.
const OFFSETS: u64 = 136;
/// More blocks than this have to be possible at all: 64 GiB in the usual size.
const MANY: u64 = 1 << 20;
/// The version there is, where others may stand.
const VERSION: &[u8] = b"2.0";

/// Blocks and where they are.
pub(super) struct Parsed {
    pub(super) block: u64,
    pub(super) blocks: u64,
    pub(super) table: Table,
    pub(super) host: HostFile,
    coding: Coding,
}

pub(super) fn parse(request: &OpenRequest) -> Result<Parsed> {
    let name = &request.entry.name;
    let source = request.entry.source()?;
    let wrong = |e: Error| e.in_path(name);
    let mut head = [0; OFFSETS as usize];
    if source.len() < OFFSETS {
        return Err(wrong(Error::corrupt("is too short for a cloop")));
    }
    source.read_at(&mut head, 0).map_err(wrong)?;
    let version = head.strip_prefix(MAGIC).and_then(|rest| rest.get(..3)).unwrap_or_default();
    if version != VERSION {
        let what = format!("cloop version {} is not known, only 2.0 is", String::from_utf8_lossy(version));
        return Err(wrong(Error::unsupported(what)));
    }
    let number = |at: u64| {
        let at = at as usize;
        u64::from(u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]))
    };
    let (block, blocks) = (number(NUMBERS), number(NUMBERS + 4));
    if block == 0 || !block.is_multiple_of(512) {
        return Err(wrong(Error::corrupt(format!("blocks of {block} bytes are none")).at(NUMBERS)));
    }
    request.limits.allocate("a block", block).map_err(wrong)?;
    let host = HostFile::new(name, source);
    let table = Table::new("the list of offsets", host.clone(), OFFSETS, blocks + 1, Entry::Be64)?;
    // Every block takes a byte at least. Of few blocks it is told which ones are wrong; of very many, nobody could be told.
    let last = table.get(blocks)?;
    if blocks > MANY && last < table.place(blocks + 1) + blocks {
        let what =
            format!("the list of offsets ends with {last}, which cannot be the end of so many blocks as {blocks}");
        return Err(wrong(Error::corrupt(what).at(table.place(blocks))));
    }
    Ok(Parsed { block, blocks, table, host, coding: Coding::zlib(request.care) })
}

/// Most bytes that a block of `block` bytes takes when it does not become shorter: far more than any zlib makes of it.
fn longest(block: u64) -> u64 {
    block + block / 4 + 4096
}

impl Parsed {
    /// Where a block is stored, and how long that is.
    fn stored(&self, n: u64) -> Result<(u64, u64)> {
        self.between(n, self.table.get(n)?, self.table.get(n + 1)?)
    }

    /// The same for block `n`, which is said to lie from `at` to `end`.
    pub(super) fn between(&self, n: u64, at: u64, end: u64) -> Result<(u64, u64)> {
        match end.checked_sub(at) {
            Some(len) if len > 0 && end <= self.host.source.len() && len <= longest(self.block) => Ok((at, len)),
            _ => {
                let what = format!("block {n} is said to lie at {at} to {end}");
                Err(Error::corrupt(what).at(self.table.place(n)).in_path(&self.host.name))
            }
        }
    }
}

impl BlockMap for Parsed {
    fn run_at(&self, offset: u64, _most: u64) -> Result<Run> {
        let n = offset / self.block;
        let (at, stored) = self.stored(n)?;
        let packed = Packed { at, stored, block: n * self.block, plain: self.block };
        Ok(Run::new((n + 1) * self.block - offset, Place::Packed(packed)))
    }

    fn unpack(&self, _packed: &Packed, stored: &[u8], out: &mut [u8]) -> Result<Unpacked> {
        self.coding.decode_all(stored, out)
    }
}

pub(super) fn open(request: &OpenRequest) -> Result<Image> {
    let parsed = parse(request)?;
    let (block, len) = (parsed.block, parsed.block * parsed.blocks);
    let host = parsed.host.clone();
    let mut facts = Facts::default();
    facts.fields.insert("block_size".into(), block.to_string());
    let disk = Arc::new(Mapped::new(parsed, host, len, block).with_facts(facts));
    let image = Image::new("version 2.0", disk, vec![request.entry.name.clone()]);
    // Every block is a zlib stream, with the Adler-32 of what is in it.
    Ok(Image { compression: "zlib".into(), checksums: Checksums::Every, ..image })
}
