//! /proc/PID/fdinfo/N (Documentation/filesystems/proc.rst, 3.8).

use super::read_short;
use crate::error::{Context, Error, Result};

/// The fields common to all files, and the lines specific to a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FdInfo {
    /// File offset in bytes.
    pub pos: u64,
    /// `O_*` including `O_CLOEXEC`.
    pub flags: i32,
    text: String,
}

impl FdInfo {
    /// Reads the information of a descriptor of a thread.
    ///
    /// # Errors
    /// *unsupported* for an unknown format; *vanished*, *denied*.
    pub fn read(tid: i32, fd: i32) -> Result<Self> {
        let path = format!("/proc/{tid}/fdinfo/{fd}");
        let text = read_short(&path).context(|| format!("read {path}"))?;
        FdInfo::parse(String::from_utf8_lossy(&text).into_owned())
            .ok_or_else(|| Error::unsupported(format!("pid {tid}: fd {fd}: cannot read {path}")))
    }

    pub(crate) fn parse(text: String) -> Option<FdInfo> {
        let field = |name: &str| field(&text, name);
        let (pos, flags) = (field("pos")?.parse().ok()?, i32::from_str_radix(field("flags")?, 8).ok()?);
        Some(FdInfo { pos, flags, text })
    }

    /// The values of all lines of this name.
    pub fn lines<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.beginning(name).filter_map(|rest| rest.strip_prefix(':'))
    }

    /// The rest of all lines that begin so.
    pub fn beginning<'a>(&'a self, start: &str) -> impl Iterator<Item = &'a str> {
        self.text.lines().filter_map(move |line| line.strip_prefix(start))
    }

    /// The value of a line specific to a kind of file: `3` for `ticks` in `ticks: 3`.
    pub fn field(&self, name: &str) -> Option<&str> {
        field(&self.text, name)
    }
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let value = |line: &'a str| line.strip_prefix(name)?.strip_prefix(':');
    text.lines().find_map(value).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_name() {
        let text = "pos:\t12\nflags:\t02100002\nmnt_id:\t30\nino:\t5\nticks: 3\n";
        let info = FdInfo::parse(text.into()).unwrap();
        assert_eq!((info.pos, info.flags), (12, 0o2100002));
        assert_eq!(
            (info.field("ticks"), info.field("tick"), info.field("it_value")),
            (Some("3"), None, None)
        );
        assert_eq!(info.lines("ino").collect::<Vec<_>>(), ["\t5"]);
        assert_eq!(FdInfo::parse("pos:\tx\n".into()), None);
    }
}
