//! Extended attributes, including access control lists, and the flags of chattr(1), for unlinked
//! files.

use super::bytes::{Bytes, PathBytes};
use crate::error::{Context, Error, Result};
use rustix::fs::{IFlags, XattrFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::path::Path;

/// An extended attribute, xattr(7).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attribute {
    /// With its namespace: `user.mime_type`, `system.posix_acl_access` …
    pub name: PathBytes,
    /// Raw value.
    pub value: Bytes,
}

/// Maximum length of values and of name lists (include/uapi/linux/limits.h, `XATTR_SIZE_MAX` and
/// `XATTR_LIST_MAX`).
const LARGEST: usize = 64 << 10;

/// Bound to the inode number and written by the kernel (security/integrity/evm).
const OF_THE_KERNEL: &[u8] = b"security.evm";

/// Reads all attributes of the target of a magic link, sorted by name.
///
/// # Errors
/// What the kernel reports; a file system without attributes is no error.
pub fn capture(link: &Path) -> std::io::Result<Vec<Attribute>> {
    let mut list = vec![0u8; LARGEST];
    let len = match rustix::fs::listxattr(link, &mut list) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(Vec::new()),
        other => other?,
    };
    let mut value = vec![0u8; LARGEST];
    let mut attributes = Vec::new();
    for name in list[..len].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let len = match rustix::fs::getxattr(link, name, &mut value) {
            // Some file systems list attributes that the caller cannot read.
            Err(Errno::NODATA | Errno::OPNOTSUPP) => continue,
            other => other?,
        };
        if name != OF_THE_KERNEL {
            attributes
                .push(Attribute { name: PathBytes(name.to_vec()), value: Bytes(value[..len].to_vec()) });
        }
    }
    attributes.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(attributes)
}

/// Sets the attributes that a file does not have already, such as the label set by the security
/// module on creation.
///
/// # Errors
/// *denied* for those that take privileges (`trusted.*`, `security.*`).
pub fn rebuild(attributes: &[Attribute], link: &Path, path: &Path) -> Result<()> {
    let what = |name: &PathBytes| format!("{}: set extended attribute {name}", path.display());
    let now = capture(link).context(|| format!("{}: read extended attributes", path.display()))?;
    for Attribute { name, value } in attributes {
        if now.iter().any(|attribute| (&attribute.name, &attribute.value) == (name, value)) {
            continue;
        }
        let set = rustix::fs::setxattr(link, name.as_path(), &value.0, XattrFlags::empty());
        set.context(|| what(name))?;
    }
    // A new file inherits the default ACL of its directory.
    let unwanted = now.iter().filter(|n| n.name.0.starts_with(b"system.posix_acl_"));
    for attribute in unwanted.filter(|n| attributes.iter().all(|a| a.name != n.name)) {
        rustix::fs::removexattr(link, attribute.name.as_path()).context(|| what(&attribute.name))?;
    }
    Ok(())
}

/// Flags that chattr(1) sets, `FS_FL_USER_MODIFIABLE` and `FS_NOCOW_FL` (include/uapi/linux/fs.h).
const SETTABLE: u32 = 0x0003_80ff | 0x0080_0000;

/// Flags that forbid all further changes, so they are set last.
const FORBIDDING: u32 = IFlags::IMMUTABLE.bits() | IFlags::APPEND.bits();

/// Reads the flags that can be restored.
///
/// # Errors
/// What the kernel reports; a file system without flags is no error.
pub fn flags(file: &File) -> std::io::Result<u32> {
    match rustix::fs::ioctl_getflags(file) {
        Ok(flags) => Ok(flags.bits() & SETTABLE),
        Err(Errno::NOTTY | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(0),
        Err(err) => Err(err.into()),
    }
}

/// When flags are set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The file is empty: some flags (`FS_NOCOW_FL`) can only be set then.
    Empty,
    /// No other operation on the file follows.
    Last,
}

/// Sets the flags of one stage on a file that was just created.
///
/// # Errors
/// *denied* without CAP_LINUX_IMMUTABLE, for the two flags that take it.
pub fn set_flags(flags: u32, stage: Stage, file: &File, path: &Path) -> Result<()> {
    let stages = match stage {
        Stage::Empty => SETTABLE & !FORBIDDING,
        Stage::Last => FORBIDDING,
    };
    let what = || format!("{}: set inode flags {flags:#x}", path.display());
    let now = self::flags(file).context(what)?;
    if (now ^ flags) & stages == 0 {
        return Ok(());
    }
    // The file system sets other flags itself.
    let all = rustix::fs::ioctl_getflags(file).context(what)?.bits();
    let wanted = IFlags::from_bits_retain((all & !stages) | (flags & stages));
    match rustix::fs::ioctl_setflags(file, wanted) {
        Err(Errno::NOTTY | Errno::OPNOTSUPP) => Err(Error::Conflict(format!(
            "{}: the file system does not support inode flags {flags:#x}",
            path.display()
        ))),
        other => other.context(what),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys;

    #[test]
    fn attributes_go_around() {
        let dir = tempfile::tempdir().unwrap();
        let make = |name: &str| File::create_new(dir.path().join(name)).unwrap();
        let (from, to) = (make("from"), make("to"));
        let link = sys::file::link_to(&from);
        for (name, value) in [("user.cairn.b", "x".repeat(300)), ("user.cairn.a", String::new())] {
            match rustix::fs::setxattr(&link, name, value.as_bytes(), XattrFlags::empty()) {
                Err(Errno::OPNOTSUPP) => return eprintln!("skipped: no extended attributes here"),
                other => other.unwrap(),
            }
        }
        let captured = capture(&link).unwrap();
        let names: Vec<_> = captured.iter().map(|a| a.name.to_string()).collect();
        assert_eq!(names, ["user.cairn.a", "user.cairn.b"]);
        rebuild(&captured, &sys::file::link_to(&to), Path::new("to")).unwrap();
        assert_eq!(capture(&sys::file::link_to(&to)).unwrap(), captured);
        assert_eq!(capture(Path::new("/proc/self/exe")).unwrap_or_default(), []);
    }

    #[test]
    fn flags_go_around_in_two_stages() {
        let file = tempfile::tempfile().unwrap();
        let path = Path::new("file");
        let wanted = (IFlags::NOATIME | IFlags::NODUMP | IFlags::APPEND).bits();
        match set_flags(wanted, Stage::Empty, &file, path) {
            Err(Error::Conflict(why)) => return eprintln!("skipped: {why}"),
            other => other.unwrap(),
        }
        assert_eq!(flags(&file).unwrap(), wanted & !FORBIDDING);
        set_flags(wanted, Stage::Last, &file, path).unwrap();
        assert_eq!(flags(&file).unwrap(), wanted);
        set_flags(0, Stage::Last, &file, path).unwrap();
        assert_eq!(flags(&file).unwrap(), wanted & !FORBIDDING);
    }
}
