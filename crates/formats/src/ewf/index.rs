//! Where every chunk is: tables are known by their heads, their entries are read when they are needed and kept for a while.

use super::layout::COMPRESSED;
use super::scan::{Entries, MOST_ENTRIES, Segment, Table};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use tintype_codec::checksum::adler32;
use tintype_core::{Error, Result};

/// Bytes of table entries that are kept in memory.
const KEEP: usize = 32 << 20;

/// Where one chunk is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    /// Its offset in the segment file.
    pub(super) at: u64,
    /// Its length there; of the last chunk of a table what may at most be its length.
    pub(super) len: u64,
    pub(super) compressed: bool,
}

/// The entries of one table.
pub(super) struct Loaded {
    raw: Vec<u32>,
    /// The first entry that uses all 32 bits for the offset.
    wide_from: usize,
    /// True if `table` was damaged and this is `table2`.
    pub(super) from_copy: bool,
}

/// All tables of an image.
pub(super) struct Index {
    segments: Vec<Segment>,
    tables: Vec<Table>,
    /// Bytes that a stored chunk may at most take.
    most: u64,
    kept: Mutex<VecDeque<(usize, Arc<Loaded>)>>,
}

impl Index {
    /// An index of chunks of `chunk` plain bytes.
    pub(super) fn new(segments: Vec<Segment>, tables: Vec<Table>, chunk: u64) -> Self {
        // Deflate's stored blocks add 5 bytes each, and the smallest that a program writes are some hundred bytes.
        let most = chunk + chunk / 64 + 128;
        Index { segments, tables, most, kept: Mutex::default() }
    }

    /// The same index with nothing loaded yet.
    pub(super) fn borrowed(&self) -> Self {
        Index { segments: self.segments.clone(), tables: self.tables.clone(), most: self.most, kept: Mutex::default() }
    }

    pub(super) fn tables(&self) -> &[Table] {
        &self.tables
    }

    pub(super) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The segment file that holds `table`.
    pub(super) fn segment(&self, table: &Table) -> &Segment {
        &self.segments[table.segment as usize]
    }

    /// The table that holds `chunk`, with its entries.
    pub(super) fn find(&self, chunk: u64) -> Result<(&Table, Arc<Loaded>)> {
        let i = self.tables.partition_point(|t| t.first <= chunk).wrapping_sub(1);
        match self.tables.get(i) {
            Some(table) if chunk - table.first < u64::from(table.count) => Ok((table, self.loaded(i)?)),
            _ => Err(Error::corrupt(format!("no table has chunk {chunk}"))),
        }
    }

    fn loaded(&self, i: usize) -> Result<Arc<Loaded>> {
        let lock = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        {
            let mut kept = lock();
            if let Some(at) = kept.iter().position(|(n, _)| *n == i) {
                let hit = kept.remove(at).expect("the position is of this very deque");
                let loaded = Arc::clone(&hit.1);
                kept.push_front(hit);
                return Ok(loaded);
            }
        }
        let loaded = Arc::new(self.load(i)?);
        let mut kept = lock();
        kept.push_front((i, Arc::clone(&loaded)));
        let mut bytes: usize = kept.iter().map(|(_, l)| l.raw.len() * 4).sum();
        while bytes > KEEP && kept.len() > 1 {
            bytes -= kept.pop_back().map_or(0, |(_, l)| l.raw.len() * 4);
        }
        Ok(loaded)
    }

    /// Reads the entries of table `i`, from its copy if they are damaged.
    pub(super) fn load(&self, i: usize) -> Result<Loaded> {
        let table = &self.tables[i];
        let (at, sealed) = match &table.entries {
            Entries::Memory(raw) => return Ok(Loaded::new(raw.as_ref().clone(), table, false)),
            Entries::File { at, sealed } => (*at, *sealed),
        };
        let first = self.entries(table, at, sealed);
        match (first, table.copy) {
            (Ok(raw), _) => Ok(Loaded::new(raw, table, false)),
            (Err(e), None) => Err(e),
            (Err(e), Some(copy)) => match self.entries(table, copy, true) {
                Ok(raw) => Ok(Loaded::new(raw, table, true)),
                Err(_) => Err(e),
            },
        }
    }

    /// The entries at `at`, their checksum proved if they carry one.
    pub(super) fn entries(&self, table: &Table, at: u64, sealed: bool) -> Result<Vec<u32>> {
        let segment = self.segment(table);
        let count = table.count.min(MOST_ENTRIES) as usize;
        let mut bytes = vec![0; count * 4 + if sealed { 4 } else { 0 }];
        segment.source.read_at(&mut bytes, at).map_err(|e| e.in_path(&segment.name).at(at))?;
        if sealed {
            let stored = bytes.split_off(count * 4);
            if stored != adler32(&bytes).to_le_bytes() {
                return Err(Error::corrupt("the checksum of a table does not match").in_path(&segment.name).at(at));
            }
        }
        Ok(bytes.as_chunks::<4>().0.iter().map(|b| u32::from_le_bytes(*b)).collect())
    }

    /// Where entry `i` of a table says that its chunk is.
    pub(super) fn stored(&self, table: &Table, loaded: &Loaded, i: usize) -> Stored {
        let at = table.base.saturating_add(loaded.offset(i));
        let next = match loaded.raw.get(i + 1) {
            Some(_) => table.base.saturating_add(loaded.offset(i + 1)),
            None => table.data.1,
        };
        let left = self.segment(table).source.len().saturating_sub(at);
        let len = match next.checked_sub(at) {
            Some(len) if len > 0 => len,
            // Entries that do not ascend: the chunk's own checksum decides.
            _ => left,
        };
        Stored { at, len: len.min(self.most).min(left), compressed: loaded.compressed(i) }
    }
}

impl Loaded {
    fn new(raw: Vec<u32>, table: &Table, from_copy: bool) -> Self {
        // EnCase 6.7.1 wrote sections of more than 2 GiB with all 32 bits of an entry as offset, of chunks that are not compressed.
        let long = table.data.1.saturating_sub(table.base) > u64::from(COMPRESSED);
        let wraps = |pair: &[u32]| pair[1] & !COMPRESSED <= pair[0] & !COMPRESSED && pair[1] > pair[0] & !COMPRESSED;
        let wide_from = if long { raw.windows(2).position(wraps).map(|i| i + 1) } else { None };
        let wide_from = wide_from.unwrap_or(raw.len());
        Loaded { raw, wide_from, from_copy }
    }

    /// Entries in the table.
    pub(super) fn len(&self) -> usize {
        self.raw.len()
    }

    /// The offset in entry `i`.
    pub(super) fn offset(&self, i: usize) -> u64 {
        let mask = if i < self.wide_from { !COMPRESSED } else { u32::MAX };
        u64::from(self.raw[i] & mask)
    }

    fn compressed(&self, i: usize) -> bool {
        i < self.wide_from && self.raw[i] & COMPRESSED != 0
    }
}
