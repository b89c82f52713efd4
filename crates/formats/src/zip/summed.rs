//! Bytes with one checksum over all of them.

use std::sync::{Arc, Mutex, PoisonError};
use tintype_codec::checksum::Crc32;
use tintype_core::{Error, Result, Shape, Source};

/// A source whose CRC-32 is verified once it has been read from start to end; parts read alone are not.
pub(super) struct Summed {
    inner: Arc<dyn Source>,
    crc32: u32,
    // How far it has been read in order, and the checksum up to there.
    running: Mutex<(u64, Crc32)>,
}

impl Summed {
    pub fn new(inner: Arc<dyn Source>, crc32: u32) -> Self {
        Summed { inner, crc32, running: Mutex::new((0, Crc32::new())) }
    }
}

impl Source for Summed {
    fn len(&self) -> u64 {
        self.inner.len()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        self.inner.read_at(buf, offset)?;
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if offset == 0 {
            *running = (0, Crc32::new());
        }
        if running.0 == offset && !buf.is_empty() {
            running.1.update(buf);
            running.0 += buf.len() as u64;
            if running.0 == self.len() && running.1.value() != self.crc32 {
                return Err(Error::corrupt("the checksum of the whole content does not match").at(self.len()));
            }
        }
        Ok(())
    }

    fn shape(&self) -> Shape {
        Shape { unit: 1 << 20, in_flight: 1, ..Shape::default() }
    }
}
