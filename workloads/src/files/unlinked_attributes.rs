//! Unlinked files with extended attributes and an access control list, as far as the file system
//! has them.

use super::helpers;
use crate::framework::prelude::*;
use std::os::fd::{AsRawFd, OwnedFd};

pub const WORKLOAD: Workload = Workload {
    purpose: "extended attributes and access control lists of a file, a directory and a FIFO without a name",
    needs: &[],
    active: false,
    statik: false,
    run,
};

/// `struct posix_acl_xattr_header` and `_entry`, include/uapi/linux/posix_acl_xattr.h: rw for the
/// owner, r for one user and for the group, under a mask of r.
fn access_list() -> Vec<u8> {
    const NOBODY: u32 = u32::MAX;
    let entries: [(u16, u16, u32); 5] =
        [(0x01, 6, NOBODY), (0x02, 4, 4242), (0x04, 4, NOBODY), (0x10, 4, NOBODY), (0x20, 0, NOBODY)];
    let mut list = 2u32.to_le_bytes().to_vec();
    for (tag, rights, id) in entries {
        list.extend(tag.to_le_bytes());
        list.extend(rights.to_le_bytes());
        list.extend(id.to_le_bytes());
    }
    list
}

/// Sets an attribute; `false` if it is not supported or not permitted.
fn set(fd: &impl AsRawFd, name: &std::ffi::CStr, value: &[u8]) -> anyhow::Result<bool> {
    let path = std::ffi::CString::new(format!("/proc/self/fd/{}", fd.as_raw_fd()))?;
    // SAFETY: both strings and the value live through the call.
    let set = unsafe { libc::setxattr(path.as_ptr(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
    match (set, std::io::Error::last_os_error().raw_os_error()) {
        (0, _) => Ok(true),
        (_, Some(libc::EOPNOTSUPP | libc::EPERM)) => Ok(false),
        (_, errno) => anyhow::bail!("setxattr {name:?}: errno {errno:?}"),
    }
}

/// Names and values, sorted.
fn all(fd: &impl AsRawFd) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let path = std::ffi::CString::new(format!("/proc/self/fd/{}", fd.as_raw_fd()))?;
    let mut list = vec![0u8; 65536];
    // SAFETY: the path lives through the call and the buffer has its size.
    let len = sys::check("listxattr", unsafe {
        libc::listxattr(path.as_ptr(), list.as_mut_ptr().cast(), list.len())
    })?;
    let mut found = Vec::new();
    for name in list[..len as usize].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let c_name = std::ffi::CString::new(name)?;
        let mut value = vec![0u8; 65536];
        // SAFETY: as above.
        let len = sys::check("getxattr", unsafe {
            libc::getxattr(path.as_ptr(), c_name.as_ptr(), value.as_mut_ptr().cast(), value.len())
        })?;
        value.truncate(len as usize);
        found.push((String::from_utf8_lossy(name).into_owned(), value));
    }
    found.sort();
    Ok(found)
}

fn run(cx: &mut Ctx) -> Outcome {
    let file = helpers::make("file", 5000, cx.seed)?;
    std::fs::create_dir("directory").context("mkdir")?;
    let directory = fd::open("directory", libc::O_RDONLY | libc::O_DIRECTORY, 0)?;
    // SAFETY: the name is a C string.
    sys::check("mkfifo", unsafe { libc::mkfifo(c"fifo".as_ptr(), 0o640) })?;
    let fifo = fd::open("fifo", libc::O_RDWR, 0)?;
    let value = pattern::bytes(700, cx.seed + 1);
    let list = access_list();
    let mut any = false;
    for object in [&file, &directory, &fifo] {
        any |= set(object, c"user.cairn.long", &value)?;
        any |= set(object, c"user.cairn.empty", b"")?;
        any |= set(object, c"trusted.cairn", b"for root")?;
        any |= set(object, c"system.posix_acl_access", &list)?;
    }
    any |= set(&directory, c"system.posix_acl_default", &list)?;
    if !any {
        skip::<()>("the file system has no extended attributes")?;
    }
    helpers::remove("file")?;
    helpers::remove("fifo")?;
    std::fs::remove_dir("directory").context("rmdir")?;
    let objects: [(&str, &OwnedFd); 3] = [("file", &file), ("directory", &directory), ("fifo", &fifo)];
    let before: Vec<_> = objects.iter().map(|(_, object)| all(*object)).collect::<Result<_, _>>()?;
    let facts: Vec<_> =
        objects.iter().map(|(_, object)| helpers::facts(*object, false)).collect::<Result<_, _>>()?;

    cx.ready()?;

    for (((name, object), before), facts) in objects.iter().zip(before).zip(facts) {
        expect_eq(&format!("attributes of the {name}"), all(*object)?, before)?;
        expect_eq(
            &format!("size, mode, owner, links of the {name}"),
            helpers::facts(*object, false)?,
            facts,
        )?;
        helpers::expect_no_name(name)?;
    }
    helpers::verify("file", &file, 5000, cx.seed)
}
