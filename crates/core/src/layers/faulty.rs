//! A source that fails on command, to test everything above it.

use crate::{Detail, Error, Extent, ExtentMap, Facts, Kind, Result, Shape, Source, State};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What goes wrong, besides the bad ranges of the map.
#[derive(Clone, Debug, Default)]
pub struct Fault {
    /// Every read takes this much longer.
    pub delay: Duration,
    /// The n-th read (from 1) and all later ones fail as if the drive had vanished.
    pub vanish_at: Option<u64>,
    /// The n-th read (from 1) fails once with this error kind.
    pub fail_once: Option<(u64, Kind)>,
    /// A read is refused as unreadable after this many good bytes, once each time it is longer: short reads.
    pub longest: Option<u64>,
}

/// A source with bad sectors, delays, short reads and a limited life, driven by a map.
pub struct Faulty {
    inner: Arc<dyn Source>,
    bad: ExtentMap,
    fault: Fault,
    reads: AtomicU64,
}

impl Faulty {
    /// `inner`, with every range that `map` calls [`State::Bad`] unreadable, and `fault` on top.
    pub fn new(inner: Arc<dyn Source>, map: ExtentMap, fault: Fault) -> Self {
        let bad = map.iter().filter(|e| e.state == State::Bad).collect();
        Faulty { inner, bad, fault, reads: AtomicU64::new(0) }
    }

    /// Reads so far.
    pub fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }
}

impl Source for Faulty {
    fn len(&self) -> u64 {
        self.inner.len()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        let nth = self.reads.fetch_add(1, Ordering::Relaxed) + 1;
        if !self.fault.delay.is_zero() {
            std::thread::sleep(self.fault.delay);
        }
        if self.fault.vanish_at.is_some_and(|n| nth >= n) {
            return Err(Error::new(Kind::Io, "the drive has vanished").at(offset));
        }
        if let Some((n, kind)) = self.fault.fail_once
            && n == nth
        {
            return Err(Error::new(kind, "injected fault").at(offset));
        }
        let mut good = buf.len() as u64;
        let mut first_bad = None;
        if let Some(run) = self.bad.next_from(offset)
            && run.offset < offset + good
        {
            let at = run.offset.max(offset);
            first_bad = Some(at);
            good = at - offset;
        }
        if let Some(longest) = self.fault.longest
            && longest < good
        {
            good = longest;
            first_bad = None;
        }
        self.inner.read_at(&mut buf[..good as usize], offset)?;
        if good < buf.len() as u64 {
            // A failed read leaves rubbish behind; nobody may rely on it.
            buf[good as usize..].fill(0xA5);
            return Err(Error::unreadable("injected bad sector", good, first_bad).at(offset + good));
        }
        Ok(())
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        self.inner.extent_at(offset)
    }

    fn detail_at(&self, offset: u64) -> Result<Option<Detail>> {
        self.inner.detail_at(offset)
    }

    fn shape(&self) -> Shape {
        self.inner.shape()
    }

    fn facts(&self) -> &Facts {
        self.inner.facts()
    }
}
