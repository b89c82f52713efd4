//! Bytes with one checksum over all of them.

use std::sync::{Arc, Mutex, PoisonError};
use tintype_codec::checksum::Crc32;
use tintype_core::{Error, Result, Shape, Source};

/// A source whose CRC-32 is verified once it has been read from start to end; parts read alone are not.
pub(super) struct Summed {
    inner: Arc<dyn Source>,
    crc32: u32,
    name: String,
    running: Mutex<Running>,
}

/// How far it has been read in order.
struct Running {
    at: u64,
    crc32: Crc32,
    /// Reading all of it has shown that something is wrong, and the end cannot be read until that is no longer so.
    failed: bool,
}

impl Summed {
    /// `name` is the file that errors are about.
    pub fn new(inner: Arc<dyn Source>, crc32: u32, name: &str) -> Self {
        let running = Mutex::new(Running { at: 0, crc32: Crc32::new(), failed: false });
        Summed { inner, crc32, name: name.to_owned(), running }
    }
}

impl Source for Summed {
    fn len(&self) -> u64 {
        self.inner.len()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        self.inner.read_at(buf, offset).map_err(|e| e.in_path(&self.name))?;
        let end = offset + buf.len() as u64;
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if offset == 0 {
            (running.at, running.crc32) = (0, Crc32::new());
        }
        if running.at == offset && !buf.is_empty() {
            running.crc32.update(buf);
            running.at = end;
            if end == self.len() {
                running.failed = running.crc32.value() != self.crc32;
            }
        }
        if running.failed && end == self.len() {
            let what = "the checksum of the whole content does not match";
            return Err(Error::corrupt(what).in_path(&self.name).at(offset));
        }
        Ok(())
    }

    fn shape(&self) -> Shape {
        Shape { unit: 1 << 20, in_flight: 1, ..Shape::default() }
    }
}
