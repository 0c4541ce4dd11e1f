//! Files and directories of /proc: opened again by their paths. What they show is made when they
//! are read, from the offset on; other state, such as what poll(2) has told already, begins anew.

use super::description::{Descriptions, Descriptor};
use super::inode::Observed;
use super::{At, Identity, Kind, Made, Reference, Verbs, Way, open_at};
use crate::error::{Error, Problem, Result};
use crate::proc::{maps, status};
use crate::resource::bytes::PathBytes;
use rustix::fs::SeekFrom;
use serde::{Deserialize, Serialize};
use std::os::fd::OwnedFd;

/// A file or directory of /proc.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcFile {
    /// Its path, from the root.
    pub path: PathBytes,
}

/// include/uapi/linux/magic.h
pub(super) const PROC_SUPER_MAGIC: i64 = 0x9fa0;

pub(super) fn recognise(seen: &Observed<'_>) -> Option<Result<Kind>> {
    let file = ProcFile { path: seen.link.clone() };
    // A handle to a link about a task, such as /proc/PID/exe; others are links as everywhere.
    let is_link = seen.meta.is_symlink() && is_in_proc(&file.path) && file.task().is_some();
    if seen.file_system != PROC_SUPER_MAGIC && !is_link {
        return None;
    }
    if !is_in_proc(&file.path) {
        return Some(Err(seen.refuse("a file of a /proc that is mounted elsewhere; close it first")));
    }
    let there = std::fs::symlink_metadata(file.path.as_path());
    if !there.is_ok_and(|there| there.file_type() == seen.meta.file_type()) {
        let why = " is a file of /proc about what is gone; close it first";
        return Some(Err(Error::unsupported_now(Problem::of(seen.at(), why))));
    }
    if let Some(Reference::Process(id)) = file.task()
        && status::of_thread(id, id).is_ok_and(|status| status.tgid != id)
    {
        let why = " is a file of /proc of a thread by a number of its own; open it below /proc/PID/task";
        return Some(Err(Error::unsupported_now(Problem::of(seen.at(), why))));
    }
    Some(Ok(Kind::ProcFile(file)))
}

fn is_in_proc(path: &PathBytes) -> bool {
    path.0 == b"/proc" || path.0.starts_with(b"/proc/")
}

impl ProcFile {
    /// The process or thread that it is about.
    fn task(&self) -> Option<Reference> {
        let mut parts = std::str::from_utf8(&self.path.0).ok()?.split('/').skip(2);
        let process = parts.next()?.parse().ok()?;
        let thread = parts.next().filter(|part| *part == "task").and_then(|_| parts.next()?.parse().ok());
        Some(match thread {
            Some(thread) if thread != process => Reference::Thread(thread),
            _ => Reference::Process(process),
        })
    }

    /// Whether it is about an address space that its process has replaced since (execve(2)): such a
    /// file keeps the one that it was opened for, and shows nothing of it.
    fn is_of_a_former_mm(&self, descriptor: &Descriptor) -> Result<bool> {
        let name = self.path.as_path().file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let at = match name {
            "maps" | "smaps" | "smaps_rollup" | "numa_maps" | "environ" | "auxv" => 0,
            "mem" | "pagemap" => {
                let Some(Reference::Process(id) | Reference::Thread(id)) = self.task() else {
                    return Ok(false);
                };
                let text = std::fs::read(format!("/proc/{id}/maps")).unwrap_or_default();
                let Some(start) = maps::parse(&text).find(|mapping| mapping.read).map(|found| found.start)
                else {
                    return Ok(false);
                };
                const ENTRY: u64 = 8;
                if name == "mem" { start } else { start / crate::sys::page_size() * ENTRY }
            }
            _ => return Ok(false),
        };
        let reads = |fd: &OwnedFd| rustix::io::pread(fd, &mut [0u8; 8][..], at).unwrap_or(0) > 0;
        let fresh = open_at(self.path.as_path(), libc::O_RDONLY)?;
        // What is open for writing only cannot be asked.
        let is_readable = descriptor.flags & libc::O_ACCMODE != libc::O_WRONLY;
        Ok(reads(&fresh) && !(is_readable && reads(&descriptor.duplicate()?)))
    }
}

