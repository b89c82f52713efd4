//! What is written down about a finished image: one model, as JSON and as text.

use crate::identity::SourceId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use tintype_core::{Error, Extent, Facts, Result, State, human_size};

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

impl Report {
    /// True if the image's files are in `folder`, as long as they were.
    pub fn files_are_there(&self, folder: &Path) -> bool {
        !self.files.is_empty()
            && self
                .files
                .iter()
                .all(|f| std::fs::metadata(folder.join(&f.name)).is_ok_and(|m| m.is_file() && m.len() == f.size))
    }

    /// Writes `PREFIX.json` and `PREFIX.txt`, each whole or not at all.
    pub fn write(&self, prefix: &str) -> Result<()> {
        let json =
            serde_json::to_string_pretty(self).map_err(|e| Error::usage("the report has no JSON form").because(e))?;
        for (ending, text) in [("txt", self.text()), ("json", json + "\n")] {
            let path = format!("{prefix}.{ending}");
            let new = format!("{path}.new");
            std::fs::write(&new, text)
                .and_then(|()| std::fs::File::open(&new)?.sync_all())
                .and_then(|()| std::fs::rename(&new, &path))
                .map_err(|e| Error::io("cannot write the report", e).in_path(&path))?;
        }
        Ok(())
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
