//! This machine as a place: the runner is a child that cleans up when its standard input closes,
//! however this process ends.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use super::place::{Ending, Heard, Lines, Place, PlaceError, StopFlag};
use crate::event::Job;
use crate::verdict::Verdict;

/// Interval at which the stop flag is polled; it is set by a signal handler and cannot be waited
/// for.
const LOOK: Duration = Duration::from_millis(100);

/// Runs jobs on this machine.
#[derive(Debug)]
pub struct HostPlace {
    /// Path of the `cairn-runner` program.
    pub runner: PathBuf,
    /// A directory for the job file; the job's own `workdir` is created and removed by each life.
    pub dir: PathBuf,
}

impl Place for HostPlace {
    fn run(&mut self, job: &Job, stop: &StopFlag, hear: &mut dyn FnMut(Heard)) -> Result<Ending, PlaceError> {
        fs::create_dir_all(&self.dir).map_err(PlaceError::new(format!("make {}", self.dir.display())))?;
        let file = self.dir.join("job.json");
        let text = serde_json::to_string(job).map_err(PlaceError::new("write a job"))?;
        fs::write(&file, text).map_err(PlaceError::new(format!("write {}", file.display())))?;
        // A process group of its own shields the runner from a terminal's Ctrl-C: it cleans up and
        // exits when its standard input closes, also after a SIGKILL of this process.
        let mut child = Command::new(&self.runner)
            .args(["run", "--watch-stdin", "--job"])
            .arg(&file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(PlaceError::new(format!("start {}", self.runner.display())))?;
        let mut stdin = child.stdin.take();
        let (send, lines) = mpsc::channel();
        let reader = child.stdout.take().map(|stdout| {
            thread::spawn(move || {
                for line in BufReader::new(stdout).lines() {
                    if send.send(line).is_err() {
                        break;
                    }
                }
            })
        });
        let mut said = Lines::default();
        loop {
            match lines.recv_timeout(LOOK) {
                Ok(Ok(line)) => said.take(&line, hear),
                Ok(Err(error)) => said.complaint = Some(format!("read from the runner: {error}")),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {}
            }
            if stop.raised() {
                drop(stdin.take());
            }
        }
        drop(stdin);
        let status = child.wait().map_err(PlaceError::new("wait for the runner"))?;
        if let Some(reader) = reader
            && reader.join().is_err()
        {
            said.complaint.get_or_insert_with(|| "the thread that reads its output panicked".to_owned());
        }
        if !job.keep {
            match fs::remove_dir_all(&job.workdir) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(PlaceError::new(format!("remove {}", job.workdir.display()))(error));
                }
                _ => {}
            }
        }
        said.accepted()?;
        Ok(match (stop.raised(), said.done && said.complaint.is_none()) {
            (true, _) => Ending::Stopped,
            (false, true) => Ending::Finished,
            (false, false) => Ending::Died {
                verdict: Verdict::Missing,
                detail: format!(
                    "the runner exited with {status}{}",
                    said.complaint.map(|c| format!(": {c}")).unwrap_or_default()
                ),
            },
        })
    }

    fn files(&self) -> Vec<PathBuf> {
        Vec::new()
    }
}
