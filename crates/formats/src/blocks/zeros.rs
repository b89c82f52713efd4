//! Nothing but zeros.

use tintype_core::{Extent, Result, Source, State, in_range};

/// So many known zeros.
pub(crate) struct Zeros(pub(crate) u64);

impl Source for Zeros {
    fn len(&self) -> u64 {
        self.0
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        in_range(self.0, offset, buf.len() as u64)?;
        buf.fill(0);
        Ok(())
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        in_range(self.0, offset, 1)?;
        Ok(Extent::new(offset, self.0 - offset, State::Zero))
    }
}
