//! Opening zip.

use super::directory::only;
use super::summed::Summed;
use crate::packed::{Known, Packed, Spec, image, streamed};
use std::sync::Arc;
use tintype_codec::stream::Kind;
use tintype_core::layers::Slice;
use tintype_core::{Checksums, Error, Image, OpenRequest, Result, Source};

const STORED: u16 = 0;
const DEFLATED: u16 = 8;
/// Nothing, deflated, takes no more bytes.
const EMPTY: u64 = 16;

pub(super) fn open(request: &OpenRequest) -> Result<Image> {
    let packed = Packed::new(request)?;
    let only = only(&*packed.source, &request.limits)?;
    if only.len > i64::MAX as u64 {
        return Err(Error::limit(format!("{} claims {} bytes", only.name, only.len)));
    }
    if only.len == 0 && (only.crc32 != 0 || only.packed_len > EMPTY) {
        return Err(Error::corrupt(format!("zip: {} is said to be empty but is not", only.name)).at(only.data));
    }
    let data: Arc<dyn Source> = Arc::new(Slice::new(Arc::clone(&packed.source), only.data, only.packed_len)?);
    match only.method {
        STORED if only.len == only.packed_len => {
            let disk = Arc::new(Summed::new(data, only.crc32, &request.entry.name));
            Ok(image(packed, format!("{}, stored", only.name), "", disk, Checksums::Whole))
        }
        STORED => Err(Error::corrupt(format!("zip: {} is stored but has two lengths", only.name)).at(only.data)),
        DEFLATED => {
            let packed = Packed { source: data, ..packed };
            let spec = Spec { kind: Kind::Deflate, memory: 0, live: 4 };
            let known = Some(Known { len: only.len, crc32: Some(only.crc32), is_checked: true });
            streamed(request, packed, &only.name, "deflate", spec, known)
        }
        method => Err(Error::unsupported(format!(
            "{} is compressed in its zip archive with method {method}; stored and deflate can be read",
            only.name
        ))),
    }
}
