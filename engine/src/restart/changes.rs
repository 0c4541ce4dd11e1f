//! Named files that differ from the checkpoint: which differences matter, and which option decides.

use crate::error::{Context, Error, Result};
use crate::resource::Records;
use crate::resource::fd::inode::Inode;
use crate::resource::fd::{Identity as Same, Kind};
use crate::resource::identity::{self, Content, Identity};
use crate::resource::mm::vma::Backing;
use crate::sys;
use rustix::fs::OFlags;
use std::fmt::Write;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The user's decisions about files that have changed.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// Files to truncate to their old size when something was appended.
    pub truncate: Which,
    /// Files to use as they are.
    pub ignore: Which,
}

/// The files that a decision covers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Which {
    /// All files.
    pub all: bool,
    /// These files, by absolute path.
    pub paths: Vec<PathBuf>,
}

impl Which {
    fn covers(&self, path: &Path) -> bool {
        self.all || self.paths.iter().any(|one| one == path)
    }
}

/// How the job uses a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Use {
    /// PID of a process with a private mapping of it, whose unmodified pages come from the file.
    private: Option<i32>,
    /// PID of a process with a shared mapping of it, and the highest mapped offset in bytes.
    shared: Option<(i32, u64)>,
    /// Open for writing.
    written: bool,
}

/// What to do with an examined file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing relevant has changed.
    Same,
    /// Changed, and used as it is.
    Ignored,
    /// Truncated to its old size.
    CutBack,
}

/// A named inode that was examined and may be opened.
#[derive(Debug, Clone, PartialEq)]
pub struct Accepted {
    /// What to do with it.
    pub verdict: Verdict,
    /// Device and inode number.
    node: (u64, u64),
    /// Its current identity; `None` unless it is a regular file.
    now: Option<Identity>,
}

impl Accepted {
    /// Size in bytes; `None` unless it is a regular file.
    pub fn size(&self) -> Option<u64> {
        self.now.as_ref().map(|now| now.size)
    }

    /// Checks that the file is still the one that was examined.
    ///
    /// # Errors
    /// *conflict*
    pub fn check(&self, path: &Path, meta: &Metadata) -> Result<()> {
        let same = self.node == (meta.dev(), meta.ino())
            && match (&self.now, self.verdict) {
                (Some(now), Verdict::Same | Verdict::CutBack) => *now == Identity::of(meta),
                // It may still be written to.
                (Some(_), Verdict::Ignored) | (None, _) => true,
            };
        if same {
            return Ok(());
        }
        Err(Error::Conflict(format!("{}: is being changed or replaced right now", path.display())))
    }
}

/// Examines every named inode before anything is created; returns those that may be opened, by
/// index.
///
/// # Errors
/// *conflict*, with a line for each file that is gone or differs.
pub fn check(records: &Records, changes: &Changes) -> Result<Vec<Option<Accepted>>> {
    let uses = uses(records);
    let mut conflicts = Vec::new();
    for path in changes.truncate.paths.iter().chain(&changes.ignore.paths) {
        if !records.inodes.iter().any(|inode| has_name(inode) && inode.path.as_path() == path) {
            conflicts.push(format!("{}: the job has no such file open or mapped", path.display()));
        }
    }
    let mut accepted = Vec::new();
    for (inode, used) in records.inodes.iter().zip(&uses) {
        accepted.push(match has_name(inode).then(|| look(inode, used, changes)) {
            None => None,
            Some(Ok(one)) => Some(one),
            Some(Err(Error::Conflict(why))) => {
                conflicts.push(why);
                None
            }
            Some(Err(other)) => return Err(other),
        });
    }
    if conflicts.is_empty() { Ok(accepted) } else { Err(Error::Conflict(conflicts.join("\n"))) }
}

/// The inodes to truncate.
pub fn to_cut_back(accepted: &[Option<Accepted>]) -> Vec<usize> {
    let cut = |one: &Option<Accepted>| one.as_ref().is_some_and(|a| a.verdict == Verdict::CutBack);
    accepted.iter().enumerate().filter(|(_, one)| cut(one)).map(|(index, _)| index).collect()
}

