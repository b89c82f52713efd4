//! Healthy drives that take commands, in a guest: `rescue` by commands and through the kernel, beside ddrescue and dd.
//!
//! The guest has one slow processor and no real drive; what is compared are programs under the same conditions.

use super::Row;
use std::path::Path;
use tintype_tests::{Bus, Guest, GuestDrive};

const LEN: u64 = 192 << 20;

/// Bytes a second of a drive that is slower than the guest's processor.
const RATE: u64 = 40_000_000;

/// The rows for every bus; `noise` is a file that is at least so long. Each time is the median of `runs`, in turns.
pub fn rows(folder: &Path, noise: &Path, runs: usize) -> Result<Vec<(String, Row)>, String> {
    if std::env::var_os("TINTYPE_BIN").is_none() {
        return Err("the guest takes the program that TINTYPE_BIN names: a release build".into());
    }
    // One file for each: the machine locks what it opens.
    let drive = |bus, serial: &'static str, rate| {
        let file = folder.join(format!("x.{serial}"));
        std::fs::copy(noise, &file)
            .and_then(|_| std::fs::File::options().write(true).open(&file)?.set_len(LEN))
            .map_err(|e| format!("{}: {e}", file.display()))?;
        Ok::<_, String>(GuestDrive { rate, ..GuestDrive::new(bus, &file, serial) })
    };
    let kinds = [
        ("SATA", drive(Bus::Ahci, "SATA", 0)?),
        ("SCSI", drive(Bus::Scsi, "SCSI", 0)?),
        ("NVMe", drive(Bus::Nvme, "NVME", 0)?),
        ("SATA, 40 MB/s", drive(Bus::Ahci, "SATASLOW", RATE)?),
        ("NVMe, 40 MB/s", drive(Bus::Nvme, "NVMESLOW", RATE)?),
    ];
    let mut guest = Guest::boot(kinds.iter().map(|(_, drive)| drive.clone()).collect());
    let mut rows = Vec::new();
    for (name, drive) in &kinds {
        let path = guest.path_of(drive.serial);
        let commands = [
            format!("tintype rescue {path} /tmp/x -q"),
            format!("tintype rescue {path} /tmp/x -q --passthrough no"),
            format!("ddrescue -q -d {path} /tmp/x /tmp/x.map"),
            format!("dd if={path} of=/tmp/x bs=4M iflag=direct conv=fsync"),
        ];
        let mut times = vec![Vec::new(); commands.len()];
        for _ in 0..runs {
            for (command, times) in commands.iter().zip(&mut times) {
                let said = guest.ok(&format!("rm -f /tmp/x*; time -f %e {command}"));
                let seconds = said.err.lines().last().and_then(|l| l.trim().parse::<f64>().ok());
                times.push(seconds.ok_or_else(|| format!("{command}: {}", said.err))?);
            }
        }
        let mut medians = times.into_iter().map(|mut t| {
            t.sort_by(f64::total_cmp);
            t[t.len() / 2]
        });
        let mut next = || medians.next().unwrap_or_default();
        let (commanded, kernel, ddrescue, dd) = (next(), next(), next(), next());
        let name = format!("healthy, {name}, in a guest");
        for (how, ours) in [("by commands", commanded), ("through the kernel", kernel)] {
            for (peer, theirs, goal) in [("ddrescue -d", ddrescue, 0.9), ("dd direct", dd, 1.05)] {
                rows.push((
                    name.clone(),
                    Row::new(&format!("seconds, {how}"), Some(ours), Some((theirs, peer)), Some(goal)),
                ));
            }
        }
    }
    Ok(rows)
}
