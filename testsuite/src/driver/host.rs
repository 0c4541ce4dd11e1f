//! This machine as a place: the runner is a child that cleans up when we let go of it, however we
//! end.

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

/// How often to look at the stop flag, which a signal handler sets and nobody can wait for.
const LOOK: Duration = Duration::from_millis(100);

/// Runs jobs on this machine.
#[derive(Debug)]
pub struct HostPlace {
    /// The `cairn-runner` program.
    pub runner: PathBuf,
    /// A directory for the job file; the job's own `workdir` is made and removed by each life.
    pub dir: PathBuf,
}

impl Place for HostPlace {
    fn run(&mut self, job: &Job, stop: &StopFlag, hear: &mut dyn FnMut(Heard)) -> Result<Ending, PlaceError> {
        fs::create_dir_all(&self.dir).map_err(PlaceError::new(format!("make {}", self.dir.display())))?;
        let file = self.dir.join("job.json");
        let text = serde_json::to_string(job).map_err(PlaceError::new("write a job"))?;
        fs::write(&file, text).map_err(PlaceError::new(format!("write {}", file.display())))?;
        // A process group of its own keeps a terminal's Ctrl-C away: the runner ends when its
        // standard input does, after it has cleaned up, and that holds for a SIGKILL on us as well.
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
            said.complaint.get_or_insert_with(|| "the reader of its lines panicked".to_owned());
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
                    "the runner ended with {status}{}",
                    said.complaint.map(|c| format!(": {c}")).unwrap_or_default()
                ),
            },
        })
    }

    fn files(&self) -> Vec<PathBuf> {
        Vec::new()
    }
}
