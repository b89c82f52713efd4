//! What a rescue came to, in words.

use tintype_core::human_size;
use tintype_engine::rescue::{Rescued, Suspect};

/// Reasons and suspect ranges that are shown.
const SHOWN: usize = 5;

/// The result for people.
pub fn text(rescued: &Rescued) -> String {
    let missing = rescued.domain - rescued.rescued;
    let meant = match rescued.domain == rescued.size {
        true => human_size(rescued.size),
        false => format!("{} (of {})", human_size(rescued.domain), human_size(rescued.size)),
    };
    let mut text = match missing {
        0 => format!("all {meant} of {} are in {}\n", rescued.source, rescued.target),
        _ => format!(
            "{:.4} % of {meant} of {} is in {}: {} are missing\n",
            rescued.rescued as f64 * 100.0 / rescued.domain.max(1) as f64,
            rescued.source,
            rescued.target,
            human_size(missing)
        ),
    };
    if missing > 0 {
        let bad: u64 = rescued.bad.iter().map(|r| r.len).sum();
        let unread = missing - bad;
        text +=
            &format!("{} failed sector by sector; {} were not tried to the end", human_size(bad), human_size(unread));
        text += match (&rescued.stopped, unread) {
            (Some(_), _) | (None, 0) => "\n",
            (None, _) => ", because nothing more is to be expected there; --exhaustive tries them\n",
        };
    }
    for failed in rescued.failures.iter().take(SHOWN) {
        let places = if failed.ranges == 1 { "place" } else { "places" };
        text += &format!("  {} in {} {places}: {}\n", human_size(failed.bytes), failed.ranges, failed.words);
    }
    if rescued.failures.len() > SHOWN {
        text += &format!("  and more; tintype map list --why {} has all\n", rescued.map);
    }
    let (given, suspect): (Vec<_>, Vec<_>) = rescued.suspect.iter().partition(|s| s.reason.is_uncorrected());
    let total = |list: &[&Suspect]| human_size(list.iter().map(|s| s.len).sum());
    if !given.is_empty() {
        text += &format!(
            "{} of what failed were given past the drive's error correction and are NOT rescued, in {} ranges; \
             {}.suspect names them\n",
            total(&given),
            given.len(),
            rescued.map
        );
    }
    if !suspect.is_empty() {
        text += &format!("{} were read and are SUSPECT, in {} ranges:\n", total(&suspect), suspect.len());
        for suspect in suspect.iter().take(SHOWN) {
            text += &format!("  at {}, {}: {}\n", suspect.offset, human_size(suspect.len), suspect.reason.words());
        }
        text +=
            &format!("{}.suspect has all of them; docs/rescue/rescue.md says how to read them again\n", rescued.map);
    }
    if let Some(why) = &rescued.stopped {
        text += &format!("stopped: {why}; the same command goes on\n");
    }
    text += &format!("{} reads, {} failed; the map is {}\n", rescued.reads, rescued.failed_reads, rescued.map);
    text
}
