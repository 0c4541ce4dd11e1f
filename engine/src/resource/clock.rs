//! Clocks that count from boot: processes keep absolute timeouts of these clocks in memory.

use serde::{Deserialize, Serialize};

/// Clock readings at the checkpoint, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clocks {
    /// `CLOCK_MONOTONIC`
    pub monotonic: u64,
    /// `CLOCK_BOOTTIME`
    pub boottime: u64,
}

impl Clocks {
    /// The current readings.
    pub fn now() -> Self {
        use rustix::time::{ClockId, clock_gettime};
        let read = |clock| {
            let time = clock_gettime(clock);
            time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
        };
        Clocks { monotonic: read(ClockId::Monotonic), boottime: read(ClockId::Boottime) }
    }

    /// By how many seconds these are behind earlier readings: absolute timeouts would take that
    /// much longer. `None` if they are not.
    pub fn behind(&self, then: &Clocks) -> Option<u64> {
        let behind = [(self.monotonic, then.monotonic), (self.boottime, then.boottime)]
            .map(|(now, then)| then.saturating_sub(now).div_ceil(1_000_000_000));
        behind.into_iter().max().filter(|seconds| *seconds > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clock_that_went_back_is_behind() {
        let at =
            |seconds: u64| Clocks { monotonic: seconds * 1_000_000_000, boottime: seconds * 1_000_000_000 };
        assert_eq!(at(10).behind(&at(10)), None);
        assert_eq!(at(11).behind(&at(10)), None);
        assert_eq!(at(10).behind(&at(510)), Some(500));
        let then = Clocks::now();
        assert_eq!(Clocks::now().behind(&then), None);
    }
}
