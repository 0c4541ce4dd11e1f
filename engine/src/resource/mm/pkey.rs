//! Memory protection keys: which are allocated, and how to allocate the same ones again.

use super::vma::Vma;
use crate::arch;
use crate::remote::{Arg, CallId, Program, ProgramOutput};

/// No architecture but powerpc (32) has more keys than this; every process has key 0.
const KEYS: std::ops::Range<u32> = 1..32;

/// A kernel address, where a process has no mappings.
const NOWHERE: u64 = 0xffff_8000_0000_0000;

/// Probes which keys are allocated. pkey_mprotect(2) of an unmapped address has no side effect and
/// fails with EINVAL for a key that is not allocated, ENOMEM for one that is (mm/mprotect.c,
/// `do_mprotect_pkey`, Linux 5.10). The kernel's own key for execute-only mappings counts as not
/// allocated (arch/x86/include/asm/pkeys.h, `mm_pkey_is_allocated`).
pub struct AskKeys(Vec<(u32, CallId)>);

impl AskKeys {
    /// Adds the calls.
    pub fn ask(program: &mut Program) -> Self {
        let ask = |key: u32| {
            let args = [NOWHERE, crate::sys::page_size(), 0, key.into()].map(Arg::from);
            (
                key,
                program.call_unchecked(
                    arch::SYS_PKEY_MPROTECT,
                    &args,
                    format!("look for protection key {key}"),
                ),
            )
        };
        AskKeys(KEYS.map(ask).collect())
    }

    /// The allocated keys, bit n for key n.
    pub fn answer(&self, outcome: &ProgramOutput) -> u32 {
        let allocated = |call: CallId| outcome.result(call) == -i64::from(libc::ENOMEM);
        self.0.iter().filter(|(_, call)| allocated(*call)).fold(0, |keys, (key, _)| keys | 1 << key)
    }
}

/// Key operations before and after the mappings are created.
pub struct Keys {
    /// Keys that the process has allocated.
    allocated: u32,
    /// Keys allocated only while mappings are created.
    passing: u32,
}

impl Keys {
    /// Allocates keys, which the kernel hands out in ascending order, up to the highest one needed.
    /// Frees the key of execute-only mappings: the kernel allocates it with the first such mapping,
    /// and it is the lowest free key then.
    pub fn take(allocated: u32, vmas: &[Vma], program: &mut Program) -> Self {
        let used = vmas.iter().fold(allocated, |keys, vma| keys | 1 << vma.pkey) & !1;
        let highest = u32::BITS - used.leading_zeros();
        for key in 1..highest {
            let what = format!("allocate protection key {key}");
            program.call_returning(arch::SYS_PKEY_ALLOC, &[Arg::Imm(0), Arg::Imm(0)], key.into(), what);
        }
        let keys =
            Keys { allocated, passing: (1..highest).fold(0, |keys, key| keys | 1 << key) & !allocated };
        let execute_only = vmas.iter().find(|vma| keys.is_execute_only(vma)).map_or(0, |vma| 1 << vma.pkey);
        free(execute_only, program);
        Keys { passing: keys.passing & !execute_only, ..keys }
    }

    /// Whether the kernel chooses the mapping's key.
    pub fn is_execute_only(&self, vma: &Vma) -> bool {
        vma.prot == libc::PROT_EXEC && vma.pkey != 0 && self.allocated & (1 << vma.pkey) == 0
    }

    /// Frees the keys that the process did not have.
    pub fn finish(self, program: &mut Program) {
        free(self.passing, program);
    }
}

fn free(keys: u32, program: &mut Program) {
    for key in KEYS.filter(|key| keys & (1 << key) != 0) {
        program.call_ok(arch::SYS_PKEY_FREE, &[key.into()], format!("free protection key {key}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::mm::vma::Backing;

    fn vma(prot: i32, pkey: u32) -> Vma {
        let backing = Backing::Anonymous { name: None };
        Vma { start: 0x1000, end: 0x2000, prot, backing, flags: vec![], guards: vec![], pkey, policy: None }
    }

    fn calls(allocated: u32, vmas: &[Vma]) -> Vec<String> {
        let mut program = Program::new();
        Keys::take(allocated, vmas, &mut program).finish(&mut program);
        program.calls().iter().map(|call| call.what.clone()).collect()
    }

    #[test]
    fn without_keys_there_is_nothing_to_do() {
        assert!(calls(0, &[vma(libc::PROT_READ, 0)]).is_empty());
    }

    #[test]
    fn gaps_and_the_execute_only_key_are_given_back() {
        let vmas = [vma(libc::PROT_EXEC, 2), vma(libc::PROT_READ, 4)];
        insta::assert_debug_snapshot!(calls(1 << 4 | 1 << 5, &vmas));
    }
}
