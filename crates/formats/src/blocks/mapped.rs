//! The source: bytes by way of a map of blocks.

use super::cipher::{Cipher, SECTOR};
use super::host::as_a_whole;
use super::packed::Stretch;
use super::shelf::owner;
use super::{BlockMap, HostFile, Place, Run};
use std::sync::Arc;
use tintype_core::{Detail, Error, Extent, Facts, Kind, Result, Shape, Source, State, in_range};

/// Bounds of the best unit of reads.
const UNIT: std::ops::RangeInclusive<u64> = 64 << 10..=2 << 20;

/// The bytes of an image whose blocks a [`BlockMap`] finds.
pub(crate) struct Mapped<M> {
    map: M,
    file: HostFile,
    below: Option<Arc<dyn Source>>,
    cipher: Option<Arc<Cipher>>,
    len: u64,
    block: u64,
    shape: Shape,
    facts: Facts,
    /// Under which unpacked blocks are kept.
    owner: u64,
}

impl<M: BlockMap> Mapped<M> {
    /// `len` bytes that `map` finds in `file`, in blocks of `block` bytes.
    pub(crate) fn new(map: M, file: HostFile, len: u64, block: u64) -> Self {
        // The sectors of the medium that the file lies on are not those of the disk in it.
        let unit = block.clamp(*UNIT.start(), *UNIT.end()) as u32;
        let shape = Shape { sector: 512, physical: 512, direct: false, unit, ..file.source.shape() };
        let (below, cipher, facts) = (None, None, Facts::default());
        Mapped { map, file, below, cipher, len, block: block.max(1), shape, facts, owner: owner() }
    }

    /// The same with sectors of these sizes.
    pub(crate) fn with_sectors(mut self, sector: u32, physical: u32) -> Self {
        self.shape = Shape { sector, physical, ..self.shape };
        self
    }

    /// The same with what is known besides.
    pub(crate) fn with_facts(mut self, facts: Facts) -> Self {
        self.facts = facts;
        self
    }

    /// The same on top of another disk, if there is one.
    pub(crate) fn standing_on(mut self, below: Option<Arc<dyn Source>>) -> Self {
        self.below = below;
        self
    }

    /// The same, where blocks that are not packed are encrypted, if they are.
    pub(crate) fn decrypted(mut self, cipher: Option<Arc<Cipher>>) -> Self {
        self.cipher = cipher;
        self
    }

    /// The run at `offset`, inside the image and inside the file.
    fn run_at(&self, offset: u64, most: u64) -> Result<Run> {
        let run = self.map.run_at(offset, most).map_err(|e| e.met_in(&self.file.name))?;
        if run.len == 0 {
            return Err(Error::corrupt("the map of blocks has an empty run").at(offset).in_path(&self.file.name));
        }
        let mut len = run.len.min(self.len - offset);
        if let Place::At(at) = run.place {
            let there = self.file.source.len().saturating_sub(at);
            if there == 0 {
                let has = self.file.source.len();
                let what = format!("the bytes at {offset} of the disk lie at {at}, outside the file, which has {has}");
                return Err(Error::corrupt(what).at(at).in_path(&self.file.name));
            }
            len = len.min(there);
        }
        Ok(Run { len, ..run })
    }

    /// The image below, if it has bytes at `offset`.
    fn below(&self, offset: u64) -> Option<&dyn Source> {
        self.below.as_deref().filter(|below| offset < below.len())
    }

    /// One lookup's worth of extent.
    fn piece_at(&self, offset: u64) -> Result<Extent> {
        let run = match self.run_at(offset, self.len - offset) {
            Ok(run) => run,
            // Told by whoever reads it: one bad entry must not hide the rest.
            Err(e) if e.kind() == Kind::Corrupt => {
                let end = (offset / self.block + 1).saturating_mul(self.block).min(self.len);
                return Ok(Extent::new(offset, end - offset, State::Data));
            }
            Err(e) => return Err(e),
        };
        Ok(match run.place {
            Place::Zero => Extent::new(offset, run.len, State::Zero),
            Place::Unused => Extent::new(offset, run.len, State::Unused),
            Place::Packed(_) => Extent::new(offset, run.len, State::Data),
            Place::At(at) => {
                let seen = seen_through(&*self.file.source, offset, at, run.len)?;
                // Zeros in the file are none on the disk.
                let ciphertext = self.cipher.is_some() && seen.state.reads_zero();
                if ciphertext { Extent { state: State::Data, ..seen } } else { seen }
            }
            Place::Absent => match self.below(offset) {
                Some(below) => seen_through(below, offset, offset, run.len.min(below.len() - offset))?,
                None => Extent::new(offset, run.len, State::Zero),
            },
        })
    }

    /// Fills `buf` from packed blocks, of which `run` is the first at `offset`, as long as one follows the other; how many bytes.
    fn packed(&self, mut run: Run, buf: &mut [u8], offset: u64) -> Result<usize> {
        let mut stretch = Stretch::new(&self.file, self.owner)?;
        let end = offset + buf.len() as u64;
        let mut done = 0;
        while let Place::Packed(packed) = run.place {
            let at = offset + done as u64;
            let len = run.len.min(end - at);
            let part = &mut buf[done..done + len as usize];
            let mut ahead = at + len;
            let mut following = std::iter::from_fn(|| {
                let run = (ahead < end).then(|| self.run_at(ahead, end - ahead).ok()).flatten()?;
                ahead += run.len;
                if let Place::Packed(packed) = run.place { Some(packed) } else { None }
            });
            let inside = at.saturating_sub(packed.block);
            stretch.fill(&self.map, &packed, part, inside, &mut following).map_err(|e| after(e, done))?;
            done += len as usize;
            if done == buf.len() {
                break;
            }
            run = self.run_at(offset + done as u64, end - at - len).map_err(|e| after(e, done))?;
        }
        Ok(done)
    }

