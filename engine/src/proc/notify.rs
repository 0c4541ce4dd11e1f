//! The lines that /proc/PID/fdinfo has for watches of inotify(7) and marks of fanotify(7)
//! (fs/notify/fdinfo.c).

use super::fdinfo::FdInfo;
use std::path::Path;

/// A watch as fdinfo shows it: `wd:1 ino:9c4152 sdev:fe00000 mask:84000100 ignored_mask:0
/// fhandle-bytes:8 fhandle-type:1 f_handle:52419c002369221b`, all numbers hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    /// Watch descriptor.
    pub wd: i32,
    /// `IN_*`
    pub mask: u32,
    /// The file.
    pub marked: Marked,
}

/// A file as fdinfo shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marked {
    /// Inode number.
    pub inode: u64,
    /// Major and minor number, as mountinfo has them.
    pub device: (u32, u32),
    /// Type and bytes; `None` where the file system has none.
    pub handle: Option<(i32, Vec<u8>)>,
}

/// A mark of fanotify: as a watch, with `mflags`; `mnt_id`, or `sdev` alone, instead of the inode
/// for a mount or a file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// What it is on.
    pub on: On,
    /// `FAN_MARK_*` that stay with it.
    pub flags: u32,
    /// `FAN_*`
    pub mask: u64,
    /// Those of them that are ignored.
    pub ignored: u64,
}

/// What fanotify marks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum On {
    /// A file.
    Inode(Marked),
    /// A mount, by its number in mountinfo.
    Mount(i32),
    /// A file system, by its device.
    FileSystem((u32, u32)),
}

fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    line.split_ascii_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix(':'))
}

fn number(line: &str, name: &str) -> Option<u64> {
    u64::from_str_radix(field(line, name)?, 16).ok()
}

fn device(line: &str) -> Option<(u32, u32)> {
    let device = number(line, "sdev")?;
    // MKDEV of the kernel, include/linux/kdev_t.h.
    Some(((device >> 20) as u32, (device & 0xf_ffff) as u32))
}

impl Marked {
    fn parse(line: &str) -> Option<Marked> {
        let handle = || {
            let text = field(line, "f_handle")?;
            let byte = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
            let bytes = (0..text.len()).step_by(2).map(byte).collect::<Option<Vec<u8>>>()?;
            Some((number(line, "fhandle-type")? as i32, bytes))
        };
        Some(Marked { inode: number(line, "ino")?, device: device(line)?, handle: handle() })
    }
}

impl Watched {
    /// `None` for an unknown format.
    pub fn parse(line: &str) -> Option<Watched> {
        Some(Watched {
            wd: number(line, "wd")?.try_into().ok()?,
            mask: number(line, "mask")? as u32,
            marked: Marked::parse(line)?,
        })
    }
}

impl Mark {
    /// `None` for an unknown format, and for a mark on something else.
    pub fn parse(line: &str) -> Option<Mark> {
        let on = if let Some(marked) = Marked::parse(line) {
            On::Inode(marked)
        } else if let Some(mount) = number(line, "mnt_id") {
            On::Mount(mount.try_into().ok()?)
        } else {
            On::FileSystem(device(line)?)
        };
        let (mask, ignored) = (number(line, "mask")?, number(line, "ignored_mask")?);
        Some(Mark { on, flags: number(line, "mflags")? as u32, mask, ignored })
    }
}

/// Events that reading a file causes, or a directory: the same for both.
pub const READING: u32 = libc::IN_OPEN | libc::IN_ACCESS | libc::IN_CLOSE_NOWRITE;
/// Another one, of fanotify only.
pub const EXECUTING: u64 = libc::FAN_OPEN_EXEC;
/// Events that wait for the permission of the group (include/uapi/linux/fanotify.h).
pub const PERMISSION: u64 =
    libc::FAN_OPEN_PERM | libc::FAN_ACCESS_PERM | libc::FAN_OPEN_EXEC_PERM | FAN_PRE_ACCESS;
/// Linux 6.14
const FAN_PRE_ACCESS: u64 = 0x0010_0000;

