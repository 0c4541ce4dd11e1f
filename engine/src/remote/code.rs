//! Pieces of the target's own code that we borrow before there is any of ours in it.

use super::RemoteAddr;
use crate::arch;
use crate::error::{Context, Error, Result};
use crate::sys::{self, vm};
use memchr::memmem;
use std::os::unix::fs::FileExt;

/// A system call instruction, and perhaps the way back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    /// The instruction.
    pub syscall: u64,
    /// See [`WayBack`].
    pub way_back: Option<WayBack>,
}

/// Addresses where a frame may lie; empty when the two are equal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Room {
    /// First byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
}

/// Code that brings a thread back to where it was when its tracer dies in the middle of a borrowed system call: the call is followed by a
/// return, and that leads to an rt_sigreturn(2), which takes everything from a frame on the stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WayBack {
    /// A system call instruction with a return behind it.
    pub call_and_return: u64,
    /// What signal handlers return to.
    pub sigreturn: u64,
    /// Where a frame may lie, the best place first: pages of the stack that the program was started with, which nobody has touched; what that
    /// has below the pointer of a thread that runs on it. Any other memory below a stack pointer may be somebody's: stacks of coroutines are
    /// pieces of larger mappings. Nothing may be written below the stack's mapping: until Linux 6.5 that would make it grow (mm/gup.c).
    pub rooms: [Room; 2],
}

/// A mapping of the target, from /proc/PID/maps.
struct Mapped {
    start: u64,
    end: u64,
    executable: bool,
    /// The stack of the program's start.
    stack: bool,
    /// In which order to search: the vdso, the C library, the rest.
    rank: u8,
}

impl Code {
    /// Only the instruction: in the vdso when there is one, else wherever one is found.
    ///
    /// # Errors
    /// *unsupported* without one; *vanished*.
    pub fn find(pid: i32) -> Result<Self> {
        Code::without_way_back(pid, &mapped(pid)?)
    }

    /// With the way back for a thread whose stack pointer is `sp`, where there is one: the C library has it for its signal handlers.
    ///
    /// # Errors
    /// As [`Code::find`].
    pub fn find_with_way_back(pid: i32, sp: u64) -> Result<Self> {
        let mapped = mapped(pid)?;
        let find = || {
            let stack = mapped.iter().find(|m| m.stack)?;
            let runs_there = (stack.start..stack.end).contains(&sp);
            let end = sp.saturating_sub(arch::RED_ZONE).max(stack.start);
            let below = if runs_there { Room { start: stack.start, end } } else { Room::default() };
            let rooms = [untouched(pid, stack), below];
            let sigreturn = search(pid, &mapped, arch::SIGRETURN_CODE)?;
            let call_and_return = search(pid, &mapped, &[arch::SYSCALL_AND_RETURN])?;
            Some(WayBack { call_and_return, sigreturn, rooms })
        };
        match find() {
            Some(way) => Ok(Code { syscall: way.call_and_return, way_back: Some(way) }),
            None => Code::without_way_back(pid, &mapped),
        }
    }

    fn without_way_back(pid: i32, mapped: &[Mapped]) -> Result<Self> {
        let none = || {
            let what = "no executable mapping with a system call instruction in it";
            Error::unsupported(format!("pid {pid}: {what}"))
        };
        Ok(Code { syscall: search(pid, mapped, &[arch::SYSCALL_INSN]).ok_or_else(none)?, way_back: None })
    }
}

/// What is mapped, in the order in which to search it.
fn mapped(pid: i32) -> Result<Vec<Mapped>> {
    let maps = std::fs::read(format!("/proc/{pid}/maps")).context(|| format!("read /proc/{pid}/maps"))?;
    let mut all: Vec<Mapped> = maps
        .split(|b| *b == b'\n')
        .filter_map(|line| {
            let text = std::str::from_utf8(line.get(..line.len().min(40))?).ok()?;
            let mut words = text.split_ascii_whitespace();
            let (start, end) = words.next()?.split_once('-')?;
            let (start, end) = (u64::from_str_radix(start, 16).ok()?, u64::from_str_radix(end, 16).ok()?);
            let rank = match line {
                line if line.ends_with(b"[vdso]") => 0,
                line if memmem::find(line, b"/libc").is_some() => 1,
                _ => 2,
            };
            let executable = words.next()?.starts_with("r-x") && end <= sys::task_size();
            let stack = line.ends_with(b"[stack]");
            Some(Mapped { start, end, executable, stack, rank })
        })
        .collect();
    all.sort_by_key(|m| (m.rank, m.start));
    Ok(all)
}

/// The lowest pages of a mapping, as far as they have never been touched: neither present nor swapped (Documentation/admin-guide/mm/pagemap.rst).
fn untouched(pid: i32, mapped: &Mapped) -> Room {
    /// More than any frame takes.
    const ENOUGH: u64 = 128 << 10;
    let page = sys::page_size();
    let pages = ENOUGH.min(mapped.end - mapped.start) / page;
    let mut entries = vec![0u8; pages as usize * 8];
    let pagemap = std::fs::File::open(format!("/proc/{pid}/pagemap"));
    let read = pagemap.and_then(|pagemap| pagemap.read_exact_at(&mut entries, mapped.start / page * 8));
    if read.is_err() {
        return Room::default(); // no room known, as where all of them are touched
    }
    let fresh = entries.chunks_exact(8).take_while(|entry| entry[7] >> 6 == 0).count() as u64;
    Room { start: mapped.start, end: mapped.start + fresh * page }
}

/// Where the first of the patterns is found.
fn search(pid: i32, mapped: &[Mapped], patterns: &[&[u8]]) -> Option<u64> {
    const PIECE: u64 = 256 << 10;
    let longest = patterns.iter().map(|pattern| pattern.len()).max()? as u64;
    let mut code = Vec::new();
    for text in mapped.iter().filter(|m| m.executable) {
        let mut at = text.start;
        while at < text.end {
            code.resize((text.end - at).min(PIECE) as usize, 0);
            if vm::read(pid, RemoteAddr(at), &mut code).is_err() {
                break; // a page past the end of its file: this mapping cannot be read as a whole, another can
            }
            if let Some(found) = patterns.iter().find_map(|pattern| memmem::find(&code, pattern)) {
                return Some(at + found as u64);
            }
            at += PIECE - longest; // one may lie across the border
        }
    }
    None
}
