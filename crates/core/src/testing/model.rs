//! A small disk with a known answer to every question.

use crate::{Error, Extent, Result, Shape, Source, State, in_range};

/// A disk in memory whose bytes and states are known.
#[derive(Clone, Debug)]
pub struct Model {
    /// Its bytes; zeros in `Zero` and `Unused` runs, a fill in `Bad` and `Unread` ones.
    pub bytes: Vec<u8>,
    /// Its runs, gapless from 0.
    pub runs: Vec<Extent>,
    /// Sector in bytes; runs begin and end at multiples of it, but for the end of the disk.
    pub sector: u32,
}

impl Model {
    /// `len` bytes of data without structure, always the same for one `seed`.
    pub fn noise(len: usize, seed: u64) -> Self {
        let mut rng = Rng(seed ^ 0x9E37_79B9_7F4A_7C15);
        let mut bytes = Vec::with_capacity(len + 8);
        while bytes.len() < len {
            bytes.extend_from_slice(&rng.next().to_le_bytes());
        }
        bytes.truncate(len);
        let runs = if len == 0 { Vec::new() } else { vec![Extent::new(0, len as u64, State::Data)] };
        Model { bytes, runs, sector: 512 }
    }

    /// `len` bytes in runs of the given states, of random lengths and contents, always the same for one `seed`.
    pub fn mixed(len: usize, states: &[State], sector: u32, seed: u64) -> Self {
        let mut rng = Rng(seed.wrapping_mul(0xD134_2543_DE82_EF95) ^ 0xABCD);
        let mut bytes = Vec::with_capacity(len);
        let mut runs: Vec<Extent> = Vec::new();
        while bytes.len() < len {
            let sectors = 1 + rng.next() % [1, 3, 20, 300][rng.next() as usize % 4];
            let run = (sectors as usize * sector as usize).min(len - bytes.len());
            let state = states[rng.next() as usize % states.len()];
            let at = bytes.len() as u64;
            match state {
                State::Data if rng.next().is_multiple_of(3) => {
                    let word = rng.next().to_le_bytes();
                    bytes.extend(word.iter().copied().cycle().take(run).map(|b| b | 1));
                }
                State::Data => {
                    let noise = Model::noise(run, rng.next());
                    bytes.extend(noise.bytes.iter().map(|b| b | 1));
                }
                _ => bytes.resize(bytes.len() + run, 0),
            }
            match runs.last_mut() {
                Some(last) if last.state == state => last.len += run as u64,
                _ => runs.push(Extent::new(at, run as u64, state)),
            }
        }
        Model { bytes, runs, sector }
    }
}

impl Source for Model {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        in_range(self.len(), offset, buf.len() as u64)?;
        buf.copy_from_slice(&self.bytes[offset as usize..][..buf.len()]);
        Ok(())
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        in_range(self.len(), offset, 1)?;
        let i = self.runs.partition_point(|r| r.end() <= offset);
        let run = self.runs.get(i).ok_or_else(|| Error::corrupt("the model has a gap"))?;
        Ok(Extent::new(offset, run.end() - offset, run.state))
    }

    fn shape(&self) -> Shape {
        Shape { sector: self.sector, physical: self.sector, ..Shape::default() }
    }
}

/// A small generator of repeatable numbers (xorshift64*).
pub(crate) struct Rng(pub u64);

impl Rng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.max(1);
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
}
