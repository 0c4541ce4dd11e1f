//! fanotify: marks of files, directories, a mount and a file system, and what is ignored.

use crate::framework::prelude::*;
use std::collections::BTreeMap;
use std::ffi::CString;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::path::Path;

pub const WORKLOAD: Workload = Workload {
    purpose: "fanotify groups: files, children of a directory, a mount, a file system; what is ignored; \
              events with descriptors and, since Linux 5.9, with names",
    needs: &[Need::Root],
    active: false,
    statik: true,
    run,
};

fn group(flags: u32) -> anyhow::Result<OwnedFd> {
    let (flags, events) = (flags | libc::FAN_CLOEXEC | libc::FAN_NONBLOCK, libc::O_RDONLY | libc::O_CLOEXEC);
    // SAFETY: numbers only.
    let fd = sys::check("fanotify_init", unsafe { libc::fanotify_init(flags, events as u32) })?;
    // SAFETY: the descriptor is new.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn mark(group: &OwnedFd, flags: u32, mask: u64, path: &str) -> Outcome {
    let name = CString::new(path)?;
    // SAFETY: the path lives through the call.
    let got = unsafe {
        libc::fanotify_mark(
            group.as_raw_fd(),
            libc::FAN_MARK_ADD | flags,
            mask,
            libc::AT_FDCWD,
            name.as_ptr(),
        )
    };
    sys::check("fanotify_mark", got).map(drop)
}

/// What was reported since, by the name of the file; without one by "".
fn events(group: &OwnedFd) -> anyhow::Result<BTreeMap<String, u64>> {
    let (mut all, mut buf) = (BTreeMap::new(), vec![0u8; 4096]);
    loop {
        // SAFETY: the buffer is live.
        let got = unsafe { libc::read(group.as_raw_fd(), buf.as_mut_ptr().cast(), buf.len()) };
        if got < 0 && std::io::Error::last_os_error().raw_os_error() == Some(libc::EAGAIN) {
            return Ok(all);
        }
        let mut rest = &buf[..sys::check("read", got)? as usize];
        while let Some((head, _)) = rest.split_at_checked(24) {
            let word = |at: usize| i32::from_ne_bytes(head[at..][..4].try_into().expect("four bytes"));
            let mask = u64::from_ne_bytes(head[8..16].try_into()?);
            let name = if word(16) >= 0 {
                // SAFETY: the descriptor came with the event.
                let file = unsafe { OwnedFd::from_raw_fd(word(16)) };
                let link = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
                let name = link.file_name().context("a name")?;
                name.to_string_lossy().into_owned()
            } else {
                String::new()
            };
            expect_eq("who did it", word(20), std::process::id() as i32)?;
            *all.entry(name).or_default() |= mask;
            rest = &rest[word(0) as usize..];
        }
    }
}

/// A file system of its own.
fn mount_at(path: &str) -> Outcome {
    std::fs::create_dir(path).context("mkdir")?;
    let (kind, at) = (CString::new("tmpfs")?, CString::new(path)?);
    // SAFETY: the strings live through the call.
    sys::check("mount", unsafe {
        libc::mount(kind.as_ptr(), at.as_ptr(), kind.as_ptr(), 0, std::ptr::null())
    })
    .map(drop)
}

fn run(cx: &mut Ctx) -> Outcome {
    std::fs::create_dir("directory").context("mkdir")?;
    mount_at("mount")?;
    for name in ["file", "directory/inside", "directory/quiet", "directory/gone", "mount/other"] {
        std::fs::write(name, "x").context("write")?;
    }
    let plain = match group(libc::FAN_CLASS_NOTIF) {
        Err(error) if sys::errno_in(&error) == Some(libc::ENOSYS) => return skip("no fanotify"),
        group => group?,
    };
    mark(&plain, 0, libc::FAN_MODIFY | libc::FAN_CLOSE_WRITE, "file")?;
    mark(&plain, 0, libc::FAN_MODIFY | libc::FAN_EVENT_ON_CHILD, "directory")?;
    let ignored = libc::FAN_MARK_IGNORED_MASK | libc::FAN_MARK_IGNORED_SURV_MODIFY;
    mark(&plain, ignored, libc::FAN_MODIFY, "directory/quiet")?;
    let mounted = group(libc::FAN_CLASS_CONTENT | libc::FAN_UNLIMITED_QUEUE)?;
    mark(&mounted, libc::FAN_MARK_MOUNT, libc::FAN_MODIFY, "mount")?;
    mark(&mounted, libc::FAN_MARK_FILESYSTEM, libc::FAN_CLOSE_WRITE, "mount")?;
    // Not every kernel has it, and not on every file system.
    let named = group(libc::FAN_CLASS_NOTIF | libc::FAN_REPORT_DFID_NAME).ok().filter(|named| {
        let created = libc::FAN_CREATE | libc::FAN_DELETE | libc::FAN_ONDIR;
        mark(named, 0, created, "directory").is_ok()
    });

    cx.ready()?;

    expect_eq("what happened meanwhile", events(&plain)?, BTreeMap::new())?;
    for name in ["file", "directory/inside", "directory/quiet", "mount/other"] {
        std::fs::write(name, "longer").context("write")?;
    }
    std::fs::create_dir("directory/new").context("mkdir")?;
    std::fs::remove_file("directory/gone").context("unlink")?;
    let of = |pairs: &[(&str, u64)]| {
        pairs.iter().map(|(name, mask)| ((*name).to_owned(), *mask)).collect::<BTreeMap<_, _>>()
    };
    let written = libc::FAN_MODIFY | libc::FAN_CLOSE_WRITE;
    expect_eq("events", events(&plain)?, of(&[("file", written), ("inside", libc::FAN_MODIFY)]))?;
    expect_eq("events of the mount", events(&mounted)?, of(&[("other", written)]))?;
    if let Some(named) = &named {
        let all = libc::FAN_CREATE | libc::FAN_DELETE | libc::FAN_ONDIR;
        expect_eq("events with names", events(named)?, of(&[("", all)]))?;
    }
    drop(mounted);
    let at = CString::new("mount")?;
    // SAFETY: the path lives through the call.
    sys::check("umount", unsafe { libc::umount(at.as_ptr()) })?;
    expect(Path::new("mount").exists(), || "the mount point is gone".into())
}
