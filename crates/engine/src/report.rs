//! What is written down about a finished image: one model, as JSON and as text.

use crate::identity::SourceId;
use crate::journal::Header;
use crate::target::Overwrite;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use tintype_core::{Error, Extent, Facts, Outlet, Result, State, TAKEN, human_size};
use tintype_device::folder::{Folder, Reach};

/// The name and version of this program.
pub fn program() -> String {
    format!("tintype {}", env!("CARGO_PKG_VERSION"))
}

/// The time, in UTC, RFC 3339, whole seconds.
pub fn now() -> String {
    let now = jiff::Timestamp::now();
    now.round(jiff::Unit::Second).unwrap_or(now).to_string()
}

/// A lost range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub len: u64,
}

impl From<Extent> for Range {
    fn from(extent: Extent) -> Self {
        Range { offset: extent.offset, len: extent.len }
    }
}

/// The case, as given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaseData {
    /// Case number.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub case: String,
    /// Evidence number.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub evidence: String,
    /// Examiner.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub examiner: String,
    /// Description.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub description: String,
    /// Notes.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub notes: String,
}

impl CaseData {
    /// The case data among facts.
    pub fn of(facts: &Facts) -> Self {
        let case = &facts.case;
        CaseData {
            case: case.case.clone(),
            evidence: case.evidence.clone(),
            examiner: case.examiner.clone(),
            description: case.description.clone(),
            notes: case.notes.clone(),
        }
    }

    fn rows(&self) -> [(&'static str, &str); 5] {
        [
            ("Case", &self.case),
            ("Evidence", &self.evidence),
            ("Examiner", &self.examiner),
            ("Description", &self.description),
            ("Notes", &self.notes),
        ]
    }
}

/// One file of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Its name.
    pub name: String,
    /// Its bytes.
    pub size: u64,
}

/// What proved the written image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    /// True if everything matched.
    pub matches: bool,
    /// In words.
    pub method: String,
    /// Digests of what was read back.
    pub digests: BTreeMap<String, String>,
    /// The first ranges that differ.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub differs: Vec<Range>,
}

/// A work that was taken up again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resumption {
    /// When.
    pub at: String,
    /// From where.
    pub offset: u64,
}

impl From<(String, u64)> for Resumption {
    fn from((at, offset): (String, u64)) -> Self {
        Resumption { at, offset }
    }
}

/// Everything about one finished image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Program and version.
    pub program: String,
    /// The command line.
    pub command: Vec<String>,
    /// The machine it ran on.
    pub host: String,
    /// When it began.
    pub started: String,
    /// When it was finished.
    pub ended: String,
    /// Seconds of the last run.
    pub seconds: f64,
    /// What was read.
    pub source: SourceId,
    /// The case.
    pub case: CaseData,
    /// The image.
    pub target: String,
    /// Its format.
    pub format: String,
    /// Its files.
    pub files: Vec<FileEntry>,
    /// Logical bytes.
    pub size: u64,
    /// Stored bytes.
    pub written: u64,
    /// Digests of the logical bytes.
    pub digests: BTreeMap<String, String>,
    /// What the digests cover.
    pub digests_cover: String,
    /// Bytes by state.
    pub extents: BTreeMap<String, u64>,
    /// Ranges that could not be read.
    pub bad: Vec<Range>,
    /// Ranges that were not, or not finally, tried.
    pub unread: Vec<Range>,
    /// Bytes among them that the source did not already call lost: what this acquisition itself could not read.
    pub newly_lost: u64,
    /// When the work was taken up again, and from where.
    pub resumptions: Vec<Resumption>,
    /// What the format could not keep, and other things to know.
    pub notes: Vec<String>,
    /// How the written image was proved, if it was asked for.
    pub verification: Option<Verification>,
    /// What decides how the image looks; to know the same command again.
    pub request: serde_json::Value,
}

/// The name of the report beside the image at `path`, without `.json` and `.txt`. A count as in `disk.001` is left out:
/// whoever joins the parts with a pattern must not catch the report.
pub fn beside(path: &Path) -> String {
    let path = path.to_string_lossy();
    let stem = match path.rsplit_once('.') {
        Some((stem, count)) if !stem.is_empty() && count.bytes().all(|b| b.is_ascii_digit()) => stem,
        _ => &path,
    };
    format!("{stem}.report")
}

