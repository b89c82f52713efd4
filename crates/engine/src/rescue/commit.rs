//! Makes durable what was written: the target, then the journal, then the mapfile.

use super::keeper::{Cadence, Place};
use super::log::{Log, Whole, fresh};
use super::{Fate, Pass, Status};
use crate::report::now;
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tintype_codec::checksum::Crc32;
use tintype_core::mapfile::{self, Heading, Phase, Progress};
use tintype_core::{Disk, Error, File, Outlet, RangeMap, Result};

/// How often somebody who waits for nothing looks whether the mapfile is due.
const LOOK: Duration = Duration::from_secs(1);

/// What was written since the batch before.
#[derive(Default)]
pub(super) struct Batch {
    pub marks: RangeMap<Fate>,
    pub pass: Option<Pass>,
    /// Told when the mapfile was written after all this.
    pub save: Option<SyncSender<()>>,
}

/// What was made in the background, whole and durable, under the name of [`fresh`].
enum Made {
    /// A mapfile with this CRC-32.
    Map(u32),
    Journal(Whole),
}

pub(super) struct Committer {
    target: Arc<dyn Disk>,
    outlet: Arc<dyn Outlet>,
    map: String,
    log: Log,
    head: Heading,
    cadence: Cadence,
    // What is durable, but for `since`; what is being made looks at it.
    fates: Arc<RangeMap<Fate>>,
    pass: Pass,
    mapped: Instant,
    // True if the mapfile says something else than `fates`.
    changed: bool,
    making: Option<JoinHandle<Result<Made>>>,
    // What was committed since something is being made.
    since: Vec<(Range<u64>, Fate)>,
}

impl Committer {
    pub fn new(place: Place) -> Self {
        let Place { target, outlet, map, log, fates, head, cadence, .. } = place;
        Committer {
            target,
            outlet,
            map,
            log,
            head,
            cadence,
            fates: Arc::new(fates),
            pass: Pass::Copy,
            mapped: Instant::now(),
            changed: true,
            making: None,
            since: Vec::new(),
        }
    }

    /// Commits until there are no more batches; returns what is durable.
    pub fn run(mut self, batches: &Receiver<Batch>) -> Result<RangeMap<Fate>> {
        let run = self.commit_all(batches);
        // After a flush that failed nothing more is vouched for, and what was vouched for before still holds.
        let kept = self.finish();
        run.and(kept).map(|()| Arc::unwrap_or_clone(self.fates))
    }

