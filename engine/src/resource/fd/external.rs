//! Files that are left outside the job: named by the user at the checkpoint, and replaced by others
//! at the restart. A terminal, the end of a pipe to another program, a socket.
//!
//! Nothing of their state is saved: it belongs to whatever is outside.

use super::description::{Descriptions, Descriptor};
use super::inode::Observed;
use super::unlinked::set_flags;
use super::{Identity, Kind, Made, Verbs, Way};
use crate::error::{Context, Error, Problem, Result};
use crate::resource::Records;
use crate::resource::bytes::PathBytes;
use crate::sys::file::link_to;
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

/// A file that was left outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExternalFile {
    /// Its name in /proc/PID/fd at the checkpoint: a path, or `pipe:[12]`.
    pub name: PathBytes,
}

/// What takes the place of an external file.
#[derive(Debug, Clone)]
pub enum Replacement {
    /// Opened with the flags that the job's descriptors had; a regular file is appended to.
    Path(PathBuf),
    /// Opened again through this descriptor. A socket, which cannot be, is duplicated: then the
    /// job has the same open file description.
    Descriptor(Arc<OwnedFd>),
}

/// The replacements of a restart, by the names of external files.
pub type Replacements = [(PathBytes, Replacement)];

/// What a user can do about a file with this name, for the end of a message that has the name in
/// brackets.
pub fn advice(name: &PathBytes) -> &'static str {
    if is_name(name) {
        "; or leave it outside with --external and the name in parentheses, and supply a replacement at restart"
    } else {
        ""
    }
}

/// Whether it names one file: what the kernel calls `anon_inode:[eventpoll]` does not.
pub fn is_name(name: &PathBytes) -> bool {
    let text = &name.0;
    text.starts_with(b"/") || text.starts_with(b"pipe:[") || text.starts_with(b"socket:[")
}

pub(super) fn recognise(seen: &Observed<'_>) -> Option<Result<Kind>> {
    seen.is_external().then(|| Ok(Kind::External(ExternalFile { name: seen.link.clone() })))
}

impl Verbs for ExternalFile {
    fn name(&self) -> &'static str {
        "external file"
    }

    fn identity(&self) -> Identity {
        Identity::Inode
    }

    /// That processes outside have it is the point of it.
    fn is_shared_state(&self, _flags: i32) -> bool {
        false
    }

    fn keeps_offset(&self) -> bool {
        false
    }

    /// Refuses a pipe of which nothing is outside.
    fn capture(&mut self, descriptors: &[Descriptor], _all: &Descriptions<'_>) -> Result<()> {
        let accesses = |mode: i32| descriptors.iter().any(|one| one.flags & libc::O_ACCMODE == mode);
        if self.name.0.starts_with(b"pipe:") && accesses(libc::O_RDONLY) && accesses(libc::O_WRONLY) {
            let why = ": both of its ends are in the job; drop --external for it";
            let at = descriptors[0].at().leading_to(&self.name);
            return Err(Error::unsupported(Problem::of(at, why)));
        }
        Ok(())
    }

    fn validate(&self) -> Result<(), String> {
        if is_name(&self.name) { Ok(()) } else { Err(format!("an external file named {}", self.name)) }
    }

    fn make(&self, way: &Way<'_>) -> Result<Box<dyn Made>> {
        let replacement = self.replacement(way.replacements)?;
        Ok(Box::new(replacement.clone()))
    }
}

impl ExternalFile {
    fn replacement<'a>(&self, replacements: &'a Replacements) -> Result<&'a Replacement> {
        let found = replacements.iter().find(|(name, _)| *name == self.name);
        found.map(|(_, replacement)| replacement).ok_or_else(|| {
            Error::Conflict(format!(
                "{}: was left outside at the checkpoint: supply a replacement with --external {}=PATH, or =fd:N for a descriptor inherited by cairn",
                self.name, self.name
            ))
        })
    }
}

impl Made for Replacement {
    fn open(&mut self, _way: &Way<'_>, flags: i32) -> Result<OwnedFd> {
        match self {
            Replacement::Path(path) => {
                let fd = open(path, flags).context(|| format!("open {}", path.display()))?;
                set_flags(&fd, with_append(fd.as_fd(), flags))?;
                Ok(fd)
            }
            Replacement::Descriptor(given) => match open(&link_to(given), flags) {
                Ok(fd) => {
                    set_flags(&fd, with_append(fd.as_fd(), flags))?;
                    Ok(fd)
                }
                // open(2): a socket, and the write end of a pipe that nothing reads.
                Err(Errno::NXIO) => {
                    let what = || "duplicate the descriptor given for an external file";
                    given.try_clone().context(what)
                }
                Err(errno) => Err(errno).context(|| "open the descriptor given for an external file"),
            },
        }
    }
}

/// Opens a replacement without waiting for the other end of a FIFO; [`set_flags`] sets the rest.
fn open(path: &std::path::Path, flags: i32) -> Result<OwnedFd, Errno> {
    let wanted = OFlags::from_bits_retain((flags | libc::O_NONBLOCK) as u32);
    rustix::fs::open(path, wanted | OFlags::CLOEXEC | OFlags::NOCTTY, Mode::empty())
}

/// A terminal and a pipe have no offset; a file in place of one is appended to.
fn with_append(fd: BorrowedFd<'_>, flags: i32) -> i32 {
    let is_file = rustix::fs::fstat(fd).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode).is_file());
    let writes = flags & libc::O_ACCMODE != libc::O_RDONLY;
    if is_file && writes { flags | libc::O_APPEND } else { flags }
}

/// Checks, before anything is created, that there is a replacement for every external file.
///
/// # Errors
/// *conflict* for one without a replacement, a replacement that does not exist, or one of a file
/// that is not in the records.
pub fn check(records: &Records, replacements: &Replacements) -> Result<()> {
    let external: Vec<&ExternalFile> = records
        .inodes
        .iter()
        .filter_map(|inode| match &inode.kind {
            Kind::External(external) => Some(external),
            _ => None,
        })
        .collect();
    for external in &external {
        if let Replacement::Path(path) = external.replacement(replacements)?
            && !path.exists()
        {
            return Err(Error::Conflict(format!(
                "{}: no such file; it was to replace {}",
                path.display(),
                external.name
            )));
        }
    }
    match replacements.iter().find(|(name, _)| !external.iter().any(|external| external.name == *name)) {
        None => Ok(()),
        Some((name, _)) => {
            let all: Vec<String> = external.iter().map(|external| external.name.to_string()).collect();
            let all = if all.is_empty() { "nothing".into() } else { all.join(", ") };
            Err(Error::Conflict(format!("--external {name}: the checkpoint left {all} outside")))
        }
    }
}

#[cfg(feature = "planted-faults")]
pub(super) const FAULTS: &[crate::fault::Fault] = &[];

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("/dev/pts/3", true)]
    #[case("pipe:[12]", true)]
    #[case("socket:[12]", true)]
    #[case("anon_inode:[eventpoll]", false)]
    #[case("", false)]
    fn a_name_is_of_one_file(#[case] name: &str, #[case] is: bool) {
        assert_eq!(is_name(&PathBytes(name.as_bytes().to_vec())), is);
    }
}
