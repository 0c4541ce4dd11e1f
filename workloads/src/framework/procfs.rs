//! What a workload reads about itself from /proc.

use anyhow::{Context as _, Result, anyhow, bail};
use std::collections::BTreeSet;
use std::fs::read_to_string;

/// The fields of /proc/PID/stat that workloads use (proc(5) numbers them from 1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    /// One letter: R, S, D, T, Z …
    pub state: char,
    pub ppid: libc::pid_t,
    pub pgrp: libc::pid_t,
    pub session: libc::pid_t,
    /// All fields after the command name: `rest[0]` is the state, field 3 of proc(5).
    pub rest: Vec<String>,
}

impl Stat {
    /// Of process (or thread, by its id) `pid`.
    pub fn of(pid: libc::pid_t) -> Result<Self> {
        let path = format!("/proc/{pid}/stat");
        Self::parse(&String::from_utf8_lossy(&std::fs::read(&path).with_context(|| path.clone())?))
            .context(path)
    }

    fn parse(text: &str) -> Result<Self> {
        let (_, rest) = text.rsplit_once(')').context("no command name")?;
        let rest: Vec<String> = rest.split_whitespace().map(str::to_owned).collect();
        let number = |field: usize| -> Result<libc::pid_t> {
            Ok(rest.get(field - 3).with_context(|| format!("no field {field}"))?.parse()?)
        };
        let state = rest.first().and_then(|s| s.chars().next()).context("no state")?;
        Ok(Self { state, ppid: number(4)?, pgrp: number(5)?, session: number(6)?, rest })
    }

    /// Field number `field` as proc(5) counts them, from 3 up.
    pub fn field(&self, field: usize) -> Result<i64> {
        let text = self.rest.get(field - 3).with_context(|| format!("stat has no field {field}"))?;
        // Addresses may use the whole 64 bits.
        text.parse::<i64>().or_else(|_| text.parse::<u64>().map(|n| n as i64)).with_context(|| text.clone())
    }
}

/// The value of `key` in /proc/PID/status.
pub fn status(pid: libc::pid_t, key: &str) -> Result<String> {
    let path = format!("/proc/{pid}/status");
    let text = String::from_utf8_lossy(&std::fs::read(&path).with_context(|| path.clone())?).into_owned();
    let line = text.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix(':'));
    Ok(line.with_context(|| format!("{path} has no {key}"))?.trim().to_owned())
}

/// A set of bits in /proc/PID/status: `ShdPnd`, `SigIgn`, `CapEff` …
pub fn bits(pid: libc::pid_t, key: &str) -> Result<u64> {
    Ok(u64::from_str_radix(&status(pid, key)?, 16)?)
}

/// Whether thread `tid` of process `pid` sleeps in system call `nr`.
pub fn is_blocked_in(pid: libc::pid_t, tid: libc::pid_t, nr: libc::c_long) -> Result<bool> {
    let path = format!("/proc/{pid}/task/{tid}/syscall");
    let text = match read_to_string(&path) {
        // During an exec its files in /proc belong to root (fs/proc/base.c,
        // `task_dump_owner`).
        Err(err) if err.kind() == std::io::ErrorKind::PermissionDenied => return Ok(false),
        read => read.context(path)?,
    };
    Ok(text.split_whitespace().next().is_some_and(|first| first.parse() == Ok(nr)))
}

/// One mapping as /proc/self/smaps shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vma {
    pub start: usize,
    pub end: usize,
    /// `rwxp` or `rwxs` with dashes.
    pub perms: String,
    /// Offset into the file, in bytes.
    pub offset: u64,
    pub inode: u64,
    /// The last column: a path, `[heap]`, or nothing.
    pub name: String,
    /// The two-letter words of VmFlags.
    pub flags: BTreeSet<String>,
    /// The other lines of smaps that count KiB, by name.
    pub sizes: Vec<(String, u64)>,
}

impl Vma {
    /// The value of a KiB line.
    pub fn kib(&self, key: &str) -> Result<u64> {
        let found = self.sizes.iter().find(|(name, _)| name == key);
        Ok(found.with_context(|| format!("smaps has no {key}"))?.1)
    }

    pub fn has(&self, flag: &str) -> bool {
        self.flags.contains(flag)
    }
}

/// Every mapping of this process with its flags.
pub fn smaps() -> Result<Vec<Vma>> {
    smaps_of("self")
}

fn smaps_of(process: &str) -> Result<Vec<Vma>> {
    let text = std::fs::read(format!("/proc/{process}/smaps")).context("read smaps")?;
    // Names are bytes; what is no UTF-8 in them is not compared.
    parse_maps(&String::from_utf8_lossy(&text))
}

/// Every mapping of this process, without flags and sizes: much cheaper than [`smaps`].
pub fn maps() -> Result<Vec<Vma>> {
    let text = std::fs::read("/proc/self/maps").context("read /proc/self/maps")?;
    // Names are bytes; what is no UTF-8 in them is not compared.
    parse_maps(&String::from_utf8_lossy(&text))
}

