//! Pieces of the target's own code that we borrow before there is any of ours in it.

use super::RemoteAddr;
use crate::arch;
use crate::error::{Context, Error, Result};
use crate::sys::vm;
use memchr::memmem;

/// A system call instruction, and perhaps the way back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    /// The instruction.
    pub syscall: u64,
    /// See [`WayBack`].
    pub way_back: Option<WayBack>,
}

/// Code that brings a thread back to where it was when its tracer dies in the middle of a borrowed system call: the call is followed by a
/// return, and that leads to an rt_sigreturn(2), which takes everything from a frame on the stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WayBack {
    /// A system call instruction with a return behind it.
    pub call_and_return: u64,
    /// What signal handlers return to.
    pub sigreturn: u64,
}

/// Executable memory of the target: first and last address.
type Text = Vec<(u64, u64)>;

impl Code {
    /// Only the instruction: in the vdso when there is one, else wherever one is found.
    ///
    /// # Errors
    /// *unsupported* without one; *vanished*.
    pub fn find(pid: i32) -> Result<Self> {
        let text = text(pid)?;
        let none = || {
            let what = "no executable mapping with a system call instruction in it";
            Error::unsupported(format!("pid {pid}: {what}"))
        };
        Ok(Code { syscall: search(pid, &text, &[arch::SYSCALL_INSN]).ok_or_else(none)?, way_back: None })
    }

    /// With the way back, where there is one: the C library has it for its signal handlers.
    ///
    /// # Errors
    /// As [`Code::find`].
    pub fn find_with_way_back(pid: i32) -> Result<Self> {
        let text = text(pid)?;
        let way_back = search(pid, &text, arch::SIGRETURN_CODE).and_then(|sigreturn| {
            let call_and_return = search(pid, &text, &[arch::SYSCALL_AND_RETURN])?;
            Some(WayBack { call_and_return, sigreturn })
        });
        match way_back {
            Some(way) => Ok(Code { syscall: way.call_and_return, way_back }),
            None => Code::find(pid),
        }
    }
}

/// The vdso first, then the C library, then the rest.
fn text(pid: i32) -> Result<Text> {
    let maps = std::fs::read(format!("/proc/{pid}/maps")).context(|| format!("read /proc/{pid}/maps"))?;
    let mut all: Vec<(usize, u64, u64)> = maps
        .split(|b| *b == b'\n')
        .filter_map(|line| {
            let text = std::str::from_utf8(line.get(..line.len().min(40))?).ok()?;
            let mut words = text.split_ascii_whitespace();
            let (start, end) = words.next()?.split_once('-')?;
            let range = (u64::from_str_radix(start, 16).ok()?, u64::from_str_radix(end, 16).ok()?);
            let usable = words.next()?.starts_with("r-x") && range.1 <= arch::TASK_SIZE;
            let rank = match line {
                line if line.ends_with(b"[vdso]") => 0,
                line if memmem::find(line, b"/libc").is_some() => 1,
                _ => 2,
            };
            usable.then_some((rank, range.0, range.1))
        })
        .collect();
    all.sort_unstable();
    Ok(all.into_iter().map(|(_, start, end)| (start, end)).collect())
}

/// Where the first of the patterns is found.
fn search(pid: i32, text: &Text, patterns: &[&[u8]]) -> Option<u64> {
    const PIECE: u64 = 256 << 10;
    let longest = patterns.iter().map(|pattern| pattern.len()).max()? as u64;
    let mut code = Vec::new();
    for (start, end) in text {
        let mut at = *start;
        while at < *end {
            code.resize((end - at).min(PIECE) as usize, 0);
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
