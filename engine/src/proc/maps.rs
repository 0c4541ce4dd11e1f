//! /proc/PID/maps (proc_pid_maps(5)): lines of `start-end perms offset dev inode path`.

use std::borrow::Cow;
use std::ops::Range;

/// A mapping as described by its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapping<'a> {
    /// First address.
    pub start: u64,
    /// One past the last address.
    pub end: u64,
    /// `PROT_READ`
    pub read: bool,
    /// `PROT_WRITE`
    pub write: bool,
    /// `PROT_EXEC`
    pub exec: bool,
    /// `VM_SHARED`; private otherwise.
    pub shared: bool,
    /// Offset into the file in bytes.
    pub offset: u64,
    /// Major and minor number of the file's device.
    pub dev: (u32, u32),
    /// Inode of the file, 0 for none.
    pub inode: u64,
    /// Path of the file or name of the mapping as printed, with `\012` for a line break. Empty for
    /// none.
    pub printed: &'a [u8],
}

impl<'a> Mapping<'a> {
    /// Parses a line; `None` if it does not have the kernel's format.
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        let (start, rest) = hex(line)?;
        let (end, rest) = hex(rest.strip_prefix(b"-")?)?;
        let [b' ', read, write, exec, shared, b' ', rest @ ..] = rest else { return None };
        let (offset, rest) = hex(rest)?;
        let (major, rest) = hex(rest.strip_prefix(b" ")?)?;
        let (minor, rest) = hex(rest.strip_prefix(b":")?)?;
        let (inode, rest) = decimal(rest.strip_prefix(b" ")?)?;
        // The path is padded to a column, and may itself end in spaces.
        let padded = if rest.is_empty() { rest } else { rest.strip_prefix(b" ")? };
        let flag = |byte: u8, letter: u8| match byte {
            byte if byte == letter => Some(true),
            b'-' => Some(false),
            _ => None,
        };
        Some(Mapping {
            start,
            end,
            read: flag(*read, b'r')?,
            write: flag(*write, b'w')?,
            exec: flag(*exec, b'x')?,
            shared: match shared {
                b's' => true,
                b'p' => false,
                _ => return None,
            },
            offset,
            dev: (major.try_into().ok()?, minor.try_into().ok()?),
            inode,
            printed: &padded[padded.iter().take_while(|&&byte| byte == b' ').count()..],
        })
    }

    /// The address range.
    pub fn range(&self) -> Range<u64> {
        self.start..self.end
    }

    /// The path or name.
    pub fn path(&self) -> Cow<'a, [u8]> {
        unescape(self.printed)
    }

    /// The file behind it: device number as in stat(2) and inode number; `None` for anonymous
    /// memory.
    pub fn object(&self) -> Option<(u64, u64)> {
        (self.inode != 0).then(|| (rustix::fs::makedev(self.dev.0, self.dev.1), self.inode))
    }
}

/// The mappings in a text, in order. Lines that do not have the kernel's format are skipped.
pub fn parse(text: &[u8]) -> impl Iterator<Item = Mapping<'_>> {
    text.split(|byte| *byte == b'\n').filter_map(Mapping::parse)
}

pub(super) fn decimal(text: &[u8]) -> Option<(u64, &[u8])> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, rest) = text.split_at(digits);
    let value = number
        .iter()
        .try_fold(0u64, |value, digit| value.checked_mul(10)?.checked_add(u64::from(digit - b'0')));
    Some((value.filter(|_| digits > 0)?, rest))
}

fn hex(text: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0u64;
    let mut digits = 0;
    for &byte in text {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => break,
        };
        if value >> 60 != 0 {
            return None;
        }
        value = value << 4 | u64::from(digit);
        digits += 1;
    }
    (digits > 0).then(|| (value, &text[digits..]))
}

/// The kernel escapes line breaks only (fs/proc/task_mmu.c, `get_vma_name` and `show_map_vma`).
fn unescape(path: &[u8]) -> Cow<'_, [u8]> {
    const LINE_BREAK: &[u8] = b"\\012";
    if memchr::memmem::find(path, LINE_BREAK).is_none() {
        return Cow::Borrowed(path);
    }
    let mut plain = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&first, tail)) = rest.split_first() {
        match rest.strip_prefix(LINE_BREAK) {
            Some(after) => {
                plain.push(b'\n');
                rest = after;
            }
            None => {
                plain.push(first);
                rest = tail;
            }
        }
    }
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read() {
        let line = b"7f12a000-7f12b000 rw-s 00002000 00:01 1024                       /dev/zero (deleted)";
        let mapping = Mapping::parse(line).unwrap();
        assert_eq!((mapping.range(), mapping.offset), (0x7f12a000..0x7f12b000, 0x2000));
        assert_eq!((mapping.read, mapping.write, mapping.exec, mapping.shared), (true, true, false, true));
        assert_eq!(mapping.object(), Some((rustix::fs::makedev(0, 1), 1024)));
        assert_eq!(*mapping.path(), *b"/dev/zero (deleted)");
    }

    #[test]
    fn anonymous_memory_has_no_object() {
        let mapping = Mapping::parse(b"7f12a000-7f12b000 rw-p 00000000 00:00 0 ").unwrap();
        assert_eq!((mapping.object(), mapping.printed), (None, &b""[..]));
    }

    #[test]
    fn what_is_no_mapping_is_passed_over() {
        let text = b"Rss: 4 kB\n1000-2000 ---p 00000000 00:00 0    [heap]\n1000-x\n";
        let names: Vec<_> = parse(text).map(|mapping| mapping.printed).collect();
        assert_eq!(names, [b"[heap]"]);
    }
}
