//! The terminal that a job was started on. Its other side is outside: a terminal emulator, sshd(8),
//! a console. A restart attaches the job to the terminal that it is called from.

use super::description::{Descriptions, Descriptor};
use super::external::{self, ExternalFile, Replacement, Replacements};
use super::inode::Observed;
use super::{Identity, Kind, Made, Reference, Verbs, Way};
use crate::error::{Context, Error, External, Problem, Problems, Result, Subject};
use crate::resource::Records;
use crate::resource::bytes::PathBytes;
use crate::resource::tty::Settings;
use crate::sys::file::device_numbers;
use crate::sys::{guard, session, signals, tty};
use procfs::process::Process;
use rustix::process::Pid;
use rustix::termios::tcsetpgrp;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::sync::Arc;

/// The terminal of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terminal {
    /// Its name in /proc/PID/fd at the checkpoint.
    pub name: PathBytes,
    /// Process group of the job to put into the foreground; 0 for none.
    pub foreground: i32,
    /// `None` if the job was in the background.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<Settings>,
    /// The session whose controlling terminal it is; outside the job.
    #[serde(skip)]
    session: i32,
}

/// Makes a process group the one in the foreground, also from the background.
///
/// # Errors
/// As tcsetpgrp(3): ENOTTY unless it is our controlling terminal.
pub fn set_foreground(fd: BorrowedFd<'_>, group: i32) -> io::Result<()> {
    let group = Pid::from_raw(group).ok_or(io::ErrorKind::InvalidInput)?;
    signals::without(libc::SIGTTOU, || Ok(tcsetpgrp(fd, group)?))
}

/// The process group in the foreground of our controlling terminal; `None` if it is not ours. 0 for
/// one outside our PID namespace, if our own is, too.
pub fn foreground(fd: BorrowedFd<'_>) -> Option<i32> {
    tty::foreground(fd).ok().filter(|group| *group != 0 || own_group() == 0)
}

/// Our process group; 0 if it began outside our PID namespace.
pub fn own_group() -> i32 {
    session::group_of(0).expect("we have one")
}

/// Whether this process may lend the terminal: it is our controlling terminal, and we are in the
/// foreground. A shell without job control leaves what it runs with `&` there, but lets it ignore
/// SIGINT; so does the front end of a restart in a new PID namespace, where groups outside look
/// all the same.
pub fn is_ours_to_lend(fd: BorrowedFd<'_>) -> bool {
    foreground(fd) == Some(own_group()) && !signals::is_ignored(libc::SIGINT)
}

pub(super) fn recognise(seen: &Observed<'_>) -> Option<Result<Kind>> {
    if !seen.has_path() || !seen.meta.file_type().is_char_device() {
        return None;
    }
    // Documentation/admin-guide/devices.txt: consoles and serial lines, /dev/tty, pseudo-terminals.
    let device = device_numbers(seen.meta.rdev());
    let is_terminal = matches!(device.0, 4 | 136..=143) || device == DEV_TTY;
    is_terminal.then(|| {
        if !external::is_name(&seen.link) {
            return Err(seen.refuse_external(External::Terminal, REFUSAL));
        }
        let name = seen.link.clone();
        Ok(Kind::Terminal(Terminal { name, foreground: 0, settings: None, session: 0 }))
    })
}

/// What a terminal is that a restart could not attach to another.
pub(super) const REFUSAL: &str =
    "a terminal; start the job with `cairn run`, or with `</dev/null >file 2>&1`";

/// The device number of /dev/tty: it stands for the controlling terminal of whoever opens it.
pub const DEV_TTY: (u32, u32) = (5, 0);

/// Why a terminal is refused.
fn problem(at: &Subject, name: &PathBytes, what: &str) -> Problem {
    let why = format!(" is {what}{}", external::advice(name));
    Problem::external(at.leading_to(name), External::Terminal, why)
}

/// The terminals of a job.
fn all(records: &Records) -> impl Iterator<Item = &Terminal> {
    records.inodes.iter().filter_map(|inode| match &inode.kind {
        Kind::Terminal(terminal) => Some(terminal),
        _ => None,
    })
}

/// The terminal that the job was started on.
pub fn of_job(records: &Records) -> Option<&Terminal> {
    all(records).next()
}

/// The replacements that the user gave, and the user's terminal for each terminal without one.
///
/// # Errors
/// *conflict* for a terminal where there is none.
pub fn with_users(
    records: &Records,
    given: &Replacements,
    terminal: Option<&Arc<OwnedFd>>,
) -> Result<Vec<(PathBytes, Replacement)>> {
    let mut replacements = given.to_vec();
    for Terminal { name, .. } in all(records) {
        if replacements.iter().any(|(other, _)| other == name) {
            continue;
        }
        let terminal = terminal.ok_or_else(|| {
            Error::Conflict(format!(
                "{name}: was the terminal of the job: restart it on a terminal, without --detach and --session new, or supply a replacement with --external {name}=PATH"
            ))
        })?;
        // That name stands for the controlling terminal of whoever opens it.
        let by_name = name.0 == b"/dev/tty";
        let replacement = match by_name {
            true => Replacement::Path(name.as_path().to_owned()),
            false => Replacement::Descriptor(terminal.clone()),
        };
        replacements.push((name.clone(), replacement));
    }
    Ok(replacements)
}