    /// Fills `buf` with what is at `at` of the file and at `offset` of the disk.
    fn plain(&self, buf: &mut [u8], at: u64, offset: u64) -> Result<()> {
        let Some(cipher) = &self.cipher else { return self.stored(buf, at, offset) };
        // Whole sectors are decrypted; a part of one is cut out.
        let (before, len) = (offset % SECTOR, buf.len() as u64);
        if before == 0 && len.is_multiple_of(SECTOR) {
            self.stored(buf, at, offset)?;
            cipher.decrypt(buf, at, offset);
            return Ok(());
        }
        let (at, offset) = (at.saturating_sub(before), offset - before);
        let mut sectors = vec![0; (before + len).next_multiple_of(SECTOR) as usize];
        self.file.holds("an encrypted block", at, sectors.len() as u64)?;
        self.stored(&mut sectors, at, offset).map_err(as_a_whole)?;
        cipher.decrypt(&mut sectors, at, offset);
        buf.copy_from_slice(&sectors[before as usize..][..buf.len()]);
        Ok(())
    }

    /// The same as it is stored.
    fn stored(&self, buf: &mut [u8], at: u64, offset: u64) -> Result<()> {
        self.file.source.read_at(buf, at).map_err(|e| moved(e, at, offset).met_in(&self.file.name))
    }

    /// Fills `buf` from `offset` with what the image below has there.
    fn absent(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        let below = self.below(offset);
        let there = below.map_or(0, |below| (below.len() - offset).min(buf.len() as u64));
        let (known, beyond) = buf.split_at_mut(there as usize);
        beyond.fill(0);
        below.map_or(Ok(()), |below| below.read_at(known, offset))
    }
}

/// What `source` knows of its bytes from `at`, as an extent of a disk of at most `len` bytes from `offset`.
fn seen_through(source: &dyn Source, offset: u64, at: u64, len: u64) -> Result<Extent> {
    let there = source.extent_at(at)?;
    if there.offset > at || there.end() <= at {
        return Err(Error::corrupt("an extent does not cover its offset").at(at));
    }
    Ok(Extent::new(offset, len.min(there.end() - at), there.state))
}

/// A failed read of the file at `at`, told as a failed read of the disk at `offset`.
fn moved(e: Error, at: u64, offset: u64) -> Error {
    match e.kind() {
        Kind::Unreadable { good, first_bad } => {
            let first_bad = first_bad.and_then(|bad| bad.checked_sub(at)?.checked_add(offset));
            Error::unreadable("a part of the image's file could not be read", good, first_bad).because(e)
        }
        _ => e,
    }
}

/// A failed read of a part of a buffer, told as one of the whole, `done` bytes of which are there.
fn after(e: Error, done: usize) -> Error {
    match e.kind() {
        Kind::Unreadable { good, first_bad } => e.into_kind(Kind::Unreadable { good: good + done as u64, first_bad }),
        _ => e,
    }
}

impl<M: BlockMap> Source for Mapped<M> {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        in_range(self.len, offset, buf.len() as u64)?;
        let mut done = 0;
        while done < buf.len() {
            let at = offset + done as u64;
            let rest = &mut buf[done..];
            let run = self.run_at(at, rest.len() as u64).map_err(|e| after(e, done))?;
            let len = run.len.min(rest.len() as u64) as usize;
            let part = &mut rest[..len];
            let read = match run.place {
                Place::Zero | Place::Unused => {
                    part.fill(0);
                    Ok(len)
                }
                Place::At(host) => self.plain(part, host, at).map(|()| len),
                Place::Packed(_) => self.packed(run, rest, at),
                Place::Absent => self.absent(part, at).map(|()| len),
            };
            done += read.map_err(|e| after(e, done))?;
        }
        Ok(())
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        in_range(self.len, offset, 1)?;
        // No further: whoever wants the whole run joins them, and in a chain each image would do it for every one above it.
        self.piece_at(offset)
    }

    fn detail_at(&self, offset: u64) -> Result<Option<Detail>> {
        in_range(self.len, offset, 1)?;
        let run = self.run_at(offset, self.len - offset)?;
        let file = Some(self.file.name.clone());
        Ok(match run.place {
            Place::Zero | Place::Unused => Some(Detail::default()),
            Place::At(at) => {
                Some(Detail { file, host_offset: Some(at), stored_len: Some(run.len), ..Detail::default() })
            }
            Place::Packed(packed) => {
                let (host_offset, stored_len) = (Some(packed.at), Some(packed.stored));
                Some(Detail { file, host_offset, stored_len, compressed: true, depth: 0 })
            }
            Place::Absent => match self.below(offset) {
                Some(below) => {
                    let detail = below.detail_at(offset)?.unwrap_or_default();
                    Some(Detail { depth: detail.depth + 1, ..detail })
                }
                None => Some(Detail::default()),
            },
        })
    }

    fn shape(&self) -> Shape {
        self.shape
    }

    fn facts(&self) -> &Facts {
        &self.facts
    }
}
