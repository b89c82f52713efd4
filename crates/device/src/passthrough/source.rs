//! A drive that is read by its own commands.

use super::answer::{Answer, Told};
use super::channel::{Channel, Way};
use super::command::Command;
use super::nvme::Effort;
use super::outcome::Outcome;
use super::{ata, nvme, scsi};
use crate::block::BlockSource;
use crate::fault;
use crate::sysfs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tintype_core::{Aligned, Error, Facts, Kind, Result, Shape, Source, in_range};

/// Which commands read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// READ (10) and READ (16), which for SATA drives the kernel translates.
    Scsi,
    /// READ DMA EXT inside ATA PASS-THROUGH (16): the registers of the drive tell where it failed.
    Ata,
    /// NVMe Read.
    Nvme,
}

impl Dialect {
    /// Its name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Dialect::Scsi => "SCSI commands",
            Dialect::Ata => "ATA commands",
            Dialect::Nvme => "NVMe commands",
        }
    }
}

/// Most bytes of one command where the kernel names no limit.
const MOST: u64 = 512 << 10;

/// A drive or partition that is read by its own commands: exactly the sectors that were asked for, one attempt, a timeout of its own.
///
/// Reads fail with `Unreadable` where the drive did not give the data; the cause tells what it said. `good` counts only bytes that
/// came with a command that succeeded. A drive that is gone, not ready or locked is an `Io` error, since no sector is to blame.
pub struct Commanded {
    drive: Arc<BlockSource>,
    channel: Channel,
    dialect: Dialect,
    block: u64,
    // Bytes that one command may move: the kernel may take less than it says.
    most: AtomicU64,
    timeout: Duration,
    brief: AtomicBool,
}

impl Commanded {
    /// The drive behind `channel`, read in `dialect`, or in the one of the channel.
    ///
    /// `Unsupported` where its own word about sizes differs from the kernel's, or where it keeps metadata with its sectors.
    pub fn new(drive: Arc<BlockSource>, channel: Channel, dialect: Option<Dialect>, timeout: Duration) -> Result<Self> {
        let dialect = match (channel.way(), dialect) {
            (Way::Scsi, None) => Dialect::Scsi,
            (Way::Nvme, None) => Dialect::Nvme,
            (Way::Scsi, Some(d @ (Dialect::Scsi | Dialect::Ata))) | (Way::Nvme, Some(d @ Dialect::Nvme)) => d,
            (_, Some(d)) => {
                return Err(Error::unsupported(format!("is no drive that {} reach", d.name())).in_path(channel.path()));
            }
        };
        let block = u64::from(drive.geometry().sector);
        let whole = sysfs::number(&channel.node.join("size")).unwrap_or(0).saturating_mul(512);
        let (blocks, said) = match channel.way() {
            Way::Scsi => {
                let capacity = scsi::capacity(&channel)?;
                (capacity.blocks, u64::from(capacity.block))
            }
            Way::Nvme => {
                let namespace = nvme::namespace(&channel)?;
                if namespace.metadata > 0 {
                    return Err(Error::unsupported("keeps metadata with its sectors").in_path(channel.path()));
                }
                (namespace.blocks, namespace.block)
            }
        };
        if said != block || blocks.checked_mul(said) != Some(whole) {
            return Err(Error::unsupported(format!(
                "says that it has {blocks} sectors of {said} bytes, the kernel {} of {block}",
                whole / block
            ))
            .in_path(channel.path()));
        }
        let most = most(&channel, block);
        Ok(Commanded {
            drive,
            channel,
            dialect,
            block,
            most: AtomicU64::new(most),
            timeout,
            brief: AtomicBool::new(false),
        })
    }

    /// Which commands read.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The way to the drive.
    pub fn channel(&self) -> &Channel {
        &self.channel
    }

    /// What every read from now on is to ask of the drive. Only NVMe drives can be told with each command.
    pub fn set_effort(&self, effort: Effort) {
        self.brief.store(effort == Effort::Brief, Ordering::Relaxed);
    }

