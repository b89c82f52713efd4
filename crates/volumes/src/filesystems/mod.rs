//! File systems, looked at from outside and never written: what is used, where files lie, and what matters most.
//!
//! ```text
//!   Source (with holes: Bad, Unread) --open--> dyn FileSystem
//!        follow()     what to read first, as far as what is there already tells; a Survey follows all leads
//!        used()       which bytes are in use; refused wherever there is any doubt
//!        node, entries, extents, link         files, and where they lie
//!   content(fs, node) -> a Source             their bytes
//!   owners(fs, ranges)                        whose bytes these are
//! ```
//!
//! A source may be a rescue that is still going on. What its map calls lost counts as not there, whatever stands in its place: every
//! read of metadata goes through [`Known`]. Readers are one folder and one line of [`FILE_SYSTEMS`] each.

mod content;
mod ext;
mod fat;
mod known;
mod node;
mod owners;
mod survey;
#[cfg(test)]
mod tests;
mod walk;

pub use content::{Content, content};
pub use known::Known;
pub use node::{Entry, Kind, Node, NodeId, Place, Run, Time};
pub use owners::{Owned, Owner, owners};
pub use survey::Survey;
pub use walk::{Found, Met, lookup, walk};

use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use tintype_core::{Error, RangeMap, Result, Source};

/// A kind of file system that can be read.
pub struct Row {
    /// What [`crate::recognise`] and [`About::name`] call it.
    pub names: &'static [&'static str],
    /// Ranges of a source of so many bytes that tell whether one is there, for somebody who has not read them yet.
    pub heads: fn(u64) -> Vec<Range<u64>>,
    /// Where copies of the head lie, for when it is lost.
    pub spares: fn(u64) -> Vec<Range<u64>>,
    /// Opens it; `None` if it is not there, or if what would tell is lost.
    pub open: fn(&Arc<dyn Source>) -> Opened,
}

/// A file system, if there is one.
pub type Opened = Result<Option<Box<dyn FileSystem>>>;

/// All of them, the surest signs first.
pub const FILE_SYSTEMS: &[&Row] = &[&ext::ROW, &fat::ROW];

/// The file system that begins at the start of `source`; `None` if none is known there.
///
/// Fails with `Unsupported` where there is one with features that are not known, with `Corrupt` where its head contradicts itself.
pub fn open(source: &Arc<dyn Source>) -> Opened {
    for row in FILE_SYSTEMS {
        if let Some(found) = (row.open)(source)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// What goes over a list: gets each item, or what is wrong where one should be, and says whether to go on.
pub type Visit<'a, T> = dyn FnMut(Result<T>) -> ControlFlow<()> + 'a;

/// A file system over a source that may have holes.
///
/// All offsets are bytes of that source. Nothing is cached that would grow with the file system, except by [`FileSystem::used`], whose
/// result does.
pub trait FileSystem: Send + Sync {
    /// What it is.
    fn about(&self) -> &About;

    /// What is known of the bytes it lies on.
    fn known(&self) -> &Known;

    /// The bytes it lies on.
    fn source(&self) -> &Arc<dyn Source> {
        self.known().source()
    }

    /// Tells the metadata that a lead leads to, as far as what is there lets one find it, and further leads; all of them begin at
    /// [`Lead::Start`]. What it names and is lost is what is needed next. Ends where `give` breaks it off.
    fn follow(&self, lead: Lead, give: &mut dyn FnMut(Trace) -> ControlFlow<()>) -> Followed;

    /// The bytes in use; whatever is not in it is free. Bytes that the file system does not reach count as used.
    ///
    /// Fails, with the reason, wherever there is any doubt: unknown features, a checksum that does not hold, numbers that contradict each
    /// other, a file system that was not closed, anything that is lost. Who gets an error treats everything as used.
    fn used(&self) -> Result<RangeMap<()>>;

    /// The same for the order of reading only, where a mistake costs no byte: each part of the file system that there is any doubt about counts
    /// as used, the others as they say.
    fn likely_used(&self) -> RangeMap<()>;

    /// The folder that everything is in.
    fn root(&self) -> NodeId;

    /// What is known of a node. Fails with `Unreadable` where that is lost, with `Corrupt` where it makes no sense.
    fn node(&self, id: NodeId) -> Result<Node>;

    /// Visits what is in a folder, without `.` and `..`; what is lost of it comes as errors in between.
    fn entries(&self, folder: NodeId, visit: &mut Visit<'_, Entry>) -> Result<()>;

    /// Visits every node in use, also those that no folder names. File systems that keep nodes only in folders visit none.
    fn nodes(&self, visit: &mut Visit<'_, Node>) -> Result<()>;

    /// Where the content of a file or folder lies, ascending, without overlaps; what lies between is a hole. Fails with `Limit` if
    /// it is in more pieces than are kept.
    fn extents(&self, id: NodeId) -> Result<Vec<Run>>;

    /// What a symbolic link points to.
    fn link(&self, id: NodeId) -> Result<Vec<u8>>;

    /// True if it holds two names for the same.
    fn same_name(&self, a: &[u8], b: &[u8]) -> bool {
        a == b
    }
}

/// What a file system is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// Its name, as [`crate::recognise`] gives it.
    pub name: &'static str,
    /// The label that somebody gave it.
    pub label: String,
    /// Its identifier, as Linux writes it.
    pub id: String,
    /// Bytes of the unit that it hands out space in.
    pub block: u64,
    /// Bytes that it says it has.
    pub len: u64,
    /// What is odd about it, one sentence each.
    pub warnings: Vec<String>,
}

/// How much depends on a piece of metadata; the order is that in which it is worth reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rank {
    /// Without it nothing else is found.
    Head,
    /// Says what is in use.
    Map,
    /// Says where files lie.
    Nodes,
    /// Says what they are called.
    Folder,
    /// Says where the parts of large or scattered files lie.
    Mapping,
    /// Changes that may not be made yet.
    Journal,
    /// A copy of something above.
    Spare,
}

/// Where metadata is found from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lead {
    /// What the whole begins with.
    Start,
    /// One of the parts that it is divided into, by number.
    Group(u64),
    /// A file or folder.
    Node(NodeId),
}

/// What a lead leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trace {
    /// A piece of metadata.
    Part(Part),
    /// Where there is more.
    Lead(Lead),
}

/// What came of following a lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Followed {
    /// It told all that it ever will, whatever else is read.
    Whole,
    /// Something on the way is lost; once that was read, it may tell other things.
    Open,
}

impl Followed {
    /// What is lost may be read yet; what is damaged stays so.
    pub fn after(error: &Error) -> Self {
        if matches!(error.kind(), tintype_core::Kind::Unreadable { .. }) { Followed::Open } else { Followed::Whole }
    }

    /// Open if one of both is.
    pub fn and(self, other: Followed) -> Self {
        if self == Followed::Open { self } else { other }
    }
}

/// A piece of metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its bytes.
    pub range: Range<u64>,
    /// How much depends on it.
    pub rank: Rank,
    /// What it is, in the file system's own words.
    pub what: &'static str,
    /// The node it belongs to, if it belongs to one.
    pub node: Option<NodeId>,
}
