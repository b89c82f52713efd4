//! The source: bytes by way of a map of blocks.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use tintype_core::{Detail, Error, Extent, Facts, Kind, Result, Shape, Source, State, in_range};

/// Most lookups that are joined into one extent.
const JOIN: usize = 256;
/// Blocks longer than this are unpacked one at a time, whoever asks.
const LARGE: u64 = 4 << 20;
/// Unpacked blocks that are kept for reads that take only a part of one.
const KEEP: usize = 8;
/// Most bytes of those.
const KEEP_BYTES: usize = 16 << 20;

/// Where a run of bytes is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// As they are, from `at` of the file with this index.
    Host {
        /// Index into the files of the image.
        file: usize,
        /// Offset of the first byte.
        at: u64,
    },
    /// Packed, together with what else is in their block.
    Packed {
        /// Index into the files of the image.
        file: usize,
        /// Offset of the packed block.
        at: u64,
        /// Bytes of it, at most; what lies beyond the end of the file is left out.
        stored: u64,
        /// Logical offset of the first byte of the block.
        block: u64,
        /// Bytes of the block when it is unpacked.
        plain: u64,
    },
    /// Known zeros, whatever lies below.
    Zero,
    /// Zeros that stand for what nobody uses.
    Unused,
    /// Not in this image: what the image below has, zeros without one.
    Absent,
}

/// A run of bytes in one place. `len` is never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// Bytes; those of a [`Place::Host`] lie together.
    pub(crate) len: u64,
    /// Where they are.
    pub(crate) place: Place,
}

impl Run {
    /// A run of `len` bytes.
    pub(crate) fn new(len: u64, place: Place) -> Self {
        Run { len, place }
    }
}

/// What a format knows: where bytes are. Called from several threads.
pub(crate) trait BlockMap: Send + Sync {
    /// The run that starts at `offset`, inside the image; it may end beyond it. As long as one table lookup shows, above all for
    /// what is absent: a whole window of the table, or a whole table that is not there.
    ///
    /// `Corrupt`, with path and host offset, for what leaves its file.
    fn run_at(&self, offset: u64) -> Result<Run>;

    /// Unpacks a block into `out`, which is as long as [`Place::Packed`] said.
    fn unpack(&self, stored: &[u8], out: &mut [u8]) -> Result<()> {
        let _ = (stored, out);
        Err(Error::unsupported("compressed blocks are not known here"))
    }
}

/// A file that blocks lie in.
#[derive(Clone)]
pub(crate) struct HostFile {
    /// Its name, as the opener knows it.
    pub(crate) name: String,
    /// Its bytes.
    pub(crate) source: Arc<dyn Source>,
}

impl HostFile {
    /// The file `name`.
    pub(crate) fn new(name: &str, source: &Arc<dyn Source>) -> Self {
        HostFile { name: name.to_owned(), source: Arc::clone(source) }
    }

    /// Refuses bytes that are not in the file: `what` is what should be there.
    pub(crate) fn holds(&self, what: &str, at: u64, len: u64) -> Result<()> {
        match at.checked_add(len) {
            Some(end) if end <= self.source.len() => Ok(()),
            _ => {
                let what = format!("{what}: {len} bytes at {at} lie outside the file, which has {}", self.source.len());
                Err(Error::corrupt(what).at(at).in_path(&self.name))
            }
        }
    }
}

/// An unpacked block, by file, place and block.
type Kept = ((usize, u64, u64), Arc<Vec<u8>>);

/// The bytes of an image whose blocks a [`BlockMap`] finds.
pub(crate) struct Mapped<M> {
    map: M,
    files: Vec<HostFile>,
    below: Option<Arc<dyn Source>>,
    len: u64,
    block: u64,
    shape: Shape,
    facts: Facts,
    kept: Mutex<VecDeque<Kept>>,
    /// Held while a large block is unpacked.
    large: Mutex<()>,
}