/// Reads the JSON report at `path`; `None` if there is none that can be read.
pub fn read(path: &Path) -> Option<Report> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// The endings of a report's files.
const ENDINGS: [&str; 2] = ["json", "txt"];

/// The ending a report's file has until it is whole.
const NEW: &str = "new";

/// Where a report goes.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its path without `.json` and `.txt`.
    pub prefix: String,
    /// What happens to a report that is in the way.
    pub overwrite: Overwrite,
}

/// Refuses a report called `prefix` whose files would have a longer name than the file system takes.
pub fn check_name(prefix: &str) -> Result<()> {
    let (folder, name) = Folder::of(Path::new(prefix), Reach::Beside)?;
    let most = folder.longest_name()?;
    // With a count before it, for when the name is taken.
    let need = name.len() + ".99.".len() + NEW.len();
    if need > most {
        let what = format!(
            "the name is too long: the report beside it needs {need} bytes for its own, and {most} are possible here; choose \
             a name that is {} bytes shorter",
            need - most
        );
        return Err(Error::usage(what).in_path(prefix));
    }
    Ok(())
}

impl Place {
    /// Refuses, without touching anything, a place where no report can be written, or where another one is: one that is not
    /// of `again`, the command that is done once more.
    pub fn check(&self, again: Option<&Header>) -> Result<()> {
        check_name(&self.prefix)?;
        let (folder, name) = Folder::of(Path::new(&self.prefix), Reach::Beside)?;
        folder.check_writable()?;
        for ending in ENDINGS {
            let path = format!("{}.{ending}", self.prefix);
            if std::fs::symlink_metadata(&path).is_ok_and(|m| m.is_dir()) {
                return Err(Error::denied("is a folder, and the report would have its name").in_path(path));
            }
            if self.overwrite == Overwrite::Refuse && folder.exists(&format!("{name}.{ending}"))? {
                let same = |header: &Header| self.read().is_some_and(|report| report.is_of(header));
                if !again.is_some_and(same) {
                    let what = "is the report of another image and would be overwritten; move it away, choose another name, or \
                                give --force";
                    return Err(Error::denied(what).in_path(path));
                }
            }
        }
        Ok(())
    }

    /// The report that lies there, if it can be read.
    pub fn read(&self) -> Option<Report> {
        read(Path::new(&format!("{}.json", self.prefix)))
    }
}

impl Report {
    /// True if the image's files are in `folder`, as long as they were.
    pub fn files_are_there(&self, folder: &Path) -> bool {
        !self.files.is_empty()
            && self
                .files
                .iter()
                .all(|f| std::fs::metadata(folder.join(&f.name)).is_ok_and(|m| m.is_file() && m.len() == f.size))
    }

    /// True if it is of the command and the source that `header` tells of.
    pub fn is_of(&self, header: &Header) -> bool {
        self.request == header.request && self.source.differs(&header.source).is_none()
    }

    /// Writes both files, each whole or not at all. `Denied` if one has come to exist that may not be replaced.
    pub fn write(&self, place: &Place) -> Result<()> {
        let json =
            serde_json::to_string_pretty(self).map_err(|e| Error::usage("the report has no JSON form").because(e))?;
        let (folder, name) = Folder::of(Path::new(&place.prefix), Reach::Beside)?;
        // Both are looked at before either is made: half a report beside a stranger's half would look like one.
        if place.overwrite == Overwrite::Refuse {
            for ending in ENDINGS {
                let last = format!("{name}.{ending}");
                if folder.exists(&last)? {
                    return Err(Error::denied(TAKEN).in_path(folder.path().join(last)));
                }
            }
        }
        for (ending, text) in ENDINGS.into_iter().zip([json + "\n", self.text()]) {
            let last = format!("{name}.{ending}");
            // Whoever has such a name, be it an earlier run that was cut short here, keeps it.
            let mut new = format!("{name}.{NEW}");
            for count in 2..100 {
                if !folder.exists(&new)? {
                    break;
                }
                new = format!("{name}.{count}.{NEW}");
            }
            let file = folder.create(&new)?;
            let written =
                file.write_at(text.as_bytes(), 0).and_then(|()| file.sync()).and_then(|()| match place.overwrite {
                    Overwrite::Replace => folder.rename(&new, &last),
                    Overwrite::Refuse => folder.rename_new(&new, &last),
                });
            if let Err(e) = written {
                folder.remove(&new)?;
                return Err(e);
            }
        }
        folder.sync()
    }

