//! Identifies the system call of a sleep that was interrupted more than once. The kernel continues
//! such a sleep by restart_syscall(2), whose number replaces the original one in the registers; the
//! arguments stay. A restarted task has no restart block, so the call has to be restarted by its
//! own number.

use crate::arch::{self, Regs, SYS_RESTART_SYSCALL};
use crate::sys::RemoteAddr;
use crate::sys::{page_size, vm};

/// Bytes of code before a system call instruction in which its number is loaded.
const REACH: u64 = 48;

/// The original number for a thread interrupted in restart_syscall(2), from the code before the
/// instruction if that loads a number. The syscall(2) wrapper of a C library does not; it is mostly
/// used for futex(2), which the arguments reveal.
pub fn own_number(tid: i32, regs: &Regs) -> Option<i64> {
    let call = regs.rewound(SYS_RESTART_SYSCALL).ip();
    let in_page = call % page_size();
    let loaded = [REACH, in_page].into_iter().find_map(|len| {
        let mut code = vec![0u8; len as usize];
        let there = vm::read(tid, RemoteAddr(call - len), &mut code).is_ok();
        there.then_some(code)
    });
    let number = loaded.and_then(|code| arch::number_loaded(&code));
    number.filter(|nr| arch::WITH_TIME_LEFT.contains(nr)).or_else(|| by_arguments(regs.arguments()))
}

/// No other call that can have time left looks like a private futex wait with a timeout.
fn by_arguments(arguments: [u64; 6]) -> Option<i64> {
    let [address, operation, _, timeout, ..] = arguments;
    let wait = [libc::FUTEX_WAIT, libc::FUTEX_WAIT_BITSET].map(|op| (op | libc::FUTEX_PRIVATE_FLAG) as u64);
    let operation = operation & !(libc::FUTEX_CLOCK_REALTIME as u64);
    let is_futex =
        wait.contains(&operation) && address % 4 == 0 && address >= page_size() && timeout >= page_size();
    is_futex.then_some(libc::SYS_futex)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_futex_wait_shows_by_its_arguments() {
        let futex = Some(libc::SYS_futex);
        assert_eq!(by_arguments([0x7fff_0000_1000, 137, 2, 0x7fff_0000_2000, 0, !0]), futex);
        assert_eq!(by_arguments([0x7fff_0000_1000, 128, 2, 0x7fff_0000_2000, 0, 0]), futex);
        // nanosleep, clock_nanosleep, poll
        assert_eq!(by_arguments([0x7fff_0000_1000, 0, 0, 0, 0, 0]), None);
        assert_eq!(by_arguments([1, 0, 0x7fff_0000_1000, 0x7fff_0000_1000, 0, 0]), None);
        assert_eq!(by_arguments([0x7fff_0000_1000, 1, 5000, 0, 0, 0]), None);
    }
}