impl<M: BlockMap> Mapped<M> {
    /// `len` bytes that `map` finds in `files` (at least one), in blocks of `block` bytes.
    pub(crate) fn new(map: M, files: Vec<HostFile>, len: u64, block: u64) -> Self {
        let shape = files.first().map(|f| f.source.shape()).unwrap_or_default();
        // The sectors of the medium that the file lies on are not those of the disk in it.
        let shape = Shape { sector: 512, physical: 512, direct: false, ..shape };
        let facts = Facts::default();
        let (kept, large) = (Mutex::default(), Mutex::default());
        Mapped { map, files, below: None, len, block: block.max(1), shape, facts, kept, large }
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

    /// The same on top of another disk.
    pub(crate) fn standing_on(mut self, below: Arc<dyn Source>) -> Self {
        self.below = Some(below);
        self
    }

    /// The run at `offset`, inside the image.
    fn run_at(&self, offset: u64) -> Result<Run> {
        let run = self.map.run_at(offset)?;
        if run.len == 0 {
            return Err(Error::corrupt("the map of blocks has an empty run").at(offset));
        }
        Ok(Run { len: run.len.min(self.len - offset), ..run })
    }

    fn file(&self, index: usize) -> Result<&HostFile> {
        self.files.get(index).ok_or_else(|| Error::corrupt("the map of blocks names a file that is not there"))
    }

    /// One lookup's worth of extent.
    fn piece_at(&self, offset: u64) -> Result<Extent> {
        let run = match self.run_at(offset) {
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
            Place::Packed { .. } => Extent::new(offset, run.len, State::Data),
            Place::Host { file, at } => self.seen_through(&*self.file(file)?.source, offset, at, run.len)?,
            Place::Absent => match &self.below {
                Some(below) if offset < below.len() => {
                    let len = run.len.min(below.len() - offset);
                    self.seen_through(&**below, offset, offset, len)?
                }
                _ => Extent::new(offset, run.len, State::Zero),
            },
        })
    }

    /// What `source` knows of its bytes from `at`, as an extent of ours of at most `len` bytes from `offset`.
    fn seen_through(&self, source: &dyn Source, offset: u64, at: u64, len: u64) -> Result<Extent> {
        let there = source.extent_at(at)?;
        if there.offset > at || there.end() <= at {
            return Err(Error::corrupt("an extent does not cover its offset").at(at));
        }
        Ok(Extent::new(offset, len.min(there.end() - at), there.state))
    }

    /// The whole of a packed block.
    fn unpacked(&self, file: usize, at: u64, stored: u64, plain: u64, out: &mut [u8]) -> Result<()> {
        let host = self.file(file)?;
        host.holds("a compressed block", at, 1)?;
        let stored = stored.min(host.source.len() - at);
        let stored = usize::try_from(stored).ok().filter(|len| *len <= (plain as usize).saturating_mul(2) + (1 << 20));
        let stored =
            stored.ok_or_else(|| Error::corrupt("a compressed block is too long").at(at).in_path(&host.name))?;
        let mut bytes = vec![0; stored];
        host.source.read_at(&mut bytes, at).map_err(|e| e.at(at).in_path(&host.name))?;
        self.map.unpack(&bytes, out).map_err(|e| e.at(at).in_path(&host.name))
    }

    /// The bytes of a packed block from `inside` on.
    fn packed(&self, place: Place, inside: u64, buf: &mut [u8]) -> Result<()> {
        let Place::Packed { file, at, stored, block, plain } = place else { return Ok(()) };
        if inside == 0 && buf.len() as u64 == plain {
            return self.unpacked(file, at, stored, plain, buf);
        }
        let lock = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let find = || lock().iter().find(|(key, _)| *key == (file, at, block)).map(|(_, bytes)| Arc::clone(bytes));
        let mut kept = find();
        let mut alone = None;
        if kept.is_none() && plain > LARGE {
            alone = Some(self.large.lock().unwrap_or_else(PoisonError::into_inner));
            // Somebody else may have unpacked it just now; if not, its room is needed.
            kept = find();
            if kept.is_none() {
                lock().clear();
            }
        }
        let bytes = match kept {
            Some(bytes) => bytes,
            None => {
                let mut bytes = vec![0; usize::try_from(plain).map_err(|_| Error::limit("a block is too long"))?];
                self.unpacked(file, at, stored, plain, &mut bytes)?;
                let bytes = Arc::new(bytes);
                let mut kept = lock();
                kept.push_front(((file, at, block), Arc::clone(&bytes)));
                kept.truncate(KEEP.min(KEEP_BYTES / bytes.len().max(1)).max(1));
                bytes
            }
        };
        drop(alone);
        let from = bytes.get(inside as usize..).and_then(|b| b.get(..buf.len()));
        buf.copy_from_slice(from.ok_or_else(|| Error::corrupt("a compressed block is shorter than its run"))?);
        Ok(())
    }

