//! What a drive has of a block that it calls unreadable: as it is on the medium, or as far as it could be corrected.
//!
//! No answer here is worth what a read is worth. A drive may hand over a sector in the code of its heads, one that is padded, or the one it
//! read before; whoever asks has to try the manner on sectors that are known, and to mark what it gives.

use super::answer::{Answer, Told};
use super::ata::{self, LONG};
use super::channel::{Channel, Way};
use super::outcome::Outcome;
use super::scsi::{self, Long};
use super::source::Commanded;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tintype_core::{Aligned, Error, Facts, Kind, Result, Shape, Source, in_range};

/// How a drive is asked for what it calls unreadable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Manner {
    /// SCSI: a read, while the setting holds that blocks which were not corrected are handed over with the error (TB).
    TransferBlock,
    /// SCSI: READ LONG without correction.
    ReadLong,
    /// ATA: READ STREAM with Read Continuous.
    ReadStream,
    /// ATA: SCT Long Sector Access.
    SctReadLong,
    /// ATA: READ LONG.
    AtaReadLong,
}

impl Manner {
    /// Its name in messages.
    pub fn title(self) -> &'static str {
        match self {
            Manner::TransferBlock => "reads that hand over the block that failed (TB)",
            Manner::ReadLong => "READ LONG",
            Manner::ReadStream => "READ STREAM with Read Continuous",
            Manner::SctReadLong => "SCT Long Sector Access",
            Manner::AtaReadLong => "ATA READ LONG",
        }
    }

    /// The manners that a drive may know, the gentlest first; none for NVMe, which has no such command. Asks it what it is.
    ///
    /// What it says is not proof: [`Manner::AtaReadLong`] has no sign of its own, and drives refuse it when it is tried.
    pub fn of(drive: &Commanded) -> Result<Vec<Manner>> {
        Self::of_channel(drive.channel(), u64::from(drive.shape().sector))
    }

    fn of_channel(channel: &Channel, block: u64) -> Result<Vec<Manner>> {
        if channel.way() == Way::Nvme {
            return Ok(Vec::new());
        }
        let Some(identify) = ata::identify(channel)? else {
            return Ok(vec![Manner::TransferBlock, Manner::ReadLong]);
        };
        let mut all = Vec::new();
        if identify.streaming().is_some() {
            all.push(Manner::ReadStream);
        }
        // Both are older than sectors of 4 KiB.
        if block == SCT as u64 {
            all.extend(identify.long_sectors().then_some(Manner::SctReadLong));
            all.push(Manner::AtaReadLong);
        }
        Ok(all)
    }
}

/// Bytes of a sector in an SCT long read, and of what follows it.
const SCT: usize = 512;

/// What READ LONG is asked for first, besides the block: some drives have 40 bytes to correct one of 512, some 100 for one of 4096. The
/// drive says by how much that is wrong.
const GUESS: usize = 64;

/// Time that a drive may take for a streaming read, in microseconds, where it lets one say so.
const STREAM: u32 = 2_000_000;

/// A drive or partition of which every block is given in one manner, believed or not.
///
/// A read fails with `Unreadable` where the drive gave nothing, with `Unsupported` where it does not know the command, with `Io` where it is
/// gone or not ready.
pub struct Uncorrected {
    drive: Arc<Commanded>,
    asking: Asking,
}

impl Uncorrected {
    /// `drive` in this manner; one command may take `timeout`.
    pub fn new(drive: Arc<Commanded>, manner: Manner, timeout: Duration) -> Result<Self> {
        let asking = Asking::new(drive.channel(), manner, drive.shape().sector as usize, timeout)?;
        Ok(Uncorrected { drive, asking })
    }
}

impl Source for Uncorrected {
    fn len(&self) -> u64 {
        self.drive.len()
    }

