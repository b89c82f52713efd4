//! Writing a set: one disk over many files.

use super::names::{Part, first_name};
use super::parts::OPEN;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tintype_core::layers::{DiskSink, Slice, Unused};
use tintype_core::{
    Checkpoint, CreateRequest, Disk, Encoder, Error, Feed, File, Outlet, Piece, Result, Resumed, Seal, Shape, Sink,
    Source, Written, in_range,
};

/// Bytes of a part unless the person says otherwise: below what FAT and old programs hold.
const DEFAULT_SPLIT: u64 = 2 << 30;
/// Smaller parts make no sense.
const LEAST_SPLIT: u64 = 4096;
/// More parts than this are a mistake.
const MOST_PARTS: u64 = 100_000;
/// Units in which zeros are looked for, as in raw images.
const HOLE: u32 = 4096;

/// All parts as one disk. A part is made when something behind its start is written; what is never written is a hole.
struct Parts {
    outlet: Arc<dyn Outlet>,
    first: Part,
    split: u64,
    len: Option<u64>,
    shape: Shape,
    state: Mutex<Files>,
}

#[derive(Default)]
struct Files {
    made: u64,
    // Open parts, the one used last at the end. A part that is not among them is on the medium.
    open: VecDeque<(u64, Arc<dyn File>)>,
    // Parts were made since the folder was synced.
    named: bool,
}

impl Parts {
    fn lock(&self) -> MutexGuard<'_, Files> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn part_len(&self, index: u64) -> u64 {
        self.len.map_or(self.split, |len| len.saturating_sub(index * self.split).min(self.split))
    }

    /// Parts that `len` bytes take; an empty image has one.
    fn count(&self, len: u64) -> u64 {
        len.div_ceil(self.split).max(1)
    }

    fn file(&self, index: u64) -> Result<Arc<dyn File>> {
        let mut files = self.lock();
        if let Some(at) = files.open.iter().position(|(i, _)| *i == index)
            && let Some(entry) = files.open.remove(at)
        {
            let file = Arc::clone(&entry.1);
            files.open.push_back(entry);
            return Ok(file);
        }
        if index >= MOST_PARTS {
            return Err(Error::usage(format!("parts of {} bytes would make more than {MOST_PARTS} files", self.split)));
        }
        while files.made <= index {
            let next = files.made;
            let file = self.outlet.create(&self.first.nth(next))?;
            file.set_len(self.part_len(next))?;
            files.made += 1;
            files.named = true;
            Self::hold(&mut files, next, file)?;
        }
        match files.open.back() {
            Some((i, file)) if *i == index => Ok(Arc::clone(file)),
            _ => {
                let file = self.outlet.reopen(&self.first.nth(index))?;
                Self::hold(&mut files, index, Arc::clone(&file))?;
                Ok(file)
            }
        }
    }

    fn hold(files: &mut Files, index: u64, file: Arc<dyn File>) -> Result<()> {
        if files.open.len() >= OPEN
            && let Some((_, oldest)) = files.open.pop_front()
        {
            oldest.sync()?;
        }
        files.open.push_back((index, file));
        Ok(())
    }

    fn each(
        &self,
        offset: u64,
        len: u64,
        mut run: impl FnMut(u64, u64, std::ops::Range<usize>) -> Result<()>,
    ) -> Result<()> {
        let mut done = 0;
        while done < len {
            let at = offset + done;
            let within = at % self.split;
            let n = (self.split - within).min(len - done);
            run(at / self.split, within, done as usize..(done + n) as usize)?;
            done += n;
        }
        Ok(())
    }
}

impl Source for Parts {
    fn len(&self) -> u64 {
        self.len.unwrap_or(i64::MAX as u64)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        in_range(self.len(), offset, buf.len() as u64)?;
        self.each(offset, buf.len() as u64, |index, within, range| self.file(index)?.read_at(&mut buf[range], within))
    }

    fn shape(&self) -> Shape {
        self.shape
    }
}

impl Disk for Parts {
    fn write_at(&self, buf: &[u8], offset: u64) -> Result<()> {
        self.each(offset, buf.len() as u64, |index, within, range| {
            let file = self.file(index)?;
            let bytes = &buf[range];
            file.write_at(bytes, within)?;
            if self.lock().open.iter().any(|(i, _)| *i == index) {
                file.write_soon(within, bytes.len() as u64);
                Ok(())
            } else {
                // It was closed, and synced, while this write was under way.
                file.sync()
            }
        })
    }

    fn zero(&self, _offset: u64, _len: u64) -> Result<()> {
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        let (open, named) = {
            let mut files = self.lock();
            let open: Vec<_> = files.open.iter().map(|(_, file)| Arc::clone(file)).collect();
            (open, std::mem::take(&mut files.named))
        };
        for file in open {
            file.sync()?;
        }
        if named { self.outlet.sync() } else { Ok(()) }
    }
}

