//! The drives of this machine.

use crate::identity;
use crate::mounts::{btrfs_groups, mounts, swaps};
use crate::sysfs::{Node, System, children, number, text};
use std::path::{Path, PathBuf};
use tintype_core::Identity;

/// A drive, and everything a person needs to not pick the wrong one. Nothing was asked of the drive itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drive {
    /// The path to open it by.
    pub path: PathBuf,
    /// The name people gave it, of a mapped device.
    pub title: Option<String>,
    /// Which drive it is.
    pub identity: Identity,
    /// Bytes.
    pub len: u64,
    /// Logical sector in bytes.
    pub sector: u32,
    /// Physical sector in bytes.
    pub physical: u32,
    /// True for spinning disks, where the kernel knows.
    pub rotational: Option<bool>,
    /// True if the medium or the drive is made to be removed.
    pub removable: bool,
    /// True if the kernel refuses to write to it.
    pub read_only: bool,
    /// The file or drive behind a loop device.
    pub backing: Option<PathBuf>,
    /// Drives that an md or dm device is made of.
    pub made_of: Vec<PathBuf>,
    /// Lasting names of it: links in `/dev/disk/by-id`.
    pub links: Vec<PathBuf>,
    /// What mounts or uses the whole of it.
    pub uses: Vec<Use>,
    /// Its partitions, as the kernel sees them.
    pub partitions: Vec<Partition>,
    /// Whether it is well.
    pub health: Health,
}

/// A partition as the kernel sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// The path to open it by.
    pub path: PathBuf,
    /// Its number.
    pub number: u32,
    /// First byte on the drive.
    pub offset: u64,
    /// Bytes.
    pub len: u64,
    /// What mounts or uses it.
    pub uses: Vec<Use>,
}

/// What uses a drive or partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Use {
    /// A file system on it is mounted here.
    Mounted(PathBuf),
    /// Memory is swapped to it.
    Swap,
    /// It is a member of this md, dm or bcache device.
    Held(PathBuf),
    /// This loop device reads it.
    Loop(PathBuf),
}

impl std::fmt::Display for Use {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Use::Mounted(point) => write!(f, "mounted at {}", point.display()),
            Use::Swap => f.write_str("used as swap"),
            Use::Held(by) => write!(f, "part of {}", by.display()),
            Use::Loop(by) => write!(f, "attached as {}", by.display()),
        }
    }
}

/// Whether a drive is well, as far as it can be told without sending it a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// Nothing is known.
    Unknown,
    /// It says that it is well.
    Good,
    /// It says that it is wearing out.
    Worn(String),
    /// The kernel has given it up.
    Failed(String),
}

impl Health {
    /// The name used in JSON output.
    pub fn name(&self) -> &'static str {
        match self {
            Health::Unknown => "unknown",
            Health::Good => "good",
            Health::Worn(_) => "worn",
            Health::Failed(_) => "failed",
        }
    }
}

/// All drives of `system` that have, or may get, a medium. Loop and RAM devices only while they hold something.
pub fn devices(system: &System) -> Vec<Drive> {
    let nodes = system.nodes();
    let uses = Uses::of(system, &nodes);
    let by_id = links(system);
    let drives = nodes.iter().filter(|n| n.whole.is_none() && worth_listing(n));
    drives.map(|n| drive(system, n, &nodes, &uses, &by_id)).collect()
}

fn worth_listing(node: &Node) -> bool {
    let hidden = number(&node.dir.join("hidden")) == Some(1);
    let idle = node.len == 0 && ["loop", "ram", "zram", "nbd", "md", "dm-"].iter().any(|p| node.name.starts_with(p));
    !hidden && !idle
}