fn has_name(inode: &Inode) -> bool {
    inode.unlinked.is_none() && inode.kind.verbs().identity() == Same::Path
}

fn look(inode: &Inode, used: &Use, changes: &Changes) -> Result<Accepted> {
    let path = inode.path.as_path();
    let handle = open_handle(path)?;
    let meta = handle.metadata().context(|| format!("stat {}", path.display()))?;
    check_kind(path, &meta, inode)?;
    let now = (inode.kind == Kind::Regular).then(|| Identity::of(&meta));
    let verdict = match (&inode.identity, &now) {
        (Some(was), Some(now)) => {
            let read = |content: &Content| content.same_of(&identity::reopen_to_read(&handle)?, was.size);
            judge(path, was, now, &read, used, changes)?
        }
        _ => Verdict::Same,
    };
    Ok(Accepted { verdict, node: (meta.dev(), meta.ino()), now })
}

/// A handle (`O_PATH`) to the target of a recorded path.
///
/// # Errors
/// *conflict* for a path that does not exist or leads through a symbolic link.
pub fn open_handle(path: &Path) -> Result<File> {
    match sys::file::open_directly(path, OFlags::PATH) {
        Ok(handle) => Ok(handle),
        Err(err) => Err(Error::of_path(path, err)),
    }
}

/// The name of a file type in `st_mode`.
fn name_of(format: u32) -> &'static str {
    match format {
        libc::S_IFREG => "a regular file",
        libc::S_IFDIR => "a directory",
        libc::S_IFCHR => "a character device",
        libc::S_IFBLK => "a block device",
        libc::S_IFIFO => "a FIFO",
        libc::S_IFLNK => "a symbolic link",
        libc::S_IFSOCK => "a socket",
        _ => "an unknown kind of file",
    }
}

/// Checks that an inode has the recorded kind.
///
/// # Errors
/// *conflict*
fn check_kind(path: &Path, meta: &Metadata, inode: &Inode) -> Result<()> {
    let conflict = |what: String| Err(Error::Conflict(format!("{}: {what}; put it back", path.display())));
    let format = meta.mode() & libc::S_IFMT;
    let verbs = inode.kind.verbs();
    let want = verbs.file_type();
    if format != want {
        return conflict(format!("is now {}, but was {} at the checkpoint", name_of(format), name_of(want)));
    }
    verbs.check_path(meta).or_else(conflict)
}

/// How the job uses each inode.
fn uses(records: &Records) -> Vec<Use> {
    let mut uses = vec![Use::default(); records.inodes.len()];
    for file in &records.files {
        let writes = file.flags & libc::O_PATH == 0 && file.flags & libc::O_ACCMODE != libc::O_RDONLY;
        uses[file.inode].written |= writes;
    }
    for (process, alive) in records.alive() {
        uses[records.files[alive.memory.exe].inode].private.get_or_insert(process.pid);
        for vma in &alive.memory.vmas {
            let Backing::File { file, offset, shared } = vma.backing else { continue };
            let used = &mut uses[records.files[file].inode];
            if shared {
                let end = offset.saturating_add(vma.len());
                let most = used.shared.map_or(0, |(_, most)| most);
                used.shared = Some((process.pid, end.max(most)));
            } else {
                used.private.get_or_insert(process.pid);
            }
        }
    }
    uses
}

