//! The command of a person that switches a drive off and on.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tintype_core::{Error, Event, Kind, Result, Watch};

/// How often it is looked whether it has ended, or somebody wants to stop.
const LOOK: Duration = Duration::from_millis(100);

/// Runs the command to its end; what it is about is in its environment.
///
/// `Cancelled` as soon as somebody wants to stop; the command is left to itself then, since a drive that is switched off has to be switched on
/// again. One that does not end in time is ended.
pub(super) fn run(command: &str, drive: &Path, serial: &str, most: Duration, watch: &dyn Watch) -> Result<()> {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).env("TINTYPE_DRIVE", drive).env("TINTYPE_SERIAL", serial);
    shell.stdin(Stdio::null()).stdout(Stdio::null());
    let mut child = shell.spawn().map_err(|e| Error::io("the command for the power cannot be run", e))?;
    let began = Instant::now();
    loop {
        match child.try_wait().map_err(|e| Error::io("the command for the power is lost", e))? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(Error::new(Kind::Io, format!("{command}: {status}"))),
            None if watch.cancelled() => {
                let what = format!("{command} is still running, and is not waited for");
                watch.event(&Event::Warning(what));
                return Err(Error::cancelled());
            }
            None if began.elapsed() > most => {
                // It may have ended by itself just now.
                let _ = child.kill();
                let _ = child.wait();
                return Err(Error::new(Kind::Io, format!("{command} did not end in {} s", most.as_secs())));
            }
            None => std::thread::sleep(LOOK),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
    use std::sync::mpsc::channel;
    use tintype_core::Silent;

    struct Stop(AtomicBool);

    impl Watch for Stop {
        fn event(&self, _: &Event) {}

        fn cancelled(&self) -> bool {
            self.0.load(SeqCst)
        }
    }

    const LONG: Duration = Duration::from_secs(600);

    #[test]
    fn what_it_says_counts() {
        let drive = Path::new("/dev/sdx");
        run("test \"$TINTYPE_DRIVE $TINTYPE_SERIAL\" = '/dev/sdx W1'", drive, "W1", LONG, &Silent::default()).unwrap();
        let e = run("exit 3", drive, "", LONG, &Silent::default()).unwrap_err();
        assert!(e.what().contains('3'), "{e}");
        let e = run("read line < /dev/zero", drive, "", Duration::ZERO, &Silent::default()).unwrap_err();
        assert!(e.what().contains("did not end in 0 s"), "{e}");
    }

    #[test]
    fn whoever_wants_to_stop_does_not_wait_for_it_and_leaves_it_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (on, done) = (folder.path().join("on"), folder.path().join("done"));
        let mkfifo = |path: &Path| Command::new("mkfifo").arg(path).status().unwrap();
        assert!(mkfifo(&on).success() && mkfifo(&done).success());
        // It ends when it is told to, and says so.
        let command = format!("read line < '{}'; echo \"$line\" > '{}'", on.display(), done.display());
        let stop = std::sync::Arc::new(Stop(AtomicBool::new(false)));
        let (tell, told) = channel();
        let watch = std::sync::Arc::clone(&stop);
        std::thread::spawn(move || tell.send(run(&command, Path::new("/dev/sdx"), "", LONG, &*watch)));
        assert!(told.recv_timeout(Duration::from_millis(300)).is_err(), "it waits");
        stop.0.store(true, SeqCst);
        let ended = told.recv_timeout(Duration::from_secs(60)).expect("it hears at once");
        assert_eq!(ended.unwrap_err().kind(), Kind::Cancelled);
        std::fs::write(&on, "switched on\n").unwrap();
        assert_eq!(std::fs::read_to_string(&done).unwrap(), "switched on\n");
    }
}
