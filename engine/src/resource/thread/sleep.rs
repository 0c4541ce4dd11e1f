//! Sleeps that were interrupted with time left: the kernel keeps in a restart block, or on the
//! thread's stack, when they end, and only the kernel module sees that.
//!
//! A record that has one of a thread has it in addition: its registers make the whole call again,
//! which is what happens without the module.

use crate::remote::Stopped;
use crate::sys::kmod::{self, Continue};
use serde::{Deserialize, Serialize};

/// Which call sleeps.
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
    /// Whether the kernel goes on with it by restart_syscall(2).
    pub fn has_restart_block(self) -> bool {
        self != Call::Ahead
    }
}

/// A sleep to go on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sleep {
    /// The call.
    pub call: Call,
    /// The clock that its end is told by, `CLOCK_*`.
    pub clock: i32,
    /// Nanoseconds to its end.
    pub left: u64,
    /// What the kernel keeps of the call's arguments: of nanosleep the address for what is left, of
    /// poll the array and its length, of futex the address, the value, whether it is shared, and
    /// the bitset; zeros where the registers say it all.
    pub args: [u64; 4],
}

impl Sleep {
    /// That of a stopped thread, where it can be seen and has an end.
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

    /// What the module is to be told to have thread `tid` go on with it.
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