    fn commit_all(&mut self, batches: &Receiver<Batch>) -> Result<()> {
        let made = self.make_map();
        self.give_name(made.join())?;
        loop {
            match batches.recv_timeout(LOOK.min(self.cadence.map)) {
                Ok(mut batch) => {
                    let save = batch.save.take();
                    self.commit(batch)?;
                    if let Some(done) = save {
                        self.finish()?;
                        // Who waited may have gone.
                        let _ = done.send(());
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            if self.making.as_ref().is_some_and(JoinHandle::is_finished) {
                self.take_up()?;
            }
            if self.making.is_some() {
                continue;
            }
            if self.log.is_bloated(self.fates.len(), self.cadence.spare) {
                self.making = Some(self.make_journal());
            } else if self.changed && self.mapped.elapsed() >= self.cadence.map {
                self.making = Some(self.make_map());
            }
        }
    }

    /// The target first: what the journal names is there.
    fn commit(&mut self, batch: Batch) -> Result<()> {
        if let Some(pass) = batch.pass {
            self.changed |= pass != self.pass;
            self.pass = pass;
        }
        if batch.marks.is_empty() {
            return Ok(());
        }
        self.target.flush()?;
        let marks: Vec<_> = batch.marks.iter().collect();
        self.log.commit(&marks)?;
        self.changed = true;
        self.since.extend(marks);
        if self.making.is_none() {
            self.catch_up();
        }
        Ok(())
    }

    /// Takes in what was committed. Nothing is being made: nobody else has the fates then, and nothing is copied.
    fn catch_up(&mut self) {
        let fates = Arc::make_mut(&mut self.fates);
        for (range, fate) in self.since.drain(..) {
            fates.set(range, fate);
        }
    }

    fn finish(&mut self) -> Result<()> {
        self.take_up()?;
        if self.changed {
            let made = self.make_map();
            self.give_name(made.join())?;
        }
        Ok(())
    }

    /// Begins to write a mapfile of what is durable now.
    fn make_map(&mut self) -> JoinHandle<Result<Made>> {
        self.mapped = Instant::now();
        self.changed = false;
        let (outlet, name) = (Arc::clone(&self.outlet), self.map.clone());
        let (fates, head, pass) = (Arc::clone(&self.fates), self.head.clone(), self.pass);
        std::thread::spawn(move || write_map(&*outlet, &name, &fates, &head, pass).map(Made::Map))
    }

    /// Begins to write the journal anew.
    fn make_journal(&mut self) -> JoinHandle<Result<Made>> {
        let (outlet, name) = (Arc::clone(&self.outlet), self.log.name().to_owned());
        let (fates, header, causes) = (Arc::clone(&self.fates), self.log.header().clone(), self.log.causes().clone());
        std::thread::spawn(move || Whole::write(&*outlet, &name, &header, &fates, &causes).map(Made::Journal))
    }

    /// Waits for what is being made, if anything, and puts it in its place.
    fn take_up(&mut self) -> Result<()> {
        match self.making.take() {
            Some(making) => self.give_name(making.join()),
            None => Ok(()),
        }
    }

    fn give_name(&mut self, made: std::thread::Result<Result<Made>>) -> Result<()> {
        let made = made.map_err(|_| Error::corrupt("writing the map died; please report this as a bug"))?;
        match made? {
            Made::Map(sum) => {
                // Announced first, so that whichever of the two a power cut leaves is known as ours.
                self.log.mapped(sum)?;
                self.outlet.rename(&fresh(&self.map), &self.map)?;
                self.outlet.sync()
            }
            Made::Journal(whole) => self.log.replace(whole, &self.since),
        }?;
        self.catch_up();
        Ok(())
    }
}

/// Writes the mapfile of `fates` under its fresh name; returns its CRC-32.
fn write_map(outlet: &dyn Outlet, name: &str, fates: &RangeMap<Fate>, heading: &Heading, pass: Pass) -> Result<u32> {
    let phase = match pass {
        _ if fates.iter().all(|(_, f)| f.status() == Status::Finished) => Phase::Finished,
        // Sweeping has a sign of its own since ddrescue 1.30; all versions know this one.
        Pass::Copy | Pass::Slow | Pass::Back | Pass::Sweep | Pass::Enclose | Pass::Rest => Phase::Copying,
        Pass::Trim => Phase::Trimming,
        Pass::Scrape => Phase::Scraping,
        Pass::Retry => Phase::Retrying,
    };
    let fresh = fresh(name);
    if outlet.exists(&fresh)? {
        outlet.remove(&fresh)?;
    }
    let file = outlet.create(&fresh)?;
    let heading = Heading { now: now(), doing: pass.title().into(), ..heading.clone() };
    let progress = Progress { phase, ..Progress::default() };
    let mut text = BufWriter::with_capacity(1 << 20, Text { file: &*file, at: 0, sum: Crc32::new() });
    mapfile::write(&heading, &progress, blocks(fates), &mut text)
        .and_then(|()| text.flush())
        .map_err(|e| Error::io("cannot write the mapfile", e).in_path(name))?;
    let sum = text.get_ref().sum.value();
    drop(text);
    file.sync()?;
    Ok(sum)
}

/// Neighbours that differ only in how often they failed are one block.
fn blocks(fates: &RangeMap<Fate>) -> impl Iterator<Item = (Range<u64>, Status)> + '_ {
    let mut fates = fates.iter().peekable();
    std::iter::from_fn(move || {
        let (mut range, fate) = fates.next()?;
        while let Some((next, _)) = fates.next_if(|(r, f)| r.start == range.end && f.status() == fate.status()) {
            range.end = next.end;
        }
        Some((range, fate.status()))
    })
}

/// A file that is written from its beginning.
struct Text<'a> {
    file: &'a dyn File,
    at: u64,
    sum: Crc32,
}

impl Write for Text<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.file.write_at(bytes, self.at).map_err(std::io::Error::other)?;
        self.sum.update(bytes);
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