    /// Whole blocks.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        in_range(self.len(), offset, buf.len() as u64)?;
        let channel = self.drive.channel();
        let block = self.asking.block as u64;
        if !offset.is_multiple_of(block) || !(buf.len() as u64).is_multiple_of(block) {
            return Err(Error::usage("whole blocks are asked for"));
        }
        let answer = self.asking.read(channel, (channel.start + offset) / block, buf)?;
        let Some(answer) = answer else { return Ok(()) };
        let what = "gives nothing of what it calls unreadable";
        Err(match answer.outcome {
            Outcome::Gone | Outcome::NotReady | Outcome::Protected => Error::new(Kind::Io, what),
            Outcome::Unsupported => Error::unsupported("does not know the command"),
            _ => Error::unreadable(what, 0, None),
        }
        .because(Told { outcome: answer.outcome, spoken: answer.spoken })
        .in_path(channel.path())
        .at(offset))
    }

    fn shape(&self) -> Shape {
        Shape { in_flight: 1, ..self.drive.shape() }
    }

    fn facts(&self) -> &Facts {
        self.drive.facts()
    }
}

/// A manner, and what was learned of the drive.
struct Asking {
    manner: Manner,
    block: usize,
    timeout: Duration,
    // Bytes of a block in READ LONG.
    long: AtomicUsize,
    // The time limit of a streaming read, in the drive's units.
    limit: u8,
}

impl Asking {
    fn new(channel: &Channel, manner: Manner, block: usize, timeout: Duration) -> Result<Self> {
        let granularity = match manner {
            Manner::ReadStream => ata::identify(channel)?.and_then(|i| i.streaming()).unwrap_or(0),
            _ => 0,
        };
        // 0 leaves it to the drive.
        let limit = STREAM.checked_div(granularity).map_or(0, |units| units.clamp(1, 255) as u8);
        Ok(Asking { manner, block, timeout, long: AtomicUsize::new(block + GUESS), limit })
    }

    /// Reads whole blocks; what the drive said where it gave none, or not all.
    fn read(&self, channel: &Channel, lba: u64, into: &mut [u8]) -> Result<Option<Answer>> {
        if self.manner == Manner::ReadStream {
            return self.stream(channel, lba, into);
        }
        for (n, block) in into.chunks_exact_mut(self.block).enumerate() {
            let lba = lba + n as u64;
            let failed = match self.manner {
                Manner::TransferBlock => self.handed_over(channel, lba, block)?,
                Manner::ReadLong => self.long(channel, lba, block)?,
                Manner::SctReadLong => self.sct(channel, lba, block)?,
                Manner::AtaReadLong | Manner::ReadStream => self.ata_long(channel, lba, block)?,
            };
            if failed.is_some() {
                return Ok(failed);
            }
        }
        Ok(None)
    }

    /// The data may come along with an error, and that as many bytes moved is no proof: a buffer that still holds what was put there
    /// before was not written to.
    fn came(&self, answer: &Answer, room: &[u8]) -> bool {
        let whole = |(n, block)| !untouched(block, n * self.block);
        let moved = answer.missing == 0 && room.chunks_exact(self.block).enumerate().all(whole);
        match answer.outcome {
            Outcome::Done | Outcome::Unreadable(_) => moved,
            // The bit for a fault of the hardware is, in streaming commands, the one for an error in the stream.
            Outcome::Hardware => moved && self.manner == Manner::ReadStream,
            _ => false,
        }
    }

    fn stream(&self, channel: &Channel, lba: u64, into: &mut [u8]) -> Result<Option<Answer>> {
        let Ok(blocks) = u16::try_from(into.len() / self.block) else {
            return Err(Error::usage("that is more than one command asks for"));
        };
        let mut room = canary(into.len());
        let answer = channel.send(ata::read_stream(lba, blocks, self.limit, &mut room), self.timeout, None)?;
        Ok(self.keep(answer, &room, into))
    }

    fn handed_over(&self, channel: &Channel, lba: u64, into: &mut [u8]) -> Result<Option<Answer>> {
        let mut room = canary(into.len());
        let answer = channel.send(scsi::read(lba, 1, &mut room), self.timeout, None)?;
        Ok(self.keep(answer, &room, into))
    }

