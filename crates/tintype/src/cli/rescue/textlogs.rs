//! Logs in the text forms of ddrescue 1.27, for programs that read those.

use super::ddrescue::Extra;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tintype_core::{Error, Event, Result, Standing, Watch};

struct Logs {
    events: Option<BufWriter<File>>,
    rates: Option<BufWriter<File>>,
    reads: Option<BufWriter<File>>,
    began: Instant,
    pass: &'static str,
    // The second of the last line of rates, and where was read last.
    second: Option<u64>,
    at: u64,
    share: f64,
}

/// A watch that also writes logs.
struct Logging {
    inner: Arc<dyn Watch>,
    logs: Mutex<Logs>,
}

/// `watch`, and the logs that are asked for.
pub fn over(watch: Arc<dyn Watch>, extra: &Extra) -> Result<Arc<dyn Watch>> {
    if extra.log_events.is_none() && extra.log_rates.is_none() && extra.log_reads.is_none() {
        return Ok(watch);
    }
    let open = |path: &Option<std::path::PathBuf>, name: &str, head: &str, options: &std::fs::OpenOptions| {
        path.as_ref().map(|path| begin(path, name, head, options)).transpose()
    };
    let mut fresh = File::options();
    fresh.write(true).create(true).truncate(true);
    let mut more = File::options();
    more.append(true).create(true);
    let logs = Logs {
        events: open(&extra.log_events, "Events", "#         Time  Rescued  Event", &more)?,
        rates: open(&extra.log_rates, "Rates", "#Time  Ipos  Current_rate  Average_rate  Bad_areas  Bad_size", &fresh)?,
        reads: open(&extra.log_reads, "Reads", "#  Ipos       Size  Copied_size  Error_size", &fresh)?,
        began: Instant::now(),
        pass: "",
        second: None,
        at: 0,
        share: 0.0,
    };
    Ok(Arc::new(Logging { inner: watch, logs: Mutex::new(logs) }))
}

fn begin(path: &Path, name: &str, head: &str, options: &std::fs::OpenOptions) -> Result<BufWriter<File>> {
    let failed = |e| Error::io("cannot write the log", e).in_path(path);
    let mut file = BufWriter::new(options.open(path).map_err(failed)?);
    let command: Vec<String> = std::env::args().collect();
    let program = tintype_engine::report::program();
    writeln!(file, "# {name} Logfile. Created by {program}\n# Command line: {}", command.join(" ")).map_err(failed)?;
    writeln!(file, "# Start time:   {}\n{head}", tintype_engine::report::now()).map_err(failed)?;
    Ok(file)
}

impl Logs {
    fn event(&mut self, text: &str) -> std::io::Result<()> {
        let (seconds, share) = (self.began.elapsed().as_secs(), self.share);
        match &mut self.events {
            Some(file) => {
                writeln!(file, "{:>14}  {share:6.2}%  {text}", format!("{seconds}s")).and_then(|()| file.flush())
            }
            None => Ok(()),
        }
    }

    fn standing(&mut self, standing: &Standing) -> std::io::Result<()> {
        self.share = standing.rescued as f64 * 100.0 / standing.domain.max(1) as f64;
        if self.pass != standing.pass {
            self.pass = standing.pass;
            self.event(standing.title)?;
            let seconds = self.began.elapsed().as_secs();
            if let Some(file) = &mut self.reads {
                writeln!(file, "# {seconds}s  {}", standing.title)?;
            }
        }
        let second = self.began.elapsed().as_secs();
        if let Some(file) = self.rates.as_mut().filter(|_| self.second != Some(second)) {
            self.second = Some(second);
            writeln!(
                file,
                "{second:>2}  0x{:08X}  {:>8}  {:>8}  {:>7}  {:>8}",
                self.at, standing.rate as u64, standing.average as u64, standing.bad_areas, standing.bad
            )?;
        }
        Ok(())
    }

    fn hear(&mut self, event: &Event) -> std::io::Result<()> {
        match event {
            Event::Standing(standing) => self.standing(standing),
            Event::Read { offset, len, good, .. } => {
                self.at = *offset;
                match &mut self.reads {
                    Some(file) => writeln!(file, "0x{offset:08X}\t{len}\t{good}\t{}", len - good),
                    None => Ok(()),
                }
            }
            Event::End => {
                self.event("End of run")?;
                let now = tintype_engine::report::now();
                for file in [&mut self.events, &mut self.rates, &mut self.reads].into_iter().flatten() {
                    writeln!(file, "# End time:     {now}")?;
                    file.flush()?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl Watch for Logging {
    fn event(&self, event: &Event) {
        // A log that cannot be written is no reason to stop a rescue.
        let _ = self.logs.lock().unwrap_or_else(PoisonError::into_inner).hear(event);
        self.inner.event(event);
    }

    fn cancelled(&self) -> bool {
        self.inner.cancelled()
    }
}
