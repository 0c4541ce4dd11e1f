//! The lines that /proc/PID/fdinfo has for watches of inotify(7) (fs/notify/fdinfo.c).

use super::fdinfo::FdInfo;
use std::path::Path;

/// A watch as fdinfo shows it: `wd:1 ino:9c4152 sdev:fe00000 mask:84000100 ignored_mask:0
/// fhandle-bytes:8 fhandle-type:1 f_handle:52419c002369221b`, all numbers hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    /// Watch descriptor.
    pub wd: i32,
    /// Inode number.
    pub inode: u64,
    /// Major and minor number, as mountinfo has them.
    pub device: (u32, u32),
    /// `IN_*`
    pub mask: u32,
    /// Type and bytes; `None` where the file system has none.
    pub handle: Option<(i32, Vec<u8>)>,
}

impl Watched {
    /// `None` for an unknown format.
    pub fn parse(line: &str) -> Option<Watched> {
        let field = |name: &str| {
            line.split_ascii_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix(':'))
        };
        let number = |name| u64::from_str_radix(field(name)?, 16).ok();
        let device = number("sdev")?;
        // MKDEV of the kernel, include/linux/kdev_t.h.
        let device = ((device >> 20) as u32, (device & 0xf_ffff) as u32);
        let handle = || {
            let text = field("f_handle")?;
            let byte = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
            let bytes = (0..text.len()).step_by(2).map(byte).collect::<Option<Vec<u8>>>()?;
            Some((number("fhandle-type")? as i32, bytes))
        };
        Some(Watched {
            wd: number("wd")?.try_into().ok()?,
            inode: number("ino")?,
            device,
            mask: number("mask")? as u32,
            handle: handle(),
        })
    }
}

/// Events that reading a file causes, or a directory.
pub const READING: u32 = libc::IN_OPEN | libc::IN_ACCESS | libc::IN_CLOSE_NOWRITE;

/// Device and inode numbers of all files that a thread watches for being read.
pub fn watched_for_reading(tid: i32) -> Vec<((u32, u32), u64)> {
    let entries = std::fs::read_dir(format!("/proc/{tid}/fd")).into_iter().flatten().flatten();
    let is_inotify =
        |path: &Path| std::fs::read_link(path).is_ok_and(|link| link.as_os_str() == "anon_inode:inotify");
    let instances = entries.filter(|entry| is_inotify(&entry.path()));
    let numbers = instances.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    // Whatever cannot be read here is refused when it is inspected.
    let infos = numbers.filter_map(|fd| FdInfo::read(tid, fd).ok());
    let shown = |info: FdInfo| info.beginning("inotify ").filter_map(Watched::parse).collect::<Vec<_>>();
    let reading = infos.flat_map(shown).filter(|shown| shown.mask & READING != 0);
    reading.map(|shown| (shown.device, shown.inode)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_fdinfo_are_read() {
        let line = "wd:1f ino:9c4152 sdev:fe00003 mask:84000100 ignored_mask:0 fhandle-bytes:8 fhandle-type:1 f_handle:52419c002369221b";
        let handle = Some((1, vec![0x52, 0x41, 0x9c, 0, 0x23, 0x69, 0x22, 0x1b]));
        let want = Watched {
            wd: 31,
            inode: 0x9c4152,
            device: (254, 3),
            mask: libc::IN_ONESHOT | libc::IN_EXCL_UNLINK | 0x100,
            handle,
        };
        assert_eq!(Watched::parse(line), Some(want));
        assert_eq!(Watched::parse("wd:1 ino:2 sdev:3 mask:4 ignored_mask:0").unwrap().handle, None);
        assert_eq!(Watched::parse("wd:x"), None);
    }
}