/// The mappings that overlap `start .. end`, with flags.
pub fn smaps_in(start: usize, end: usize) -> Result<Vec<Vma>> {
    Ok(smaps()?.into_iter().filter(|v| v.start < end && start < v.end).collect())
}

/// The mappings that overlap `start .. end`, without flags.
pub fn maps_in(start: usize, end: usize) -> Result<Vec<Vma>> {
    Ok(maps()?.into_iter().filter(|v| v.start < end && start < v.end).collect())
}

/// The one mapping that holds `address`, with flags.
pub fn vma_at(address: usize) -> Result<Vma> {
    smaps_in(address, address + 1)?.pop().ok_or_else(|| anyhow!("nothing is mapped at {address:#x}"))
}

/// The mapping of another process that holds `address`, with flags.
pub fn vma_of(pid: libc::pid_t, address: usize) -> Result<Vma> {
    let found = smaps_of(&pid.to_string())?.into_iter().find(|vma| (vma.start..vma.end).contains(&address));
    found.ok_or_else(|| anyhow!("nothing is mapped at {address:#x} in {pid}"))
}

fn parse_maps(text: &str) -> Result<Vec<Vma>> {
    let mut all: Vec<Vma> = Vec::new();
    for line in text.lines() {
        let first = line.split_whitespace().next().unwrap_or("");
        if let Some(key) = first.strip_suffix(':') {
            let vma = all.last_mut().context("smaps starts without a mapping")?;
            let mut words = line.split_whitespace().skip(1);
            if key == "VmFlags" {
                vma.flags = words.map(str::to_owned).collect();
            } else if let Some(Ok(size)) = words.next().map(str::parse) {
                vma.sizes.push((key.to_owned(), size));
            }
        } else {
            all.push(parse_head(line).with_context(|| format!("maps line {line:?}"))?);
        }
    }
    Ok(all)
}

fn parse_head(line: &str) -> Result<Vma> {
    let mut rest = line;
    let mut words = [""; 5];
    for word in &mut words {
        (*word, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    }
    let [range, perms, offset, _device, inode] = words;
    let Some((start, end)) = range.split_once('-') else { bail!("no range") };
    Ok(Vma {
        start: usize::from_str_radix(start, 16)?,
        end: usize::from_str_radix(end, 16)?,
        perms: perms.to_owned(),
        offset: u64::from_str_radix(offset, 16)?,
        inode: inode.parse()?,
        name: rest.trim_start().to_owned(),
        flags: BTreeSet::new(),
        sizes: Vec::new(),
    })
}

/// The pagemap entries of the pages from `start` on: bit 63 present, bit 62 swapped, bit 61 file
/// page or shared anonymous, bit 56 mapped once (Documentation/admin-guide/mm/pagemap.rst).
pub fn pagemap(start: usize, pages: usize) -> Result<Vec<u64>> {
    use std::os::unix::fs::FileExt as _;
    let file = std::fs::File::open("/proc/self/pagemap").context("open /proc/self/pagemap")?;
    let mut bytes = vec![0u8; pages * 8];
    file.read_exact_at(&mut bytes, (start / super::mapping::page_size() * 8) as u64)
        .context("read pagemap")?;
    Ok(bytes.chunks_exact(8).map(|c| u64::from_le_bytes(c.try_into().unwrap_or([0; 8]))).collect())
}

/// The ids of all threads of this process.
pub fn tids() -> Result<BTreeSet<libc::pid_t>> {
    let mut all = BTreeSet::new();
    for entry in std::fs::read_dir("/proc/self/task").context("read /proc/self/task")? {
        let name = entry?.file_name();
        all.insert(name.to_string_lossy().parse().with_context(|| format!("task {name:?}"))?);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_survives_a_command_name_with_parentheses() {
        let stat = Stat::parse("42 (a) b (c)) S 1 2 3 0 -1 4194304").unwrap();
        assert_eq!((stat.state, stat.ppid, stat.pgrp, stat.session), ('S', 1, 2, 3));
        assert_eq!(stat.field(8).unwrap(), -1);
        assert!(stat.field(99).is_err());
    }

    #[test]
    fn smaps_entries_keep_names_with_spaces() {
        let text = "7f00-8f00 rw-s 00001000 00:01 77    /dev/a b (deleted)\nSize: 4 kB\nVmFlags: rd wr sh \n\
                    9000-a000 ---p 00000000 00:00 0 \n";
        let all = parse_maps(text).unwrap();
        assert_eq!(all.len(), 2);
        assert_eq!((all[0].name.as_str(), all[0].offset, all[0].inode), ("/dev/a b (deleted)", 0x1000, 77));
        assert!(all[0].has("sh") && !all[0].has("ex"));
        assert_eq!(all[0].kib("Size").unwrap(), 4);
        assert_eq!(all[1].perms, "---p");
    }
}
