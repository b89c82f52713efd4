//! The log: changes that were written down and perhaps not yet made. They are made in memory only.

use super::layout::{DATA_SECTOR, Descriptor, Header, LogEntry, MIB};
use std::sync::Arc;
use tintype_codec::checksum::Crc32c;
use tintype_core::{Error, Extent, Limits, RangeMap, Result, Source, State, in_range};
use zerocopy::FromBytes;

/// What entries are made of.
const SECTOR: usize = 4096;
/// Descriptors in a sector.
const DESCRIPTORS: usize = SECTOR / size_of::<Descriptor>();
/// How many times the length of the log is read at most to prove its entries: each lies in it once.
const EFFORT: usize = 16;

/// The file with its log replayed, and how many entries that took: none where the log was never begun. `Corrupt` if what is in the log is
/// not whole, or the file was cut off; `Limit` for a log larger than one allocation.
pub(super) fn replay(source: &Arc<dyn Source>, header: &Header, limits: &Limits) -> Result<(Arc<dyn Source>, usize)> {
    let (at, len) = (header.log_offset.get(), u64::from(header.log_length.get()));
    if header.log_version.get() != 0 {
        return Err(Error::unsupported(format!("log version {} is not known, only 0 is", header.log_version)));
    }
    if at < MIB || !at.is_multiple_of(MIB) || len == 0 || !len.is_multiple_of(MIB) {
        return Err(Error::corrupt(format!("a log of {len} bytes at {at} is none")));
    }
    if at.checked_add(len).is_none_or(|end| end > source.len()) {
        return Err(Error::corrupt(format!("the log of {len} bytes lies outside the file")).at(at));
    }
    let mut bytes = vec![0; limits.allocate("the log", len)?];
    source.read_at(&mut bytes, at).map_err(|e| e.at(at))?;
    let log = Log { effort: bytes.len().saturating_mul(EFFORT), bytes, guid: header.log_guid };
    let sequence = log.active().map_err(|e| e.at(at))?;
    let Some(head) = sequence.last() else {
        // Who opens an image notes its log in the headers first, and only then writes into it.
        if !log.is_begun() {
            return Ok((Arc::clone(source), 0));
        }
        let what = "the image was not closed, and there is no whole entry in its log: what it holds is not known";
        return Err(Error::corrupt(what).at(at));
    };
    let flushed = head.header.flushed_file_offset.get();
    if source.len() < flushed {
        let what = format!("the file has {} bytes and had at least {flushed}: it was cut off", source.len());
        return Err(Error::corrupt(what));
    }
    let mut replayed = Replayed {
        len: source.len().max(head.header.last_file_offset.get()),
        base: Arc::clone(source),
        patches: RangeMap::new(),
        sectors: Vec::new(),
    };
    for entry in &sequence {
        log.apply(entry, &mut replayed)?;
    }
    if replayed.len > i64::MAX as u64 {
        return Err(Error::corrupt("the log makes the file longer than any file can be").at(at));
    }
    Ok((Arc::new(replayed), sequence.len()))
}

/// An entry that is whole.
#[derive(Clone)]
struct Entry {
    at: usize,
    header: LogEntry,
}

struct Log {
    bytes: Vec<u8>,
    guid: [u8; 16],
    effort: usize,
}

impl Log {
    /// True if any sector is the first of an entry, whole or not, of this log.
    fn is_begun(&self) -> bool {
        self.bytes.chunks_exact(SECTOR).any(|sector| {
            LogEntry::read_from_prefix(sector)
                .is_ok_and(|(entry, _)| entry.signature == LogEntry::SIGNATURE && entry.log_guid == self.guid)
        })
    }

    /// A sector of the entry at `at`, which may go on at the start of the log.
    fn sector(&self, at: usize, i: usize) -> &[u8] {
        let place = (at + i * SECTOR) % self.bytes.len();
        &self.bytes[place..place + SECTOR]
    }