    fn keep(&self, answer: Answer, room: &[u8], into: &mut [u8]) -> Option<Answer> {
        if !self.came(&answer, &room[..into.len()]) {
            return Some(answer);
        }
        into.copy_from_slice(&room[..into.len()]);
        None
    }

    /// The drive wants to be asked for exactly what it has, and says how much that is.
    fn long(&self, channel: &Channel, lba: u64, into: &mut [u8]) -> Result<Option<Answer>> {
        let mut form = if u32::try_from(lba).is_ok() { Long::Short } else { Long::Wide };
        let mut corrected = false;
        loop {
            let asked = self.long.load(Ordering::Relaxed);
            let mut room = canary(asked);
            let Some(command) = scsi::read_long(form, lba, &mut room) else {
                return Err(Error::usage("that is more than one command asks for"));
            };
            let answer = channel.send(command, self.timeout, None)?;
            match (answer.outcome, answer.surplus) {
                (Outcome::Unsupported, Some(surplus)) if !corrected => {
                    corrected = true;
                    let have = (asked as i64).checked_sub(surplus).and_then(|n| usize::try_from(n).ok());
                    match have.filter(|n| (self.block..=usize::from(u16::MAX)).contains(n)) {
                        Some(have) => self.long.store(have, Ordering::Relaxed),
                        None => return Ok(Some(answer)),
                    }
                }
                (Outcome::Unsupported, None) if form == Long::Short => form = Long::Wide,
                _ => return Ok(self.keep(answer, &room, into)),
            }
        }
    }

    fn sct(&self, channel: &Channel, lba: u64, into: &mut [u8]) -> Result<Option<Answer>> {
        let mut room = [0; 2 * SCT];
        room.copy_from_slice(&canary(2 * SCT));
        let answer = ata::sct_read_long(channel, lba, &mut room, self.timeout)?;
        Ok(self.keep(answer, &room, into))
    }

    fn ata_long(&self, channel: &Channel, lba: u64, into: &mut [u8]) -> Result<Option<Answer>> {
        let mut room = canary(into.len() + LONG);
        let Some(command) = ata::read_long(lba, &mut room) else {
            return Err(Error::unsupported("reaches the first 128 GiB only").in_path(channel.path()));
        };
        let answer = channel.send(command, self.timeout, None)?;
        Ok(self.keep(answer, &room, into))
    }
}

/// What stands in a buffer before the drive writes to it: bytes that no drive gives by chance.
fn canary(len: usize) -> Aligned {
    let mut room = Aligned::new(len);
    for (at, byte) in room.iter_mut().enumerate() {
        *byte = canary_at(at);
    }
    room
}

fn canary_at(at: usize) -> u8 {
    // Of no period that a sector has.
    (at.wrapping_mul(0x9E37_79B9) >> 11) as u8 ^ 0xA5
}

/// True if a block at some place of a buffer was not, or not to its end, written to; or holds nothing: kernels that copy hand over zeros for
/// what did not come.
fn untouched(block: &[u8], at: usize) -> bool {
    let tail = block.len().saturating_sub(TAIL);
    let canary = block[tail..].iter().enumerate().all(|(i, b)| *b == canary_at(at + tail + i));
    canary || block.iter().all(|b| *b == 0)
}

/// Bytes at the end of a block that tell whether it came.
const TAIL: usize = 16;

#[cfg(test)]
mod tests {
    use super::super::command::{Body, Data};
    use super::super::settings::{self, Setting};
    use super::super::wire::{Carried, Line};
    use super::super::{Consent, allow::Allowed};
    use super::*;
    use std::io;
    use std::sync::Mutex;

    /// What a model of a drive is.
    #[derive(Clone, Copy, PartialEq, Eq)]
    enum Kind {
        Sas,
        Sata,
    }

