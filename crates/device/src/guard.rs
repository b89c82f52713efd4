//! Refuses targets that would hurt.

use crate::enumerate::Use;
use crate::fault;
use crate::stack::{Ground, Stack};
use crate::sysfs::{Node, System};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use tintype_core::{Error, Result};

/// What is about to happen to a target.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Every file, drive and partition that will be read.
    pub sources: Vec<PathBuf>,
}

/// Something that does not forbid the work, but that the person should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// A source and the target lie on this one drive: slow, and a strain on a drive that fails.
    SameDrive(PathBuf),
    /// A source drive is mounted for writing, so it may change while it is read.
    Mounted {
        /// The source.
        source: PathBuf,
        /// Where it, or a part of it, is mounted.
        point: PathBuf,
    },
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Warning::SameDrive(drive) => {
                write!(f, "source and target are both on {}: this is slow, and lost with the drive", drive.display())
            }
            Warning::Mounted { source, point } => write!(
                f,
                "{} is mounted for writing at {}: what changes while it is read makes an image of no single moment; \
                 unmount it, or mount it read-only",
                source.display(),
                point.display()
            ),
        }
    }
}

/// True if a name that does not exist would be a device's: it lies in `/dev`, and not in another file system below it, such as `/dev/shm`, which
/// holds files like any other.
pub fn names_a_device(path: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().ok();
    let folder = path.parent().map(|p| if p.as_os_str().is_empty() { Path::new(".") } else { p });
    let Some(folder) = folder.and_then(real) else { return path.starts_with("/dev") };
    let device = |path: &Path| std::fs::metadata(path).map(|m| m.dev()).ok();
    folder.starts_with("/dev") && device(&folder) == device(Path::new("/dev"))
}

/// Refuses, with `Denied`, to write to `target` where that would destroy what is in use or what is being read.
///
/// `target` is a drive, a partition, an existing file, or a file that will be made in a folder that exists. Nothing is
/// changed. What was not in use may be so a moment later: a drive has to be opened exclusively all the same.
pub fn check_target(target: &Path, request: &Request) -> Result<Vec<Warning>> {
    let stack = Stack::of(System::here());
    let aim = Aim::of(&stack, target)?;
    if let Aim::Drive(node) = &aim {
        refuse_in_use(&stack, node)?;
        refuse_held(target)?;
    } else if let Aim::File { id: Some(id), .. } = &aim {
        refuse_attached(&stack, target, *id)?;
    }
    let mut shared = BTreeSet::new();
    let mut warnings = Vec::new();
    for source in &request.sources {
        let from = Aim::of(&stack, source)?;
        refuse_overlap(&stack, source, &from, target, &aim)?;
        if let Aim::Drive(node) = &from
            && let Some(point) = stack.mounted_for_writing(node)
        {
            warnings.push(Warning::Mounted { source: source.clone(), point: point.to_path_buf() });
        }
        let drives = |a: &Aim<'_>| stack.physical(&a.ground(&stack));
        if matches!((&from, &aim), (Aim::Drive(_), _) | (_, Aim::Drive(_))) {
            shared.extend(drives(&from).intersection(&drives(&aim)).cloned());
        }
    }
    warnings.extend(shared.into_iter().map(Warning::SameDrive));
    Ok(warnings)
}

/// The drives that `a` and `b` (files, folders, drives, partitions) both lie on; empty where they have none in common.
pub fn same_physical_drive(a: &Path, b: &Path) -> Result<Vec<PathBuf>> {
    let stack = Stack::of(System::here());
    let drives = |p: &Path| Ok::<_, Error>(stack.physical(&Aim::of(&stack, p)?.ground(&stack)));
    Ok(drives(a)?.intersection(&drives(b)?).cloned().collect())
}

/// What a path leads to.
enum Aim<'a> {
    Drive(&'a Node),
    /// A file, or one that will be made: then `folder` is where.
    File {
        folder: PathBuf,
        id: Option<(u64, u64)>,
    },
}

impl<'a> Aim<'a> {
    fn of(stack: &'a Stack, path: &Path) -> Result<Self> {
        let failed = |e: std::io::Error| Error::io("cannot be looked at", e).in_path(path);
        match std::fs::metadata(path) {
            Ok(meta) if meta.file_type().is_block_device() => match stack.numbered(meta.rdev()) {
                Some(node) => Ok(Aim::Drive(node)),
                None => Err(Error::denied(
                    "the kernel does not list this drive, so nobody can tell whether it is in use; attach it again",
                )
                .in_path(path)),
            },
            Ok(meta) => {
                Ok(Aim::File { folder: path.canonicalize().map_err(failed)?, id: Some((meta.dev(), meta.ino())) })
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
                let folder = parent.canonicalize().map_err(|e| Error::io("cannot be looked at", e).in_path(parent))?;
                Ok(Aim::File { folder, id: None })
            }
            Err(e) => Err(failed(e)),
        }
    }