    fn descriptor(&self, at: usize, i: usize) -> Option<Descriptor> {
        // The header has the room of two.
        let slot = i + 2;
        let sector = self.sector(at, slot / DESCRIPTORS);
        let place = slot % DESCRIPTORS * size_of::<Descriptor>();
        Descriptor::read_from_prefix(&sector[place..]).ok().map(|(d, _)| d)
    }

    /// Sectors that the descriptors of so many take, with the header.
    fn descriptor_sectors(count: usize) -> usize {
        (count + 2).div_ceil(DESCRIPTORS)
    }

    /// The entry at `at`, if it is whole. Counts what that cost.
    fn entry(&self, at: usize, spent: &mut usize) -> Result<Option<Entry>> {
        let Ok((header, _)) = LogEntry::read_from_prefix(self.sector(at, 0)) else { return Ok(None) };
        let (len, tail) = (header.entry_length.get() as usize, header.tail.get() as usize);
        let count = header.descriptor_count.get() as usize;
        let (sectors, number) = (len / SECTOR, header.sequence_number.get());
        let sane = header.signature == LogEntry::SIGNATURE
            && header.log_guid == self.guid
            && number > 0
            && len.is_multiple_of(SECTOR)
            && len <= self.bytes.len()
            && tail.is_multiple_of(SECTOR)
            && tail < self.bytes.len()
            && count <= self.bytes.len() / size_of::<Descriptor>()
            && Self::descriptor_sectors(count) <= sectors;
        if !sane {
            return Ok(None);
        }
        *spent += len;
        if *spent > self.effort {
            return Err(Error::limit("the entries of the log lie over each other: to prove them would take too long"));
        }
        let mut sum = Crc32c::new();
        for i in 0..sectors {
            let sector = self.sector(at, i);
            match i {
                0 => {
                    sum.update(&sector[..4]);
                    sum.update(&[0; 4]);
                    sum.update(&sector[8..]);
                }
                _ => sum.update(sector),
            }
        }
        if sum.value() != header.checksum.get() {
            return Ok(None);
        }
        let mut data = 0;
        for i in 0..count {
            let Some(descriptor) = self.descriptor(at, i) else { return Ok(None) };
            let known = [Descriptor::DATA, Descriptor::ZERO].contains(&descriptor.signature);
            data += usize::from(descriptor.signature == Descriptor::DATA);
            if !known || descriptor.sequence_number.get() != number {
                return Ok(None);
            }
        }
        let first = Self::descriptor_sectors(count);
        let whole = first + data == sectors
            && (first..sectors).all(|i| {
                let sector = self.sector(at, i);
                let (high, low) = ((number >> 32) as u32, number as u32);
                sector[..4] == DATA_SECTOR
                    && sector[4..8] == high.to_le_bytes()
                    && sector[SECTOR - 4..] == low.to_le_bytes()
            });
        Ok(whole.then_some(Entry { at, header }))
    }

    /// The newest whole sequence: its entries from the tail to the head. Empty if there is none.
    fn active(&self) -> Result<Vec<Entry>> {
        let len = self.bytes.len();
        let (mut spent, mut candidate) = (0, Vec::new());
        let mut number = 0;
        let (mut tail, mut seen) = (0, 0);
        while seen < len {
            let mut sequence: Vec<Entry> = Vec::new();
            let (mut head, mut took) = (tail, 0);
            while took < len {
                let Some(entry) = self.entry(head, &mut spent)? else { break };
                let next = entry.header.sequence_number.get();
                if sequence.last().is_some_and(|last| last.header.sequence_number.get().checked_add(1) != Some(next)) {
                    break;
                }
                let entry_len = entry.header.entry_length.get() as usize;
                head = (head + entry_len) % len;
                took += entry_len;
                sequence.push(entry);
            }
            let from = sequence.last().and_then(|last| {
                let tail = last.header.tail.get() as usize;
                Some((sequence.iter().position(|e| e.at == tail)?, last.header.sequence_number.get()))
            });
            let step = match from {
                Some((from, newest)) => {
                    if newest > number {
                        number = newest;
                        candidate = sequence.split_off(from);
                    }
                    took
                }
                None => SECTOR,
            };
            tail = (tail + step) % len;
            seen += step;
        }
        Ok(candidate)
    }

