//! Memory that direct I/O accepts.

use std::ops::{Deref, DerefMut};

/// A buffer of zeros whose address is a multiple of [`Aligned::TO`] bytes.
pub struct Aligned {
    // Longer than asked for, so that an aligned run of `len` bytes lies inside wherever the allocator puts it.
    room: Vec<u8>,
    start: usize,
    len: usize,
}

impl Aligned {
    /// What the address is a multiple of: no drive and no file system asks for more.
    pub const TO: usize = 4096;

    /// `len` zero bytes.
    pub fn new(len: usize) -> Self {
        let room = vec![0; len + Self::TO];
        let start = (Self::TO - room.as_ptr() as usize % Self::TO) % Self::TO;
        Aligned { room, start, len }
    }
}

impl Deref for Aligned {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.room[self.start..self.start + self.len]
    }
}

impl DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.room[self.start..self.start + self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_aligned_also_after_a_move() {
        for len in [0, 1, 511, 4096, 1 << 20] {
            let buffers: Vec<Aligned> = (0..5).map(|_| Aligned::new(len)).collect();
            for mut buffer in buffers {
                assert_eq!((buffer.len(), buffer.as_ptr() as usize % Aligned::TO), (len, 0));
                buffer.fill(1);
            }
        }
    }
}
