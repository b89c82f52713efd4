//! How much was there after how much time and how many failed reads.

use super::rig::Read;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

const SECTOR: u64 = 512;

/// What a run came to.
pub struct Curve {
    /// Bytes that can be had at all.
    total: u64,
    /// Bytes that were there, when, and after how many failed reads: after every read that brought something.
    steps: Vec<(u64, f64, u64)>,
    /// Bytes that were there when the read with this number failed; at the end those that were there when the run ended.
    before: Vec<u64>,
    pub seconds: f64,
    have: Vec<bool>,
}

impl Curve {
    pub fn new(reads: &[Read], size: u64, total: u64) -> Self {
        let mut curve = Curve {
            total,
            steps: Vec::new(),
            before: Vec::new(),
            seconds: reads.last().map_or(0.0, |r| r.seconds),
            have: vec![false; (size / SECTOR) as usize],
        };
        let mut got = 0;
        for read in reads {
            if read.failed {
                curve.before.push(got);
                continue;
            }
            let sectors = (read.offset / SECTOR) as usize..((read.offset + read.len) / SECTOR) as usize;
            let new = curve.have[sectors.clone()].iter().filter(|have| !**have).count() as u64 * SECTOR;
            if new > 0 {
                curve.have[sectors].fill(true);
                got += new;
                curve.steps.push((got, read.seconds, curve.before.len() as u64));
            }
        }
        curve.before.push(got);
        curve
    }

    /// Failed reads in all.
    pub fn failed(&self) -> u64 {
        self.before.len() as u64 - 1
    }

    /// The share of what can be had that was had, in per cent.
    pub fn percent(&self) -> f64 {
        self.before.last().map_or(0.0, |got| *got as f64 * 100.0 / self.total as f64)
    }

    /// Seconds and failed reads until so many per cent of what can be had were there.
    pub fn until(&self, percent: f64) -> Option<(f64, u64)> {
        let wanted = self.total as f64 * percent / 100.0 - 1e-6;
        let at = self.steps.partition_point(|(got, ..)| (*got as f64) < wanted);
        self.steps.get(at).map(|(_, seconds, failed)| (*seconds, *failed))
    }

    /// Where `other` had more after the same number of failed reads, past 90 %.
    pub fn behind(&self, other: &Curve) -> Behind {
        let mut behind = Behind::default();
        for (failed, theirs) in other.before.iter().enumerate() {
            if (*theirs as f64) < 0.9 * self.total as f64 {
                continue;
            }
            let Some(ours) = self.before.get(failed) else {
                behind.beyond = behind.beyond.max(theirs.saturating_sub(self.before[self.before.len() - 1]));
                continue;
            };
            behind.points += 1;
            if ours < theirs {
                behind.count += 1;
                behind.first.get_or_insert(failed as u64);
                behind.last = failed as u64;
                if theirs - ours > behind.worst {
                    (behind.worst, behind.at) = (theirs - ours, failed as u64);
                }
            }
        }
        behind
    }

    /// Sectors that were read and are not in the image as they are on the drive.
    pub fn wrong(&self, image: &Path, backing: &Path) -> Result<u64, String> {
        let open = |path: &Path| File::open(path).map_err(|e| format!("{}: {e}", path.display()));
        let (image, backing) = (open(image)?, open(backing)?);
        let mut wrong = 0;
        let (mut a, mut b) = (vec![0; 1 << 20], vec![0; 1 << 20]);
        for (i, have) in self.have.chunks(a.len() / SECTOR as usize).enumerate() {
            let at = i as u64 * a.len() as u64;
            fill(&image, &mut a, at)?;
            fill(&backing, &mut b, at)?;
            let sectors = a.chunks(SECTOR as usize).zip(b.chunks(SECTOR as usize)).zip(have);
            wrong += sectors.filter(|((a, b), have)| **have && a != b).count() as u64;
        }
        Ok(wrong)
    }
}

/// What a file holds at `at`; zeros beyond its end.
fn fill(file: &File, into: &mut [u8], at: u64) -> Result<(), String> {
    let mut done = 0;
    while done < into.len() {
        match file.read_at(&mut into[done..], at + done as u64).map_err(|e| e.to_string())? {
            0 => break,
            n => done += n,
        }
    }
    into[done..].fill(0);
    Ok(())
}

/// Where one curve lies below another.
#[derive(Default)]
pub struct Behind {
    /// Numbers of failed reads that both came to, past 90 %.
    pub points: u64,
    /// Of these, where less was there, the first and the last.
    pub count: u64,
    pub first: Option<u64>,
    pub last: u64,
    /// The most bytes that were missing, and after how many failed reads.
    pub worst: u64,
    pub at: u64,
    /// Bytes that the other one has more in the end, where it goes on longer.
    pub beyond: u64,
}
