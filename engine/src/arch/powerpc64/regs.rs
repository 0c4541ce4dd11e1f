//! The general registers.

use super::super::{ERESTART_RESTARTBLOCK, ERESTARTNOHAND, Interrupted, InterruptedKind};
use super::{FRAME_IN_CONTROL, SYS_RESTART_SYSCALL, SYSCALL_INSN, frame};
use crate::proc::syscall::Blocked;
use serde::{Deserialize, Serialize};

/// `struct user_pt_regs`, arch/powerpc/include/uapi/asm/ptrace.h, with the zeros that follow it;
/// the `NT_PRSTATUS` register set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[repr(C)]
#[allow(missing_docs)]
pub struct Regs {
    pub gpr: [u64; 32],
    pub nip: u64,
    pub msr: u64,
    pub orig_gpr3: u64,
    pub ctr: u64,
    pub link: u64,
    pub xer: u64,
    pub ccr: u64,
    pub softe: u64,
    pub trap: u64,
    pub dar: u64,
    pub dsisr: u64,
    pub result: u64,
    pub reserved: [u64; 4],
}

// arch/powerpc/include/asm/reg.h
const MSR_SF: u64 = 1 << 63;
pub(super) const MSR_VEC: u64 = 1 << 25;
pub(super) const MSR_VSX: u64 = 1 << 23;
pub(super) const MSR_FP: u64 = 1 << 13;
pub(super) const MSR_FE: u64 = 1 << 11 | 1 << 8;
/// Transactional memory: available, and the state of a transaction.
pub(super) const MSR_TM: u64 = 7 << 32;
const MSR_TS: u64 = 3 << 33;
/// Where the kernel's copy of MSR tells of the interrupt that it was saved at, such as a page that
/// was not there (`SRR1_MSR_BITS`, inverted).
const OF_INTERRUPT: u64 = 0x783f_0000;

/// "Summary overflow" of the first condition field: the system call failed.
const CR0_SO: u64 = 1 << 28;
/// `sc` and `scv 0`, as the kernel's `trap` has them (arch/powerpc/include/asm/ptrace.h,
/// `trap_is_syscall`).
const TRAP_SC: u64 = 0xc00;
const TRAP_SCV: u64 = 0x3000;

impl Regs {
    /// The instruction pointer.
    pub fn ip(&self) -> u64 {
        self.nip
    }

    /// Sets the instruction pointer.
    pub fn set_ip(&mut self, ip: u64) {
        self.nip = ip;
    }

    /// The stack pointer.
    pub fn sp(&self) -> u64 {
        self.gpr[1]
    }

    /// Makes a return lead into code at `to`, which finds a signal frame at the stack pointer
    /// `frame`.
    pub fn set_return_into(&mut self, frame: u64, to: u64) {
        self.gpr[1] = frame;
        self.link = to;
    }

    /// The thread control block, from which the thread pointer is 0x7000 away (64-Bit ELF V2 ABI,
    /// "TLS").
    pub fn thread_pointer(&self, _tls: &[u8]) -> u64 {
        self.gpr[13].saturating_sub(0x7000)
    }

    /// Whether the thread runs code of this engine's word size; a 32-bit one has another system
    /// call ABI.
    pub fn is_native(&self) -> bool {
        self.msr & MSR_SF != 0
    }

    /// Whether a transaction is open, which nothing but the processor can carry on.
    pub fn in_transaction(&self) -> bool {
        self.msr & MSR_TS != 0
    }

    /// Whether a stop made the call that the thread was seen in return EINTR: here the registers
    /// themselves show it.
    pub fn undo_eintr(&mut self, _call: &Blocked) -> bool {
        false
    }

    /// Whether these may be the registers of a sleep that was interrupted and has time left, and do
    /// not show it. Here they always do.
    pub fn may_hide_time_left(&self) -> bool {
        false
    }

    /// The system call that the stop interrupted, when it did (arch/powerpc/kernel/signal.c,
    /// `check_syscall_restart`).
    pub fn interrupted_syscall(&self) -> Option<Interrupted> {
        let error = match self.trap & !0xf {
            TRAP_SC if self.ccr & CR0_SO != 0 => self.gpr[3],
            TRAP_SCV if (self.gpr[3] as i64) < 0 => self.gpr[3].wrapping_neg(),
            _ => return None,
        };
        let kind = InterruptedKind::of_error(error)?;
        Some(Interrupted { nr: self.gpr[0] as i64, kind })
    }

    /// These registers with an interrupted system call turned into one that will be repeated:
    /// `nr` in the number register, the instruction pointer on the system call instruction, and no
    /// trace left for the kernel's own restart logic.
    pub fn rewound(mut self, nr: i64) -> Self {
        self.gpr[3] = self.orig_gpr3;
        self.nip -= SYSCALL_INSN.len() as u64;
        self.calling(nr).outside_syscall()
    }

    fn calling(mut self, nr: i64) -> Self {
        self.gpr[0] = nr as u64;
        self
    }

    /// These registers, which an interrupted system call has left, for the kernel to go on with: it
    /// makes the call again, and with a handler to run first it ends it with EINTR, if that is what
    /// the call does (arch/powerpc/kernel/signal.c, `check_syscall_restart`). It does so on the way
    /// out of every ptrace stop but those of a system call's entry and exit. Not so a sleep that
    /// has time left: the kernel would continue it without putting its first argument back, and the
    /// next checkpoint would not find the call any more.
    pub fn left_to_kernel(self, call: &Interrupted) -> Self {
        if call.kind == InterruptedKind::RestartBlock {
            return self.rewound(SYS_RESTART_SYSCALL);
        }
        self.inside_syscall()
    }

