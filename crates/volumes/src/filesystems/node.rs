//! Files, folders and where they lie.

use std::ops::Range;

/// What a file system knows a node by: an inode number of ext, the place of the directory entry of FAT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u64);

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
    /// A device, pipe or socket.
    Special,
    /// What its folder does not tell.
    Unknown,
}

impl Kind {
    /// The name used in JSON output.
    pub fn name(self) -> &'static str {
        match self {
            Kind::File => "file",
            Kind::Folder => "folder",
            Kind::Link => "link",
            Kind::Special => "special",
            Kind::Unknown => "unknown",
        }
    }

    /// The sign that `ls` puts before a mode.
    pub fn sign(self) -> char {
        match self {
            Kind::File => '-',
            Kind::Folder => 'd',
            Kind::Link => 'l',
            Kind::Special => 's',
            Kind::Unknown => '?',
        }
    }
}

/// A point in time. File systems without time zones give their local time as if it were UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    /// Seconds since 1970.
    pub seconds: i64,
    /// And nanoseconds, less than a second.
    pub nanos: u32,
}

/// What is known of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// What it is known by.
    pub id: NodeId,
    /// What it is.
    pub kind: Kind,
    /// Bytes of its content.
    pub len: u64,
    /// Permissions; `None` where there are none.
    pub mode: Option<u16>,
    /// User and group; `None` where there are none.
    pub owner: Option<(u32, u32)>,
    /// Names it has.
    pub links: u32,
    /// Last change of the content.
    pub modified: Option<Time>,
    /// Last read.
    pub accessed: Option<Time>,
    /// Last change of the node.
    pub changed: Option<Time>,
    /// When it was made.
    pub created: Option<Time>,
    /// Why its content cannot be given, such as `encrypted`.
    pub closed: Option<&'static str>,
}

/// What a folder says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name: UTF-8 where the file system has an encoding, else whatever bytes it has.
    pub name: Vec<u8>,
    /// What it names.
    pub id: NodeId,
    /// What that is.
    pub kind: Kind,
    /// True if it was deleted; the node may belong to another name by now.
    pub deleted: bool,
}

/// A run of a file's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Its first byte in the file.
    pub at: u64,
    /// Bytes; at least 1.
    pub len: u64,
    /// Where they are.
    pub place: Place,
}

impl Run {
    /// The first byte of the file after it.
    pub fn end(&self) -> u64 {
        self.at.saturating_add(self.len)
    }

    /// The bytes of the disk it takes.
    pub fn on_disk(&self) -> Range<u64> {
        let (Place::Stored(offset) | Place::Reserved(offset)) = self.place;
        offset..offset.saturating_add(self.len)
    }
}

/// Where a run lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// From this offset of the disk on.
    Stored(u64),
    /// It has room from this offset on and was not written yet: it reads as zeros.
    Reserved(u64),
}
