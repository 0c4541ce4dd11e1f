//! inotify(7): which files are watched, for which events, under which watch descriptors.
//!
//! The kernel shows a watched file as a file handle (fs/notify/fdinfo.c). Its path is found by
//! that, or is a mount point; a restart has it open as every other file, which checks that it is
//! the same one.

use super::description::{Descriptions, Descriptor};
use super::inode::Observed;
use super::{Identity, Kind, Made, Once, Reference, Verbs, Way, marked};
use crate::error::{Context, Error, Problem, Result, Subject};
use crate::proc::fdinfo::FdInfo;
use crate::proc::notify::{READING, Watched};
use crate::sys::file::link_to;
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use serde::{Deserialize, Serialize};
use std::os::fd::OwnedFd;

/// The state of an inotify instance.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inotify {
    /// By watch descriptor.
    pub watches: Vec<Watch>,
}

/// A watched file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// Watch descriptor.
    pub wd: i32,
    /// Index of the handle (`O_PATH`) to the file.
    pub file: usize,
    /// `IN_*`
    pub mask: u32,
}

/// What a watch may wait for, and how.
const ALL: u32 = 0xfff | libc::IN_EXCL_UNLINK | libc::IN_ONESHOT;
/// A restart adds and removes one for each lower number.
const MOST: i32 = 1 << 16;

pub(super) fn recognise(seen: &Observed<'_>) -> Option<Result<Kind>> {
    (seen.link.0 == b"anon_inode:inotify").then(|| Ok(Kind::Inotify(Inotify::default())))
}

impl Verbs for Inotify {
    fn name(&self) -> &'static str {
        "inotify instance"
    }

    fn identity(&self) -> Identity {
        Identity::Description
    }

    fn refers_to(&self) -> Vec<Reference> {
        self.watches.iter().map(|watch| Reference::File(watch.file)).collect()
    }

    fn uses(&mut self, info: &FdInfo, at: &Subject) -> Result<Vec<OwnedFd>> {
        let refuse = |why: String| Error::unsupported(Problem::of(at.clone(), why));
        let unknown = || refuse(": cannot read its inotify watches".into());
        let mut watched: Vec<Watched> = info
            .beginning("inotify ")
            .map(|line| Watched::parse(line).ok_or_else(unknown))
            .collect::<Result<_>>()?;
        watched.sort_by_key(|shown| shown.wd);
        if watched.last().is_some_and(|last| last.wd > MOST) {
            return Err(refuse(format!(
                " is an inotify instance with a watch descriptor above {MOST}; close it first"
            )));
        }
        if watched.is_empty() {
            return Ok(Vec::new());
        }
        if !shows_flags()? {
            let why = " is an inotify instance with watches, whose flags this kernel does not show (IN_ONESHOT, IN_EXCL_UNLINK; since Linux 5.19); close it first";
            return Err(refuse(why.into()));
        }
        let (mounts, mut handles) = (marked::mounts(), Vec::new());
        for shown in &watched {
            self.watches.push(Watch { wd: shown.wd, file: 0, mask: shown.mask & ALL });
            let of = format!("watch descriptor {}, inode {}", shown.wd, shown.marked.inode);
            let why = match marked::open(&shown.marked, &mounts) {
                Ok(Some(handle)) if shown.mask & READING != 0 && marked::is_in_proc(&handle) => {
                    return Err(refuse(format!(
                        " is an inotify instance that watches a file of /proc for being read ({of}), which a checkpoint does; remove the watch first"
                    )));
                }
                Ok(Some(handle)) => {
                    handles.push(handle);
                    continue;
                }
                Ok(None) => "the file system does not tell; remove the watch first",
                Err(_) => "takes CAP_DAC_READ_SEARCH to find; remove the watch first, or run cairn as root",
            };
            return Err(refuse(format!(
                " is an inotify instance that watches a file ({of}) whose path {why}"
            )));
        }
        Ok(handles)
    }

    fn set_used(&mut self, files: Vec<usize>) {
        for (watch, file) in self.watches.iter_mut().zip(files) {
            watch.file = file;
        }
    }

    fn notices_reading(&self) -> Vec<usize> {
        let reading = self.watches.iter().filter(|watch| watch.mask & READING != 0);
        reading.map(|watch| watch.file).collect()
    }

    fn capture(&mut self, descriptors: &[Descriptor], _all: &Descriptions<'_>) -> Result<()> {
        let descriptor = Descriptor::only(descriptors);
        let what = || format!("{}: read the length of its queue", descriptor.at());
        if rustix::io::ioctl_fionread(descriptor.duplicate()?).context(what)? == 0 {
            return Ok(());
        }
        let why = " is an inotify instance with events that have not been read, which cannot be put back; let the job read them";
        Err(Error::unsupported_now(Problem::of(descriptor.at(), why)))
    }

    fn validate(&self) -> std::result::Result<(), String> {
        let ordered = self.watches.is_sorted_by(|a, b| a.wd < b.wd);
        let valid = |watch: &Watch| (1..=MOST).contains(&watch.wd) && watch.mask & !ALL == 0;
        let valid = ordered && self.watches.iter().all(valid);
        if valid { Ok(()) } else { Err("an invalid inotify watch".into()) }
    }

    fn make(&self, _way: &Way<'_>) -> Result<Box<dyn Made>> {
        let fd = inotify::init(CreateFlags::CLOEXEC)
            .context(|| "make inotify instance (see /proc/sys/fs/inotify/max_user_instances)")?;
        Ok(Box::new(Once::new(fd)))
    }

    fn is_finished_last(&self) -> bool {
        !self.watches.is_empty()
    }

    /// Watches the files. What happened to them until now is none of the job's.
    fn finish(&self, fd: &OwnedFd, opened: &dyn Fn(usize) -> Result<OwnedFd>) -> Result<()> {
        // An event that hardly ever happens, until all numbers are used up: what is then in the
        // queue is that the others were removed.
        const MEANWHILE: WatchFlags = WatchFlags::MOVE_SELF;
        let what = |wd| move || format!("add inotify watch {wd} (see /proc/sys/fs/inotify/max_user_watches)");
        let handles: Vec<OwnedFd> =
            self.watches.iter().map(|watch| opened(watch.file)).collect::<Result<_>>()?;
        for (Watch { wd, .. }, handle) in self.watches.iter().zip(&handles) {
            loop {
                let got = inotify::add_watch(fd, link_to(handle), MEANWHILE).context(what(wd))?;
                if got == *wd {
                    break;
                }
                if got > *wd {
                    return Err(Error::Conflict(format!("inotify watch {wd}: got {got}, two of one file")));
                }
                inotify::remove_watch(fd, got).context(what(wd))?;
                discard_events(fd)?;
            }
        }
        for (Watch { wd, mask, .. }, handle) in self.watches.iter().zip(&handles) {
            inotify::add_watch(fd, link_to(handle), WatchFlags::from_bits_retain(*mask)).context(what(wd))?;
        }
        Ok(())
    }
}

