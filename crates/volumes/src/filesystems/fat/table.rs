//! The file allocation table, and its copies.

use super::boot::{Boot, Width};
use crate::filesystems::Known;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use tintype_core::{Error, Kind, Result};

/// The table is read in pieces of this length, a multiple of three so that no entry of FAT12 is cut.
const PIECE: u64 = 48 << 10;

/// Pieces that are kept: 12 MiB.
const KEPT: usize = 256;

/// What an entry says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Free,
    Cluster(u32),
    Bad,
    End,
}

/// A piece of the table, and which bytes of it are in no copy.
struct Piece {
    bytes: Vec<u8>,
    lost: Vec<Range<usize>>,
}

/// The table that counts; where that is lost, another copy.
pub(super) struct Table {
    known: Known,
    boot: Boot,
    pieces: Mutex<HashMap<u64, Arc<Piece>>>,
}

impl Table {
    pub fn new(known: Known, boot: Boot) -> Self {
        Table { known, boot, pieces: Mutex::new(HashMap::new()) }
    }

    /// The copies, the one that counts first. Copies that are not kept alike are none.
    fn order(&self) -> Vec<u64> {
        match self.boot.active {
            Some(active) => vec![active.min(self.boot.tables - 1)],
            None => (0..self.boot.tables).collect(),
        }
    }

    fn piece(&self, i: u64) -> Arc<Piece> {
        let mut pieces = self.pieces.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(piece) = pieces.get(&i) {
            return Arc::clone(piece);
        }
        let (start, len) = (i * PIECE, PIECE.min(self.boot.table_len - i * PIECE));
        let first = self.order().first().map_or(0, |copy| self.boot.table(*copy).start);
        let piece = match self.known.read(first + start, len as usize) {
            Ok(bytes) => Piece { bytes, lost: Vec::new() },
            Err(_) => self.by_sector(start, len),
        };
        if pieces.len() >= KEPT {
            pieces.clear();
        }
        let piece = Arc::new(piece);
        pieces.insert(i, Arc::clone(&piece));
        piece
    }

    /// A piece of the table in which each sector is from whichever copy is there.
    fn by_sector(&self, start: u64, len: u64) -> Piece {
        let order = self.order();
        let mut piece = Piece { bytes: vec![0; len as usize], lost: Vec::new() };
        for at in (0..len).step_by(self.boot.sector as usize) {
            let now = self.boot.sector.min(len - at) as usize;
            let place = at as usize..at as usize + now;
            let read = |copy: &u64| self.known.read(self.boot.table(*copy).start + start + at, now).ok();
            match order.iter().find_map(read) {
                Some(sector) => piece.bytes[place].copy_from_slice(&sector),
                None => piece.lost.push(place),
            }
        }
        piece
    }

    /// The entry of a cluster, which the caller knows there is room for; as it stands there.
    pub fn raw(&self, cluster: u32) -> Result<u32> {
        let number = u64::from(cluster);
        let (at, len) = match self.boot.width {
            Width::Fat12 => (number * 3 / 2, 2),
            Width::Fat16 => (number * 2, 2),
            Width::Fat32 => (number * 4, 4),
        };
        if at + len > self.boot.table_len {
            return Err(Error::corrupt(format!("there is no cluster {cluster}")));
        }
        let piece = self.piece(at / PIECE);
        // An entry never lies in two pieces.
        let place = (at % PIECE) as usize;
        if piece.lost.iter().any(|lost| lost.start < place + len as usize && place < lost.end) {
            let offset = self.boot.table(0).start + at;
            return Err(
                Error::unreadable("this part of the file allocation table was not read", 0, Some(offset)).at(offset)
            );
        }
        let byte = |i: usize| u32::from(piece.bytes.get(place + i).copied().unwrap_or(0));
        Ok(match self.boot.width {
            Width::Fat12 => {
                let pair = byte(0) | byte(1) << 8;
                if cluster & 1 == 0 { pair & 0xfff } else { pair >> 4 }
            }
            Width::Fat16 => byte(0) | byte(1) << 8,
            Width::Fat32 => byte(0) | byte(1) << 8 | byte(2) << 16 | byte(3) << 24,
        })
    }

    /// What follows a cluster.
    pub fn next(&self, cluster: u32) -> Result<Next> {
        let raw = self.raw(cluster)?;
        self.known.spend(4);
        let (raw, top) = match self.boot.width {
            Width::Fat12 => (raw, 0xfff),
            Width::Fat16 => (raw, 0xffff),
            // The upper four bits belong to nobody.
            Width::Fat32 => (raw & 0x0fff_ffff, 0x0fff_ffff),
        };
        Ok(match raw {
            0 => Next::Free,
            _ if raw == top - 8 => Next::Bad,
            _ if raw > top - 8 => Next::End,
            _ => Next::Cluster(raw),
        })
    }

    /// Compares the copies; `None` if they are alike or there is one, else where they first differ. Fails where any is lost.
    pub fn differ(&self) -> Result<Option<u64>> {
        let boot = &self.boot;
        if boot.active.is_some() || boot.tables < 2 {
            return Ok(None);
        }
        let used = boot.width.table_len(boot.clusters + 2);
        for at in (0..used).step_by(PIECE as usize) {
            let len = PIECE.min(used - at) as usize;
            let first = self.known.read(boot.table(0).start + at, len)?;
            let second = self.known.read(boot.table(1).start + at, len)?;
            if let Some(i) = first.iter().zip(&second).position(|(a, b)| a != b) {
                return Ok(Some(boot.table(0).start + at + i as u64));
            }
        }
        Ok(None)
    }

    /// The clusters of a chain from `first` on, at most `most`. Fails with `Corrupt`, after what came before was given, where it leads out of the
    /// file system or goes on for longer than there are clusters.
    pub fn chain(&self, first: u32, most: u64, give: &mut dyn FnMut(u32) -> Result<()>) -> Result<()> {
        let mut at = first;
        let wrong =
            |what: &str| Err(Error::new(Kind::Corrupt, format!("the chain of clusters from {first} on {what}")));
        for _ in 0..most.min(self.boot.clusters) {
            if !self.boot.has(at) {
                return wrong("leads out of the file system");
            }
            give(at)?;
            at = match self.next(at)? {
                Next::Cluster(next) => next,
                Next::End => return Ok(()),
                Next::Free => return wrong("leads to a free cluster"),
                Next::Bad => return wrong("leads to a bad cluster"),
            };
        }
        if most >= self.boot.clusters { wrong("leads back to where it was") } else { Ok(()) }
    }
}
