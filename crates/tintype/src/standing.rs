//! How a rescue stands, for people and for programs.

use std::io::IsTerminal;
use tintype_core::mapfile::Status;
use tintype_core::{Standing, human_size};

/// Whether cells have colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    /// Signs only.
    Plain,
    /// Colours as well.
    Colours,
}

impl Paint {
    fn of(terminal: bool) -> Self {
        let wanted = terminal && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
        if wanted { Paint::Colours } else { Paint::Plain }
    }

    /// What suits standard error.
    pub fn of_stderr() -> Self {
        Paint::of(std::io::stderr().is_terminal())
    }

    /// What suits standard output.
    pub fn of_stdout() -> Self {
        Paint::of(std::io::stdout().is_terminal())
    }
}

/// Whether the map is part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cells {
    /// It is.
    Shown,
    /// It is left out.
    Left,
}

/// The sign of a cell, and its colour as a terminal knows it.
pub fn look(cell: Option<Status>) -> (char, &'static str) {
    match cell {
        None => (' ', "0"),
        Some(Status::Finished) => ('█', "32"),
        Some(status @ Status::NonTried) => (status.sign(), "90"),
        Some(status @ Status::NonTrimmed) => (status.sign(), "33"),
        Some(status @ Status::NonScraped) => (status.sign(), "34"),
        Some(status @ Status::Bad) => (status.sign(), "31"),
    }
}

/// A row of cells.
pub fn row(cells: impl IntoIterator<Item = Option<Status>>, paint: Paint) -> String {
    let mut text = String::new();
    let mut before = "";
    for cell in cells {
        let (glyph, colour) = look(cell);
        if paint == Paint::Colours && colour != before {
            text.push_str(&format!("\x1b[{colour}m"));
            before = colour;
        }
        text.push(glyph);
    }
    if !before.is_empty() {
        text.push_str("\x1b[0m");
    }
    text
}

/// A time in words: `34 s`, `12 min`, `9 h`, `3 days`.
fn time(seconds: f64) -> String {
    match seconds {
        s if s < 100.0 => format!("{:.0} s", s.max(1.0)),
        s if s < 6000.0 => format!("{:.0} min", s / 60.0),
        s if s < 100.0 * 3600.0 => format!("{:.0} h", s / 3600.0),
        s if s < 365.0 * 86_400.0 => format!("{:.0} days", s / 86_400.0),
        _ => "more than a year".into(),
    }
}

/// Cells to `columns`: several become one, which shows the worst of them.
fn fit(cells: &str, columns: usize) -> Vec<Option<Status>> {
    const LOUDEST: [char; 6] = ['-', '/', '*', '?', '+', ' '];
    let cells: Vec<char> = cells.chars().collect();
    let columns = columns.min(cells.len());
    (0..columns)
        .map(|i| {
            let part = &cells[i * cells.len() / columns..(i + 1) * cells.len() / columns];
            let worst = LOUDEST.into_iter().find(|sign| part.contains(sign)).unwrap_or(' ');
            Status::of_sign(worst)
        })
        .collect()
}

/// A few lines for a terminal of `columns`.
pub fn lines(standing: &Standing, columns: usize, paint: Paint) -> String {
    let missing = standing.domain - standing.rescued;
    let mut text = format!(
        "{}: {:.2} % of {}; {} left, {} of it failed ({} reads)\n",
        standing.title,
        share(standing),
        human_size(standing.domain),
        human_size(missing),
        human_size(standing.failed),
        standing.failed_reads,
    );
    text += &format!(
        "{}/s now, {}/s on average; {}\n",
        human_size(standing.rate as u64),
        human_size(standing.average as u64),
        outlook(standing)
    );
    text += &row(fit(&standing.cells, columns), paint);
    text
}

/// The share that is there, in percent; 100 only if all of it is.
fn share(standing: &Standing) -> f64 {
    let share = standing.rescued as f64 * 100.0 / standing.domain.max(1) as f64;
    if standing.rescued < standing.domain { share.min(99.99) } else { 100.0 }
}

/// How long it may take, and what the next percent costs.
pub fn outlook(standing: &Standing) -> String {
    if standing.rescued == standing.domain {
        return "nothing is left".into();
    }
    let mut text = match (standing.seconds_left, standing.seconds_at_worst) {
        (Some(soon), Some(late)) if standing.failed > 0 && late > soon * 1.5 + 60.0 => match standing.untried {
            0 => format!("up to {} more if all that failed fails again", time(late)),
            _ => format!("about {} left if the rest reads well, up to {} if not", time(soon), time(late)),
        },
        (Some(soon), _) => format!("about {} left", time(soon)),
        _ => "nobody knows how long".into(),
    };
    if standing.failed > 0 {
        text += &match standing.next_percent {
            Some(seconds) => format!("; the next 1 % costs about {}", time(seconds)),
            None => format!("; nothing came for {}", time(standing.since_good)),
        };
    }
    text
}

/// The same for programs.
pub fn json(standing: &Standing, cells: Cells) -> serde_json::Value {
    let round = |value: Option<f64>| value.map(f64::round);
    let mut json = serde_json::json!({
        "event": "standing",
        "pass": standing.pass,
        "title": standing.title,
        "domain": standing.domain,
        "rescued": standing.rescued,
        "percent": (share(standing) * 1e4).floor() / 1e4,
        "untried": standing.untried,
        "failed": standing.failed,
        "bad": standing.bad,
        "bad_areas": standing.bad_areas,
        "reads": standing.reads,
        "failed_reads": standing.failed_reads,
        "bytes_per_second": standing.rate.round(),
        "average_bytes_per_second": standing.average.round(),
        "seconds": (standing.seconds * 1e3).round() / 1e3,
        "seconds_since_good": (standing.since_good * 1e3).round() / 1e3,
        "seconds_left": round(standing.seconds_left),
        "seconds_at_worst": round(standing.seconds_at_worst),
        "seconds_next_percent": round(standing.next_percent),
        "outlook": outlook(standing),
    });
    if cells == Cells::Shown {
        json["map"] = standing.cells.clone().into();
    }
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing() -> Standing {
        Standing {
            pass: "scrape",
            title: "trying single sectors",
            domain: 1000 << 30,
            rescued: 993 << 30,
            failed: 7 << 30,
            failed_reads: 12,
            since_good: 30.0,
            seconds_left: Some(1.0),
            seconds_at_worst: Some(200_000.0),
            next_percent: Some(9.0 * 3600.0),
            cells: "++++-+?+".into(),
            ..Standing::default()
        }
    }

    #[test]
    fn words_say_what_is_left_and_what_it_costs() {
        let text = lines(&standing(), 4, Paint::Plain);
        assert!(text.starts_with("trying single sectors: 99.30 % of 1000.0 GiB; 7.0 GiB left"), "{text}");
        assert!(text.contains("up to 56 h more") && text.contains("the next 1 % costs about 9 h"), "{text}");
        assert!(text.ends_with("\n██-?"), "{text}");
        let text = outlook(&Standing { next_percent: None, ..standing() });
        assert!(text.contains("nothing came for 30 s"), "{text}");
    }

    #[test]
    fn nothing_is_called_whole_that_is_not() {
        let nearly = Standing { rescued: (1000 << 30) - 1, ..standing() };
        assert!(lines(&nearly, 4, Paint::Plain).contains("99.99 %"));
        assert_eq!(json(&nearly, Cells::Left)["percent"], 99.99);
        let all = Standing { rescued: 1000 << 30, failed: 0, ..standing() };
        assert!(lines(&all, 4, Paint::Plain).contains("100.00 %"));
    }
}