    fn command<'a>(&self, lba: u64, blocks: u32, into: &'a mut [u8]) -> Command<'a> {
        let effort = if self.brief.load(Ordering::Relaxed) { Effort::Brief } else { Effort::Full };
        match self.dialect {
            Dialect::Scsi => scsi::read(lba, blocks, into),
            Dialect::Ata => ata::read(lba, blocks, into),
            Dialect::Nvme => nvme::read(self.channel.namespace, lba, blocks, effort, into),
        }
    }

    /// Reads whole blocks by one command that the drive carries out once.
    fn once(&self, lba: u64, into: &mut [u8]) -> Result<Answer> {
        let blocks = (into.len() as u64 / self.block) as u32;
        let began = Instant::now();
        let mut again = 0;
        loop {
            let answer = self.channel.send(self.command(lba, blocks, into), self.timeout, None)?;
            let waits = match answer.outcome {
                // Not carried out: these are no attempts.
                Outcome::Attention if again < 5 => Duration::ZERO,
                Outcome::Busy | Outcome::NotReady if began.elapsed() < self.timeout => Duration::from_millis(250),
                _ => return Ok(answer),
            };
            again += 1;
            std::thread::sleep(waits);
        }
    }

    /// Reads whole blocks from `offset` of the drive or partition; how many bytes came before it failed, and what was said then.
    fn blocks(&self, buf: &mut [u8], offset: u64) -> Result<Option<(u64, Answer)>> {
        let mut done = 0;
        while done < buf.len() {
            let most = self.most.load(Ordering::Relaxed);
            let take = (buf.len() - done).min(most as usize);
            let lba = (self.channel.start + offset + done as u64) / self.block;
            let part = &mut buf[done..done + take];
            let answer = match self.once(lba, part) {
                Err(e) if e.errno() == Some(libc::EINVAL) && take as u64 > self.block => {
                    // More than the kernel maps at once.
                    self.most.store((take as u64 / 2 / self.block).max(1) * self.block, Ordering::Relaxed);
                    continue;
                }
                answer => answer?,
            };
            match answer.outcome {
                Outcome::Done if answer.missing == 0 => done += take,
                Outcome::Done => {
                    let came = (take as u64).saturating_sub(u64::from(answer.missing)) / self.block * self.block;
                    return Ok(Some((done as u64 + came, answer)));
                }
                Outcome::Unreadable(Some(bad)) if bad > lba && bad - lba < take as u64 / self.block => {
                    // What came with a failure is not believed; what lies before it is read once more, alone.
                    let before = ((bad - lba) * self.block) as usize;
                    let good = match self.once(lba, &mut part[..before])? {
                        again if again.outcome == Outcome::Done && again.missing == 0 => before,
                        _ => 0,
                    };
                    return Ok(Some(((done + good) as u64, answer)));
                }
                Outcome::Unsupported => {
                    // The drive was not asked for its data at all.
                    match self.drive.read_at(&mut part[..], offset + done as u64) {
                        Ok(()) => done += take,
                        Err(e) => return Err(after(e, done as u64)),
                    }
                }
                _ => return Ok(Some((done as u64, answer))),
            }
        }
        Ok(None)
    }

    fn error(&self, offset: u64, good: u64, answer: &Answer) -> Error {
        let path = self.channel.path();
        let told = Told { outcome: answer.outcome, spoken: answer.spoken };
        let at = offset.saturating_add(good);
        if answer.outcome == Outcome::Gone || self.drive.is_lost() {
            return fault::gone(path, at, "was read").because(told);
        }
        let first_bad = match answer.outcome {
            Outcome::Unreadable(Some(lba)) => {
                lba.checked_mul(self.block).and_then(|at| at.checked_sub(self.channel.start)).filter(|bad| *bad >= at)
            }
            _ => None,
        };
        match answer.outcome {
            Outcome::NotReady => Error::new(
                Kind::Io,
                "the drive is not ready; nothing can be read from it now, start the same command again when it is",
            ),
            Outcome::Protected => Error::new(Kind::Io, "the drive is locked or protected; unlock it first"),
            _ => Error::unreadable("cannot be read", good, first_bad),
        }
        .because(told)
        .in_path(path)
        .at(at)
    }
}

/// The same error, with as many more bytes that are good.
fn after(e: Error, more: u64) -> Error {
    match e.kind() {
        Kind::Unreadable { good, first_bad } => e.into_kind(Kind::Unreadable { good: good + more, first_bad }),
        _ => e,
    }
}

/// Bytes that one command may move, in whole blocks.
fn most(channel: &Channel, block: u64) -> u64 {
    let queue = |name: &str| sysfs::number(&channel.node.join("queue").join(name)).filter(|n| *n > 0);
    // A buffer need not lie in one piece: every page of it may be a segment.
    let segments = queue("max_segments").map_or(MOST, |n| n.saturating_mul(4096));
    let most = queue("max_sectors_kb").map_or(MOST, |n| n.saturating_mul(1024)).min(segments).min(1 << 20);
    (most / block).clamp(1, 0xFFFF) * block
}

impl Source for Commanded {
    fn len(&self) -> u64 {
        self.drive.len()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        in_range(self.len(), offset, buf.len() as u64)?;
        let (from, to) = (offset / self.block * self.block, (offset + buf.len() as u64).next_multiple_of(self.block));
        if (from, to) == (offset, offset + buf.len() as u64) {
            return match self.blocks(buf, offset)? {
                None => Ok(()),
                Some((good, answer)) => Err(self.error(offset, good, &answer)),
            };
        }
        // Parts of sectors; nobody in a hurry reads like this.
        let mut room = Aligned::new((to - from) as usize);
        let skip = (offset - from) as usize;
        let failed = self.blocks(&mut room, from)?;
        let came = failed.as_ref().map_or(room.len(), |(good, _)| *good as usize);
        let good = came.saturating_sub(skip).min(buf.len());
        buf[..good].copy_from_slice(&room[skip..skip + good]);
        match failed {
            Some((_, answer)) if good < buf.len() => Err(self.error(offset, good as u64, &answer)),
            _ => Ok(()),
        }
    }

    fn shape(&self) -> Shape {
        let shape = self.drive.shape();
        match self.dialect {
            // The kernel hands these to the drive one after the other, whatever it could queue.
            Dialect::Ata => Shape { in_flight: 1, ..shape },
            Dialect::Scsi | Dialect::Nvme => shape,
        }
    }

    fn facts(&self) -> &Facts {
        self.drive.facts()
    }
}
