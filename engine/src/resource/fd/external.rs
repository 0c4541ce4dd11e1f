//! Files that are left outside the job: named by the user at the checkpoint, and replaced by others
//! at the restart. A terminal, the end of a pipe to another program, a socket.
//!
//! Nothing of their state is saved: it belongs to whatever is outside.

use super::description::{Descriptions, Descriptor};
use super::inode::Observed;
use super::unlinked::{set_flags, to_open};
use super::{Identity, Kind, Made, Verbs, Way};
use crate::error::{Context, Error, Problem, Result};
use crate::resource::Records;
use crate::resource::bytes::PathBytes;
use crate::sys::file::link_to;
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::fmt::Display;
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
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
    /// A terminal, another device or a pipe is opened again through this descriptor; a regular file
    /// or a socket is duplicated, so that the job has the same open file description.
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
    // A restart takes NAME=PATH.
    !text.contains(&b'=')
        && (text.starts_with(b"/") || text.starts_with(b"pipe:[") || text.starts_with(b"socket:["))
}

pub(super) fn recognise(seen: &Observed<'_>) -> Option<Result<Kind>> {
    let kind = seen.meta.file_type();
    seen.is_external().then(|| {
        if kind.is_char_device() || kind.is_fifo() || kind.is_socket() {
            return Ok(Kind::External(ExternalFile { name: seen.link.clone() }));
        }
        Err(seen.refuse(
            "neither a terminal or another character device, nor a pipe or socket; omit --external for it",
        ))
    })
}

impl Verbs for ExternalFile {
    fn name(&self) -> &'static str {
        "external file"
    }

    fn title(&self, _index: usize) -> String {
        format!("the replacement of {}", self.name)
    }

    fn identity(&self) -> Identity {
        Identity::Inode
    }

    fn external_name(&self) -> Option<&PathBytes> {
        Some(&self.name)
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
            let why = ": both of its ends are in the job: omit --external for it; if processes outside have it, too, pass --shared";
            let at = descriptors[0].at().leading_to(&self.name);
            return Err(Error::unsupported(Problem::of(at, why)));
        }
        Ok(())
    }

    fn validate(&self) -> Result<(), String> {
        if is_name(&self.name) { Ok(()) } else { Err(format!("an external file named {}", self.name)) }
    }

    fn make(&self, way: &Way<'_>) -> Result<Box<dyn Made>> {
        let replacement = replacement(&self.name, way.replacements)?;
        Ok(Box::new(replacement.clone()))
    }
}

/// The replacement of the external file with this name.
fn replacement<'a>(name: &PathBytes, replacements: &'a Replacements) -> Result<&'a Replacement> {
    let found = replacements.iter().find(|(other, _)| other == name);
    found.map(|(_, replacement)| replacement).ok_or_else(|| {
        Error::Conflict(format!(
            "{name}: was left outside at the checkpoint: supply a replacement with --external {name}=PATH, or =fd:N for a descriptor inherited by cairn"
        ))
    })
}

impl Made for Replacement {
    fn open(&mut self, _way: &Way<'_>, flags: i32) -> Result<OwnedFd> {
        match &*self {
            Replacement::Path(path) => {
                let fd = opened(open(path, flags), &path.display())?;
                set_flags(&fd, with_append(fd.as_fd(), flags))?;
                Ok(fd)
            }
            Replacement::Descriptor(given) => {
                const NAME: &str = "the descriptor given for an external file";
                let kind = self.metadata().context(|| format!("stat {NAME}"))?.file_type();
                if kind.is_fifo() || kind.is_char_device() {
                    match open(&link_to(given), flags) {
                        // The write end of a pipe that nothing reads.
                        Err(Errno::NXIO) => {}
                        other => {
                            let fd = opened(other, &NAME)?;
                            set_flags(&fd, flags)?;
                            return Ok(fd);
                        }
                    }
                }
                given.try_clone().context(|| format!("duplicate {NAME}"))
            }
        }
    }
}

/// Opens a replacement without waiting for the other end of a FIFO; [`set_flags`] sets the rest.
fn open(path: &Path, flags: i32) -> Result<OwnedFd, Errno> {
    let wanted = OFlags::from_bits_retain(to_open(flags) as u32);
    rustix::fs::open(path, wanted | OFlags::CLOEXEC | OFlags::NOCTTY, Mode::empty())
}

