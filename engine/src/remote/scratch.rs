//! The scratch range inside a target: the stub and, on writable pages, control block, a small
//! stack, table and data.

use super::{Code, Tracee};
use crate::arch;
use crate::error::{Context, Error, Result};
use crate::journal::{Change, Entry};
use crate::sys::RemoteAddr;
use crate::sys::{task, vm};
use std::io;

/// Bytes of the whole range. Pages that are never touched take no memory.
pub const SCRATCH_SIZE: u64 = 1 << 20;

/// Offset of the table. Below it are the stub and, from `STUB_CONTROL` on and on pages of their
/// own, control block and stack, with room for a signal frame with all extended register sets in
/// case the tracer dies.
const TABLE_OFFSET: u64 = 0x2_0000;

/// Offset in the control block; the stub in `arch` uses it, too.
const CONTROL_LEFT: u64 = 16;

/// A mapped scratch range of one address space.
#[derive(Debug, Clone, Copy)]
pub struct Scratch {
    base: RemoteAddr,
    /// Code outside the range to map and unmap it with.
    code: Code,
}

impl Scratch {
    /// Maps a scratch range into the tracee's address space, at `at` if given, where nothing may be
    /// mapped.
    pub fn map(tracee: &mut Tracee, code: Code, at: Option<RemoteAddr>) -> Result<Self> {
        const RWX: u64 = (libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC) as u64;
        let mut flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        if at.is_some() {
            flags |= libc::MAP_FIXED_NOREPLACE;
        }
        let args = [at.map_or(0, |a| a.0), SCRATCH_SIZE, RWX, flags as u64, u64::MAX, 0];
        let mut got = tracee.syscall(&code, libc::SYS_mmap, args)?;
        if [libc::ENOMEM, libc::EAGAIN].map(|errno| -i64::from(errno)).contains(&got) {
            let raised = RaisedLimits::of(tracee.pid)?;
            let again = tracee.syscall(&code, libc::SYS_mmap, args);
            raised.restore()?;
            got = again?;
        }
        if [libc::EACCES, libc::EPERM].map(|errno| -i64::from(errno)).contains(&got) {
            got = Self::map_apart(tracee, &code, args)?;
        }
        let base = check(got).context(|| format!("map scratch range in {}", tracee.pid))?;
        let scratch = Scratch { base: RemoteAddr(base), code };
        vm::write(tracee.tid, scratch.stub(), arch::stub())
            .or_else(|_| vm::force(tracee.tid, scratch.stub(), arch::stub()))
            .context(|| format!("load stub into {}", tracee.pid))?;
        Ok(scratch)
    }

    /// For a process that may not map memory both writable and executable (`PR_SET_MDWE`): maps the
    /// stub and the rest with separate permissions.
    fn map_apart(tracee: &mut Tracee, code: &Code, mut args: [u64; 6]) -> Result<i64> {
        args[2] = (libc::PROT_READ | libc::PROT_EXEC) as u64;
        let got = tracee.syscall(code, libc::SYS_mmap, args)?;
        let Ok(base) = check(got) else {
            return Err(Error::unsupported(format!(
                "pid {}: a security module denies it executable memory, which cairn needs to run code in it",
                tracee.pid
            )));
        };
        let (written, len) = (base + arch::STUB_CONTROL, SCRATCH_SIZE - arch::STUB_CONTROL);
        let prot = (libc::PROT_READ | libc::PROT_WRITE) as u64;
        let protected = tracee.syscall(code, libc::SYS_mprotect, [written, len, prot, 0, 0, 0])?;
        check(protected).context(|| format!("protect scratch range in {}", tracee.pid))?;
        Ok(got)
    }

    /// The range that a fork has inherited, or that stays mapped while the rest of the address
    /// space is unmapped; `code` outlives it.
    pub fn at(base: RemoteAddr, code: Code) -> Self {
        Scratch { base, code }
    }

    /// Unmaps the range.
    pub fn unmap(self, tracee: &mut Tracee) -> Result<()> {
        let got = tracee.syscall(&self.code, libc::SYS_munmap, [self.base.0, SCRATCH_SIZE, 0, 0, 0, 0])?;
        check(got).context(|| format!("unmap scratch range in {}", tracee.pid)).map(drop)
    }

    /// First byte; the stub.
    pub fn stub(&self) -> RemoteAddr {
        self.base
    }

    pub(super) fn control(&self) -> RemoteAddr {
        RemoteAddr(self.base.0 + arch::STUB_CONTROL)
    }

    pub(super) fn left(&self) -> RemoteAddr {
        RemoteAddr(self.control().0 + CONTROL_LEFT)
    }

    pub(super) fn stack_top(&self) -> RemoteAddr {
        self.table()
    }

    pub(super) fn table(&self) -> RemoteAddr {
        RemoteAddr(self.base.0 + TABLE_OFFSET)
    }

    pub(super) fn room(&self) -> usize {
        (SCRATCH_SIZE - TABLE_OFFSET) as usize
    }
}

/// Resource limits that the scratch range counts towards, raised while it is mapped: the process
/// may be at one of them.
struct RaisedLimits(Vec<Entry>);

impl RaisedLimits {
    /// Raises the soft limits as far as permitted.
    fn of(pid: i32) -> Result<Self> {
        let mut raised = RaisedLimits(Vec::new());
        for resource in [libc::RLIMIT_AS, libc::RLIMIT_DATA, libc::RLIMIT_MEMLOCK] {
            let what =
                || format!("raise limit {resource} of {pid}, which leaves no room for the scratch range");
            let before = task::rlimit(pid, resource).context(what)?;
            raised.0.push(Entry::record(Change::Limit { pid, resource, before })?);
            task::lift_rlimit(pid, resource, before.1).context(what)?;
        }
        Ok(raised)
    }

    fn restore(self) -> Result<()> {
        // All of them, even if one fails.
        self.0.into_iter().rev().map(Entry::undo).fold(Ok(()), Result::and)
    }
}

fn check(result: i64) -> io::Result<u64> {
    match result {
        -4095..0 => Err(io::Error::from_raw_os_error(-result as i32)),
        value => Ok(value as u64),
    }
}

/// The control block for a run of `count` entries, with the state to restore `tracee` from if the
/// engine dies.
pub(super) fn control_block(scratch: &Scratch, tracee: &Tracee, count: usize) -> Vec<u8> {
    let signal = tracee.notify_signal() as u64;
    let words = [scratch.table().0, count as u64, count as u64, tracee.pid as u64, tracee.tid as u64, signal];
    let mut block: Vec<u8> = words.into_iter().chain([tracee.mask]).flat_map(u64::to_ne_bytes).collect();
    let there = match arch::STUB_KEEPS_TIME_LEFT {
        true => tracee.regs_to_continue(),
        false => tracee.regs_to_restart(),
    };
    block.extend(there.resumed().stub_way_back(tracee.mask));
    block
}
