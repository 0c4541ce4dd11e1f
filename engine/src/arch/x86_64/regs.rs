//! The general registers.

use super::super::{ERESTART_RESTARTBLOCK, ERESTARTNOHAND, Interrupted, InterruptedKind};
use super::{STUB_SAVED, SYS_RESTART_SYSCALL, SYSCALL_INSN};
use crate::proc::syscall::Blocked;
use serde::{Deserialize, Serialize};

/// `struct user_regs_struct`, arch/x86/include/asm/user_64.h; the `NT_PRSTATUS` register set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[repr(C)]
#[allow(missing_docs)]
pub struct Regs {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub rbp: u64,
    pub rbx: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rax: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    pub orig_rax: u64,
    pub rip: u64,
    pub cs: u64,
    pub eflags: u64,
    pub rsp: u64,
    pub ss: u64,
    pub fs_base: u64,
    pub gs_base: u64,
    pub ds: u64,
    pub es: u64,
    pub fs: u64,
    pub gs: u64,
}

/// Not in a system call, as the kernel's `orig_ax` says it.
pub(super) const NO_SYSCALL: u64 = u64::MAX;

impl Regs {
    /// The instruction pointer.
    pub fn ip(&self) -> u64 {
        self.rip
    }

    /// Sets the instruction pointer.
    pub fn set_ip(&mut self, ip: u64) {
        self.rip = ip;
    }

    /// The stack pointer.
    pub fn sp(&self) -> u64 {
        self.rsp
    }

    /// Makes a return lead into code at `to`, which finds a signal frame at the stack pointer
    /// `frame`: the address is in the frame.
    pub fn set_return_into(&mut self, frame: u64, _to: u64) {
        self.rsp = frame;
    }

    /// The thread pointer, around which C libraries have a thread's control block.
    pub fn thread_pointer(&self, _tls: &[u8]) -> u64 {
        self.fs_base
    }

