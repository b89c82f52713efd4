//! ATA commands (ACS-4) inside ATA PASS-THROUGH (16) (SAT-4, 12.2.2).

use super::allow::PASS_THROUGH;
use super::command::{Command, Data};

/// How the data goes, as the translator numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Dma = 6,
}

/// What goes into the registers of an ATA drive.
#[derive(Clone, Copy, Debug)]
pub(super) struct Task {
    pub command: u8,
    pub feature: u16,
    pub count: u16,
    pub lba: u64,
    pub device: u8,
    pub protocol: Protocol,
}

impl Task {
    /// The command block. The registers come back with the answer (CK_COND).
    pub fn cdb(&self) -> [u8; 16] {
        let [_, _, l5, l4, l3, l2, l1, l0] = self.lba.to_be_bytes();
        let [f1, f0] = self.feature.to_be_bytes();
        let [c1, c0] = self.count.to_be_bytes();
        let extended = u8::from(self.count > 0xFF || self.lba >= 1 << 28 || is_extended(self.command));
        // CK_COND, from the drive, blocks of 512 bytes or of the drive's sector, as many as COUNT says.
        let flags = 0x20 | 0x08 | 0x04 | 0x02 | 0x10;
        [
            PASS_THROUGH,
            (self.protocol as u8) << 1 | extended,
            flags,
            f1,
            f0,
            c1,
            c0,
            l3,
            l0,
            l4,
            l1,
            l5,
            l2,
            self.device,
            self.command,
            0,
        ]
    }
}

/// Commands of the 48-bit set.
fn is_extended(command: u8) -> bool {
    matches!(command, 0x24 | 0x25 | 0x2A | 0x2B | 0x2F)
}

/// READ DMA EXT; `blocks` up to 65,536.
pub(super) fn read(lba: u64, blocks: u32, into: &mut [u8]) -> Command<'_> {
    // 0 stands for 65,536.
    let count = blocks as u16;
    let task = Task { command: 0x25, feature: 0, count, lba, device: 0x40, protocol: Protocol::Dma };
    Command::scsi(&task.cdb(), Data::In(into))
}

#[cfg(test)]
mod tests {
    use super::super::command::Body;
    use super::*;

    #[test]
    fn read_dma_ext_as_the_standard_lays_it_out() {
        let mut room = [0; 4096];
        let command = read(0x6655_4433_2211, 8, &mut room);
        // LBA (31:24), (7:0), (39:32), (15:8), (47:40), (23:16) from the eighth byte on.
        let want = [0x85, 0x0D, 0x3E, 0, 0, 0, 8, 0x44, 0x11, 0x55, 0x22, 0x66, 0x33, 0x40, 0x25, 0];
        assert_eq!(command.body, Body::Scsi(want, 16));
    }
}
