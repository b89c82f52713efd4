//! What a test needs of the machine.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Something that not every machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// A program on the `PATH` (the system's folders for administrators included).
    Tool(&'static str),
    /// A Python module, in the interpreter that [`python`] names.
    Python(&'static str),
    /// To be root.
    Root,
    /// Loop devices.
    Loop,
    /// File systems in user space.
    Fuse,
    /// Time and room that only a long run has (`TINTYPE_TEST_LONG=1`).
    Long,
}

impl Need {
    /// Its name in lists.
    pub fn name(&self) -> String {
        match self {
            Need::Tool(name) => (*name).to_owned(),
            Need::Python(module) => format!("python:{module}"),
            Need::Root => "root".to_owned(),
            Need::Loop => "loop".to_owned(),
            Need::Fuse => "fuse".to_owned(),
            Need::Long => "long".to_owned(),
        }
    }

    /// True if the machine has it.
    pub fn is_met(&self) -> bool {
        match self {
            Need::Tool(name) => find_tool(name).is_some(),
            Need::Python(module) => python_has(module),
            Need::Root => rustix::process::geteuid().is_root(),
            Need::Loop => rustix::process::geteuid().is_root() && Path::new("/dev/loop-control").exists(),
            Need::Fuse => Path::new("/dev/fuse").exists() && find_tool("fusermount3").is_some(),
            Need::Long => std::env::var_os("TINTYPE_TEST_LONG").is_some_and(|v| v == "1"),
        }
    }
}

/// The full path of a program.
pub(crate) fn find_tool(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let further = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(further).map(|dir| dir.join(name)).find(|p| p.is_file())
}

/// The Python interpreter with the oracles' modules: `TINTYPE_TEST_PYTHON`, else `python3`.
pub fn python() -> PathBuf {
    std::env::var_os("TINTYPE_TEST_PYTHON").map_or_else(|| PathBuf::from("python3"), PathBuf::from)
}

fn python_has(module: &str) -> bool {
    Command::new(python())
        .args(["-c", &format!("import {module}")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|s| s.success())
}