impl Terminal {
    fn external(&self) -> ExternalFile {
        ExternalFile { name: self.name.clone() }
    }
}

impl Verbs for Terminal {
    fn name(&self) -> &'static str {
        "terminal"
    }

    fn title(&self, _index: usize) -> String {
        format!("the terminal in place of {}", self.name)
    }

    fn identity(&self) -> Identity {
        Identity::Inode
    }

    /// The shell that started the job has it, too.
    fn is_shared_state(&self, _flags: i32) -> bool {
        false
    }

    fn keeps_offset(&self) -> bool {
        false
    }

    fn refers_to(&self) -> Vec<Reference> {
        Some(self.foreground).filter(|group| *group != 0).map(Reference::Group).into_iter().collect()
    }

    fn external_name(&self) -> Option<&PathBytes> {
        Some(&self.name)
    }

    fn capture(&mut self, descriptors: &[Descriptor], _all: &Descriptions<'_>) -> Result<()> {
        let first = descriptors[0];
        let what = || format!("{}: read settings of the terminal", first.at());
        let fd = first.duplicate()?;
        let device = device_numbers(rustix::fs::fstat(&fd).context(what)?.st_rdev);
        let mut met = HashSet::new();
        for pid in descriptors.iter().map(|one| one.process.pid).filter(|pid| met.insert(*pid)) {
            let stat = Process::new(pid)
                .and_then(|process| process.stat())
                .map_err(|err| Error::Vanished(format!("pid {pid}: read /proc/{pid}/stat: {err}")))?;
            let (major, minor) = stat.tty_nr();
            let is_controlling = (major as u32, minor as u32) == device || device == DEV_TTY;
            if stat.tty_nr != 0 && is_controlling {
                self.session = stat.session;
                self.foreground = stat.tpgid.max(0);
                self.settings = Some(Settings::of(fd.as_fd()).context(what)?);
                return Ok(());
            }
        }
        Err(Error::unsupported(problem(&first.at(), &self.name, REFUSAL)))
    }

    fn validate(&self) -> Result<(), String> {
        self.external().validate()?;
        self.settings.as_ref().map_or(Ok(()), Settings::validate)
    }

    fn make(&self, way: &Way<'_>) -> Result<Box<dyn Made>> {
        self.external().make(way)
    }

    /// The processes must be in their groups.
    fn is_finished_last(&self) -> bool {
        true
    }

    /// Only for a terminal that has us in the foreground: any other is not ours to change.
    fn finish(&self, fd: &OwnedFd, _opened: &dyn Fn(usize) -> Result<OwnedFd>) -> Result<()> {
        if !is_ours_to_lend(fd.as_fd()) {
            return Ok(());
        }
        let what = || format!("hand the terminal to process group {}", self.foreground);
        if let Some(settings) = &self.settings {
            settings.set(fd.as_fd()).context(what)?;
        }
        let group = if self.foreground == 0 { own_group() } else { self.foreground };
        // A group outside our PID namespace is ours, and there already.
        if group != 0 {
            set_foreground(fd.as_fd(), group).context(what)?;
        }
        // What the job has drawn is on another screen, of another size.
        guard::kill(-group, libc::SIGWINCH).context(what)
    }
}

/// The process groups of a job.
pub struct Groups {
    /// All of them.
    pub all: HashSet<i32>,
    /// Those that are recreated.
    pub inside: HashSet<i32>,
    /// That of the root, if it is recreated; else 0.
    pub of_root: i32,
}

/// Decides what a terminal shows the job in the foreground. Refuses one of a session that is not
/// outside: a restart could not make the terminal of its caller that session's.
pub fn settle<'a>(
    kinds: impl Iterator<Item = (&'a mut Kind, &'a Subject)>,
    groups: &Groups,
    is_outside: impl Fn(i32) -> bool,
    problems: &mut Problems,
) {
    for (kind, user) in kinds {
        let Kind::Terminal(Terminal { name, foreground, settings, session }) = kind else { continue };
        let what = match *session {
            // Open as a handle (O_PATH) only: nothing was captured.
            0 => Some(REFUSAL.to_owned()),
            session => (!is_outside(session)).then(|| format!(
                "the controlling terminal of session {session}, which is in the job or has no leader: a restart could not give it another"
            )),
        };
        what.into_iter().for_each(|what| problems.push(problem(user, name, &what)));
        // In the background, the settings are those of a shell that reads its next command.
        if !groups.all.contains(foreground) {
            *settings = None;
        }
        if !groups.inside.contains(foreground) {
            *foreground = groups.of_root;
        }
    }
}

#[cfg(feature = "planted-faults")]
pub(super) const FAULTS: &[crate::resource::fault::Fault] = &[];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_terminal_has_no_foreground() {
        let (end, _other) = rustix::pipe::pipe().unwrap();
        assert_eq!(foreground(end.as_fd()), None);
    }
}
