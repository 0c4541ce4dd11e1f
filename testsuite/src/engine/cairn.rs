//! cairn's own command line.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use super::{After, Engine};
use crate::event::Measured;
use crate::verdict::Stage;

/// The `cairn` program.
pub(super) struct Cairn {
    pub(super) program: PathBuf,
    /// What cells call it.
    pub(super) name: &'static str,
    /// Where it takes a target's state from.
    pub(super) source: &'static str,
    /// Where else it can take it from.
    pub(super) other: &'static str,
    /// As whom it runs.
    pub(super) user: Option<u32>,
}

impl Cairn {
    fn checkpoint_from(&self, source: &str, pid: u32, file: &Path, after: After) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["checkpoint", &pid.to_string(), "--source", source, "--json", "-o"]).arg(file);
        if after == After::Kill {
            command.arg("--kill");
        }
        command
    }
}

/// What `cairn checkpoint --json` prints, as far as it is of interest here.
#[derive(Deserialize)]
struct Report {
    bytes: u64,
    pause_ns: u64,
    total_ns: u64,
}

impl Engine for Cairn {
    fn name(&self) -> &'static str {
        self.name
    }

    fn user(&self) -> Option<u32> {
        self.user
    }

    fn checkpoint(&self, pid: u32, file: &Path, after: After) -> Command {
        self.checkpoint_from(self.source, pid, file, after)
    }

    fn checkpoint_otherwise(&self, pid: u32, file: &Path, after: After) -> Command {
        self.checkpoint_from(self.other, pid, file, after)
    }

    fn restart(&self, file: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("restart").arg(file).args(["--notify-fd", "1"]);
        command
    }

    fn info(&self, file: &Path) -> Option<Command> {
        let mut command = Command::new(&self.program);
        command.arg("info").arg(file).arg("--json");
        Some(command)
    }

    fn version(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--version");
        command
    }

    fn measured(&self, stdout: &str) -> Option<Measured> {
        let report: Report = serde_json::from_str(stdout.trim()).ok()?;
        Some(Measured {
            stage: Stage::Checkpoint,
            pause_ns: Some(report.pause_ns),
            total_ns: Some(report.total_ns),
            bytes: Some(report.bytes),
        })
    }

    fn status_meaning(&self, code: i32) -> Option<&'static str> {
        Some(match code {
            1 => "failed",
            2 => "wrong usage",
            3 => "unsupported",
            4 => "malformed context file",
            5 => "denied",
            6 => "target changed",
            7 => "conflict",
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(command: &Command) -> String {
        let mut words = vec![command.get_program().to_string_lossy().into_owned()];
        words.extend(command.get_args().map(|a| a.to_string_lossy().into_owned()));
        words.join(" ")
    }

    #[test]
    fn command_lines() {
        let cairn = Cairn {
            program: "/bin/cairn".into(),
            name: "cairn",
            source: "kmod",
            other: "ptrace",
            user: None,
        };
        let file = Path::new("c.1");
        assert_eq!(
            words(&cairn.checkpoint(7, file, After::Kill)),
            "/bin/cairn checkpoint 7 --source kmod --json -o c.1 --kill"
        );
        assert_eq!(
            words(&cairn.checkpoint_otherwise(7, file, After::Run)),
            "/bin/cairn checkpoint 7 --source ptrace --json -o c.1"
        );
        assert_eq!(words(&cairn.restart(file)), "/bin/cairn restart c.1 --notify-fd 1");
    }

    #[test]
    fn figures() {
        let cairn =
            Cairn { program: "cairn".into(), name: "cairn", source: "kmod", other: "ptrace", user: None };
        let line = r#"{"file":"c","pid":1,"tasks":2,"bytes":4096,"pause_ns":10,"total_ns":20}"#;
        assert_eq!(cairn.measured(line).unwrap().pause_ns, Some(10));
        assert_eq!(cairn.measured("done"), None);
    }
}