fn opened(fd: Result<OwnedFd, Errno>, name: &dyn Display) -> Result<OwnedFd> {
    match fd {
        // open(2): a FIFO that nothing reads, or a socket.
        Err(Errno::NXIO) => Err(Error::Conflict(format!(
            "{name}: cannot be opened: it is a socket, or nothing reads from it"
        ))),
        other => other.context(|| format!("open {name}")),
    }
}

/// A terminal and a pipe have no offset; a file in place of one is appended to.
fn with_append(fd: BorrowedFd<'_>, flags: i32) -> i32 {
    let is_file = rustix::fs::fstat(fd).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode).is_file());
    let writes = flags & libc::O_ACCMODE != libc::O_RDONLY;
    if is_file && writes { flags | libc::O_APPEND } else { flags }
}

/// Checks, before anything is created, that there is a suitable replacement for every external
/// file. `context` is device and inode number of the context file.
///
/// # Errors
/// *conflict* for one without a replacement, with several, or with one that cannot be it, and for a
/// replacement of a file that is not in the records.
pub fn check(records: &Records, replacements: &Replacements, context: (u64, u64)) -> Result<()> {
    let conflict = |why: String| Err(Error::Conflict(why));
    let mut names = Vec::new();
    for (index, inode) in records.inodes.iter().enumerate() {
        let Some(name) = inode.kind.verbs().external_name() else { continue };
        names.push(name);
        let replacement = replacement(name, replacements)?;
        if replacements.iter().filter(|(other, _)| other == name).count() > 1 {
            return conflict(format!("--external {name}: is given more than once"));
        }
        let what = replacement.describe();
        let meta = match replacement.metadata() {
            Err(err) if err.kind() == io::ErrorKind::NotFound => {
                return conflict(format!("{what}: no such file; it was to replace {name}"));
            }
            meta => meta.context(|| format!("examine {what}, which is to replace {name}"))?,
        };
        if meta.is_dir() {
            return conflict(format!("{what}: is a directory; it cannot replace {name}"));
        }
        if (meta.dev(), meta.ino()) == context {
            return conflict(format!("{what}: is the context file; it cannot replace {name}"));
        }
        let Replacement::Descriptor(fd) = replacement else { continue };
        let given = rustix::fs::fcntl_getfl(&**fd).context(|| format!("examine {what}"))?.bits() as i32;
        let lacks =
            |wanted: i32, other: i32| wanted & libc::O_ACCMODE != other && given & libc::O_ACCMODE == other;
        for file in records.files.iter().filter(|file| file.inode == index) {
            if lacks(file.flags, libc::O_RDONLY) || lacks(file.flags, libc::O_WRONLY) {
                return conflict(format!(
                    "{what}: is open for {}; it cannot replace {name}, which the job has open for {}",
                    access(given),
                    access(file.flags)
                ));
            }
        }
    }
    match replacements.iter().find(|(name, _)| !names.contains(&name)) {
        None => Ok(()),
        Some((name, _)) => {
            let all: Vec<String> = names.iter().map(ToString::to_string).collect();
            let all = if all.is_empty() { "nothing".into() } else { all.join(", ") };
            conflict(format!("--external {name}: the checkpoint left {all} outside"))
        }
    }
}

impl Replacement {
    fn describe(&self) -> String {
        match self {
            Replacement::Path(path) => path.display().to_string(),
            Replacement::Descriptor(_) => "the given descriptor".into(),
        }
    }

    /// Of the file that it is.
    ///
    /// # Errors
    /// As stat(2).
    pub fn metadata(&self) -> io::Result<Metadata> {
        match self {
            Replacement::Path(path) => std::fs::metadata(path),
            Replacement::Descriptor(fd) => File::from(fd.try_clone()?).metadata(),
        }
    }
}

/// In words.
fn access(flags: i32) -> &'static str {
    match flags & libc::O_ACCMODE {
        libc::O_RDONLY => "reading",
        libc::O_WRONLY => "writing",
        _ => "reading and writing",
    }
}

#[cfg(feature = "planted-faults")]
pub(super) const FAULTS: &[crate::resource::fault::Fault] = &[];

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("/dev/pts/3", true)]
    #[case("pipe:[12]", true)]
    #[case("socket:[12]", true)]
    #[case("anon_inode:[eventpoll]", false)]
    #[case("/tmp/a=b", false)]
    #[case("", false)]
    fn a_name_is_of_one_file(#[case] name: &str, #[case] is: bool) {
        assert_eq!(is_name(&PathBytes(name.as_bytes().to_vec())), is);
    }
}