    /// A drive of 64 blocks as the standards have it, the last 32 of which cannot be corrected. What is on the medium there is what was
    /// written, with a bit turned in every one.
    struct Model {
        kind: Kind,
        page: Vec<u8>,
        // Bytes in READ LONG.
        long: usize,
        // It says that data came with an error, and moves none.
        lies: bool,
        // The SCT command that waits for its data.
        sct: Option<u64>,
        // Every opcode that came.
        seen: Vec<u8>,
    }

    const BLOCK: usize = 512;

    fn written(lba: u64) -> Vec<u8> {
        (0..BLOCK as u64).map(|i| (lba * 31 + i * 7 % 253) as u8 | 1).collect()
    }

    fn on_the_medium(lba: u64) -> Vec<u8> {
        let mut bytes = written(lba);
        if lba >= 32 {
            bytes[lba as usize] ^= 0x40;
        }
        bytes
    }

    impl Model {
        fn new(kind: Kind) -> Self {
            let page = vec![0x01, 0x0A, 0, 1, 0, 0, 0, 0, 1, 0, 0x03, 0xE8];
            Model { kind, page, long: 560, lies: false, sct: None, seen: Vec::new() }
        }

        fn carry(&mut self, cdb: &[u8; 16], data: &mut Data<'_>) -> Carried {
            let number = |bytes: &[u8]| bytes.iter().fold(0_u64, |n, b| n << 8 | u64::from(*b));
            match cdb[0] {
                0x85 if self.kind == Kind::Sata => self.ata(cdb, data),
                _ if self.kind == Kind::Sata => panic!("{cdb:02x?} to a SATA drive"),
                0x28 => {
                    let lba = number(&cdb[2..6]);
                    assert_eq!(number(&cdb[7..9]), 1);
                    let handed = self.page[2] & 0x20 != 0;
                    if lba < 32 || handed && !self.lies {
                        fill(data, &on_the_medium(lba));
                    }
                    let missing = if lba < 32 || handed { 0 } else { BLOCK as u32 };
                    if lba < 32 { good() } else { sense(&[0xF0, 0, 3], lba as u32, 0x11, missing) }
                }
                0x3E => {
                    assert_eq!(cdb[1], 0, "nothing is corrected");
                    let asked = number(&cdb[7..9]) as usize;
                    if asked != self.long {
                        let wrong = asked as i64 - self.long as i64;
                        return sense(&[0xF0, 0, 0x25], wrong as u32, 0x24, asked as u32);
                    }
                    let mut all = on_the_medium(number(&cdb[2..6]));
                    all.resize(self.long, 0xEC);
                    fill(data, &all);
                    good()
                }
                0x5A => {
                    let mut all = vec![0; 8];
                    all.extend(&self.page);
                    fill(data, &all);
                    good()
                }
                0x55 => {
                    let Data::Out(out) = data else { panic!("no parameters") };
                    self.page = out[8..].to_vec();
                    good()
                }
                _ => sense(&[0x70, 0, 5], 0, 0x20, 0),
            }
        }

        fn ata(&mut self, cdb: &[u8; 16], data: &mut Data<'_>) -> Carried {
            let lba = |at: [usize; 6]| at.iter().fold(0_u64, |n, i| n << 8 | u64::from(cdb[*i]));
            match cdb[14] {
                0xEC => {
                    let mut words = [0_u8; 512];
                    words[84 * 2..][..2].copy_from_slice(&0x4030_u16.to_le_bytes());
                    // 100 ms.
                    words[98 * 2..][..4].copy_from_slice(&100_000_u32.to_le_bytes());
                    words[206 * 2] = 3;
                    fill(data, &words);
                    good()
                }
                0x2A => {
                    assert_eq!(cdb[4] & 0x40, 0x40, "Read Continuous");
                    assert_eq!(cdb[3], 20, "2 s");
                    let first = lba([11, 9, 7, 12, 10, 8]);
                    let all: Vec<u8> = (first..first + u64::from(cdb[6])).flat_map(on_the_medium).collect();
                    fill(data, &all);
                    // SE, told as what it is for other commands.
                    registers(0x70, 0x40)
                }
                0x22 => {
                    let mut all =
                        on_the_medium(u64::from(cdb[13] & 0xF) << 24 | lba([12, 10, 8, 12, 10, 8]) & 0xFF_FFFF);
                    all.extend([0xEC; 4]);
                    fill(data, &all);
                    good()
                }
                0xB0 if cdb[4] == 0xD6 => {
                    let Data::Out(out) = data else { panic!("no key sector") };
                    assert_eq!(out[..4], [1, 0, 1, 0], "anything else may write");
                    self.sct = Some(u64::from_le_bytes(out[4..12].try_into().unwrap()));
                    good()
                }
                0xB0 if cdb[4] == 0xD5 && cdb[8] == 0xE1 => {
                    let mut all = on_the_medium(self.sct.take().expect("it was asked for"));
                    all.resize(1024, 0);
                    fill(data, &all);
                    good()
                }
                // ABRT.
                _ => registers(0x51, 0x04),
            }
        }
    }

