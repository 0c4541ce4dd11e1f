//! Sleeps that were interrupted with time left: the kernel keeps their end in a restart block or on
//! the thread's stack, where only the kernel module can read it.
//!
//! Such a record is optional: the registers restart the whole call, which is what happens without
//! the module.

use crate::remote::Stopped;
use crate::sys::kmod::{self, Continue};
use serde::{Deserialize, Serialize};

/// The system call that sleeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Call {
    /// nanosleep(2), clock_nanosleep(2)
    Nanosleep,
    /// poll(2)
    Poll,
    /// futex(2)
    Futex,
    /// The call that the registers make: rt_sigtimedwait(2), semtimedop(2), epoll_wait(2).
    Ahead,
}

const NAMES: [(Call, u32); 4] = [
    (Call::Nanosleep, kmod::SLEEP_NANO),
    (Call::Poll, kmod::SLEEP_POLL),
    (Call::Futex, kmod::SLEEP_FUTEX),
    (Call::Ahead, kmod::SLEEP_CALL),
];

impl Call {
    /// Whether the kernel resumes it by restart_syscall(2).
    pub fn has_restart_block(self) -> bool {
        self != Call::Ahead
    }
}

/// A sleep to resume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sleep {
    /// The system call.
    pub call: Call,
    /// The clock that its timeout is measured by, `CLOCK_*`.
    pub clock: i32,
    /// Nanoseconds left.
    pub left: u64,
    /// The arguments that the kernel keeps. nanosleep: address for the remaining time. poll: array
    /// and its length. futex: address, value, whether it is shared, bitset. Zeros if the registers
    /// have all of them.
    pub args: [u64; 4],
}

impl Sleep {
    /// The sleep of a stopped thread, if it is known and has a timeout.
    pub fn of(thread: &Stopped) -> Option<Self> {
        let Stopped::ModuleThread(held) = thread else { return None };
        let told = &held.told;
        let (call, _) = NAMES.into_iter().find(|(_, number)| *number == told.sleep)?;
        (told.sleep_left < kmod::SLEEP_MAX).then_some(Sleep {
            call,
            clock: told.sleep_clock,
            left: told.sleep_left,
            args: told.sleep_args,
        })
    }

    /// The module request that lets thread `tid` resume it.
    pub fn request(&self, tid: i32) -> Continue {
        let (_, sleep) =
            NAMES.into_iter().find(|(call, _)| *call == self.call).expect("all calls are listed");
        let Sleep { clock, left, args, .. } = *self;
        Continue { size: size_of::<Continue>() as u32, tid, sleep, clock, left, args, reserved: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleep_is_asked_for_as_it_was_told() {
        let sleep = Sleep { call: Call::Futex, clock: 1, left: 5, args: [16, 2, 1, !0] };
        let request = sleep.request(77);
        assert_eq!((request.tid, request.sleep, request.clock, request.left), (77, kmod::SLEEP_FUTEX, 1, 5));
        assert_eq!((request.args, request.reserved), ([16, 2, 1, !0], 0));
    }
}