    /// Fills `buf` with bytes of `run` from `offset`, where the run begins.
    fn fill(&self, run: Run, buf: &mut [u8], offset: u64) -> Result<()> {
        match run.place {
            Place::Zero | Place::Unused => buf.fill(0),
            Place::Host { file, at } => {
                let host = self.file(file)?;
                host.source.read_at(buf, at).map_err(|e| translated(e, at, offset).in_path(&host.name))?;
            }
            Place::Packed { block, .. } => self.packed(run.place, offset.saturating_sub(block), buf)?,
            Place::Absent => {
                let below = self.below.as_ref().filter(|below| offset < below.len());
                let there = below.map_or(0, |below| (below.len() - offset).min(buf.len() as u64)) as usize;
                let (known, beyond) = buf.split_at_mut(there);
                beyond.fill(0);
                if let Some(below) = below {
                    below.read_at(known, offset)?;
                }
            }
        }
        Ok(())
    }
}

/// A failure to read the host's bytes from `at`, as one of ours from `offset`.
fn translated(e: Error, at: u64, offset: u64) -> Error {
    match e.kind() {
        Kind::Unreadable { good, first_bad } => {
            let first_bad = first_bad.and_then(|bad| bad.checked_sub(at)?.checked_add(offset));
            Error::unreadable("a part of the image's file could not be read", good, first_bad).because(e)
        }
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
            let run = self.run_at(at)?;
            let len = run.len.min((buf.len() - done) as u64) as usize;
            self.fill(run, &mut buf[done..done + len], at).map_err(|e| match e.kind() {
                Kind::Unreadable { good, first_bad } => {
                    e.into_kind(Kind::Unreadable { good: good + done as u64, first_bad })
                }
                _ => e,
            })?;
            done += len;
        }
        Ok(())
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        in_range(self.len, offset, 1)?;
        let mut extent = self.piece_at(offset)?;
        // What lies below does this too: in a chain every image would multiply the work by as much again.
        let most = if self.below.is_some() { 0 } else { JOIN };
        for _ in 0..most {
            if extent.end() >= self.len {
                break;
            }
            match self.piece_at(extent.end()) {
                Ok(next) if next.state == extent.state => extent.len += next.len,
                _ => break,
            }
        }
        Ok(extent)
    }

    fn detail_at(&self, offset: u64) -> Result<Option<Detail>> {
        in_range(self.len, offset, 1)?;
        let run = self.run_at(offset)?;
        Ok(match run.place {
            Place::Zero | Place::Unused => Some(Detail::default()),
            Place::Host { file, at } => {
                let file = Some(self.file(file)?.name.clone());
                Some(Detail { file, host_offset: Some(at), stored_len: Some(run.len), ..Detail::default() })
            }
            Place::Packed { file, at, stored, .. } => {
                let file = Some(self.file(file)?.name.clone());
                let (host_offset, stored_len) = (Some(at), Some(stored));
                Some(Detail { file, host_offset, stored_len, compressed: true, depth: 0 })
            }
            Place::Absent => match &self.below {
                Some(below) if offset < below.len() => {
                    let detail = below.detail_at(offset)?.unwrap_or_default();
                    Some(Detail { depth: detail.depth + 1, ..detail })
                }
                _ => Some(Detail::default()),
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
