//! Paths of Windows and Mac OS that images name their parents by, as names on this machine.

use tintype_core::OpenRequest;

/// What the files with these paths may be called here, the likeliest first: relative paths as they are, then the bare names of all,
/// in whatever case they have beside the image.
pub(crate) fn names(request: &OpenRequest, paths: &[String]) -> Vec<String> {
    let listed = request.opener.list().unwrap_or_default();
    let mut names: Vec<String> = Vec::new();
    let mut add = |name: &str| {
        if !name.is_empty() && !names.iter().any(|n| n == name) {
            names.push(name.to_owned());
        }
    };
    for path in paths {
        let path = path.replace('\\', "/");
        let path = path.trim_start_matches("file://localhost").trim_start_matches("file://");
        let absolute = path.starts_with('/') || path.get(1..2) == Some(":");
        let bare = path.rsplit('/').next().unwrap_or_default();
        // Windows does not tell upper and lower case apart.
        let here = listed.iter().find(|n| *n == bare).or(listed.iter().find(|n| n.eq_ignore_ascii_case(bare)));
        let relative = path.trim_start_matches("./");
        // The folder it was in on another machine says nothing here.
        if !absolute && relative.contains('/') {
            add(relative);
        }
        add(here.map_or(bare, |n| n));
    }
    names
}

#[cfg(test)]
mod tests {
    use tintype_core::testing::{MemoryOutlet, open_request};

    #[test]
    fn names_are_looked_for_beside_the_image() {
        let outlet = MemoryOutlet::new();
        for name in ["child", "Base.VHD"] {
            outlet.insert(name, vec![1]);
        }
        let request = open_request(&outlet, "child");
        let names = |path: &str| super::names(&request, &[path.to_owned()]);
        assert_eq!(names(".\\base.vhd"), ["Base.VHD"]);
        assert_eq!(names("C:\\Virtual Machines\\base.vhd"), ["Base.VHD"]);
        assert_eq!(names("\\\\?\\Volume{26A21BDA}\\x\\other.vhdx"), ["other.vhdx"]);
        assert_eq!(names("..\\disks\\base.vhd"), ["../disks/base.vhd", "Base.VHD"]);
        assert_eq!(names("file:///Users/a/base.vhd"), ["Base.VHD"]);
        assert_eq!(names(""), [""; 0]);
    }
}