struct Writer {
    disk: DiskSink,
    parts: Arc<Parts>,
}

impl Sink for Writer {
    fn feed(&self) -> Feed {
        Feed { carries: super::FORMAT.caps.states, ..self.disk.feed() }
    }

    fn encoder(&self) -> Option<Box<dyn Encoder>> {
        self.disk.encoder()
    }

    fn put(&mut self, piece: Piece<'_>) -> Result<()> {
        // A part of nothing but zeros is written by nobody, and has to be there all the same.
        if piece.len > 0 {
            self.parts.file((piece.offset + piece.len - 1) / self.parts.split)?;
        }
        self.disk.put(piece)
    }

    fn checkpoint(&mut self) -> Result<Option<Checkpoint>> {
        let state = self.parts.split.to_le_bytes().to_vec();
        Ok(self.disk.checkpoint()?.map(|checkpoint| Checkpoint { state, ..checkpoint }))
    }

    fn finish(self: Box<Self>, seal: &Seal) -> Result<Written> {
        let parts = &self.parts;
        let count = parts.count(seal.len);
        let last = parts.file(count - 1)?;
        last.set_len(seal.len - (count - 1) * parts.split)?;
        Box::new(self.disk).finish(seal)?;
        let mut written = Written::default();
        for index in 0..count {
            written.bytes += parts.file(index)?.stored()?;
            written.files.push(parts.first.nth(index));
        }
        Ok(written)
    }
}

fn parts(request: &CreateRequest) -> Result<Parts> {
    let split = request.split.unwrap_or(DEFAULT_SPLIT);
    if split < LEAST_SPLIT {
        return Err(Error::usage(format!("--split {split}: parts have at least {LEAST_SPLIT} bytes")));
    }
    let name = first_name(&request.name);
    let first = Part::parse(&name).ok_or_else(|| Error::usage(format!("{name} cannot be the name of a first part")))?;
    let parts = Parts {
        outlet: Arc::clone(&request.outlet),
        first,
        split,
        len: request.len,
        shape: request.shape,
        state: Mutex::new(Files::default()),
    };
    match request.len.map(|len| parts.count(len)) {
        Some(count) if count > MOST_PARTS => {
            Err(Error::usage(format!("--split {split}: this would make {count} files; at most {MOST_PARTS} are made")))
        }
        _ => Ok(parts),
    }
}

fn writer(parts: Parts, from: u64) -> Writer {
    let parts = Arc::new(parts);
    let disk = DiskSink::new(Arc::clone(&parts) as Arc<dyn Disk>, HOLE, Unused::Zero).from_offset(from);
    Writer { disk, parts }
}

pub(super) fn create(request: &CreateRequest) -> Result<Box<dyn Sink>> {
    let parts = parts(request)?;
    parts.file(0)?;
    Ok(Box::new(writer(parts, 0)))
}

pub(super) fn resume(request: &CreateRequest, checkpoints: &[Checkpoint]) -> Result<Resumed> {
    let parts = parts(request)?;
    let (offset, state) = checkpoints.last().map_or((0, &[][..]), |c| (c.offset, &c.state[..]));
    if offset > 0 && state != parts.split.to_le_bytes() {
        return Err(Error::usage("the unfinished image was begun with another --split; give the same one again"));
    }
    let full = offset / parts.split;
    let within = offset % parts.split;
    for index in 0..full + u64::from(within > 0) {
        let name = parts.first.nth(index);
        let file = parts.outlet.reopen(&name)?;
        let len = if index < full { parts.split } else { within };
        if file.len()? < len {
            return Err(Error::corrupt("the unfinished part is shorter than what was written of it").in_path(name));
        }
        if index == full {
            // Workers had written ahead of the checkpoint; cutting that off makes it a hole again.
            file.set_len(within)?;
            file.set_len(parts.part_len(index))?;
        }
        let mut files = parts.lock();
        Parts::hold(&mut files, index, file)?;
        files.made = index + 1;
    }
    forget_from(&parts)?;
    parts.file(0)?;
    let sink = writer(parts, offset);
    let whole: Arc<dyn Source> = Arc::clone(&sink.parts) as Arc<dyn Source>;
    let stored = Arc::new(Slice::new(whole, 0, offset)?);
    Ok(Resumed { sink: Box::new(sink), offset, stored })
}

/// Removes the parts that hold nothing but what was written ahead of the checkpoint, the last one first: what is left by
/// a cut in the middle of it still has no gap.
fn forget_from(parts: &Parts) -> Result<()> {
    let made = parts.lock().made;
    let mut end = made;
    while parts.outlet.exists(&parts.first.nth(end))? {
        end += 1;
    }
    for index in (made..end).rev() {
        parts.outlet.remove(&parts.first.nth(index))?;
    }
    Ok(())
}