    fn ground(&self, stack: &Stack) -> Ground {
        match self {
            Aim::Drive(node) => stack.ground(node),
            Aim::File { folder, .. } => stack.ground_of_file(folder),
        }
    }
}

/// Refuses a drive that is used, whole or in part, or that is a part of one that is used whole.
fn refuse_in_use(stack: &Stack, target: &Node) -> Result<()> {
    let related = stack.nodes.iter().filter(|n| {
        let part = n.whole.as_ref() == Some(&target.name);
        let whole = target.whole.as_ref() == Some(&n.name);
        n.name == target.name || part || whole
    });
    for node in related {
        let Some(used) = stack.uses.by(&node.name).into_iter().next() else { continue };
        let shown = node.path();
        let shown = shown.display();
        let advice = match &used {
            Use::Mounted(point) if point == Path::new("/") => format!(
                "this system runs from {shown}; choose another target, or start the machine from another medium"
            ),
            Use::Mounted(point) => format!("{shown} is mounted at {0}; unmount it first (umount {0})", point.display()),
            Use::Swap => format!("{shown} is used as swap; switch that off first (swapoff {shown})"),
            Use::Held(by) => {
                let name = by.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
                let by = stack.node(&name).map_or_else(|| by.display().to_string(), Node::display);
                format!("{shown} is part of {by}; stop that first, or choose another target")
            }
            Use::Loop(by) => format!("{shown} is attached as {0}; detach it first (losetup -d {0})", by.display()),
        };
        return Err(Error::denied(advice).in_path(target.path()));
    }
    Ok(())
}

/// Refuses a drive that somebody has opened for himself: mounted in another namespace, a pool member, another program.
fn refuse_held(target: &Path) -> Result<()> {
    match open(target, OFlags::RDONLY | OFlags::EXCL | OFlags::CLOEXEC, Mode::empty()) {
        Ok(_) => Ok(()),
        Err(Errno::BUSY) => Err(Error::denied(
            "another program, a mount or a pool holds this drive; release it first, or choose another target",
        )
        .in_path(target)),
        Err(e) => Err(fault::preparing(target, "open the target", e)),
    }
}

/// Refuses a file that a loop device shows as a drive.
fn refuse_attached(stack: &Stack, target: &Path, id: (u64, u64)) -> Result<()> {
    for node in &stack.nodes {
        let Some(backing) = &node.backing else { continue };
        if std::fs::metadata(stack.system.at(backing)).is_ok_and(|m| (m.dev(), m.ino()) == id) {
            let by = node.path();
            return Err(Error::denied(format!(
                "the file is attached as {0}; detach it first (losetup -d {0}), or choose another name",
                by.display()
            ))
            .in_path(target));
        }
    }
    Ok(())
}

fn refuse_overlap(stack: &Stack, source: &Path, from: &Aim<'_>, target: &Path, to: &Aim<'_>) -> Result<()> {
    let refuse = |why: String| Err(Error::denied(why).in_path(target));
    let source = source.display();
    match (from, to) {
        (Aim::Drive(s), Aim::Drive(t)) if s.name == t.name => {
            refuse(format!("the target is the source {source}; choose another drive"))
        }
        (Aim::Drive(s), Aim::Drive(t)) if stack.overlap(s, t) => refuse(format!(
            "the target and the source {source} share the same sectors; choose a target on another drive"
        )),
        (Aim::Drive(s), Aim::File { folder, id }) => {
            let below = stack.ground_of_file(folder);
            if id.is_some_and(|id| stack.ground(s).files.contains(&id)) {
                return refuse(format!("the target is the file behind the source {source}; choose another name"));
            }
            if below.nodes.contains(&s.name) || stack.parts_of(s, &below) {
                return refuse(format!(
                    "the target would lie on the source {source} and change it while it is read; choose a folder on \
                     another drive"
                ));
            }
            Ok(())
        }
        (Aim::File { id: Some(id), folder }, Aim::Drive(t)) => {
            if stack.ground(t).files.contains(id) || stack.ground_of_file(folder).nodes.contains(&t.name) {
                return refuse(format!(
                    "the source {source} lies on the target and would be destroyed while it is read; choose another \
                     drive"
                ));
            }
            Ok(())
        }
        (Aim::File { id: Some(a), .. }, Aim::File { id: Some(b), .. }) if a == b => {
            refuse(format!("the target is the source {source} itself; choose another name"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