/// Flags of a fanotify group and of the descriptors in its events, as given to fanotify_init(2).
pub fn group(info: &FdInfo) -> Option<(u32, u32)> {
    let line = info.beginning("fanotify ").find(|line| line.starts_with("flags:"))?;
    Some((number(line, "flags")? as u32, number(line, "event-flags")? as u32))
}

/// The marks of a fanotify group; `None` for one in an unknown format.
pub fn marks(info: &FdInfo) -> impl Iterator<Item = Option<Mark>> {
    let lines = info.beginning("fanotify ").filter(|line| !line.starts_with("flags:"));
    lines.map(Mark::parse)
}

/// Device and inode numbers of all files that a thread watches for being read.
pub fn watched_for_reading(tid: i32) -> Vec<((u32, u32), u64)> {
    let entries = std::fs::read_dir(format!("/proc/{tid}/fd")).into_iter().flatten().flatten();
    let kinds = ["anon_inode:inotify", "anon_inode:[fanotify]"];
    let is_one = |path: &Path| {
        std::fs::read_link(path).is_ok_and(|link| kinds.iter().any(|kind| link.as_os_str() == *kind))
    };
    let instances = entries.filter(|entry| is_one(&entry.path()));
    let numbers = instances.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    // Whatever cannot be read here is refused when it is inspected.
    let infos = numbers.filter_map(|fd| FdInfo::read(tid, fd).ok());
    let shown = |info: FdInfo| {
        let watches = info.beginning("inotify ").filter_map(Watched::parse);
        let of_inotify = watches.map(|shown| (u64::from(shown.mask), shown.marked));
        let of_fanotify = marks(&info).flatten().filter_map(|mark| match mark.on {
            On::Inode(marked) => Some((mark.mask, marked)),
            On::Mount(_) | On::FileSystem(_) => None,
        });
        of_inotify.chain(of_fanotify).collect::<Vec<_>>()
    };
    let reading = infos.flat_map(shown).filter(|(mask, _)| mask & (u64::from(READING) | EXECUTING) != 0);
    reading.map(|(_, marked)| (marked.device, marked.inode)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_fdinfo_are_read() {
        let line = "wd:1f ino:9c4152 sdev:fe00003 mask:84000100 ignored_mask:0 fhandle-bytes:8 fhandle-type:1 f_handle:52419c002369221b";
        let handle = Some((1, vec![0x52, 0x41, 0x9c, 0, 0x23, 0x69, 0x22, 0x1b]));
        let marked = Marked { inode: 0x9c4152, device: (254, 3), handle };
        let mask = libc::IN_ONESHOT | libc::IN_EXCL_UNLINK | 0x100;
        assert_eq!(Watched::parse(line), Some(Watched { wd: 31, mask, marked }));
        assert_eq!(Watched::parse("wd:1 ino:2 sdev:3 mask:4 ignored_mask:0").unwrap().marked.handle, None);
        assert_eq!(Watched::parse("wd:x"), None);
    }

    #[test]
    fn marks_of_fanotify_are_told_apart() {
        let text = "pos:\t0\nflags:\t02\nfanotify flags:0 event-flags:8000
fanotify ino:2 sdev:1a mflags:40 mask:8000008 ignored_mask:2
fanotify mnt_id:1f mflags:0 mask:8 ignored_mask:0
fanotify sdev:fe00001 mflags:0 mask:10000 ignored_mask:0
fanotify mnt_ns:4026531841 mflags:0 mask:1000000 ignored_mask:0
";
        let info = FdInfo::parse(text.into()).unwrap();
        let found: Vec<_> = marks(&info).collect();
        let [Some(file), Some(mount), Some(system), None] = &found[..] else { panic!("{found:?}") };
        let marked = Marked { inode: 2, device: (0, 26), handle: None };
        assert_eq!(*file, Mark { on: On::Inode(marked), flags: 0x40, mask: 0x800_0008, ignored: 2 });
        assert_eq!(mount.on, On::Mount(31));
        assert_eq!(system.on, On::FileSystem((254, 1)));
        assert_ne!(system.mask & PERMISSION, 0);
        assert_eq!(group(&info), Some((0, 0x8000)));
    }
}
