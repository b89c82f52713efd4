//! What looks at the target found out: metadata that was told as a whole is not looked at again, nor are names.

use crate::files::look::letters;
use crate::files::{Pattern, Volume, Volumes};
use std::ops::{ControlFlow, Range};
use tintype_core::{Kind as Trouble, RangeMap};
use tintype_volumes::filesystems::{About, Followed, Kind, Rank, Survey, walk};

/// Most ranges of one kind.
const MOST: usize = 1 << 18;

/// Where there are more, they are told in pieces of this length, or of twice it, and so on.
const COARSE: u64 = 64 << 10;

/// Ranges of which there may be any number: where there are too many, what lies between near ones is told as well.
#[derive(Clone, Debug, Default)]
struct Pieces {
    ranges: RangeMap<()>,
    // 0 for exact ones.
    grain: u64,
}

impl Pieces {
    fn add(&mut self, range: Range<u64>) {
        self.ranges.set(self.widened(range), ());
        while self.ranges.len() > MOST {
            self.grain = (self.grain * 2).max(COARSE);
            let mut wide = RangeMap::new();
            self.ranges.iter().for_each(|(range, ())| wide.set(self.widened(range), ()));
            self.ranges = wide;
        }
    }

    fn widened(&self, range: Range<u64>) -> Range<u64> {
        match self.grain {
            0 => range,
            grain => range.start / grain * grain..range.end.checked_next_multiple_of(grain).unwrap_or(range.end),
        }
    }
}

/// The metadata of a file system, by rank, on the whole disk.
#[derive(Default)]
struct Ranks([Pieces; 7]);

impl Ranks {
    fn of(&mut self, rank: Rank) -> &mut Pieces {
        &mut self.0[rank as usize]
    }
}

/// Where files that were named lie.
struct Named {
    // One for each pattern.
    places: Vec<Pieces>,
    // Nothing was lost on the way.
    whole: bool,
}

/// What is known of a file system.
struct Remembered {
    about: About,
    place: Range<u64>,
    survey: Survey,
    // From leads that will tell nothing else.
    settled: Ranks,
    // From the others, at the last look.
    open: Ranks,
    named: Option<Named>,
}

impl Remembered {
    fn new(volume: &Volume) -> Self {
        Remembered {
            about: volume.fs.about().clone(),
            place: volume.offset..volume.offset + volume.len,
            survey: Survey::default(),
            settled: Ranks::default(),
            open: Ranks::default(),
            named: None,
        }
    }

    /// True if it is this file system: what it says of its state may differ.
    fn is(&self, volume: &Volume) -> bool {
        let (a, b) = (&self.about, volume.fs.about());
        self.place == (volume.offset..volume.offset + volume.len)
            && (a.name, &a.id, a.block, a.len) == (b.name, &b.id, b.block, b.len)
    }

    fn look(&mut self, volume: &Volume) {
        self.open = Ranks::default();
        let (settled, open) = (&mut self.settled, &mut self.open);
        self.survey.look(&*volume.fs, &mut |part, followed| {
            // Copies of what is there are worth nothing.
            if part.rank == Rank::Spare {
                return;
            }
            let range = volume.offset + part.range.start..volume.offset + part.range.end;
            match followed {
                Followed::Whole => settled.of(part.rank).add(range),
                Followed::Open => open.of(part.rank).add(range),
            }
        });
    }
}

/// What earlier looks found out. Takes at most some tens of MiB a file system, whatever is in it.
pub(super) struct Memory<'a> {
    patterns: &'a [Pattern],
    volumes: Vec<Remembered>,
}

impl<'a> Memory<'a> {
    /// Nothing yet; these are the files that are looked for.
    pub fn new(patterns: &'a [Pattern]) -> Self {
        Memory { patterns, volumes: Vec::new() }
    }

    /// Patterns there are.
    pub fn wishes(&self) -> usize {
        self.patterns.len()
    }

    /// Looks at what was not known as a whole the last time.
    pub fn survey(&mut self, volumes: &Volumes) {
        let before = std::mem::take(&mut self.volumes);
        for volume in &volumes.open {
            self.volumes.push(Remembered::new(volume));
        }
        for known in before {
            let same = volumes.open.iter().position(|volume| known.is(volume));
            if let Some(i) = same {
                self.volumes[i] = known;
            }
        }
        for (known, volume) in self.volumes.iter_mut().zip(&volumes.open) {
            known.look(volume);
        }
    }

    /// Names that were lost on the way may be found now.
    pub fn metadata_came_in(&mut self) {
        for known in &mut self.volumes {
            known.named = known.named.take().filter(|named| named.whole);
        }
    }

    /// Metadata of a rank, as of the last [`Memory::survey`].
    pub fn metadata(&self, rank: Rank) -> RangeMap<()> {
        let mut all = RangeMap::new();
        for known in &self.volumes {
            for pieces in [&known.settled.0[rank as usize], &known.open.0[rank as usize]] {
                pieces.ranges.iter().for_each(|(range, ())| all.set(range, ()));
            }
        }
        all
    }

    /// Where files that a pattern means lie, in the volumes of the last [`Memory::survey`].
    pub fn named(&mut self, volumes: &Volumes, pattern: usize) -> RangeMap<()> {
        let mut all = RangeMap::new();
        for (known, volume) in self.volumes.iter_mut().zip(&volumes.open) {
            let named = known.named.get_or_insert_with(|| named(volume, self.patterns));
            named.places[pattern].ranges.iter().for_each(|(range, ())| all.set(range, ()));
        }
        all
    }
}

/// Walks over all names once.
fn named(volume: &Volume, patterns: &[Pattern]) -> Named {
    let mut found = Named { places: vec![Pieces::default(); patterns.len()], whole: true };
    let letters = letters(volume);
    walk(&*volume.fs, volume.fs.root(), b"", &mut |met| {
        match met {
            Ok(met) if !met.entry.deleted && met.entry.kind == Kind::File => {
                let mut wanted = (0..patterns.len()).filter(|i| patterns[*i].matches(met.path, letters)).peekable();
                if wanted.peek().is_some() {
                    let runs = volume.fs.extents(met.entry.id);
                    found.whole &= !runs.as_ref().is_err_and(|e| matches!(e.kind(), Trouble::Unreadable { .. }));
                    for i in wanted {
                        for run in runs.iter().flatten() {
                            let place = run.on_disk();
                            found.places[i].add(volume.offset + place.start..volume.offset + place.end);
                        }
                    }
                }
            }
            Ok(_) => {}
            Err((_, e)) => found.whole &= !matches!(e.kind(), Trouble::Unreadable { .. }),
        }
        ControlFlow::Continue(())
    });
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_of_ranges_is_told_in_few() {
        let mut pieces = Pieces::default();
        let (step, count) = (8192, 3 * MOST as u64);
        // From the end: ranges come in any order.
        for i in (0..count).rev() {
            pieces.add(i * step..i * step + 512);
        }
        assert!(pieces.ranges.len() <= MOST, "{}", pieces.ranges.len());
        for i in (0..count).step_by(1001) {
            assert!(pieces.ranges.get(i * step).is_some() && pieces.ranges.get(i * step + 511).is_some(), "{i}");
        }
        let end = pieces.ranges.iter().next_back().map_or(0, |(range, ())| range.end);
        assert!(end <= (count * step).next_multiple_of(COARSE * 2), "{end}");
    }
}
