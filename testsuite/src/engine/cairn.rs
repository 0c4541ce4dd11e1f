//! Adapter for cairn's own command line.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{After, Engine, cairn_records};
use crate::event::Measured;
use crate::oracle::fixpoint::Records;
use crate::verdict::Stage;

/// The `cairn` program.
pub(super) struct Cairn {
    pub(super) program: PathBuf,
    /// The engine's name in cells.
    pub(super) name: &'static str,
    /// The source of a target's state.
    pub(super) source: &'static str,
    /// The alternative source.
    pub(super) other: &'static str,
    /// The user id it runs as; absent for the runner's own.
    pub(super) user: Option<u32>,
}

impl Cairn {
    fn checkpoint_from(&self, source: &str, pid: u32, file: &Path, after: After, sysv: &[String]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["checkpoint", &pid.to_string(), "--source", source, "--json", "-o"]).arg(file);
        if after == After::Kill {
            command.arg("--kill");
        }
        // Partners of workloads are outside.
        command.arg("--tcp-established");
        sysv.iter().for_each(|name| {
            command.args(["--sysv", name]);
        });
        command
    }
}

/// The fields used of the output of `cairn checkpoint --json`.
#[derive(Deserialize)]
struct Report {
    bytes: u64,
    pause_ns: u64,
    total_ns: u64,
}

/// The fields used of the output of `cairn info --json`.
#[derive(Deserialize)]
struct Info {
    #[serde(default)]
    records: Listed,
}

#[derive(Default, Deserialize)]
#[serde(expecting = "an object")]
struct Listed {
    #[serde(default)]
    processes: Vec<Process>,
}

#[derive(Deserialize)]
struct Process {
    pid: u32,
}

/// Parses JSON; `what` begins with "the" and ends with "is" or "are".
fn read<T: DeserializeOwned>(what: &str, printed: &[u8]) -> Result<T, String> {
    serde_json::from_slice(printed).map_err(|error| {
        let kind = if error.is_data() { "malformed" } else { "not JSON" };
        format!("{what} {kind}: {error}")
    })
}

impl Engine for Cairn {
    fn name(&self) -> &'static str {
        self.name
    }

    fn user(&self) -> Option<u32> {
        self.user
    }

    fn checkpoint(&self, pid: u32, file: &Path, after: After, sysv: &[String]) -> Command {
        self.checkpoint_from(self.source, pid, file, after, sysv)
    }

    fn checkpoint_otherwise(&self, pid: u32, file: &Path, after: After, sysv: &[String]) -> Command {
        self.checkpoint_from(self.other, pid, file, after, sysv)
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

    fn check_records(&self, printed: &[u8], pid: u32) -> Result<(), String> {
        let Info { records: Listed { processes } } = read("the records are", printed)?;
        if processes.is_empty() {
            return Err("the records name no process".to_owned());
        }
        if !processes.iter().any(|process| process.pid == pid) {
            return Err(format!("the records do not name process {pid}"));
        }
        Ok(())
    }

    fn records(&self) -> &'static Records {
        &cairn_records::RECORDS
    }

    fn measured(&self, printed: &[u8]) -> Result<Measured, String> {
        let report: Report = read("the report is", printed)?;
        Ok(Measured {
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
    use rstest::rstest;

    fn cairn() -> Cairn {
        Cairn { program: "cairn".into(), name: "cairn", source: "kmod", other: "ptrace", user: None }
    }

    fn words(command: &Command) -> String {
        let mut words = vec![command.get_program().to_string_lossy().into_owned()];
        words.extend(command.get_args().map(|a| a.to_string_lossy().into_owned()));
        words.join(" ")
    }

    #[test]
    fn command_lines() {
        let cairn = cairn();
        let file = Path::new("c.1");
        assert_eq!(
            words(&cairn.checkpoint(7, file, After::Kill, &["sem:3".to_owned()])),
            "cairn checkpoint 7 --source kmod --json -o c.1 --kill --tcp-established --sysv sem:3"
        );
        assert_eq!(
            words(&cairn.checkpoint_otherwise(7, file, After::Run, &[])),
            "cairn checkpoint 7 --source ptrace --json -o c.1 --tcp-established"
        );
        assert_eq!(words(&cairn.restart(file)), "cairn restart c.1 --notify-fd 1");
    }

    #[rstest]
    #[case(r#"{"file":"c","pid":1,"tasks":2,"bytes":4096,"pause_ns":10,"total_ns":20}"#, Ok(Some(10)))]
    #[case("done", Err("the report is not JSON: expected value at line 1 column 1"))]
    #[case("", Err("the report is not JSON: EOF while parsing a value at line 1 column 0"))]
    #[case("{}", Err("the report is malformed: missing field `bytes` at line 1 column 2"))]
    fn figures(#[case] printed: &str, #[case] wanted: Result<Option<u64>, &str>) {
        let measured = cairn().measured(printed.as_bytes()).map(|m| m.pause_ns);
        assert_eq!(measured, wanted.map_err(str::to_owned));
    }

    #[rstest]
    #[case(r#"{"header":{},"records":{"processes":[{"pid":6},{"pid":7,"ppid":6}]}}"#, Ok(()))]
    #[case(r#"{"records":{"processes":[{"pid":6}]}}"#, Err("the records do not name process 7"))]
    #[case(r#"{"records":{"processes":[]}}"#, Err("the records name no process"))]
    #[case(r#"{"records":{}}"#, Err("the records name no process"))]
    #[case("{}", Err("the records name no process"))]
    #[case("all is well", Err("the records are not JSON: expected value at line 1 column 1"))]
    #[case(
        "[7]",
        Err("the records are malformed: invalid type: integer `7`, expected an object at line 1 column 2")
    )]
    fn records(#[case] printed: &str, #[case] wanted: Result<(), &str>) {
        assert_eq!(cairn().check_records(printed.as_bytes(), 7), wanted.map_err(str::to_owned));
    }
}
