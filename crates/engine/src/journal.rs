//! How far an unfinished target has come, and with what it was begun.
//!
//! A text file of one JSON document a line, only ever appended to: first a [`Header`], then [`Record`]s. A line that
//! was cut short by a power cut is the last one and is ignored.

use crate::identity::SourceId;
use crate::pipeline::Journaling;
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, PoisonError};
use tintype_core::{Checkpoint, Error, Extent, File, Outlet, Result, State};

/// What the name of a journal ends in.
pub const JOURNAL: &str = ".journal";

/// With what a target was begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Version of the journal's own layout.
    pub tintype_journal: u32,
    /// Program and version.
    pub program: String,
    /// When it was begun, RFC 3339.
    pub started: String,
    /// What is read.
    pub source: SourceId,
    /// Everything else that decides what the finished target looks like.
    pub request: serde_json::Value,
    /// Files that the finished target may replace.
    #[serde(default)]
    pub replaces: Vec<String>,
}

/// The version written today.
pub const VERSION: u32 = 1;

/// A line after the header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// Everything before an offset is on the medium.
    Checkpoint {
        /// The offset.
        offset: u64,
        /// The sink's own notes, in hex.
        state: String,
        /// Ranges lost since the record before: offset, length, state.
        lost: Vec<(u64, u64, String)>,
    },
    /// The work was taken up again.
    Resumed {
        /// When, RFC 3339.
        at: String,
        /// From where.
        offset: u64,
    },
    /// What was written does not read back as it was written: nothing of it may be trusted.
    Rejected,
    /// Everything is written; what is left is to give the files their names.
    Sealed {
        /// The final names.
        files: Vec<String>,
        /// Files of an older image that go away.
        replaces: Vec<String>,
        /// The report.
        report: serde_json::Value,
    },
}

/// A journal that was found.
#[derive(Debug)]
pub struct Found {
    /// With what the target was begun.
    pub header: Header,
    /// All records that are whole.
    pub records: Vec<Record>,
    // Where the next record goes: after the last whole one.
    end: u64,
}

impl Found {
    /// The checkpoints, in order.
    pub fn checkpoints(&self) -> Result<Vec<Checkpoint>> {
        let mut list = Vec::new();
        for record in &self.records {
            if let Record::Checkpoint { offset, state, .. } = record {
                list.push(Checkpoint { offset: *offset, state: from_hex(state)? });
            }
        }
        Ok(list)
    }

    /// The ranges lost before `offset`.
    pub fn lost(&self, offset: u64) -> Vec<Extent> {
        let mut list = Vec::new();
        for record in &self.records {
            if let Record::Checkpoint { lost, .. } = record {
                for (start, len, state) in lost {
                    let state = if state == State::Bad.name() { State::Bad } else { State::Unread };
                    list.extend(Extent::new(*start, *len, state).clip(0, offset));
                }
            }
        }
        list
    }

    /// When, and from where, the work was taken up again before.
    pub fn resumptions(&self) -> Vec<(String, u64)> {
        self.records
            .iter()
            .filter_map(|r| match r {
                Record::Resumed { at, offset } => Some((at.clone(), *offset)),
                _ => None,
            })
            .collect()
    }

    /// True if what was written is known to be wrong.
    pub fn rejected(&self) -> bool {
        self.records.contains(&Record::Rejected)
    }

    /// The names, what they replace, and the report, if nothing is left to be written.
    pub fn sealed(&self) -> Option<(&[String], &[String], &serde_json::Value)> {
        self.records.iter().find_map(|r| match r {
            Record::Sealed { files, replaces, report } => Some((&files[..], &replaces[..], report)),
            _ => None,
        })
    }
}

/// How every journal begins.
const SIGNATURE: &[u8] = b"{\"tintype_journal\":";

/// Most bytes of a journal that are read: a checkpoint every two seconds for months is less.
const LARGEST: u64 = 1 << 30;

/// Reads the journal called `name`; `None` if there is none, or none with a whole header.
pub fn read(outlet: &dyn Outlet, name: &str) -> Result<Option<Found>> {
    if !outlet.exists(name)? {
        return Ok(None);
    }
    let file = outlet.reopen(name)?;
    let len = file.len()?;
    if len > LARGEST {
        return Err(Error::limit(format!("the journal has {len} bytes")).in_path(name));
    }
    let mut bytes = vec![0; len as usize];
    file.read_at(&mut bytes, 0)?;
    // Somebody else's file is never taken for a journal, and so never removed as a useless one.
    let begins = bytes.len().min(SIGNATURE.len());
    if bytes[..begins] != SIGNATURE[..begins] {
        return Err(Error::denied("is no journal of tintype, and is in the way; move it away, or choose another name")
            .in_path(name));
    }
    let mut lines = bytes.split_inclusive(|b| *b == b'\n').filter(|line| line.ends_with(b"\n"));
    let Some(first) = lines.next() else { return Ok(None) };
    let header: Header = serde_json::from_slice(first)
        .map_err(|e| Error::corrupt("this is no journal of tintype").in_path(name).because(e))?;
    if header.tintype_journal != VERSION {
        let found = header.tintype_journal;
        return Err(
            Error::unsupported(format!("the journal has layout {found}, this program knows {VERSION}")).in_path(name)
        );
    }
    let mut end = first.len() as u64;
    let mut records = Vec::new();
    for line in lines {
        // A damaged line means that what follows was never promised.
        let Ok(record) = serde_json::from_slice(line) else { break };
        records.push(record);
        end += line.len() as u64;
    }
    Ok(Some(Found { header, records, end }))
}