/// Judges a difference. `read` computes the same kind of content identity from the current file,
/// over the size at the checkpoint.
///
/// # Errors
/// *conflict*; errors of `read`.
fn judge(
    path: &Path,
    was: &Identity,
    now: &Identity,
    read: &dyn Fn(&Content) -> io::Result<Option<Content>>,
    used: &Use,
    changes: &Changes,
) -> Result<Verdict> {
    if was.is_untouched(now) {
        return Ok(Verdict::Same);
    }
    let conflict = |what: String| Err(Error::Conflict(format!("{}: {what}", path.display())));
    if let (Some(before), Some(after)) = (was.node, now.node)
        && before.owner != after.owner
    {
        let (user, group) = before.owner;
        return conflict(format!(
            "is now owned by {}:{}, but was owned by {user}:{group} at the checkpoint; no option overrides this: restore the owner (chown {user}:{group})",
            after.owner.0, after.owner.1,
        ));
    }
    // A file that has shrunk cannot have the old contents.
    let known = was.content.as_ref().filter(|_| now.size >= was.size);
    let found = match known {
        Some(content) => read(content).context(|| format!("read {}", path.display()))?,
        None => None,
    };
    let begins_the_same = known.map(|_| found == was.content);
    if now.size == was.size && begins_the_same == Some(true) {
        return Ok(Verdict::Same);
    }
    let what = differences(was, now, found.as_ref());
    if let Some((pid, mapped)) = used.shared
        && now.size < mapped.min(was.size)
    {
        return conflict(format!(
            "{what}; a shared mapping of pid {pid} covers {} bytes of it, and no option overrides this: put it back",
            mapped.min(was.size)
        ));
    }
    let same_node = |a: &Identity, b: &Identity| a.node.map(|n| n.inode) == b.node.map(|n| n.inode);
    let appended = now.size > was.size && begins_the_same.unwrap_or_else(|| same_node(was, now));
    let can_cut = appended && used.written && (used.private.is_none() || begins_the_same == Some(true));
    if can_cut && changes.truncate.covers(path) {
        return Ok(Verdict::CutBack);
    }
    // Only times or inode number differ: the contents may well be the same.
    let perhaps_same = begins_the_same.is_none() && (was.size, was.mtime) == (now.size, now.mtime);
    let ignorable = used.private.is_none() || perhaps_same;
    if ignorable && changes.ignore.covers(path) {
        return Ok(Verdict::Ignored);
    }
    let cut = "--truncate truncates it to its old size";
    let leave = "--ignore-changes uses it as it is";
    conflict(match (can_cut, ignorable, used.private) {
        (true, true, _) => format!("{what}; {cut}, {leave}"),
        (false, true, _) => format!("{what}; {leave}"),
        (true, false, _) => format!("{what}; {cut}"),
        (false, false, pid) => format!(
            "{what}; private mappings of pid {} need its old contents, and no option overrides this: put it back",
            pid.unwrap_or_default()
        ),
    })
}

/// Lists old and new value of everything that differs.
fn differences(was: &Identity, now: &Identity, found: Option<&Content>) -> String {
    let mut text = match was.size {
        size if size < now.size => "has grown since the checkpoint".to_owned(),
        size if size > now.size => "has shrunk since the checkpoint".to_owned(),
        _ => "has changed since the checkpoint".to_owned(),
    };
    let mut begin = " (";
    let mut tell = |name: &str, before: &dyn std::fmt::Display, after: &dyn std::fmt::Display| {
        write!(text, "{begin}{name}{before}, now {after}").expect("writing to a String");
        begin = "; ";
    };
    if was.size != now.size {
        tell("bytes: ", &was.size, &now.size);
    }
    if let (Some(before), Some(after)) = (&was.content, found)
        && before != after
    {
        tell("", before, after);
    }
    if let (Some(before), Some(after)) = (was.node, now.node)
        && before.inode != after.inode
    {
        tell("inode: ", &before.inode, &after.inode);
    }
    if was.mtime != now.mtime {
        tell("modified: ", &Time(was.mtime), &Time(now.mtime));
    } else if let (Some(before), Some(after)) = (was.node, now.node)
        && before.ctime != after.ctime
    {
        tell("touched: ", &Time(before.ctime), &Time(after.ctime));
    }
    text.push(')');
    text
}

/// A time in nanoseconds since the epoch, shown as UTC.
struct Time(i64);

impl std::fmt::Display for Time {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const DAY: i64 = 86_400;
        let (secs, nanos) = (self.0.div_euclid(1_000_000_000), self.0.rem_euclid(1_000_000_000));
        let (days, rest) = (secs.div_euclid(DAY), secs.rem_euclid(DAY));
        // Proleptic Gregorian calendar, in eras of 400 years that start in March.
        let from_era = days + 719_468;
        let (era, day) = (from_era.div_euclid(146_097), from_era.rem_euclid(146_097));
        let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let (month, later) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
        let year = year + era * 400 + later;
        let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
        write!(f, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{nanos:09} UTC")
    }
}

#[cfg(test)]
#[path = "changes_tests.rs"]
mod tests;
