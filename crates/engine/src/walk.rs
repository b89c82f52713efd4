//! Going over the map of a source.

use tintype_core::{Error, Extent, Result, Source};

/// Lookups that any image is worth: tables that refer to each other make a few bytes of a file into more extents than can be counted.
pub(crate) const LOOKUPS: u64 = 1 << 22;
/// Bytes of a file that are worth one more: no format has two extents in fewer.
const WORTH: u64 = 2048;

/// Most lookups for an image whose files take `stored` bytes.
pub(crate) fn lookups(stored: u64) -> u64 {
    LOOKUPS.max(stored / WORTH)
}

/// Tells `each` of every run of one state, in order. Gives up after `most` lookups, and says from which offset on nothing is known then.
///
/// `Corrupt` and `Io` as the source says; `each` has heard of everything before.
pub(crate) fn runs(source: &dyn Source, most: u64, each: &mut dyn FnMut(Extent)) -> Result<Option<u64>> {
    let mut run: Option<Extent> = None;
    let mut done = Ok(None);
    let (mut at, len, mut lookups) = (0, source.len(), 0);
    while at < len {
        if lookups == most {
            done = Ok(Some(at));
            break;
        }
        lookups += 1;
        let found = match source.extent_at(at) {
            Ok(found) if found.offset <= at && found.end() > at => {
                Extent { offset: at, len: found.end().min(len) - at, ..found }
            }
            Ok(_) => {
                done = Err(Error::corrupt("an extent does not cover the offset that was asked for").at(at));
                break;
            }
            Err(e) => {
                done = Err(e);
                break;
            }
        };
        at = found.end();
        match &mut run {
            Some(run) if run.state == found.state => run.len += found.len,
            _ => {
                if let Some(run) = run.replace(found) {
                    each(run);
                }
            }
        }
    }
    if let Some(run) = run {
        each(run);
    }
    done
}
