//! Instructions of the target that we borrow before any of ours are mapped there.

use crate::arch::{self, Regs, SignalFrame};
use crate::error::{Context, Error, Result};
use crate::proc::maps;
use crate::sys::RemoteAddr;
use crate::sys::{self, task, vm};
use memchr::memmem;
use std::io;
use std::os::unix::fs::FileExt;

/// A system call instruction, and the way back where there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    /// Address of the instruction.
    pub syscall: u64,
    /// See [`WayBack`]; `None` if it was not found or not wanted.
    pub way_back: Option<WayBack>,
}

/// Addresses where a signal frame may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// First byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
    /// What is there.
    pub kind: RoomKind,
}

/// A part of the program's initial stack. Any other memory below a stack pointer may be in use:
/// stacks of coroutines are pieces of larger mappings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoomKind {
    /// Whole pages that are not in use.
    Unused,
    /// What is below the stack pointer of a thread that runs there.
    BelowPointer,
    /// What is below its mapping, which grows when this is written through /proc/PID/mem, as when
    /// the thread itself needs it for a signal's frame (mm/memory.c, `__access_remote_vm`; up to
    /// Linux 6.4 mm/gup.c).
    BelowMapping,
}

/// Code that returns a thread to where it was if its tracer dies in the middle of a borrowed system
/// call: the call is followed by a return to an rt_sigreturn(2), which restores all state from a
/// frame on the stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WayBack {
    /// Address of a system call instruction followed by a return.
    pub call_and_return: u64,
    /// Address of the code that signal handlers return to.
    pub sigreturn: u64,
    /// Where a frame may be written, the best place first.
    pub rooms: [Room; 3],
}

/// Whether a thread that has these registers is at a system call instruction.
pub fn is_at_syscall(tid: i32, regs: &Regs) -> bool {
    let mut code = [0u8; arch::SYSCALL_INSN.len()];
    // Unreadable memory is no instruction.
    vm::read(tid, RemoteAddr(regs.ip()), &mut code).is_ok() && code == *arch::SYSCALL_INSN
}

/// A mapping of the target, from /proc/PID/maps.
struct Mapped {
    start: u64,
    end: u64,
    executable: bool,
    /// The initial stack of the program.
    stack: bool,
    /// Search order: the vdso, the C library, the rest.
    rank: u8,
}

impl Code {
    /// Finds only the instruction: in the vdso if there is one, otherwise anywhere.
    ///
    /// # Errors
    /// *unsupported* if there is none; *vanished*.
    pub fn find(pid: i32) -> Result<Self> {
        Code::without_way_back(pid, &mapped(pid)?)
    }

    /// With the way back, where found, for a thread whose stack pointer is `sp`: the C library has
    /// one for its signal handlers.
    ///
    /// # Errors
    /// As [`Code::find`].
    pub fn find_with_way_back(pid: i32, sp: u64) -> Result<Self> {
        let mapped = mapped(pid)?;
        let find = || {
            let stack = mapped.iter().find(|m| m.stack)?;
            let runs_there = (stack.start..stack.end).contains(&sp);
            let end = if runs_there { sp.saturating_sub(arch::RED_ZONE) } else { stack.start };
            let end = end.max(stack.start);
            let mut unused = unused(pid, stack);
            if runs_there {
                unused.end = unused.end.min(end);
            }
            let below = Room { start: stack.start, end, kind: RoomKind::BelowPointer };
            let start = stack.start.saturating_sub(ENOUGH);
            let beneath = Room { start, end: stack.start, kind: RoomKind::BelowMapping };
            let rooms = [unused, below, beneath];
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
            let what = "no executable mapping contains a system call instruction";
            Error::unsupported(format!("pid {pid}: {what}"))
        };
        Ok(Code { syscall: search(pid, mapped, &[arch::SYSCALL_INSN]).ok_or_else(none)?, way_back: None })
    }
}

/// The mappings in search order.
fn mapped(pid: i32) -> Result<Vec<Mapped>> {
    let text = std::fs::read(format!("/proc/{pid}/maps")).context(|| format!("read /proc/{pid}/maps"))?;
    let mapped = maps::parse(&text).map(|mapping| Mapped {
        start: mapping.start,
        end: mapping.end,
        rank: match mapping.printed {
            b"[vdso]" => 0,
            path if memmem::find(path, b"/libc").is_some() => 1,
            _ => 2,
        },
        executable: mapping.read && !mapping.write && mapping.exec && mapping.end <= sys::task_size(),
        stack: mapping.printed == b"[stack]",
    });
    let mut all: Vec<Mapped> = mapped.collect();
    all.sort_by_key(|m| (m.rank, m.start));
    Ok(all)
}

/// Larger than any frame.
const ENOUGH: u64 = 128 << 10;

