//! Raw: the bytes of the disk and nothing else.

mod stream;

use std::sync::Arc;
use tintype_core::layers::{DiskSink, Unused};
use tintype_core::{
    Caps, Checkpoint, CreateRequest, Disk, Error, File, Format, Image, OpenRequest, Order, Probe, Result, Resumed,
    Seal, Shape, Sink, Source, State, States, Stored, Written, in_range,
};

/// The row of raw images.
pub static FORMAT: Format = Format {
    name: "raw",
    title: "raw",
    extensions: &["img", "raw", "dd", "bin"],
    caps: Caps {
        states: States::of(&[State::Data, State::Zero]),
        compression: &["none"],
        unknown_len: true,
        stream: true,
        ..Caps::NOTHING
    },
    probe,
    open: Some(open),
    create: Some(create),
    resume: Some(resume),
    ..Format::NOTHING
};

/// Units in which zeros are looked for: the smallest hole that common file systems make.
const HOLE: u32 = 4096;

/// Everything is raw if nothing else wants it.
fn probe(probe: &Probe<'_>) -> u8 {
    u8::from(!probe.folder)
}

fn open(request: &OpenRequest) -> Result<Image> {
    let source = request.entry.source()?;
    Ok(Image::new("raw", Arc::clone(source), vec![request.entry.name.clone()]))
}

/// A new file, so that what is not written is a hole and reads as zeros.
struct Fresh {
    file: Arc<dyn File>,
    len: u64,
    shape: Shape,
}

impl Source for Fresh {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        in_range(self.len, offset, buf.len() as u64)?;
        self.file.read_at(buf, offset)
    }

    fn shape(&self) -> Shape {
        self.shape
    }
}

impl Disk for Fresh {
    fn write_at(&self, buf: &[u8], offset: u64) -> Result<()> {
        self.file.write_at(buf, offset)?;
        self.file.write_soon(offset, buf.len() as u64);
        Ok(())
    }

    fn zero(&self, _offset: u64, _len: u64) -> Result<()> {
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        self.file.sync()
    }
}

struct Writer {
    disk: DiskSink,
    file: Arc<dyn File>,
    name: String,
}

impl Sink for Writer {
    fn feed(&self) -> tintype_core::Feed {
        tintype_core::Feed { carries: FORMAT.caps.states, ..self.disk.feed() }
    }

    fn encoder(&self) -> Option<Box<dyn tintype_core::Encoder>> {
        self.disk.encoder()
    }

    fn put(&mut self, piece: tintype_core::Piece<'_>) -> Result<()> {
        self.disk.put(piece)
    }

    fn checkpoint(&mut self) -> Result<Option<Checkpoint>> {
        self.disk.checkpoint()
    }

    fn finish(self: Box<Self>, seal: &Seal) -> Result<Written> {
        self.file.set_len(seal.len)?;
        Box::new(self.disk).finish(seal)?;
        Ok(Written { bytes: self.file.stored()?, files: vec![self.name], notes: Vec::new() })
    }
}

fn writer(request: &CreateRequest, file: Arc<dyn File>, from: u64) -> Result<Box<dyn Sink>> {
    if let Some(len) = request.len {
        file.set_len(len)?;
    }
    let disk = Fresh { file: Arc::clone(&file), len: request.len.unwrap_or(i64::MAX as u64), shape: request.shape };
    let disk = DiskSink::new(Arc::new(disk), HOLE, Unused::Zero).from_offset(from);
    Ok(Box::new(Writer { disk, file, name: request.name.clone() }))
}

fn create(request: &CreateRequest) -> Result<Box<dyn Sink>> {
    let file = request.outlet.create(&request.name)?;
    match request.order {
        Order::Any => writer(request, file, 0),
        Order::Ascending => Ok(Box::new(stream::StreamWriter::new(file, request.name.clone()))),
    }
}

fn resume(request: &CreateRequest, checkpoints: &[Checkpoint]) -> Result<Resumed> {
    let offset = checkpoints.last().map_or(0, |c| c.offset);
    let file = request.outlet.reopen(&request.name)?;
    if file.len()? < offset {
        return Err(
            Error::corrupt("the unfinished image is shorter than what was written of it").in_path(&request.name)
        );
    }
    // Workers had written ahead of the checkpoint; cutting that off makes it a hole again.
    file.set_len(offset)?;
    let stored = Arc::new(Stored::new(Arc::clone(&file), offset));
    Ok(Resumed { sink: writer(request, file, offset)?, offset, stored })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tintype_core::testing::{Model, check_writer};

    #[test]
    fn any_size_comes_back() {
        for len in [0, 1, 511, 4096, 4097, 1_000_003] {
            let model = Model::mixed(len, &[State::Data, State::Zero], 512, len as u64);
            check_writer(create, open, "d.img", &model, |_| {});
            check_writer(create, open, "d.img", &model, |request| request.order = Order::Ascending);
        }
    }
}
