//! Which blocks lie over each other.

use tintype_core::Result;

/// Most places that are in memory at once.
const MOST: usize = if cfg!(test) { 8 } else { 2 << 20 };

/// What is called with a block, where it lies, and how long it is.
pub(crate) type Take<'a> = &'a mut dyn FnMut(u64, u64, u64);

/// Calls `report(a, b, at)` for blocks `a` and `b` that share bytes of the file from `at` on: of three in one place, two pairs. `list`
/// calls what it is given with every block; it is called again if there are more than 2 Mi of them, so that the memory is
/// bounded by 48 MiB. Stops after `most` reports.
pub(crate) fn overlaps(
    most: usize,
    list: &dyn Fn(Take<'_>) -> Result<()>,
    report: &mut dyn FnMut(u64, u64, u64),
) -> Result<()> {
    let mut left = most;
    // Ranges of places still to be looked at, the lowest last.
    let mut ranges = vec![(0u64, u64::MAX)];
    let mut places: Vec<(u64, u64, u64)> = Vec::new();
    // Of those looked at before, the block that reaches furthest, and how far.
    let mut last: Option<(u64, u64)> = None;
    while let Some((from, to)) = ranges.pop() {
        places.clear();
        let mut too_many = false;
        // Of very many in one and the same place it is enough to know some.
        let one = to - from <= 1;
        list(&mut |block, at, len| {
            if at < from || at >= to {
                return;
            }
            match places.len() < MOST {
                true => places.push((at, block, len)),
                false => too_many = true,
            }
        })?;
        if too_many && !one {
            let middle = from + (to - from) / 2;
            // Most files are far shorter than all there could be.
            let middle = places.iter().map(|p| p.0).max().map_or(middle, |max| middle.min(max.max(from + 1)));
            ranges.push((middle, to));
            ranges.push((from, middle));
            continue;
        }
        places.sort_unstable();
        for (at, block, len) in places.drain(..) {
            let end = at.saturating_add(len);
            if let Some((reach, other)) = last
                && at < reach
            {
                report(other, block, at);
                left -= 1;
                if left == 0 {
                    return Ok(());
                }
            }
            if last.is_none_or(|(reach, _)| end > reach) {
                last = Some((end, block));
            }
        }
    }
    Ok(())
}