/// Takes what is in the queue, whose length is limited.
fn discard_events(fd: &OwnedFd) -> Result<()> {
    let what = || "read events of inotify";
    let len = rustix::io::ioctl_fionread(fd).context(what)? as usize;
    if len > 0 {
        rustix::io::read(fd, &mut vec![0u8; len]).context(what)?;
    }
    Ok(())
}

/// Whether fdinfo shows IN_EXCL_UNLINK and IN_ONESHOT (a32e697cda27, Linux 5.19 and stable series).
fn shows_flags() -> Result<bool> {
    let what = || "probe inotify";
    let own = inotify::init(CreateFlags::CLOEXEC).context(what)?;
    let flags = WatchFlags::from_bits_retain(libc::IN_MOVE_SELF | libc::IN_EXCL_UNLINK);
    inotify::add_watch(&own, "/", flags).context(what)?;
    let info = FdInfo::read(std::process::id() as i32, std::os::fd::AsRawFd::as_raw_fd(&own))?;
    let shown = info.beginning("inotify ").find_map(Watched::parse);
    Ok(shown.is_some_and(|shown| shown.mask & libc::IN_EXCL_UNLINK != 0))
}

#[cfg(feature = "planted-faults")]
fn each(records: &mut crate::resource::Records, change: impl Fn(&mut Inotify)) {
    for inode in &mut records.inodes {
        if let Kind::Inotify(inotify) = &mut inode.kind {
            change(inotify);
        }
    }
}

#[cfg(feature = "planted-faults")]
pub(super) const FAULTS: &[crate::resource::fault::Fault] = &[
    crate::resource::fault::Fault {
        name: "inotify-watch-lost",
        what: "an inotify instance watches one file less",
        commit: |r| {
            each(r, |inotify| {
                inotify.watches.pop();
            });
        },
    },
    crate::resource::fault::Fault {
        name: "inotify-mask-narrowed",
        what: "inotify watches wait for deletions only",
        commit: |r| {
            each(r, |inotify| inotify.watches.iter_mut().for_each(|watch| watch.mask = libc::IN_DELETE));
        },
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn watches_come_back_under_their_numbers() {
        let dir = tempfile::tempdir().unwrap();
        let paths = ["a", "b", "c"].map(|name| dir.path().join(name));
        paths.iter().for_each(|path| std::fs::write(path, "x").unwrap());
        let mask = libc::IN_MODIFY | libc::IN_EXCL_UNLINK;
        let watch = |(wd, file)| Watch { wd, file, mask };
        let inotify = Inotify { watches: [(2, 0), (3, 1), (300, 2)].map(watch).to_vec() };
        inotify.validate().unwrap();
        let fd = inotify::init(CreateFlags::CLOEXEC).unwrap();
        inotify.finish(&fd, &|file| Ok(marked::open_path(&paths[file]).unwrap())).unwrap();
        let info = FdInfo::read(std::process::id() as i32, std::os::fd::AsRawFd::as_raw_fd(&fd)).unwrap();
        let mut shown: Vec<_> =
            info.beginning("inotify ").map(|line| Watched::parse(line).unwrap()).collect();
        shown.sort_by_key(|shown| shown.wd);
        assert_eq!(shown.iter().map(|shown| shown.wd).collect::<Vec<_>>(), [2, 3, 300]);
        for (shown, path) in shown.iter().zip(&paths) {
            let found = marked::open(&shown.marked, &marked::mounts()).unwrap().expect("it has a path");
            assert_eq!(std::fs::read_link(link_to(&found)).unwrap(), *path);
        }
        assert_eq!(rustix::io::ioctl_fionread(&fd).unwrap(), 0, "nothing has happened yet");
        std::fs::write(&paths[2], "y").unwrap();
        assert_ne!(rustix::io::ioctl_fionread(&fd).unwrap(), 0);
    }
}