/// The lowest pages of a stack that are not in use: neither present nor swapped
/// (Documentation/admin-guide/mm/pagemap.rst), or all zeros, as they are where an earlier frame
/// was, or holding such a frame. The lowest data in use are return addresses; one page of zeros is
/// left for registers and the like below those.
fn unused(pid: i32, mapped: &Mapped) -> Room {
    let room = |len: u64| Room { start: mapped.start, end: mapped.start + len, kind: RoomKind::Unused };
    let page = sys::page_size();
    let pages = ENOUGH.min(mapped.end - mapped.start) / page;
    let mut entries = vec![0u8; pages as usize * 8];
    let pagemap = std::fs::File::open(format!("/proc/{pid}/pagemap"));
    let read = pagemap.and_then(|pagemap| pagemap.read_exact_at(&mut entries, mapped.start / page * 8));
    if read.is_err() {
        return room(0); // no room known, as where all of them are in use
    }
    let mut bytes = vec![0u8; page as usize];
    let (mut free, mut spare) = (0, false);
    while free < pages {
        let touched = entries[free as usize * 8 + 7] >> 6 != 0;
        if touched && vm::read(pid, RemoteAddr(mapped.start + free * page), &mut bytes).is_err() {
            break;
        }
        spare = touched && bytes.iter().all(|byte| *byte == 0);
        free += match left_block(&bytes) {
            _ if !touched || spare => 1,
            Some(len) if len >= page => (len / page).min(pages - free),
            _ => break,
        };
    }
    room(free.saturating_sub(spare.into()) * page)
}

/// Precedes frames on unused pages, followed by the length of the block: frames left behind by an
/// engine that died are recognised and their space is reused.
const MARK: &[u8; 24] = b"cairn: old frame, unused";

/// The length of the marked block that begins on a page.
fn left_block(page: &[u8]) -> Option<u64> {
    let len = page.strip_prefix(MARK)?.first_chunk()?;
    Some(u64::from_ne_bytes(*len))
}

impl Room {
    /// Writes a frame that ends with the room. Returns what was overwritten; `None` if there is no
    /// space, or nothing can be written there.
    pub fn fill(&self, pid: i32, frame: &SignalFrame) -> Option<(RemoteAddr, Vec<u8>)> {
        if frame.at < self.start {
            return None;
        }
        let (at, block) = self.marked(frame.at, &frame.bytes);
        let at = RemoteAddr(at);
        let mut before = vec![0; block.len()];
        let written = match self.kind {
            RoomKind::BelowMapping => without_stack_limit(|| vm::force(pid, at, &block)),
            _ => vm::read(pid, at, &mut before).and_then(|()| vm::write(pid, at, &block)),
        };
        written.ok().map(|()| (at, before))
    }

    /// What to write, and where, for a frame at `at` that ends with the room: preceded by the mark
    /// if there is space that is not in use.
    fn marked(&self, at: u64, frame: &[u8]) -> (u64, Vec<u8>) {
        let start = at.saturating_sub(MARK.len() as u64 + 8) & !(sys::page_size() - 1);
        if start < self.start || self.kind == RoomKind::BelowPointer {
            return (at, frame.to_vec());
        }
        let mut block = MARK.to_vec();
        block.extend((self.end - start).to_ne_bytes());
        block.resize((at - start) as usize, 0);
        block.extend(frame);
        (start, block)
    }
}

/// A stack grows up to the limit of whoever writes below it (mm/vma.c, `acct_stack_growth`).
fn without_stack_limit(write: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    /// This process.
    const OWN: i32 = 0;
    let before = task::rlimit(OWN, libc::RLIMIT_STACK)?;
    task::lift_rlimit(OWN, libc::RLIMIT_STACK, before.1)?;
    let written = write();
    task::set_rlimit(OWN, libc::RLIMIT_STACK, before)?;
    written
}

/// The address of the first match of any pattern.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_frame_is_known_by_its_mark() {
        let page = sys::page_size();
        let room = Room { start: 16 * page, end: 32 * page, kind: RoomKind::Unused };
        let frame = vec![7; 3000];
        let (at, block) = room.marked(room.end - 3000, &frame);
        assert_eq!((at % page, at + block.len() as u64), (0, room.end));
        assert!(block.ends_with(&frame));
        assert_eq!(left_block(&block[..page as usize]), Some(room.end - at));
        assert_eq!(left_block(&vec![0; page as usize]), None);
    }

    #[test]
    fn a_frame_without_a_place_before_it_has_no_mark() {
        let page = sys::page_size();
        let room = Room { start: 16 * page + 64, end: 17 * page, kind: RoomKind::Unused };
        assert_eq!(room.marked(room.start, &[7; 100]), (room.start, vec![7; 100]));
        let below = Room { start: 15 * page, kind: RoomKind::BelowPointer, ..room };
        assert_eq!(below.marked(room.start, &[7; 100]), (room.start, vec![7; 100]));
    }
}