    /// These registers, which an interrupted system call has left, with call `nr` to be made by the
    /// kernel from its beginning; with a handler to run first it ends with EINTR.
    pub fn repeating(self, nr: i64) -> Self {
        self.calling(nr).failed(ERESTARTNOHAND)
    }

    /// These registers, which make an interrupted system call again, with restart_syscall(2) to be
    /// made instead.
    pub fn with_restart_block(self) -> Self {
        if self.interrupted_syscall().is_none() {
            return self.calling(SYS_RESTART_SYSCALL);
        }
        self.failed(ERESTART_RESTARTBLOCK)
    }

    /// With another error as the result of the call that they are in.
    fn failed(mut self, error: u64) -> Self {
        self.gpr[3] = if self.trap & !0xf == TRAP_SC { error } else { error.wrapping_neg() };
        self.inside_syscall()
    }

    /// These registers, without what only the kernel's own affairs have left in them, but for what
    /// tells that they are in a system call.
    fn inside_syscall(self) -> Self {
        Regs { orig_gpr3: self.orig_gpr3, trap: self.trap & !0xf, ..self.outside_syscall() }
    }

    /// These registers, which make a system call again, behind it with a result.
    pub fn returned(mut self, result: u64) -> Self {
        self.gpr[3] = result;
        self.ccr &= !CR0_SO;
        self.outside_syscall()
    }

    /// These registers, marked as not being in a system call, without what only the kernel's own
    /// affairs have left in them.
    pub fn outside_syscall(self) -> Self {
        Regs {
            msr: self.msr & !(MSR_VEC | MSR_VSX | MSR_FP | MSR_FE | MSR_TM | OF_INTERRUPT),
            orig_gpr3: 0,
            softe: 1,
            trap: 0,
            dar: 0,
            dsisr: 0,
            result: 0,
            ..self
        }
    }

    /// Registers that make one system call with the instruction at `ip`.
    pub fn for_syscall(mut self, ip: u64, nr: i64, args: [u64; 6]) -> Self {
        self.gpr[0] = nr as u64;
        self.gpr[3..9].copy_from_slice(&args);
        self.nip = ip;
        self.trap = 0;
        self
    }

    /// Arguments of a system call that was interrupted.
    pub fn arguments(&self) -> [u64; 6] {
        let [_, a1, a2, a3, a4, a5] = self.gpr[3..9] else { unreachable!("six registers") };
        [self.orig_gpr3, a1, a2, a3, a4, a5]
    }

    /// Number of the system call, at its entry stop.
    pub fn syscall_number(&self) -> i64 {
        self.gpr[0] as i64
    }

    /// Registers that continue an interrupted call whose time left they do not show.
    pub fn with_time_left(self) -> Self {
        self.rewound(SYS_RESTART_SYSCALL)
    }

    /// Result of a system call at its exit stop.
    pub fn syscall_result(&self) -> i64 {
        let value = self.gpr[3] as i64;
        if self.trap & !0xf == TRAP_SC && self.ccr & CR0_SO != 0 { -value } else { value }
    }

    /// Registers that enter the executor stub at `stub`, with its control block at `control` and a
    /// stack that ends at `stack_top`.
    pub fn for_stub(mut self, stub: u64, control: u64, stack_top: u64) -> Self {
        self.nip = stub;
        self.trap = 0;
        self.gpr[31] = control;
        self.gpr[1] = stack_top;
        self
    }

    /// What the control block keeps to bring these registers back without a tracer: a signal frame,
    /// aligned to 16 bytes, into which the stub puts the FP and vector registers before it hands it
    /// to rt_sigreturn(2). No register would be free for a jump to the end.
    pub fn stub_way_back(&self, mask: u64) -> Vec<u8> {
        let mut block = vec![0; 8];
        block.extend(frame(self, mask, FRAME_IN_CONTROL));
        block
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_transaction_shows() {
        let at = |msr| Regs { msr, ..Regs::default() }.in_transaction();
        // MSR_TM alone: there could be one. Then suspended, transactional.
        assert_eq!([1 << 32, 1 << 33, 1 << 34].map(at), [false, true, true]);
    }

    #[test]
    fn an_interrupt_leaves_nothing_in_the_registers() {
        // An instruction whose page was not there: SRR1_ISI_NOPT.
        let user = 0x8000_0000_0000_d033;
        let regs = Regs { msr: user | 0x4000_0000, ..Regs::default() };
        assert_eq!(regs.outside_syscall().msr, user);
    }

    #[test]
    fn an_interrupted_call_is_made_again_by_either_instruction() {
        let mut regs = Regs { nip: 0x1004, orig_gpr3: 3, trap: 0xc00, ccr: CR0_SO, ..Regs::default() };
        (regs.gpr[0], regs.gpr[3]) = (29, 514);
        let want = Some(Interrupted { nr: 29, kind: InterruptedKind::Again });
        assert_eq!(regs.interrupted_syscall(), want);
        for again in [regs.rewound(29), regs.resumed(), regs.repeating(29).resumed()] {
            assert_eq!((again.nip, again.gpr[3], again.trap), (0x1000, 3, 0));
        }
        (regs.trap, regs.ccr, regs.gpr[3]) = (0x3000, 0, 514u64.wrapping_neg());
        assert_eq!(regs.interrupted_syscall(), want);
        regs.gpr[3] = 0;
        assert_eq!(regs.interrupted_syscall(), None);
    }
}