    fn apply(&self, entry: &Entry, file: &mut Replayed) -> Result<()> {
        let count = entry.header.descriptor_count.get() as usize;
        let mut data = Self::descriptor_sectors(count);
        for i in 0..count {
            let Some(descriptor) = self.descriptor(entry.at, i) else { continue };
            let at = descriptor.file_offset.get();
            let zeros = u64::from_le_bytes(descriptor.leading_bytes);
            let is_data = descriptor.signature == Descriptor::DATA;
            let len = if is_data { SECTOR as u64 } else { zeros };
            let end =
                at.checked_add(len).filter(|_| at.is_multiple_of(SECTOR as u64) && len.is_multiple_of(SECTOR as u64));
            let Some(end) = end else {
                return Err(Error::corrupt(format!("the log changes {len} bytes at {at}, which are no sectors")));
            };
            let patch = if is_data {
                let sector = self.sector(entry.at, data);
                data += 1;
                let index = file.sectors.len() / SECTOR;
                file.sectors.extend_from_slice(&descriptor.leading_bytes);
                file.sectors.extend_from_slice(&sector[8..SECTOR - 4]);
                file.sectors.extend_from_slice(&descriptor.trailing_bytes);
                // There are fewer than the log has sectors.
                Patch::Sector(index as u32)
            } else {
                Patch::Zero
            };
            if len > 0 {
                file.patches.set(at..end, patch);
                file.len = file.len.max(end);
            }
        }
        Ok(())
    }
}

/// What the log says of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Patch {
    Zero,
    /// A sector of the log, by its number.
    Sector(u32),
}

/// A file with changes over it.
struct Replayed {
    base: Arc<dyn Source>,
    len: u64,
    patches: RangeMap<Patch>,
    sectors: Vec<u8>,
}

impl Source for Replayed {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        in_range(self.len, offset, buf.len() as u64)?;
        let there = self.base.len().saturating_sub(offset).min(buf.len() as u64) as usize;
        let (known, beyond) = buf.split_at_mut(there);
        beyond.fill(0);
        if there > 0 {
            self.base.read_at(known, offset)?;
        }
        for (range, patch) in self.patches.within(offset..offset + buf.len() as u64) {
            let part = &mut buf[(range.start - offset) as usize..(range.end - offset) as usize];
            match patch {
                Patch::Zero => part.fill(0),
                Patch::Sector(index) => {
                    // Sectors are never cut but by the ends of what is asked for.
                    let from = index as usize * SECTOR + (range.start % SECTOR as u64) as usize;
                    part.copy_from_slice(&self.sectors[from..from + part.len()]);
                }
            }
        }
        Ok(())
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        in_range(self.len, offset, 1)?;
        let next = self.patches.next_from(offset);
        let until = match next {
            Some((range, patch)) if range.start <= offset => {
                let state = if patch == Patch::Zero { State::Zero } else { State::Data };
                return Ok(Extent::new(offset, range.end.min(self.len) - offset, state));
            }
            Some((range, _)) => range.start.min(self.len),
            None => self.len,
        };
        if offset >= self.base.len() {
            return Ok(Extent::new(offset, until - offset, State::Zero));
        }
        let there = self.base.extent_at(offset)?;
        let end = there.end().min(until);
        if end <= offset {
            return Err(Error::corrupt("an extent does not cover its offset").at(offset));
        }
        Ok(Extent::new(offset, end - offset, there.state))
    }

    fn shape(&self) -> tintype_core::Shape {
        self.base.shape()
    }
}
