//! Settings of an address space that only its own process can read.

use super::marks::{self, VDSO};
use super::membarrier::AskRegistrations;
use super::pkey::AskKeys;
use super::vma::{self, Backing, Vma};
use super::{Memory, Range, tags};
use crate::error::Result;
use crate::remote::{Arg, Program, ProgramOutput, Scratch, Stopped};
use crate::resource::signal::AskNumber;
use procfs::process::Stat;

/// Linux 6.3 (include/uapi/linux/prctl.h).
const PR_GET_MDWE: i32 = 66;
/// Linux 6.4
const PR_GET_MEMORY_MERGE: i32 = 68;

/// The queries.
pub struct AskMemory {
    brk: AskNumber,
    dumpable: AskNumber,
    thp_disable: AskNumber,
    deny_write_execute: AskNumber,
    merge: AskNumber,
    keys: AskKeys,
    membarrier: AskRegistrations,
}

/// What is known of an address space from outside.
pub struct Found {
    /// Mappings, sorted.
    pub vmas: Vec<Vma>,
    /// Pages with memory tags.
    pub tagged: Vec<Range>,
    /// The executable: index into the files.
    pub exe: usize,
}

impl AskMemory {
    /// Adds the calls. `by_module`: the kernel module evaluates them.
    pub fn ask(program: &mut Program, by_module: bool) -> Self {
        let prctl = |program: &mut Program, option: i32, what: &str| {
            let args = [option.into(), Arg::Imm(0), Arg::Imm(0), Arg::Imm(0), Arg::Imm(0)];
            AskNumber::ask(program, libc::SYS_prctl, &args, what)
        };
        AskMemory {
            brk: AskNumber::ask(program, libc::SYS_brk, &[Arg::Imm(0)], "read end of heap"),
            dumpable: prctl(program, libc::PR_GET_DUMPABLE, "read dumpable"),
            thp_disable: prctl(program, libc::PR_GET_THP_DISABLE, "read THP setting"),
            deny_write_execute: prctl(program, PR_GET_MDWE, "read MDWE"),
            merge: prctl(program, PR_GET_MEMORY_MERGE, "read whether equal pages are merged"),
            keys: AskKeys::ask(program),
            membarrier: AskRegistrations::ask(program, by_module),
        }
    }

    /// The record, without its pages. `scratch` is the range mapped for the program: whether it is
    /// locked shows whether mlockall(2) applies to future mappings.
    ///
    /// # Errors
    /// What the kernel reports.
    pub fn answer(
        &self,
        outcome: &ProgramOutput,
        found: Found,
        stat: &Stat,
        first: &Stopped,
        scratch: Option<Scratch>,
    ) -> Result<Memory> {
        let tid = first.tid();
        let is_vdso = |vma: &&Vma| matches!(&vma.backing, Backing::Special { name } if name == VDSO);
        let vdso = found.vmas.iter().find(is_vdso);
        let vdso = vdso.map(|vma| marks::vdso_digest(tid, vma.start..vma.end)).transpose()?;
        let number = |asked: &AskNumber| asked.answer(outcome).unwrap_or(0);
        Ok(Memory {
            vmas: vma::join(found.vmas),
            pages: Vec::new(),
            marks: marks::marks(stat, number(&self.brk) as u64)?,
            auxv: marks::auxv(tid)?,
            exe: found.exe,
            vdso,
            lock_future: marks::lock_future(first, scratch)?,
            thp_disable: number(&self.thp_disable) as u32,
            dumpable: self.dumpable.answer(outcome).unwrap_or(1) as i32,
            pkeys: self.keys.answer(outcome),
            membarrier: self.membarrier.answer(outcome),
            deny_write_execute: number(&self.deny_write_execute) as u32,
            merge: number(&self.merge) != 0,
            tags: tags::capture(tid, &found.tagged)?,
        })
    }
}
