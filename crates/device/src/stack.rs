//! What lies on what: partitions on drives, arrays and maps on their members, loop devices on files.

use crate::enumerate::{Uses, named};
use crate::mounts::{Mount, mount_of, mounts};
use crate::sysfs::{Node, System};
use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Longest stack that is followed; the kernel itself forbids circles.
const DEPTH: u32 = 32;

/// A file, whatever its names are.
pub(crate) type FileId = (u64, u64);

/// A snapshot of everything that is stacked on this machine.
pub(crate) struct Stack {
    pub system: System,
    pub nodes: Vec<Node>,
    pub mounts: Vec<Mount>,
    pub uses: Uses,
}

/// Everything that something lies on, itself included.
#[derive(Debug, Default)]
pub(crate) struct Ground {
    /// Drives and partitions that hold some of it, partitions with their whole drive.
    pub nodes: BTreeSet<String>,
    /// The same without the step from a partition to its drive: what holds nothing but it, or what it is made of.
    pub exact: BTreeSet<String>,
    /// Files that loop devices among them read and write.
    pub files: BTreeSet<FileId>,
}

impl Stack {
    pub fn of(system: System) -> Self {
        let nodes = system.nodes();
        Stack { mounts: mounts(&system), uses: Uses::of(&system, &nodes), nodes, system }
    }

    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.iter().find(|n| n.name == name)
    }

    /// The drive or partition with this device number.
    pub fn numbered(&self, device: u64) -> Option<&Node> {
        let number = (rustix::fs::major(device), rustix::fs::minor(device));
        self.nodes.iter().find(|n| n.device == Some(number))
    }

    /// The drive or partition of the file system that the existing `path` lies on; none for one without a drive.
    pub fn under(&self, path: &Path) -> Option<&Node> {
        self.mounted(mount_of(&self.mounts, path)?)
    }

    fn mounted(&self, mount: &Mount) -> Option<&Node> {
        let listed = self.nodes.iter().find(|n| n.device == Some(mount.device));
        listed.or_else(|| named(&self.system, &self.nodes, &mount.source))
    }

    /// Where a file system that lies on `node`, on a part of it or on the whole of it can be written to.
    pub fn mounted_for_writing(&self, node: &Node) -> Option<&Path> {
        let writable = self.mounts.iter().filter(|m| !m.read_only);
        let mut lying = writable.filter(|m| {
            self.mounted(m).is_some_and(|n| {
                let ground = self.ground(n);
                ground.nodes.contains(&node.name) || self.parts_of(node, &ground)
            })
        });
        lying.next().map(|m| m.point.as_path())
    }

    pub fn ground(&self, node: &Node) -> Ground {
        let mut ground = Ground::default();
        self.descend(node, true, &mut ground, DEPTH);
        ground
    }

    /// What a file or folder that exists lies on.
    pub fn ground_of_file(&self, path: &Path) -> Ground {
        let mut ground = Ground::default();
        if let Some(node) = self.under(path) {
            self.descend(node, true, &mut ground, DEPTH);
        }
        ground
    }

    fn descend(&self, node: &Node, exact: bool, ground: &mut Ground, depth: u32) {
        let fresh = ground.nodes.insert(node.name.clone());
        let more = exact && ground.exact.insert(node.name.clone());
        let Some(depth) = depth.checked_sub(1).filter(|_| fresh || more) else { return };
        for slave in node.slaves.iter().filter_map(|s| self.node(s)) {
            self.descend(slave, exact, ground, depth);
        }
        if let Some(whole) = node.whole.as_ref().and_then(|w| self.node(w)) {
            // A partition of a loop device or of an array lies on what that lies on, but does not fill it.
            self.descend(whole, false, ground, depth);
        }
        if let Some(backing) = &node.backing {
            self.behind_loop(backing, exact, ground, depth);
        }
    }

    fn behind_loop(&self, backing: &Path, exact: bool, ground: &mut Ground, depth: u32) {
        if let Some(below) = named(&self.system, &self.nodes, backing) {
            return self.descend(below, exact, ground, depth);
        }
        let real = self.system.at(backing);
        if let Ok(meta) = std::fs::metadata(&real) {
            ground.files.insert((meta.dev(), meta.ino()));
        }
        if let Some(below) = self.under(backing) {
            self.descend(below, exact, ground, depth);
        }
    }

    /// True if writing to `target` may change what is read from `source`, or the other way round.
    pub fn overlap(&self, source: &Node, target: &Node) -> bool {
        let (s, t) = (self.ground(source), self.ground(target));
        t.nodes.contains(&source.name)
            || s.nodes.contains(&target.name)
            || self.parts_of(source, &t)
            || self.parts_of(target, &s)
    }

    /// True if `node` is a partition of a drive that something fills as a whole.
    pub fn parts_of(&self, node: &Node, ground: &Ground) -> bool {
        node.whole.as_ref().is_some_and(|w| ground.exact.contains(w))
    }

    /// The drives one can touch, below everything.
    pub fn physical(&self, ground: &Ground) -> BTreeSet<PathBuf> {
        let bottom = |n: &&Node| n.whole.is_none() && n.slaves.is_empty() && n.backing.is_none();
        ground.nodes.iter().filter_map(|n| self.node(n)).filter(bottom).map(Node::path).collect()
    }
}
