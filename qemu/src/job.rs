//! The job of the guest's PID 1, and its reports: the interface between host and `cairn-init`.
//!
//! The job is passed as JSON in [`JOB_PATH`] of a second, small cpio archive appended to the base
//! file system, so one base serves every job on a kernel.
//!
//! The command's **standard output is the result port**: a virtio-serial port named [`PORT_NAME`],
//! which a guest can open only once at a time, so PID 1 opens it and the command inherits it.
//! Standard error is the console, standard input is empty.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Path of the job in the guest.
pub const JOB_PATH: &str = "/etc/cairn/job.json";

/// Path of the list of modules to load, in order, one absolute path per line. Part of the base file
/// system.
pub const MODULES_PATH: &str = "/etc/cairn/modules.load";

/// The result port's name, as the guest sees it in `/sys/class/virtio-ports/*/name`.
pub const PORT_NAME: &str = "cairn.result";

/// Minimum number of huge pages of a reservation, as their size may be 32 MiB.
pub const MIN_HUGE_PAGES: u64 = 8;

/// What to run in the guest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestJob {
    /// Program (a path in the guest) and arguments.
    pub command: Vec<String>,
    /// The whole environment of the command; `PATH`, `HOME` and `TERM` have defaults.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// A block device with an ext4 file system that becomes `/` before the command starts: the
    /// command and everything it needs must be there, and [`GuestJob::files`] are inaccessible.
    /// `/proc`, `/sys`, `/dev`, `/run` and `/tmp` are moved there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
    /// Working directory of the command, created if it is missing; `/` if absent.
    #[serde(default)]
    pub cwd: Option<String>,
    /// Memory in MiB to reserve in huge pages of the kernel's usual size before the command starts,
    /// but no fewer than [`MIN_HUGE_PAGES`]; none if 0.
    #[serde(default)]
    pub huge_mib: u32,
    /// `kernel.pid_max`; if absent, PID 1 sets the maximum (4194304).
    #[serde(default)]
    pub pid_max: Option<u32>,
    /// Modules to load after those that the machine needs, in this order. If one cannot be loaded,
    /// the job fails.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub modules: Vec<JobModule>,
    /// Files placed in the guest for this job only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<JobFile>,
    /// Whether the console is a log or an interactive terminal.
    #[serde(default)]
    pub console: Console,
}

impl GuestJob {
    /// Places a module in the guest, to be loaded with these parameters (`name=value …`) before the
    /// command starts.
    pub fn load(&mut self, name: &str, data: Vec<u8>, parameters: &str) {
        let path = format!("/etc/cairn/{name}.ko");
        self.files.push(JobFile { path: path.clone(), mode: 0o644, data });
        self.modules.push(JobModule { path, parameters: parameters.to_owned() });
    }
}

/// A module to load for a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobModule {
    /// Absolute path in the guest, for instance of one of the job's files.
    pub path: String,
    /// Its parameters, as for finit_module(2).
    #[serde(default)]
    pub parameters: String,
}

/// A file of one job. It is stored in the second archive, not in the JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobFile {
    /// Absolute path in the guest.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// Its content.
    #[serde(skip)]
    pub data: Vec<u8>,
}

/// The role of the guest's console.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Console {
    /// Kernel messages and standard error, for later reading.
    #[default]
    Log,
    /// The command's controlling terminal: standard input, output and error.
    Interactive,
}

/// An event that PID 1 writes to the result port. Every such line starts with
/// [`InitEvent::PREFIX`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event")]
pub enum InitEvent {
    /// The guest is set up and the command starts now.
    #[serde(rename = "init-start")]
    Start {
        /// `uname -r`.
        release: String,
        /// Nanoseconds since the guest's boot, by the guest's clock.
        uptime_ns: u64,
        /// The kernel's taint mask before the command (`/proc/sys/kernel/tainted`).
        taint: u64,
        /// Messages about settings that could not be applied; empty if there are none.
        warnings: Vec<String>,
    },
    /// The command has ended; the guest powers off next.
    #[serde(rename = "init-end")]
    End(InitEnd),
    /// PID 1 failed; the guest powers off next.
    #[serde(rename = "init-error")]
    Error {
        /// The error message.
        message: String,
    },
}

impl InitEvent {
    /// The start of each serialised event; a job must not write lines that start with it.
    pub const PREFIX: &'static str = "{\"event\":\"init-";

    /// The event in `line`, if the line was written by PID 1.
    pub fn parse(line: &str) -> Option<InitEvent> {
        if line.starts_with(InitEvent::PREFIX) { serde_json::from_str(line).ok() } else { None }
    }
}

/// The command's exit status and the kernel's taint mask.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InitEnd {
    /// Exit status, if it exited.
    pub code: Option<i32>,
    /// Signal, if it was killed by one.
    pub signal: Option<i32>,
    /// The kernel's taint mask before the command.
    pub taint_before: u64,
    /// The kernel's taint mask after it.
    pub taint: u64,
    /// Processes still alive after the command had ended (except PID 1, kernel threads and the
    /// command).
    pub strays: Vec<String>,
    /// Number of orphans reaped meanwhile.
    pub reaped: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_travels_as_a_file() {
        let mut job = GuestJob::default();
        job.load("cairn", vec![1, 2], "mode=0666");
        let told: GuestJob = serde_json::from_str(&serde_json::to_string(&job).unwrap()).unwrap();
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