fn drive(system: &System, node: &Node, nodes: &[Node], uses: &Uses, by_id: &[(String, PathBuf)]) -> Drive {
    let queue = |file: &str| number(&node.dir.join("queue").join(file));
    let bytes = |file: &str| queue(file).and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0);
    let sector = bytes("logical_block_size").unwrap_or(512);
    let partitions = nodes.iter().filter(|p| p.whole.as_ref() == Some(&node.name)).map(|p| Partition {
        path: p.path(),
        number: p.number.unwrap_or(0),
        offset: p.start,
        len: p.len,
        uses: uses.by(&p.name),
    });
    Drive {
        path: node.path(),
        title: node.title.clone(),
        identity: identity::read(system, &node.dir),
        len: node.len,
        sector,
        physical: bytes("physical_block_size").unwrap_or(sector),
        rotational: queue("rotational").map(|n| n == 1),
        removable: number(&node.dir.join("removable")) == Some(1),
        read_only: node.read_only,
        backing: node.backing.clone(),
        made_of: node.slaves.iter().map(|s| Path::new("/dev").join(s)).collect(),
        links: by_id.iter().filter(|(name, _)| *name == node.name).map(|(_, link)| link.clone()).collect(),
        uses: uses.by(&node.name),
        partitions: partitions.collect(),
        health: health(node),
    }
}

fn health(node: &Node) -> Health {
    if let Some(state) = text(&node.dir.join("device/state"))
        && matches!(&state[..], "offline" | "transport-offline" | "dead")
    {
        return Health::Failed(format!("the kernel has given it up ({state})"));
    }
    // Extended CSD register PRE_EOL_INFO of eMMC (JEDEC JESD84-B51): 1 normal, 2 warning, 3 urgent.
    match text(&node.dir.join("device/pre_eol_info")).as_deref() {
        Some("0x01") => Health::Good,
        Some("0x02") => Health::Worn("80 % of its spare blocks are used".into()),
        Some("0x03") => Health::Worn("90 % of its spare blocks are used".into()),
        _ => Health::Unknown,
    }
}

fn links(system: &System) -> Vec<(String, PathBuf)> {
    let target = |link: &PathBuf| Some(std::fs::read_link(link).ok()?.file_name()?.to_str()?.to_owned());
    let links = children(&system.at("/dev/disk/by-id"));
    let shown = |link: &PathBuf| Some(Path::new("/dev/disk/by-id").join(link.file_name()?));
    links.iter().filter_map(|link| Some((target(link)?, shown(link)?))).collect()
}

/// What uses each drive and partition, by the kernel's name.
pub(crate) struct Uses(Vec<(String, Use)>);

impl Uses {
    pub fn of(system: &System, nodes: &[Node]) -> Self {
        let mut all: Vec<(String, Use)> = Vec::new();
        let groups = btrfs_groups(system);
        for mount in mounts(system) {
            let named = named(system, nodes, &mount.source);
            let Some(node) = nodes.iter().find(|n| n.device == Some(mount.device)).or(named) else { continue };
            let alone = vec![node.name.clone()];
            for name in groups.iter().find(|g| g.contains(&node.name)).unwrap_or(&alone) {
                let used = (name.clone(), Use::Mounted(mount.point.clone()));
                if !all.contains(&used) {
                    all.push(used);
                }
            }
        }
        let swapped = swaps(system);
        all.extend(swapped.iter().filter_map(|s| Some((named(system, nodes, s)?.name.clone(), Use::Swap))));
        for node in nodes {
            all.extend(node.holders.iter().map(|h| (node.name.clone(), Use::Held(Path::new("/dev").join(h)))));
            if let Some(read) = node.backing.as_ref().and_then(|b| named(system, nodes, b)) {
                all.push((read.name.clone(), Use::Loop(node.path())));
            }
        }
        Uses(all)
    }

    pub fn by(&self, name: &str) -> Vec<Use> {
        self.0.iter().filter(|(n, _)| n == name).map(|(_, u)| u.clone()).collect()
    }
}

/// The drive or partition that a path below `/dev` leads to.
pub(crate) fn named<'a>(system: &System, nodes: &'a [Node], path: &Path) -> Option<&'a Node> {
    let rest = path.strip_prefix("/dev").ok()?;
    let by_name = |p: &Path| {
        let name = p.to_str()?.replace('/', "!");
        nodes.iter().find(|n| n.name == name)
    };
    let mapped = || {
        nodes.iter().find(|n| rest.strip_prefix("mapper").is_ok_and(|t| n.title.as_deref().map(Path::new) == Some(t)))
    };
    by_name(rest).or_else(mapped).or_else(|| {
        let real = system.at(path).canonicalize().ok()?;
        by_name(real.strip_prefix(system.at("/dev").canonicalize().ok()?).ok()?)
    })
}

#[cfg(test)]
mod tests;