    fn fill(data: &mut Data<'_>, bytes: &[u8]) {
        let Data::In(room) = data else { panic!("no room") };
        let len = room.len().min(bytes.len());
        room[..len].copy_from_slice(&bytes[..len]);
    }

    fn good() -> Carried {
        Carried { status: 0, host: 0, missing: 0, sense: Vec::new() }
    }

    fn sense(head: &[u8; 3], information: u32, asc: u8, missing: u32) -> Carried {
        let mut sense = vec![0; 18];
        sense[..3].copy_from_slice(head);
        sense[3..7].copy_from_slice(&information.to_be_bytes());
        (sense[7], sense[12]) = (10, asc);
        Carried { status: 2, host: 0, missing, sense }
    }

    fn registers(status: u8, error: u8) -> Carried {
        let mut sense = vec![0x72, 0x0B, 0, 0, 0, 0, 0, 14, 0x09, 0x0C, 0, error];
        sense.extend([0; 9]);
        sense.push(status);
        Carried { status: 2, host: 0, missing: 0, sense }
    }

    struct Shared(Arc<Mutex<Model>>);

    impl Line for Shared {
        fn scsi(&self, allowed: &mut Allowed<'_>, _: u32) -> io::Result<Carried> {
            let command = allowed.command();
            let Body::Scsi(cdb, _) = command.body else { panic!("no SCSI command") };
            let mut model = self.0.lock().unwrap();
            model.seen.push(if cdb[0] == 0x85 { cdb[14] } else { cdb[0] });
            Ok(model.carry(&cdb, &mut command.data))
        }

        fn nvme(&self, _: &mut Allowed<'_>, _: u32) -> io::Result<(u16, u32)> {
            panic!("nothing is asked of an NVMe drive")
        }
    }

    fn drive(model: Model) -> (Channel, Arc<Mutex<Model>>) {
        let model = Arc::new(Mutex::new(model));
        (Channel::to_model(Way::Scsi, Box::new(Shared(Arc::clone(&model)))), model)
    }

    fn ask(channel: &Channel, manner: Manner, lba: u64, blocks: usize) -> Option<Vec<u8>> {
        let asking = Asking::new(channel, manner, BLOCK, Duration::from_secs(1)).unwrap();
        let mut room = vec![0; blocks * BLOCK];
        asking.read(channel, lba, &mut room).unwrap().is_none().then_some(room)
    }

    fn medium(lba: u64, blocks: u64) -> Option<Vec<u8>> {
        Some((lba..lba + blocks).flat_map(on_the_medium).collect())
    }