/// A journal that is being kept. Clones write to the same one, each behind what the others wrote.
#[derive(Clone)]
pub struct Journal {
    file: Arc<dyn File>,
    end: Arc<Mutex<u64>>,
}

impl Journal {
    /// Begins a new journal, durably.
    pub fn create(outlet: &dyn Outlet, name: &str, header: &Header) -> Result<Self> {
        let file = outlet.create(name)?;
        let mut journal = Journal { file, end: Arc::default() };
        journal.line(header)?;
        outlet.sync()?;
        Ok(journal)
    }

    /// Goes on with a journal that was found.
    pub fn reopen(outlet: &dyn Outlet, name: &str, found: &Found) -> Result<Self> {
        let file = outlet.reopen(name)?;
        file.set_len(found.end)?;
        Ok(Journal { file, end: Arc::new(Mutex::new(found.end)) })
    }

    /// Adds a record, durably.
    pub fn add(&mut self, record: &Record) -> Result<()> {
        self.line(record)
    }

    fn line(&mut self, value: &impl Serialize) -> Result<()> {
        let mut line =
            serde_json::to_vec(value).map_err(|e| Error::usage("the journal's record has no JSON form").because(e))?;
        line.push(b'\n');
        let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        self.file.write_at(&line, *end)?;
        self.file.sync()?;
        *end += line.len() as u64;
        Ok(())
    }
}

impl Journaling for Journal {
    fn record(&mut self, checkpoint: &Checkpoint, lost: &[Extent]) -> Result<()> {
        let lost = lost.iter().map(|e| (e.offset, e.len, e.state.name().to_owned())).collect();
        self.add(&Record::Checkpoint { offset: checkpoint.offset, state: to_hex(&checkpoint.state), lost })
    }
}

fn to_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|b| [DIGITS[usize::from(b >> 4)] as char, DIGITS[usize::from(b & 15)] as char]).collect()
}

fn from_hex(text: &str) -> Result<Vec<u8>> {
    let bad = || Error::corrupt("a checkpoint in the journal is no hex");
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return Err(bad());
    }
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).map_err(|_| bad())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tintype_core::testing::MemoryOutlet;

    fn header() -> Header {
        Header {
            tintype_journal: VERSION,
            program: "tintype test".into(),
            started: "2026-01-01T00:00:00Z".into(),
            source: SourceId::default(),
            request: serde_json::json!({"a": 1}),
            replaces: Vec::new(),
        }
    }

    #[test]
    fn a_torn_line_is_forgotten_and_overwritten() {
        let outlet = MemoryOutlet::new();
        let mut journal = Journal::create(&outlet, "x.journal", &header()).unwrap();
        let lost = [Extent::new(512, 512, State::Bad)];
        journal.record(&Checkpoint { offset: 4096, state: vec![1, 255] }, &lost).unwrap();
        let whole = outlet.bytes("x.journal").unwrap();
        journal.record(&Checkpoint { offset: 8192, state: vec![] }, &[]).unwrap();
        let all = outlet.bytes("x.journal").unwrap();
        for cut in whole.len()..all.len() {
            outlet.insert("x.journal", all[..cut].to_vec());
            let found = read(&outlet, "x.journal").unwrap().unwrap();
            assert_eq!(found.checkpoints().unwrap(), [Checkpoint { offset: 4096, state: vec![1, 255] }]);
            assert_eq!(found.lost(u64::MAX), lost);
            let mut again = Journal::reopen(&outlet, "x.journal", &found).unwrap();
            again.add(&Record::Resumed { at: "now".into(), offset: 4096 }).unwrap();
            let found = read(&outlet, "x.journal").unwrap().unwrap();
            assert_eq!((found.records.len(), found.resumptions().len()), (2, 1));
        }
    }

    #[test]
    fn clones_write_behind_each_other() {
        let outlet = MemoryOutlet::new();
        let mut one = Journal::create(&outlet, "x.journal", &header()).unwrap();
        let mut other = one.clone();
        one.record(&Checkpoint { offset: 4096, state: vec![] }, &[]).unwrap();
        other.add(&Record::Rejected).unwrap();
        one.record(&Checkpoint { offset: 8192, state: vec![] }, &[]).unwrap();
        let found = read(&outlet, "x.journal").unwrap().unwrap();
        assert_eq!((found.checkpoints().unwrap().len(), found.rejected()), (2, true));
    }

    #[test]
    fn a_journal_without_a_whole_header_is_none() {
        let outlet = MemoryOutlet::new();
        outlet.insert("x.journal", b"{\"tintype_jour".to_vec());
        assert!(read(&outlet, "x.journal").unwrap().is_none());
        outlet.insert("x.journal", b"hello\n".to_vec());
        assert!(read(&outlet, "x.journal").is_err());
    }
}
