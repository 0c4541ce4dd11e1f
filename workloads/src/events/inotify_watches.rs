//! inotify: watches of directories, files and links, their numbers, and what they report.

use super::helpers::{inotify, notices, watch_path};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "inotify watches: numbers, events, once only, not of what is unlinked",
    needs: &[],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    std::fs::create_dir("directory").context("mkdir")?;
    for name in ["file", "once", "renamed", "directory/inside"] {
        std::fs::write(name, "x").context("write")?;
    }
    std::os::unix::fs::symlink("nowhere", "link").context("symlink")?;
    let events = inotify(libc::IN_NONBLOCK | libc::IN_CLOEXEC)?;
    let second = fd::dup(&events)?;
    // Numbers 1 and 3 are used up.
    for name in ["once", "directory", "renamed"] {
        let wd = watch_path(&events, name, libc::IN_OPEN)?;
        if name != "directory" {
            // SAFETY: numbers only.
            sys::check("rm", unsafe {
                libc::inotify_rm_watch(std::os::fd::AsRawFd::as_raw_fd(&events), wd)
            })?;
        }
    }
    let directory =
        watch_path(&events, "directory", libc::IN_CREATE | libc::IN_DELETE | libc::IN_EXCL_UNLINK)?;
    let file = watch_path(&events, "file", libc::IN_MODIFY | libc::IN_CLOSE_WRITE)?;
    let once = watch_path(&events, "once", libc::IN_ALL_EVENTS | libc::IN_ONESHOT)?;
    let link = watch_path(&events, "link", libc::IN_DELETE_SELF | libc::IN_ATTRIB | libc::IN_DONT_FOLLOW)?;
    let renamed = watch_path(&events, "renamed", libc::IN_ALL_EVENTS)?;
    // A lease is none of the watch's business.
    std::fs::write("leased", "x").context("write")?;
    let leased = fd::open("leased", libc::O_RDONLY, 0)?;
    let lease = fd::fcntl(&leased, libc::F_SETLEASE, libc::F_RDLCK).is_ok();
    watch_path(&events, "leased", libc::IN_DELETE_SELF)?;
    std::fs::rename("renamed", "directory/renamed").context("rename")?;
    expect_eq("numbers", [directory, file, once, link, renamed], [2, 4, 5, 6, 7])?;
    notices(&second)?;

    cx.ready()?;

    expect_eq("flags", fd::flags(&events)? & libc::O_NONBLOCK, libc::O_NONBLOCK)?;
    expect_eq("close-on-exec", (fd::cloexec(&events)?, fd::cloexec(&second)?), (true, false))?;
    expect_eq("what happened meanwhile", notices(&events)?, vec![])?;
    std::fs::write("directory/new", "y").context("write")?;
    std::fs::write("file", "longer").context("write")?;
    std::fs::remove_file("link").context("unlink")?;
    drop(fd::open("once", libc::O_RDONLY, 0)?);
    drop(fd::open("once", libc::O_RDONLY, 0)?);
    drop(fd::open("directory/renamed", libc::O_RDONLY, 0)?);
    let got = notices(&second)?;
    let want = [
        (directory, libc::IN_CREATE, "new"),
        (file, libc::IN_MODIFY, ""),
        (file, libc::IN_MODIFY, ""),
        (file, libc::IN_CLOSE_WRITE, ""),
        (link, libc::IN_ATTRIB, ""),
        (link, libc::IN_DELETE_SELF, ""),
        (link, libc::IN_IGNORED, ""),
        (once, libc::IN_OPEN, ""),
        (once, libc::IN_IGNORED, ""),
        (renamed, libc::IN_OPEN, ""),
        (renamed, libc::IN_CLOSE_NOWRITE, ""),
    ];
    // Truncation and writing are one event when nobody has read the first.
    let mut want: Vec<(i32, u32, String)> = want.map(|(wd, mask, name)| (wd, mask, name.to_owned())).to_vec();
    want.dedup();
    expect_eq("events", got, want)?;
    if lease {
        expect_eq("lease", fd::fcntl(&leased, libc::F_GETLEASE, 0)?, libc::F_RDLCK)?;
    }
    expect(watch_path(&events, "once", libc::IN_OPEN)? > renamed, || "a number was used again".into())
}
