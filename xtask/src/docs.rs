//! The parts of README.md that are made from code.

use crate::{Outcome, root};
use tintype_core::{Format, State};
use tintype_formats::FORMATS;

const BEGIN: &str = "<!-- formats: made by cargo xtask docs -->";
const END: &str = "<!-- /formats -->";

/// Writes them.
pub fn write() -> Outcome {
    let path = root().join("README.md");
    let (old, new) = texts()?;
    if old != new {
        std::fs::write(&path, new).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    Ok(())
}

/// Fails if they are not what [`write`] would write.
pub fn check() -> Outcome {
    let (old, new) = texts()?;
    if old == new { Ok(()) } else { Err("README.md is not up to date; run cargo xtask docs".into()) }
}

fn texts() -> Result<(String, String), String> {
    let path = root().join("README.md");
    let old = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let new = replaced(&old, &table()).ok_or_else(|| format!("README.md has no {BEGIN} ... {END}"))?;
    Ok((old, new))
}

fn replaced(text: &str, table: &str) -> Option<String> {
    let begin = text.find(BEGIN)? + BEGIN.len();
    let end = begin + text[begin..].find(END)?;
    Some(format!("{}\n{table}{}", &text[..begin], &text[end..]))
}

/// The table of formats, as the code has it.
fn table() -> String {
    let mut text = "| format | `--to` | names | read | written | goes on | split | keeps |\n".to_owned();
    text += "|---|---|---|---|---|---|---|---|\n";
    for format in FORMATS {
        let mark = |yes: bool| if yes { "yes" } else { "" };
        let endings: Vec<String> = format.extensions.iter().map(|e| format!("`.{e}`")).collect();
        text += &format!(
            "| {} | `{}` | {} | {} | {} | {} | {} | {} |\n",
            format.title,
            format.name,
            endings.join(" "),
            mark(format.open.is_some()),
            mark(format.create.is_some()),
            mark(format.resume.is_some()),
            mark(format.caps.split),
            keeps(format),
        );
    }
    text
}

/// What a format carries besides bytes.
fn keeps(format: &Format) -> String {
    let caps = &format.caps;
    let lost: Vec<&str> =
        State::ALL.iter().filter(|s| **s != State::Data && caps.states.has(**s)).map(|s| s.name()).collect();
    let mut kept: Vec<String> = Vec::new();
    if !lost.is_empty() {
        kept.push(lost.join(", "));
    }
    if caps.case {
        kept.push("case data".into());
    }
    if !caps.digests.is_empty() {
        kept.push(caps.digests.join(", "));
    }
    kept.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_between_the_marks_changes() {
        let text = format!("before\n{BEGIN}\nold\n{END}\nafter\n");
        let once = replaced(&text, "new\n").expect("the marks are there");
        assert_eq!(once, format!("before\n{BEGIN}\nnew\n{END}\nafter\n"));
        assert_eq!(replaced(&once, "new\n"), Some(once.clone()));
        assert_eq!(replaced("no marks", "new\n"), None);
    }

    #[test]
    fn every_format_has_a_row() {
        assert_eq!(table().lines().count(), FORMATS.len() + 2);
    }
}
