//! What PID 1 of the guest is told to do, and what it reports: the contract between host and
//! `cairn-init`.
//!
//! The job travels as JSON in [`JOB_PATH`] of a second, small cpio archive behind the base file
//! system, so one base serves every job on a kernel.
//!
//! The command's **standard output is the result port**: a virtio-serial port of the name
//! [`PORT_NAME`], which a guest can open only once at a time, so PID 1 opens it and hands it down.
//! Standard error is the console, standard input is empty.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Where PID 1 finds its job.
pub const JOB_PATH: &str = "/etc/cairn/job.json";

/// Where PID 1 finds the modules to load, in order, one absolute path a line. Part of the base file
/// system.
pub const MODULES_PATH: &str = "/etc/cairn/modules.load";

/// The result port's name, as the guest sees it in `/sys/class/virtio-ports/*/name`.
pub const PORT_NAME: &str = "cairn.result";

/// A reservation is no fewer huge pages than this: they may be of 32 MiB.
pub const MIN_HUGE_PAGES: u64 = 8;

/// What to run in the guest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Program (a path in the guest) and arguments.
    pub command: Vec<String>,
    /// The whole environment of the command; `PATH`, `HOME` and `TERM` have defaults.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// A block device with an ext4 file system that becomes `/` before the command starts: the
    /// command and everything it needs is there, and [`Job::files`] are out of reach. `/proc`,
    /// `/sys`, `/dev`, `/run` and `/tmp` come along.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
    /// Directory to start in, made when it is missing; `/` when absent.
    #[serde(default)]
    pub cwd: Option<String>,
    /// Memory in MiB to reserve in huge pages of the kernel's usual size before the command starts,
    /// but no fewer than [`MIN_HUGE_PAGES`]; nothing when 0.
    #[serde(default)]
    pub huge_mib: u32,
    /// `kernel.pid_max`; PID 1 sets the largest value (4194304) when absent.
    #[serde(default)]
    pub pid_max: Option<u32>,
    /// Modules to load behind those that the machine needs, in this order. One that does not load
    /// ends the job.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub modules: Vec<JobModule>,
    /// Files laid into the guest for this job only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<JobFile>,
    /// Whether the console is a log or somebody's terminal.
    #[serde(default)]
    pub console: Console,
}

impl Job {
    /// Lays a module into the guest, to be loaded with these parameters (`name=value …`) before the
    /// command starts.
    pub fn load(&mut self, name: &str, data: Vec<u8>, parameters: &str) {
        let path = format!("/etc/cairn/{name}.ko");
        self.files.push(JobFile { path: path.clone(), mode: 0o644, data });
        self.modules.push(JobModule { path, parameters: parameters.to_owned() });
    }
}

/// A module that a job wants loaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobModule {
    /// Absolute path in the guest, of one of the job's files for instance.
    pub path: String,
    /// Its parameters, as for finit_module(2).
    #[serde(default)]
    pub parameters: String,
}

/// A file that belongs to one job. It travels in the second archive, not in the JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobFile {
    /// Absolute path in the guest.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// What it holds.
    #[serde(skip)]
    pub data: Vec<u8>,
}

/// The role of the guest's console.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Console {
    /// Kernel messages and standard error, for people to read afterwards.
    #[default]
    Log,
    /// The command's controlling terminal: standard input, output and error.
    Interactive,
}

/// What PID 1 itself says on the result port. Every such line starts with [`InitEvent::PREFIX`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event")]
pub enum InitEvent {
    /// The guest is set up and the command starts now.
    #[serde(rename = "init-start")]
    Start {
        /// `uname -r`.
        release: String,
        /// Nanoseconds from the guest's boot to here, by the guest's clock.
        uptime_ns: u64,
        /// The kernel's taint mask before the command (`/proc/sys/kernel/tainted`).
        taint: u64,
        /// What could not be set up as asked, in words; empty when all is well.
        warnings: Vec<String>,
    },
    /// The command has ended; the guest powers off next.
    #[serde(rename = "init-end")]
    End(InitEnd),
    /// PID 1 could not do its work; the guest powers off next.
    #[serde(rename = "init-error")]
    Error {
        /// What went wrong, in words.
        message: String,
    },
}

impl InitEvent {
    /// What each serialised event starts with; a job must not write lines that start so.
    pub const PREFIX: &'static str = "{\"event\":\"init-";

    /// The event in `line`, when the line is one of PID 1's.
    pub fn parse(line: &str) -> Option<InitEvent> {
        if line.starts_with(InitEvent::PREFIX) { serde_json::from_str(line).ok() } else { None }
    }
}

/// How the command ended, and what the kernel thinks of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InitEnd {
    /// Exit status, when it exited.
    pub code: Option<i32>,
    /// Signal, when one ended it.
    pub signal: Option<i32>,
    /// The kernel's taint mask before the command.
    pub taint_before: u64,
    /// The kernel's taint mask after it.
    pub taint: u64,
    /// Processes still alive when the command had ended (PID 1, kernel threads and the command
    /// aside).
    pub strays: Vec<String>,
    /// Orphans reaped meanwhile.
    pub reaped: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_travels_as_a_file() {
        let mut job = Job::default();
        job.load("cairn", vec![1, 2], "mode=0666");
        let told: Job = serde_json::from_str(&serde_json::to_string(&job).unwrap()).unwrap();
        assert_eq!(
            told.modules,
            [JobModule { path: "/etc/cairn/cairn.ko".into(), parameters: "mode=0666".into() }]
        );
        assert_eq!(
            (job.files[0].path.as_str(), job.files[0].data.as_slice()),
            ("/etc/cairn/cairn.ko", &[1, 2][..])
        );
    }

    #[test]
    fn events_carry_the_prefix() {
        let events = [
            InitEvent::Start { release: "6.12".into(), uptime_ns: 1, taint: 0, warnings: vec![] },
            InitEvent::End(InitEnd { code: Some(0), ..InitEnd::default() }),
            InitEvent::Error { message: "mount /proc: EPERM".into() },
        ];
        for event in events {
            let line = serde_json::to_string(&event).unwrap();
            assert!(line.starts_with(InitEvent::PREFIX), "{line}");
            assert_eq!(InitEvent::parse(&line), Some(event));
        }
        assert_eq!(InitEvent::parse("{\"event\":\"cell-end\"}"), None);
    }
}