    /// Whether a transaction is open, which nothing but the processor can carry on: those of this
    /// architecture end at every stop.
    pub fn in_transaction(&self) -> bool {
        false
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

    /// Whether the thread runs code of this engine's word size; a 32-bit one has another system
    /// call ABI.
    pub fn is_native(&self) -> bool {
        const USER_CS: u64 = 0x33;
        self.cs == USER_CS
    }

    /// The system call that the stop interrupted, when it did.
    pub fn interrupted_syscall(&self) -> Option<Interrupted> {
        if self.orig_rax == NO_SYSCALL || (self.rax as i64) >= 0 {
            return None;
        }
        let kind = InterruptedKind::of_error(self.rax.wrapping_neg())?;
        Some(Interrupted { nr: self.orig_rax as i64, kind })
    }

    /// These registers with an interrupted system call turned into one that will be repeated:
    /// `nr` in the number register, the instruction pointer on the system call instruction, and no
    /// trace left for the kernel's own restart logic.
    pub fn rewound(mut self, nr: i64) -> Self {
        self.rip -= SYSCALL_INSN.len() as u64;
        self.orig_rax = NO_SYSCALL;
        self.calling(nr)
    }

    fn calling(mut self, nr: i64) -> Self {
        self.rax = nr as u64;
        self
    }

    /// These registers, which an interrupted system call has left, for the kernel to go on with: it
    /// makes the call again, and with a handler to run first it ends it with EINTR, if that is what
    /// the call does (arch/x86/kernel/signal.c, `arch_do_signal_or_restart` and `handle_signal`).
    /// It does so on the way out of every ptrace stop but those of a system call's entry and exit.
    pub fn left_to_kernel(self, _call: &Interrupted) -> Self {
        self
    }

    /// These registers, which an interrupted system call has left, with call `nr` to be made by the
    /// kernel from its beginning; with a handler to run first it ends with EINTR.
    pub fn repeating(mut self, nr: i64) -> Self {
        self.orig_rax = nr as u64;
        self.rax = ERESTARTNOHAND.wrapping_neg();
        self
    }

    /// These registers, which make an interrupted system call again, with restart_syscall(2) to be
    /// made instead.
    pub fn with_restart_block(mut self) -> Self {
        if self.interrupted_syscall().is_none() {
            return self.calling(SYS_RESTART_SYSCALL);
        }
        self.rax = ERESTART_RESTARTBLOCK.wrapping_neg();
        self
    }

    /// These registers, which make a system call again, behind it with a result.
    pub fn returned(mut self, result: u64) -> Self {
        self.rax = result;
        self.outside_syscall()
    }

    /// These registers, marked as not being in a system call.
    pub fn outside_syscall(mut self) -> Self {
        self.orig_rax = NO_SYSCALL;
        self
    }

    /// Registers that make one system call with the instruction at `ip`.
    pub fn for_syscall(mut self, ip: u64, nr: i64, args: [u64; 6]) -> Self {
        self.orig_rax = NO_SYSCALL;
        self.rax = nr as u64;
        self.rip = ip;
        [self.rdi, self.rsi, self.rdx, self.r10, self.r8, self.r9] = args;
        self
    }

    /// Arguments of a system call that is under way.
    pub fn arguments(&self) -> [u64; 6] {
        [self.rdi, self.rsi, self.rdx, self.r10, self.r8, self.r9]
    }

    /// Number of the system call, at its entry stop.
    pub fn syscall_number(&self) -> i64 {
        self.orig_rax as i64
    }

    /// Registers that continue an interrupted call whose time left they do not show.
    pub fn with_time_left(self) -> Self {
        self.rewound(SYS_RESTART_SYSCALL)
    }

    /// Result of a system call at its exit stop.
    pub fn syscall_result(&self) -> i64 {
        self.rax as i64
    }

    /// Registers that enter the executor stub at `stub`, with its control block at `control` and a
    /// stack that ends at `stack_top`.
    pub fn for_stub(mut self, stub: u64, control: u64, stack_top: u64) -> Self {
        self.orig_rax = NO_SYSCALL;
        self.rip = stub;
        self.rbx = control;
        self.rsp = stack_top;
        // Clear DF and TF: a stopped task may carry either.
        self.eflags &= !0x500;
        self
    }

    /// What the control block keeps to bring these registers back without a tracer, in the stub's
    /// order: the last part of the block.
    pub fn stub_way_back(&self, _mask: u64) -> Vec<u8> {
        let saved: [u64; STUB_SAVED] = [
            self.eflags,
            self.r15,
            self.r14,
            self.r13,
            self.r12,
            self.rbp,
            self.r11,
            self.r10,
            self.r9,
            self.r8,
            self.rax,
            self.rcx,
            self.rdx,
            self.rsi,
            self.rdi,
            self.rsp,
            self.rbx,
            self.rip,
        ];
        saved.into_iter().flat_map(u64::to_ne_bytes).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn saved_registers_end_with_the_instruction_pointer() {
        let regs = Regs { eflags: 1, rip: 2, rbx: 3, ..Regs::default() };
        let saved = regs.stub_way_back(0);
        let word = |i: usize| u64::from_ne_bytes(saved[i * 8..i * 8 + 8].try_into().unwrap());
        assert_eq!((word(0), word(STUB_SAVED - 1), word(STUB_SAVED - 2)), (1, 2, 3));
    }

    #[test]
    fn an_interrupted_pause_is_made_again() {
        let regs = Regs { rax: (-514i64) as u64, orig_rax: 34, rip: 0x1002, ..Regs::default() };
        assert_eq!(regs.interrupted_syscall(), Some(Interrupted { nr: 34, kind: InterruptedKind::Again }));
        for again in [regs.rewound(34), regs.resumed(), regs.repeating(34).resumed()] {
            assert_eq!((again.rax, again.rip, again.orig_rax), (34, 0x1000, u64::MAX));
        }
    }

    #[test]
    fn an_interrupted_sleep_goes_on_by_its_restart_block() {
        let regs = Regs { rax: (-516i64) as u64, orig_rax: 35, rip: 0x1002, ..Regs::default() };
        let block = Some(Interrupted { nr: 35, kind: InterruptedKind::RestartBlock });
        assert_eq!(regs.interrupted_syscall(), block);
        assert_eq!((regs.resumed().rax, regs.resumed().rip), (219, 0x1000));
        let again = regs.repeating(35);
        assert_eq!(again.interrupted_syscall(), Some(Interrupted { nr: 35, kind: InterruptedKind::Again }));
        assert_eq!(again.with_restart_block().interrupted_syscall(), block);
        // Of a file that has it rewound.
        assert_eq!(regs.rewound(35).with_restart_block().rax, 219);
    }

    #[test]
    fn a_result_is_not_an_interruption() {
        for rax in [0, 7, (-libc::EAGAIN) as u64] {
            assert_eq!(Regs { rax, orig_rax: 0, ..Regs::default() }.interrupted_syscall(), None);
        }
        let outside = Regs { rax: (-512i64) as u64, orig_rax: u64::MAX, ..Regs::default() };
        assert_eq!(outside.interrupted_syscall(), None);
    }
}