impl Verbs for ProcFile {
    fn name(&self) -> &'static str {
        "file of /proc"
    }

    fn title(&self, _index: usize) -> String {
        self.path.to_string()
    }

    /// The kernel may give it another number at any time, and there is nothing to compare.
    fn identity(&self) -> Identity {
        Identity::Inode
    }

    fn refers_to(&self) -> Vec<Reference> {
        self.task().into_iter().collect()
    }

    fn closes_soon(&self) -> bool {
        true
    }

    fn capture(&mut self, descriptors: &[Descriptor], _all: &Descriptions<'_>) -> Result<()> {
        // What is written into these is a trigger, which lasts as long as the file is open
        // (Documentation/accounting/psi.rst).
        let is_trigger = self.path.0.starts_with(b"/proc/pressure/");
        for descriptor in descriptors {
            if is_trigger && descriptor.writes() {
                let why = " may be a trigger of pressure stall information; close it first";
                return Err(Error::unsupported(Problem::of(descriptor.at().leading_to(&self.path), why)));
            }
            let refuse = |why: &str| {
                let at = descriptor.at().leading_to(&self.path);
                Err(Error::unsupported_now(Problem::of(
                    at,
                    format!(" is a file of /proc {why}; close it first"),
                )))
            };
            if descriptor.info()?.pos != 0
                && rustix::fs::seek(descriptor.duplicate()?, SeekFrom::Current(0)).is_err()
            {
                return refuse("whose offset cannot be set");
            }
            if open_at(self.path.as_path(), descriptor.flags & !libc::O_TRUNC).is_err() {
                return refuse("that cannot be opened any more");
            }
            if self.is_of_a_former_mm(descriptor)? {
                return refuse(
                    "about memory that its process has replaced by execve(2), or that can only be written",
                );
            }
        }
        Ok(())
    }

    fn validate(&self) -> std::result::Result<(), String> {
        let up = self.path.0.split(|byte| *byte == b'/').any(|part| part == b"..");
        if is_in_proc(&self.path) && !up && !self.path.0.contains(&0) {
            Ok(())
        } else {
            Err("a file of /proc elsewhere".into())
        }
    }

    fn make(&self, _way: &Way<'_>) -> Result<Box<dyn Made>> {
        Ok(Box::new(At(self.path.as_path().to_path_buf())))
    }
}

#[cfg(feature = "planted-faults")]
pub(super) const FAULTS: &[crate::resource::fault::Fault] = &[crate::resource::fault::Fault {
    name: "proc-file-of-another",
    what: "a file of /proc that is about a task becomes /proc/stat",
    commit: |r| {
        for inode in &mut r.inodes {
            match &mut inode.kind {
                Kind::ProcFile(file) if file.task().is_some() => {
                    file.path = PathBytes(b"/proc/stat".to_vec())
                }
                _ => {}
            }
        }
    },
}];

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("/proc", None)]
    #[case("/proc/stat", None)]
    #[case("/proc/sys/kernel/pid_max", None)]
    #[case("/proc/42", Some(Reference::Process(42)))]
    #[case("/proc/42/stat", Some(Reference::Process(42)))]
    #[case("/proc/42/task", Some(Reference::Process(42)))]
    #[case("/proc/42/task/42/stat", Some(Reference::Process(42)))]
    #[case("/proc/42/task/43", Some(Reference::Thread(43)))]
    #[case("/proc/42/task/43/stat", Some(Reference::Thread(43)))]
    fn a_path_tells_whom_it_is_about(#[case] path: &str, #[case] task: Option<Reference>) {
        let file = ProcFile { path: PathBytes(path.as_bytes().to_vec()) };
        assert_eq!(file.task(), task);
        file.validate().unwrap();
    }

    #[rstest]
    #[case("/etc/passwd")]
    #[case("/proc/1/../../etc/passwd")]
    #[case("/procs")]
    fn elsewhere_is_not_opened(#[case] path: &str) {
        ProcFile { path: PathBytes(path.as_bytes().to_vec()) }.validate().unwrap_err();
    }
}
