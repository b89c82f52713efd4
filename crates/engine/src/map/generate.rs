//! A map of an image whose own map is lost: what is zeros in it was not read.

use super::Domain;
use super::algebra::Shift;
use tintype_core::mapfile::{Mapfile, Phase, Progress, Status};
use tintype_core::{Aligned, Event, RangeMap, Result, Source, State, Watch};

/// Bytes that are looked at at once.
const WINDOW: u64 = 1 << 20;

/// The map of an image of a drive of `len` bytes: a `sector` of nothing but zeros counts as not tried, as does what the image does not
/// reach; everything else is taken for read. What lies outside `domain` is not tried.
///
/// Reads all of the image but its holes.
pub fn generate(
    image: &dyn Source,
    len: u64,
    domain: &Domain,
    shift: Shift,
    sector: u64,
    watch: &dyn Watch,
) -> Result<Mapfile> {
    let mut blocks = RangeMap::new();
    blocks.set(0..len, Status::NonTried);
    let mut buffer = Aligned::new(WINDOW as usize);
    watch.event(&Event::Begin { title: "looking for zeros".into(), total: Some(domain.up_to(len).total()) });
    let mut done = 0;
    for meant in domain.within(0..len) {
        let mut at = meant.start;
        while at < meant.end {
            if watch.cancelled() {
                return Err(tintype_core::Error::cancelled());
            }
            let place = match shift {
                Shift::Up(by) => at.saturating_add(by),
                Shift::Down(by) if by <= at => at - by,
                Shift::Down(by) => {
                    at = by.min(meant.end);
                    continue;
                }
            };
            if place >= image.len() {
                break;
            }
            let extent = image.extent_at(place)?;
            let left = (meant.end - at).min(image.len() - place).min(extent.end() - place);
            if extent.state == State::Zero {
                (at, done) = (at + left, done + left);
                continue;
            }
            let end = ((at / WINDOW + 1) * WINDOW).min(at + left);
            let bytes = &mut buffer[..(end - at) as usize];
            image.read_at(bytes, place)?;
            let mut from = at;
            while from < end {
                let to = ((from / sector + 1) * sector).min(end);
                if bytes[(from - at) as usize..(to - at) as usize].iter().any(|b| *b != 0) {
                    blocks.set(from..to, Status::Finished);
                }
                from = to;
            }
            (at, done) = (end, done + (end - at));
            watch.event(&Event::Progress { done, lost: 0 });
        }
    }
    watch.event(&Event::End);
    let pos = domain.up_to(len).end();
    Ok(Mapfile::new(Progress { pos, phase: Phase::Finished, pass: 1 }, blocks))
}
