//! Disks whose length is no whole number of sectors.

use tintype_core::{CreateRequest, Error, Result};

/// The length of a disk of `len` bytes in whole sectors. `Usage` where that is no number.
pub(crate) fn padded(len: u64, sector: u64) -> Result<u64> {
    len.checked_next_multiple_of(sector).ok_or_else(|| Error::usage(format!("{len} bytes are too long for a disk")))
}

/// What the person is told of a disk that has to be made longer.
pub(crate) fn padding(request: &CreateRequest, sector: u64) -> Vec<String> {
    let more = request.len.and_then(|len| len.checked_next_multiple_of(sector)?.checked_sub(len)).unwrap_or(0);
    match more {
        0 => Vec::new(),
        _ => {
            vec![format!("the format counts in sectors of {sector} bytes: {more} bytes of zeros are added at the end")]
        }
    }
}
