//! The content of a file as a source.

use super::{FileSystem, Kind, NodeId, Place, Run};
use std::sync::Arc;
use tintype_core::{Error, Extent, Result, Source, State, in_range};

/// The bytes of a file; their states are those of the disk, and holes are known zeros.
pub struct Content {
    disk: Arc<dyn Source>,
    runs: Vec<Run>,
    len: u64,
}

/// The content of a regular file. `Usage` for anything else, `Unsupported` for content that is encrypted or the like.
pub fn content(fs: &dyn FileSystem, id: NodeId) -> Result<Content> {
    let node = fs.node(id)?;
    if node.kind != Kind::File {
        return Err(Error::usage(format!("is no file but a {}", node.kind.name())));
    }
    if let Some(why) = node.closed {
        return Err(Error::unsupported(format!("its content is {why}, which is not supported")));
    }
    Content::new(Arc::clone(fs.source()), fs.extents(id)?, node.len)
}

impl Content {
    /// `len` bytes made of `runs`, which ascend. Fails with `Corrupt` if one leaves the disk.
    pub fn new(disk: Arc<dyn Source>, mut runs: Vec<Run>, len: u64) -> Result<Self> {
        runs.retain_mut(|run| {
            run.len = run.len.min(len.saturating_sub(run.at));
            run.len > 0
        });
        let mut end = 0;
        for run in &runs {
            let range = run.on_disk();
            if range.end > disk.len() || range.end - range.start != run.len || run.at < end {
                return Err(
                    Error::corrupt("the file lies, in part, beyond the end of the disk or in itself").at(range.start)
                );
            }
            end = run.end();
        }
        Ok(Content { disk, runs, len })
    }

    /// The run that covers `at`, or the start of the next.
    fn run(&self, at: u64) -> (Option<&Run>, u64) {
        let i = self.runs.partition_point(|run| run.end() <= at);
        match self.runs.get(i) {
            Some(run) if run.at <= at => (Some(run), run.end()),
            Some(run) => (None, run.at),
            None => (None, self.len),
        }
    }
}

impl Source for Content {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        in_range(self.len, offset, buf.len() as u64)?;
        let mut done = 0;
        while done < buf.len() {
            let at = offset + done as u64;
            let (run, end) = self.run(at);
            let n = ((end - at).min((buf.len() - done) as u64)) as usize;
            let part = &mut buf[done..done + n];
            match run {
                Some(Run { at: start, place: Place::Stored(disk), .. }) => {
                    self.disk.read_at(part, disk + (at - start))?
                }
                _ => part.fill(0),
            }
            done += n;
        }
        Ok(())
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        in_range(self.len, offset, 1)?;
        let (run, end) = self.run(offset);
        let left = end - offset;
        match run {
            Some(Run { at, place: Place::Stored(disk), .. }) => {
                let here = disk + (offset - at);
                let found = self.disk.extent_at(here)?;
                Ok(Extent::new(offset, left.min(found.end() - here), found.state))
            }
            _ => Ok(Extent::new(offset, left, State::Zero)),
        }
    }
}
