//! What a run costs in processor time, with a million fragments in its map and a thousand reads a second.

use super::Row;
use super::rig::Rig;
use std::fmt::Write;
use std::path::Path;

/// Pieces of 4 KiB, every other one finished: as many fragments.
const PIECES: u64 = 1 << 20;
const PIECE: u64 = 4096;

/// Seconds of the run, and from when on it is measured: taking up the map comes before.
const SECONDS: u64 = 60;
const FROM: f64 = 15.0;

/// Every read takes a millisecond, of which this program's fault drive needs a part for itself.
const MODEL: &str = "rate_mbs 100000\nseek_ms 0.8\nnear_ms 0.8\ncmd_ms 0\nbad_ms 0\n";

/// The row: seconds of one core a second.
pub fn row(rig: &Rig, folder: &Path, program: &Path) -> Result<Row, String> {
    let size = PIECES * PIECE;
    let mut map = "0x0 ? 1\n".to_owned();
    for piece in 0..PIECES {
        let sign = if piece % 2 == 0 { '+' } else { '?' };
        // Writing to a string cannot fail.
        let _ = writeln!(map, "{:#x} {PIECE:#x} {sign}", piece * PIECE);
    }
    let model = folder.join("processor.model");
    let noise = super::noise(folder)?;
    std::fs::write(&model, MODEL).map_err(|e| format!("{}: {e}", model.display()))?;
    let program = program.display();
    let words = format!("{program} rescue {{src}} {{dst}} {{map}} -q --max-time {SECONDS}s");
    let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
    let begin = [("x.map", Some(map)), ("x.img", None)];
    let played = rig.play_from(&begin, &model, &noise, size, 1.0, &words)?;
    let during = |from: f64| played.processor.iter().find(|(at, _)| *at >= from).or(played.processor.last());
    let (Some((began, before)), Some((ended, after))) = (during(FROM), played.processor.last()) else {
        return Err("the run ended at once".into());
    };
    let reads = played.reads.len() as f64 / ended;
    let share = (after - before) / (ended - began);
    eprintln!("processor: {reads:.0} reads a second, {:.1} s for {ended:.1} s", played.processor_seconds());
    let text = format!("{:.2} % of a core at {reads:.0} reads a second | | | 10 %", share * 100.0);
    Ok(Row::said("processor, a million fragments", &text, Some(share / (reads / 1000.0) < 0.10)))
}