    /// The report for people.
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let mut row = |name: &str, value: &str| {
            if !value.is_empty() {
                let _ = writeln!(out, "{name:<22}{value}");
            }
        };
        row("Acquisition report", &self.target);
        row("Program", &self.program);
        row("Command", &self.command.join(" "));
        row("Host", &self.host);
        row("Started", &self.started);
        row("Ended", &self.ended);
        for (name, value) in self.case.rows() {
            row(name, value);
        }
        row("Source", &self.source.locator);
        row("  Model", &self.source.model);
        row("  Serial number", &self.source.serial);
        row("  Firmware", &self.source.firmware);
        row("  World wide name", &self.source.wwn);
        row("  Attached by", &self.source.transport);
        row("  Size", &bytes(self.size));
        row(
            "  Sectors",
            &format!("{} bytes logical, {} bytes physical", self.source.sector, self.source.physical_sector),
        );
        row("Format", &self.format);
        for file in &self.files {
            row("  File", &format!("{}, {}", file.name, bytes(file.size)));
        }
        row("Stored", &bytes(self.written));
        for (name, value) in &self.digests {
            row(&name.to_uppercase(), value);
        }
        row("Digests cover", &self.digests_cover);
        for (state, len) in self.extents.iter().filter(|(_, len)| **len > 0) {
            row(&format!("Bytes {state}"), &bytes(*len));
        }
        for (name, ranges) in [("Unreadable", &self.bad), ("Not tried", &self.unread)] {
            for range in ranges {
                row(
                    name,
                    &format!(
                        "{} bytes from offset {} (sector {})",
                        range.len,
                        range.offset,
                        range.offset / u64::from(self.source.sector.max(1))
                    ),
                );
            }
        }
        if self.bad.is_empty() && self.unread.is_empty() {
            row("Unreadable", "nothing: every sector was read");
        }
        for resumption in &self.resumptions {
            row("Taken up again", &format!("{} from offset {}", resumption.at, resumption.offset));
        }
        for note in &self.notes {
            row("Note", note);
        }
        match &self.verification {
            Some(v) => {
                row("Verification", if v.matches { "the image matches" } else { "THE IMAGE DOES NOT MATCH" });
                row("  Method", &v.method);
                for (name, value) in &v.digests {
                    row(&format!("  {}", name.to_uppercase()), value);
                }
                for range in &v.differs {
                    row("  Differs", &format!("{} bytes from offset {}", range.len, range.offset));
                }
            }
            None => row("Verification", "not asked for (--verify)"),
        }
        out
    }
}

fn bytes(len: u64) -> String {
    match len {
        0..1024 => format!("{len} bytes"),
        _ => format!("{len} bytes ({})", human_size(len)),
    }
}

/// What a digest over the whole image covers, in words.
pub fn coverage(size: u64, lost: u64, fill: &str) -> String {
    match lost {
        0 => format!("all {size} bytes"),
        _ => format!("all {size} bytes; {lost} of them could not be read, {fill} in their place"),
    }
}

/// Bytes by state, by name.
pub fn by_name(totals: &BTreeMap<State, u64>) -> BTreeMap<String, u64> {
    State::ALL.iter().map(|s| (s.name().to_owned(), totals.get(s).copied().unwrap_or(0))).collect()
}

/// The machine this runs on, in words.
pub fn host() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let name = read("/proc/sys/kernel/hostname");
    let kernel = read("/proc/sys/kernel/osrelease");
    let system = read("/etc/os-release")
        .lines()
        .find_map(|l| l.strip_prefix("PRETTY_NAME=").map(|v| v.trim_matches('"').to_owned()))
        .unwrap_or_else(|| "Linux".into());
    format!("{name}, {system}, kernel {kernel}")
}