    #[test]
    fn a_sata_drive_gives_what_is_on_the_medium() {
        let (channel, model) = drive(Model::new(Kind::Sata));
        let all = [Manner::ReadStream, Manner::SctReadLong, Manner::AtaReadLong];
        assert_eq!(Manner::of_channel(&channel, 512).unwrap(), all);
        assert_eq!(Manner::of_channel(&channel, 4096).unwrap(), [Manner::ReadStream]);
        for manner in all {
            for (lba, blocks) in [(3, 1), (40, 1), (30, 8)] {
                assert_eq!(ask(&channel, manner, lba, blocks), medium(lba, blocks as u64), "{manner:?} at {lba}");
            }
        }
        // One command for all blocks of a streaming read; two for each of an SCT long read.
        model.lock().unwrap().seen.clear();
        for manner in all {
            ask(&channel, manner, 40, 8);
        }
        let seen = std::mem::take(&mut model.lock().unwrap().seen);
        let count = |opcode| seen.iter().filter(|o| **o == opcode).count();
        assert_eq!((count(0x2A), count(0xB0), count(0x22)), (1, 16, 8));
    }

    #[test]
    fn read_long_learns_what_the_drive_has() {
        let (channel, model) = drive(Model::new(Kind::Sas));
        assert_eq!(Manner::of_channel(&channel, 512).unwrap(), [Manner::TransferBlock, Manner::ReadLong]);
        for have in [512, 516, 560, 575, 576, 577, 900, 65_535] {
            model.lock().unwrap().long = have;
            model.lock().unwrap().seen.clear();
            let asking = Asking::new(&channel, Manner::ReadLong, BLOCK, Duration::from_secs(1)).unwrap();
            let mut room = vec![0; BLOCK];
            for lba in [33, 34] {
                assert!(asking.read(&channel, lba, &mut room).unwrap().is_none());
                assert_eq!(room, on_the_medium(lba), "{have}");
            }
            // One question more for the first one only.
            let asks = if have == BLOCK + GUESS { 2 } else { 3 };
            assert_eq!(model.lock().unwrap().seen, vec![0x3E; asks], "{have}");
        }
        // What it says it has cannot be.
        model.lock().unwrap().long = 100;
        assert_eq!(ask(&channel, Manner::ReadLong, 33, 1), None);
    }

    #[test]
    fn blocks_that_failed_are_handed_over_once_that_is_set() {
        let (channel, model) = drive(Model::new(Kind::Sas));
        assert_eq!(ask(&channel, Manner::TransferBlock, 40, 1), None);
        let before = settings::current(&channel).unwrap();
        let [page @ Setting::RecoveryPage(_)] = &before[..] else { panic!("{before:?}") };
        settings::apply(&channel, &page.with_failed_blocks().unwrap(), &Consent::given()).unwrap();
        assert_eq!(ask(&channel, Manner::TransferBlock, 40, 1), medium(40, 1));
        assert_eq!(ask(&channel, Manner::TransferBlock, 30, 4), medium(30, 4));
        // That as many bytes moved is said by the kernel, too, where none did.
        model.lock().unwrap().lies = true;
        assert_eq!(ask(&channel, Manner::TransferBlock, 40, 1), None);
    }

    #[test]
    fn a_drive_that_refuses_gives_nothing() {
        let (channel, model) = drive(Model::new(Kind::Sas));
        // No SCSI drive knows the commands of ATA.
        for manner in [Manner::ReadStream, Manner::SctReadLong, Manner::AtaReadLong] {
            let asking = Asking::new(&channel, manner, BLOCK, Duration::from_secs(1)).unwrap();
            let answer = asking.read(&channel, 3, &mut [0; BLOCK]).unwrap();
            assert_eq!(answer.map(|a| a.outcome), Some(Outcome::Unsupported), "{manner:?}");
        }
        let nvme = Channel::to_model(Way::Nvme, Box::new(Shared(model)));
        assert_eq!(Manner::of_channel(&nvme, 512).unwrap(), []);
    }

    #[test]
    fn what_did_not_come_is_seen() {
        let mut room = canary(1024);
        assert!(untouched(&room[..512], 0) && untouched(&room[512..], 512));
        room[..512].fill(7);
        assert!(!untouched(&room[..512], 0) && untouched(&room[512..], 512));
        // Half of a block.
        room[512..900].fill(7);
        assert!(untouched(&room[512..], 512));
        room[512..].fill(0);
        assert!(untouched(&room[512..], 512));
    }
}
