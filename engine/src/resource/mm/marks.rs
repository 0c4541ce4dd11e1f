//! State of `struct mm_struct` apart from its mappings: addresses, auxiliary vector, vdso,
//! mlockall(2) for future mappings.

use super::Range;
use crate::error::{Context, Error, Result};
use crate::proc::smaps::{self, VmFlags};
use crate::proc::status;
use crate::remote::{Scratch, Stopped};
use crate::resource::bytes::Bytes;
use crate::sys::RemoteAddr;
use serde::{Deserialize, Serialize};

/// The addresses that prctl(2) `PR_SET_MM_MAP` sets, in the order of `struct prctl_mm_map`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Marks {
    pub start_code: u64,
    pub end_code: u64,
    pub start_data: u64,
    pub end_data: u64,
    pub start_brk: u64,
    pub brk: u64,
    pub start_stack: u64,
    pub arg_start: u64,
    pub arg_end: u64,
    pub env_start: u64,
    pub env_end: u64,
}

/// mlockall(2) for future mappings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LockFuture {
    /// `MCL_FUTURE`
    Now,
    /// `MCL_FUTURE | MCL_ONFAULT`
    OnFault,
}

/// The addresses in /proc/PID/stat.
///
/// # Errors
/// *unsupported* when the kernel hides them.
pub fn marks(stat: &procfs::process::Stat, brk: u64) -> Result<Marks> {
    let hidden = || Error::unsupported(format!("pid {}: /proc/PID/stat has no addresses", stat.pid));
    let get = |field: Option<u64>| field.ok_or_else(hidden);
    Ok(Marks {
        start_code: stat.startcode,
        end_code: stat.endcode,
        start_data: get(stat.start_data)?,
        end_data: get(stat.end_data)?,
        start_brk: get(stat.start_brk)?,
        brk,
        start_stack: stat.startstack,
        arg_start: get(stat.arg_start)?,
        arg_end: get(stat.arg_end)?,
        env_start: get(stat.env_start)?,
        env_end: get(stat.env_end)?,
    })
}

/// The auxiliary vector up to and including `AT_NULL`.
///
/// # Errors
/// What the kernel reports.
pub fn auxv(tid: i32) -> Result<Bytes> {
    let mut auxv = std::fs::read(format!("/proc/{tid}/auxv")).context(|| format!("read /proc/{tid}/auxv"))?;
    let end = auxv.chunks(16).position(|pair| pair.iter().take(8).all(|b| *b == 0));
    auxv.truncate(end.map_or(auxv.len(), |at| (at + 1) * 16));
    Ok(Bytes(auxv))
}

/// Name of the vdso's mapping.
pub const VDSO: &str = "[vdso]";

/// Digest of the vdso's code, which a restart compares with that of the running kernel.
///
/// # Errors
/// Memory that cannot be read.
pub fn vdso_digest(tid: i32, vdso: Range) -> Result<u64> {
    let mut code = vec![0u8; (vdso.end - vdso.start) as usize];
    crate::sys::vm::read(tid, RemoteAddr(vdso.start), &mut code).context(|| format!("read vdso of {tid}"))?;
    Ok(xxhash_rust::xxh3::xxh3_64(&code))
}

/// Whether mlockall(2) applies to future mappings. No interface reports that, but a mapping just
/// created, such as the scratch range, shows it; the module reports it directly.
///
/// # Errors
/// *vanished*
pub fn lock_future(first: &Stopped, scratch: Option<Scratch>) -> Result<Option<LockFuture>> {
    let fresh = match (first, scratch) {
        (Stopped::Traced(_), Some(scratch)) => scratch.stub().0,
        (Stopped::ModuleThread(first), _) => {
            return Ok(match first.process()?.lock_future {
                0 => None,
                1 => Some(LockFuture::Now),
                _ => Some(LockFuture::OnFault),
            });
        }
        (Stopped::Traced(_), None) => unreachable!("a traced process gets a scratch range"),
    };
    let (pid, tid) = (first.pid(), first.tid());
    let status = status::of_thread(pid, tid)?;
    if status.vmlck.unwrap_or(0) == 0 {
        return Ok(None);
    }
    let path = format!("/proc/{tid}/smaps");
    let text = std::fs::read(&path).context(|| format!("read {path}"))?;
    let vmas = smaps::parse(&text).map_err(|err| Error::unsupported(format!("pid {pid}: {err}")))?;
    let scratch = vmas.iter().find(|v| v.start <= fresh && fresh < v.end);
    Ok(scratch.filter(|v| v.flags.contains(VmFlags::LOCKED)).map(|v| {
        // A mapping that is locked at once is populated at once.
        if v.rss == v.size() { LockFuture::Now } else { LockFuture::OnFault }
    }))
}
