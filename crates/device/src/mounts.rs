//! What is mounted where, and what is swapped to.

use crate::sysfs::{System, children};
use std::path::{Path, PathBuf};

/// One line of `/proc/self/mountinfo`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    pub device: (u32, u32),
    pub point: PathBuf,
    /// What was mounted, in the file system's own words: often a path below `/dev`.
    pub source: PathBuf,
    /// True if nothing can be written by way of it.
    pub read_only: bool,
}

/// All mounts, the later over the earlier.
pub(crate) fn mounts(system: &System) -> Vec<Mount> {
    let text = std::fs::read(system.at("/proc/self/mountinfo")).unwrap_or_default();
    text.split(|b| *b == b'\n').filter_map(mount).collect()
}

/// Fields as proc_pid_mountinfo(5) has them: the fourth column is optional and repeated, `-` ends it.
fn mount(line: &[u8]) -> Option<Mount> {
    let fields: Vec<&[u8]> = line.split(|b| *b == b' ').collect();
    let (major, minor) = std::str::from_utf8(fields.get(2)?).ok()?.split_once(':')?;
    let dash = fields.iter().position(|f| *f == b"-")?;
    Some(Mount {
        device: (major.parse().ok()?, minor.parse().ok()?),
        point: unescape(fields.get(4)?),
        source: unescape(fields.get(dash + 2)?),
        read_only: [fields.get(5), fields.get(dash + 3)].into_iter().flatten().any(|f| has_option(f, b"ro")),
    })
}

fn has_option(options: &[u8], option: &[u8]) -> bool {
    options.split(|b| *b == b',').any(|o| o == option)
}

/// Paths of all swap areas: drives and files.
pub(crate) fn swaps(system: &System) -> Vec<PathBuf> {
    let text = std::fs::read(system.at("/proc/swaps")).unwrap_or_default();
    let lines = text.split(|b| *b == b'\n').skip(1);
    lines
        .filter_map(|l| l.split(|b| matches!(b, b' ' | b'\t')).next())
        .filter(|f| !f.is_empty())
        .map(unescape)
        .collect()
}

/// The kernel's names of the drives of each btrfs file system: only one of them is named where it is mounted.
pub(crate) fn btrfs_groups(system: &System) -> Vec<Vec<String>> {
    let groups = children(&system.at("/sys/fs/btrfs"));
    let members = groups.iter().map(|g| children(&g.join("devices")));
    members.map(|m| m.iter().filter_map(|p| Some(p.file_name()?.to_str()?.to_owned())).collect()).collect()
}

/// Blanks and their kin stand as three octal digits.
fn unescape(field: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, more)) = rest.split_first() {
        let code = match (first, more) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..]) => {
                Some((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'))
            }
            _ => None,
        };
        out.push(code.unwrap_or(first));
        rest = if code.is_some() { &more[3..] } else { more };
    }
    PathBuf::from(std::ffi::OsString::from_vec(out))
}

/// The mount that `path` lies on.
pub(crate) fn mount_of<'a>(mounts: &'a [Mount], path: &Path) -> Option<&'a Mount> {
    // Of two on one point the later one is seen.
    mounts.iter().filter(|m| path.starts_with(&m.point)).max_by_key(|m| m.point.components().count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_mountinfo() {
        let line =
            b"36 35 98:0 /mnt1 /mnt\\040two rw,noatime master:1 shared:2 - ext3 /dev/sd\\134a1 rw,errors=continue";
        let want = Mount { device: (98, 0), point: "/mnt two".into(), source: "/dev/sd\\a1".into(), read_only: false };
        assert_eq!(mount(line), Some(want));
        assert!(mount(b"36 35 98:0 / /m rw - ext3 /dev/sda1 ro,errors=continue").is_some_and(|m| m.read_only));
        for bad in [&b""[..], b"1 2 3", b"1 2 x:y / / rw - a b c", b"36 35 98:0 / /m rw - ext3"] {
            assert_eq!(mount(bad), None);
        }
    }

    #[test]
    fn the_innermost_mount_wins_and_the_later_of_two() {
        let m = |point: &str, source: &str| Mount {
            device: (1, 1),
            point: point.into(),
            source: source.into(),
            read_only: true,
        };
        let all = [m("/", "a"), m("/home", "b"), m("/home", "c"), m("/homely", "d")];
        let at = |p: &str| mount_of(&all, Path::new(p)).unwrap().source.clone();
        assert_eq!([at("/x"), at("/home/u"), at("/homes")], ["a", "c", "a"].map(PathBuf::from));
    }
}
