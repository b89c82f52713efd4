//! Flat extents: the bytes themselves, in one file or in several, written in place by all workers.

use crate::vmdk::create::Plan;
use std::sync::Arc;
use tintype_core::layers::{DiskSink, Unused};
use tintype_core::{
    CreateRequest, Disk, Encoder, Error, Feed, File, Piece, Result, Seal, Shape, Sink, Source, Written, in_range,
};

/// Units in which zeros are looked for: the smallest hole that common file systems make.
const HOLE: u32 = 4096;

/// Fresh files that make up a disk; what is not written is a hole.
struct Files {
    // Ascending starts, lengths, files.
    files: Vec<(u64, u64, Arc<dyn File>)>,
    len: u64,
    shape: Shape,
}

impl Files {
    /// Calls `each` with every file that the range touches, the place in it, and the part of the range.
    fn split(
        &self,
        offset: u64,
        len: u64,
        mut each: impl FnMut(&Arc<dyn File>, u64, std::ops::Range<usize>) -> Result<()>,
    ) -> Result<()> {
        in_range(self.len, offset, len)?;
        let mut i = self.files.partition_point(|(start, len, _)| start + len <= offset);
        let mut done = 0;
        while done < len {
            let (start, size, file) =
                self.files.get(i).ok_or_else(|| Error::usage("a write beyond the last extent"))?;
            let inside = offset + done - start;
            let now = (size - inside).min(len - done);
            each(file, inside, done as usize..(done + now) as usize)?;
            done += now;
            i += 1;
        }
        Ok(())
    }
}

impl Source for Files {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        self.split(offset, buf.len() as u64, |file, at, range| file.read_at(&mut buf[range], at))
    }

    fn shape(&self) -> Shape {
        self.shape
    }
}

impl Disk for Files {
    fn write_at(&self, buf: &[u8], offset: u64) -> Result<()> {
        self.split(offset, buf.len() as u64, |file, at, range| {
            let len = range.len() as u64;
            file.write_at(&buf[range], at)?;
            file.write_soon(at, len);
            Ok(())
        })
    }

    fn zero(&self, _offset: u64, _len: u64) -> Result<()> {
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        self.files.iter().try_for_each(|(_, _, file)| file.sync())
    }
}

struct Writer {
    sink: DiskSink,
    disk: Arc<Files>,
    descriptor: Arc<dyn File>,
    names: Vec<String>,
}

pub(in crate::vmdk) fn create(request: &CreateRequest, plan: Plan) -> Result<Box<dyn Sink>> {
    let descriptor = request.outlet.create(&request.name)?;
    descriptor.write_at(plan.descriptor.as_bytes(), 0)?;
    let mut files = Vec::new();
    let mut names = vec![request.name.clone()];
    let mut start = 0;
    for (name, len) in plan.extents {
        let file = request.outlet.create(&name)?;
        file.set_len(len)?;
        files.push((start, len, file));
        names.push(name);
        start += len;
    }
    let disk = Arc::new(Files { files, len: plan.len, shape: request.shape });
    let sink = DiskSink::new(Arc::clone(&disk) as Arc<dyn Disk>, HOLE, Unused::Zero);
    Ok(Box::new(Writer { sink, disk, descriptor, names }))
}

impl Sink for Writer {
    fn feed(&self) -> Feed {
        Feed { carries: crate::vmdk::FORMAT.caps.states, ..self.sink.feed() }
    }

    fn encoder(&self) -> Option<Box<dyn Encoder>> {
        self.sink.encoder()
    }

    fn put(&mut self, piece: Piece<'_>) -> Result<()> {
        self.sink.put(piece)
    }

    fn finish(self: Box<Self>, seal: &Seal) -> Result<Written> {
        if seal.len != self.disk.len {
            return Err(Error::usage(format!("{} bytes were put, {} were announced", seal.len, self.disk.len)));
        }
        Box::new(self.sink).finish(seal)?;
        self.descriptor.sync()?;
        let files = self.disk.files.iter().map(|(_, _, file)| file).chain([&self.descriptor]);
        let bytes = files.map(|file| file.stored()).sum::<Result<u64>>()?;
        Ok(Written { bytes, files: self.names, notes: Vec::new() })
    }
}
