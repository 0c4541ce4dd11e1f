//! Unlinked files with the flags of chattr(1): not to be dumped, without access times, for
//! appending only.

use super::helpers;
use crate::framework::prelude::*;
use std::os::fd::AsRawFd;

pub const WORKLOAD: Workload = Workload {
    purpose: "inode flags of a file without a name, those that forbid changes among them",
    needs: &[Need::Root],
    active: false,
    statik: false,
    run,
};

/// `FS_*_FL`, include/uapi/linux/fs.h.
const APPEND: i32 = 0x20;
const NODUMP: i32 = 0x40;
const NOATIME: i32 = 0x80;
const OURS: i32 = APPEND | NODUMP | NOATIME;

/// The flags; nothing if the file system has none.
fn flags(file: &impl AsRawFd) -> anyhow::Result<Option<i32>> {
    let mut flags = 0i32;
    // SAFETY: the kernel writes an int, whatever the type in the request's name.
    let got = unsafe { libc::ioctl(file.as_raw_fd(), libc::FS_IOC_GETFLAGS, &mut flags) };
    match (got, std::io::Error::last_os_error().raw_os_error()) {
        (0, _) => Ok(Some(flags)),
        (_, Some(libc::ENOTTY | libc::EOPNOTSUPP)) => Ok(None),
        (_, errno) => anyhow::bail!("FS_IOC_GETFLAGS: errno {errno:?}"),
    }
}

/// Sets flags; `false` if that is not possible.
fn set(file: &impl AsRawFd, flags: i32) -> anyhow::Result<bool> {
    // SAFETY: the kernel reads an int.
    let set = unsafe { libc::ioctl(file.as_raw_fd(), libc::FS_IOC_SETFLAGS, &flags) };
    match (set, std::io::Error::last_os_error().raw_os_error()) {
        (0, _) => Ok(true),
        (_, Some(libc::ENOTTY | libc::EOPNOTSUPP | libc::EPERM)) => Ok(false),
        (_, errno) => anyhow::bail!("FS_IOC_SETFLAGS: errno {errno:?}"),
    }
}

fn run(cx: &mut Ctx) -> Outcome {
    let plain = helpers::make_unlinked("plain", 3000, cx.seed)?;
    let file = helpers::make_unlinked("file", 3000, cx.seed + 1)?;
    let appender =
        fd::open(format!("/proc/self/fd/{}", file.as_raw_fd()), libc::O_WRONLY | libc::O_APPEND, 0)?;
    let Some(before) = flags(&file)? else { return skip("the file system has no inode flags") };
    if !set(&file, before | OURS)? {
        return skip("these inode flags cannot be set here");
    }
    let marked = flags(&file)?;
    expect_eq("flags that were set", marked.map(|flags| flags & OURS), Some(OURS))?;
    let unmarked = flags(&plain)?;

    cx.ready()?;

    expect_eq("flags", flags(&file)?, marked)?;
    expect_eq("flags of the other", flags(&plain)?, unmarked)?;
    helpers::verify("plain", &plain, 3000, cx.seed)?;
    helpers::verify("file", &file, 3000, cx.seed + 1)?;
    fd::write_all(&appender, b"appended")?;
    expect_bytes("end of the file", &fd::read_at(&file, 8, 3000)?, b"appended")?;
    // SAFETY: ftruncate takes no memory.
    let cut = sys::check("ftruncate", i64::from(unsafe { libc::ftruncate(file.as_raw_fd(), 0) }));
    expect(cut.is_err(), || "a file for appending only was cut".to_owned())
}
