//! Folders of a test's own.

use std::path::{Path, PathBuf};

/// A folder that nobody else uses, removed with everything in it when dropped.
#[derive(Debug)]
pub struct Scratch(tempfile::TempDir);

impl Scratch {
    /// A new empty folder under the temporary folder of the machine (`TMPDIR`).
    pub fn new() -> Self {
        Scratch(tempfile::Builder::new().prefix("tintype-test-").tempdir().expect("a temporary folder can be made"))
    }

    /// A new empty folder that every user of the machine can reach, wherever the checkout lies.
    pub fn for_everybody() -> Self {
        let folder = tempfile::Builder::new().prefix("tintype-test-").tempdir_in("/tmp").expect("/tmp can be written");
        let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(folder.path(), everybody).expect("a mode can be set");
        Scratch(folder)
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The path of `name` in it.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path().join(name)
    }

    /// A folder in it, made if it is not there.
    pub fn folder(&self, name: &str) -> PathBuf {
        let path = self.join(name);
        std::fs::create_dir_all(&path).expect("a folder in the scratch folder can be made");
        path
    }

    /// A file in it with these bytes.
    pub fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.join(name);
        std::fs::write(&path, bytes).expect("a file in the scratch folder can be written");
        path
    }

    /// Names of the files in it, sorted.
    pub fn names(&self) -> Vec<String> {
        names_in(self.path())
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

/// Names in a folder, sorted.
pub(crate) fn names_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .expect("the folder can be listed")
        .map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}
