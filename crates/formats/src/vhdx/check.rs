//! Checks the structure.

use super::bat::{MAP_PRESENT, RESERVED, State, place};
use super::layout::MIB;
use super::read::{Parsed, parse, replayed};
use crate::blocks::{Findings, share};
use tintype_core::{Finding, OpenRequest, Result};

pub(super) fn check(request: &OpenRequest) -> Result<Vec<Finding>> {
    let parsed = parse(request)?;
    let Parsed { head, metadata, bat } = &parsed;
    let mut findings = Findings::new(&request.entry.name);
    if head.replayed > 0 {
        findings.warning(replayed(head.replayed), head.header.log_offset.get());
    }
    let mut areas: Vec<(String, u64, u64)> = vec![("the header section".into(), 0, MIB)];
    let (log, log_len) = (head.header.log_offset.get(), u64::from(head.header.log_length.get()));
    if log_len > 0 {
        areas.push(("the log".into(), log, log.saturating_add(log_len)));
    }
    for region in &head.regions {
        let name = if *region == head.bat {
            "the block table".to_owned()
        } else if *region == head.metadata {
            "the metadata".to_owned()
        } else {
            format!("region {}", crate::uuid::text(&region.guid))
        };
        areas.push((name, region.file_offset.get(), region.end()));
    }
    areas.sort_by_key(|area| area.1);
    for pair in areas.windows(2) {
        if pair[1].1 < pair[0].2 {
            findings.damage(format!("{} and {} lie over each other", pair[0].0, pair[1].0), pair[1].1);
        }
    }
    let len = metadata.len;
    let touched = |i: u64| share(bat.block_of(i), bat.block, len);
    let file = head.host.source.len();
    let mut end = areas.iter().map(|area| area.2).max().unwrap_or(MIB);
    bat.table.each(&mut |i, _, entry| {
        let at = bat.table.place(i);
        let map = bat.is_map(i);
        let n = bat.block_of(i);
        let name = if map { format!("the map of sectors before block {n}") } else { format!("block {n}") };
        if entry & RESERVED != 0 {
            findings.each(
                "entries with bits that mean nothing",
                || format!("the entry of {name} has unknown bits"),
                at,
                Some(touched(i)),
            );
        }
        let here = match (map, State::of(entry)) {
            (true, _) if entry & 7 == MAP_PRESENT && metadata.has_parent => true,
            (true, State::Absent) | (false, State::Absent | State::Zero) => false,
            (false, State::Present) => true,
            (false, State::Partial) if metadata.has_parent => {
                let map = i / (bat.ratio + 1) * (bat.ratio + 1) + bat.ratio;
                if bat.table.get(map)? & 7 != MAP_PRESENT {
                    let what = || format!("{name} has sectors of the parent, and there is no map of them");
                    findings.each("blocks without a map of their sectors", what, at, Some(touched(i)));
                }
                true
            }
            _ => {
                let what = || format!("{name} is in state {}, which it cannot be in", entry & 7);
                findings.each("blocks in wrong states", what, at, Some(touched(i)));
                false
            }
        };
        if !here {
            return Ok(());
        }
        let from = place(entry);
        // Of the last block, what lies beyond the end of the disk need not be there.
        let needed = if map { MIB } else { touched(i).1 };
        let to = from.saturating_add(if map { MIB } else { bat.block });
        end = end.max(to);
        if from.saturating_add(needed) > file {
            let what = || format!("{name} is said to lie at {from}, outside the file");
            findings.each("blocks outside the file", what, at, Some(touched(i)));
        } else if let Some(area) = areas.iter().find(|area| from < area.2 && area.1 < to) {
            findings.each(
                "blocks over other structures",
                || format!("{name} lies over {}", area.0),
                at,
                Some(touched(i)),
            );
        }
        Ok(())
    })?;
    let where_is = |i: u64, entry: u64| {
        let here = match bat.is_map(i) {
            true => entry & 7 == MAP_PRESENT,
            false => matches!(State::of(entry), State::Present | State::Partial),
        };
        here.then(|| (place(entry), if bat.is_map(i) { MIB } else { bat.block }))
    };
    findings.overlapping(&bat.table, &*request.watch, &where_is, &|i| bat.block_of(i), &touched)?;
    if file > end {
        findings.warning(format!("{} bytes at the end of the file belong to no block", file - end), end);
    }
    let mut all = head.findings.clone();
    all.extend(findings.finish());
    Ok(all)
}
