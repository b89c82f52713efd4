//! Results as text for people.

use std::fmt::Write;
use tintype_core::human_size;
use tintype_device::enumerate::{Drive, Health};
use tintype_engine::info::Info;

/// What `devices` prints.
pub fn devices(drives: &[Drive]) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let mut line = |text: String| {
        let _ = writeln!(out, "{}", text.trim_end());
    };
    for d in drives {
        let kind = match d.rotational {
            Some(true) => "spinning",
            Some(false) => "solid state",
            None => "",
        };
        let mut words = vec![human_size(d.len), d.identity.transport.clone(), kind.to_owned()];
        if d.removable {
            words.push("removable".into());
        }
        if d.read_only {
            words.push("read-only".into());
        }
        words.retain(|w| !w.is_empty());
        line(format!("{}  {}", d.path.display(), words.join(", ")));
        let title = d.title.as_deref().unwrap_or("");
        let identity: Vec<_> = [title, &d.identity.model, &d.identity.serial, &d.identity.firmware]
            .into_iter()
            .filter(|w| !w.is_empty())
            .map(str::to_owned)
            .collect();
        if !identity.is_empty() {
            line(format!("    {}", identity.join("  ")));
        }
        let health = match &d.health {
            Health::Worn(why) | Health::Failed(why) => format!("{}: {why}", d.health.name()),
            health => health.name().to_owned(),
        };
        line(format!("    {} bytes, sectors of {} (physical {}), health {health}", d.len, d.sector, d.physical));
        if let Some(backing) = &d.backing {
            line(format!("    backed by {}", backing.display()));
        }
        for used in &d.uses {
            line(format!("    {used}"));
        }
        for p in &d.partitions {
            let uses: Vec<_> = p.uses.iter().map(ToString::to_string).collect();
            line(format!("    {}  {}  {}", p.path.display(), human_size(p.len), uses.join(", ")));
        }
    }
    if drives.is_empty() {
        line("no drives were found".into());
    }
    out
}

/// What `info` prints.
pub fn info(i: &Info) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let mut row = |name: &str, value: &str| {
        if !value.is_empty() {
            let _ = writeln!(out, "{name:<18}{value}");
        }
    };
    row("Source", &i.source);
    row("Format", &if i.variant == i.format { i.format.clone() } else { format!("{} ({})", i.format, i.variant) });
    row("Medium", i.medium);
    row("Size", &format!("{} bytes ({})", i.size, human_size(i.size)));
    if let Some(stored) = i.stored {
        row("Stored", &format!("{stored} bytes ({})", human_size(stored)));
    }
    row("Sectors", &format!("{} bytes logical, {} bytes physical", i.sector, i.physical_sector));
    row("Compression", &i.compression);
    match &i.files[..] {
        [] | [_] => {}
        [first, .., last] => row("Files", &format!("{} files, {first} to {last}", i.files.len())),
    }
    for (name, value) in i.drive.iter().chain(&i.case) {
        row(&title(name), value);
    }
    for (name, value) in &i.facts {
        row(&title(name), value);
    }
    for d in &i.stored_digests {
        row(&format!("Stored {}", d.algorithm), &format!("{} ({})", d.value, d.covers));
    }
    for (state, len) in i.extents.iter().filter(|(_, len)| **len > 0) {
        row(&format!("Bytes {state}"), &format!("{len} ({})", human_size(*len)));
    }
    for r in i.bad.iter().take(20) {
        row("Lost", &format!("{} bytes from offset {}", r.len, r.offset));
    }
    for p in &i.parts {
        row("Part", format!("{}  {}", p.part, p.note).trim_end());
    }
    for l in &i.chain {
        row("Stands on", &format!("{} ({}, {}, {} bytes)", l.name, l.format, l.variant, l.size));
    }
    row("File system", i.file_system.as_deref().unwrap_or(""));
    if let Some(t) = &i.partition_table {
        row("Partition table", &format!("{} {}", t.kind, t.id));
        for p in &t.partitions {
            let fs = p.file_system.as_deref().unwrap_or("");
            row(
                &format!("  #p{}", p.number),
                &format!("{:>14} +{:<14} {:<10} {} {} {}", p.offset, p.len, human_size(p.len), p.type_name, p.name, fs),
            );
        }
        for w in &t.warnings {
            row("  Warning", w);
        }
    }
    for w in &i.warnings {
        row("Warning", w);
    }
    for e in i.extent_list.iter().flatten() {
        let host = match (&e.file, e.host_offset) {
            (Some(file), Some(at)) => format!("{file} at {at}"),
            (None, Some(at)) => format!("at {at}"),
            _ => String::new(),
        };
        row("  Extent", &format!("{:>16} +{:<16} {:<7} {host}", e.offset, e.len, e.state));
    }
    out
}

fn title(name: &str) -> String {
    let mut text = name.replace('_', " ");
    if let Some(first) = text.get_mut(0..1) {
        first.make_ascii_uppercase();
    }
    text
}

/// The manual page of formats, in roff, made from the format table.
pub fn formats_page() -> String {
    let mut out = String::from(
        ".TH tintype-formats 5\n.SH NAME\ntintype-formats \\- image formats that tintype reads and writes\n.SH FORMATS\n",
    );
    for format in tintype_formats::FORMATS {
        let ways = match (format.open.is_some(), format.create.is_some()) {
            (true, true) => "read and written",
            (true, false) => "read",
            _ => "written",
        };
        let _ = writeln!(
            out,
            ".SS {} ({})\n{ways}; extensions {}.",
            format.name,
            format.title,
            format.extensions.join(", ")
        );
        if !format.caps.compression.is_empty() {
            let _ = writeln!(out, "Compression: {}.", format.caps.compression.join(", "));
        }
        for option in format.options {
            let _ = writeln!(
                out,
                ".TP\n.B \\-\\-option {}={}\n{} (default {})",
                option.name, option.values, option.help, option.default
            );
        }
    }
    out
}
