//! timerfd_create(2): timers read through descriptors.

use super::description::{Descriptions, Descriptor};
use super::inode::Observed;
use super::{Holder, Identity, Kind, Made, Once, Programs, Restored, Verbs, Way};
use crate::error::{Context, Error, Problem, Result};
use crate::proc::fdinfo::FdInfo;
use crate::remote::Arg;
use crate::resource::timer::Setting;
use crate::sys;
use rustix::thread::{CpuSet, clock_nanosleep_relative, sched_setaffinity};
use rustix::time::{ClockId, TimerfdClockId, TimerfdFlags, Timespec};
use serde::{Deserialize, Serialize};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// The state of a timerfd.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timerfd {
    /// `CLOCK_*`
    pub clock: i32,
    /// `TFD_TIMER_*` of the last timerfd_settime(2).
    pub flags: i32,
    /// Expirations not read yet.
    pub ticks: u64,
    /// Time to the next expiration; with `TFD_TIMER_ABSTIME` the clock time of the next expiration.
    pub setting: Setting,
    /// Of the first look, until the state is captured.
    #[serde(skip)]
    first: Option<First>,
}

/// What a first look at a timer shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct First {
    /// It has time left, or has expired.
    armed: bool,
    at: Instant,
}

// include/uapi/linux/time.h and include/uapi/linux/timerfd.h
const CLOCK_REALTIME_ALARM: i32 = 8;
const CLOCK_BOOTTIME_ALARM: i32 = 9;
const CLOCKS: &[i32] = &[
    libc::CLOCK_REALTIME,
    libc::CLOCK_MONOTONIC,
    libc::CLOCK_BOOTTIME,
    CLOCK_REALTIME_ALARM,
    CLOCK_BOOTTIME_ALARM,
];
/// `_IOW('T', 0, __u64)`
const TFD_IOC_SET_TICKS: rustix::ioctl::Opcode = rustix::ioctl::opcode::write::<u64>(b'T', 0);

pub(super) fn recognise(seen: &Observed<'_>) -> Option<Result<Kind>> {
    (seen.link.0 == b"anon_inode:[timerfd]").then(|| Ok(Kind::Timerfd(Timerfd::default())))
}

impl Verbs for Timerfd {
    fn name(&self) -> &'static str {
        "timerfd"
    }

    fn identity(&self) -> Identity {
        Identity::Description
    }

    fn look(&mut self, info: &FdInfo) {
        let armed = Timerfd::read(info).is_some_and(|timer| !timer.seems_disarmed());
        self.first = Some(First { armed, at: Instant::now() });
    }

    fn capture(&mut self, descriptors: &[Descriptor], _all: &Descriptions<'_>) -> Result<()> {
        let descriptor = Descriptor::only(descriptors);
        let fd = descriptor.duplicate()?;
        let first = self.first.unwrap_or_else(|| First { armed: false, at: Instant::now() });
        if !first.armed {
            await_expired_before(first.at).context(|| format!("{}: wait for timers", descriptor.at()))?;
        }
        let mut state = settled(descriptor, &fd)?;
        if state.is_overdue(first.armed) {
            const SHORTEST: u64 = 1;
            state.setting.value = if state.is_absolute() { state.now() } else { SHORTEST };
        }
        if state.clock_was_set() {
            let why = " is a timerfd with an unread clock change (TFD_TIMER_CANCEL_ON_SET); read it first";
            return Err(Error::unsupported_now(Problem::of(descriptor.at(), why)));
        }
        *self = state;
        Ok(())
    }

    fn validate(&self) -> Result<(), String> {
        if CLOCKS.contains(&self.clock) && self.flags & !TFD_SETTIME_FLAGS == 0 {
            return Ok(());
        }
        Err("a timerfd with an unknown clock or unknown flags".into())
    }

    fn make(&self, _way: &Way<'_>) -> Result<Box<dyn Made>> {
        let clock = match self.clock {
            libc::CLOCK_REALTIME => TimerfdClockId::Realtime,
            libc::CLOCK_BOOTTIME => TimerfdClockId::Boottime,
            CLOCK_REALTIME_ALARM => TimerfdClockId::RealtimeAlarm,
            CLOCK_BOOTTIME_ALARM => TimerfdClockId::BoottimeAlarm,
            _ => TimerfdClockId::Monotonic,
        };
        let fd = rustix::time::timerfd_create(clock, TimerfdFlags::CLOEXEC)
            .context(|| "make timerfd (an alarm clock needs CAP_WAKE_ALARM)")?;
        Ok(Box::new(Once::new(fd)))
    }

    /// As late as possible, so that little of its time passes before the process runs.
    fn late(&self, file: usize, job: &Restored<'_>, programs: &mut Programs) -> Result<(), String> {
        let Holder { pid, fd, .. } = job.holders.of(file)[0];
        let program = programs.of(pid);
        let Timerfd { flags, ticks, setting, .. } = self.to_arm();
        if setting != Setting::default() || flags != 0 {
            let spec = program.bytes(setting.encode(1));
            let args: [Arg; 3] = [fd.fd.into(), flags.into(), spec.into()];
            program.call_ok(libc::SYS_timerfd_settime, &args, format!("arm timerfd {}", fd.fd));
        }
        if ticks != 0 {
            let word = program.bytes(ticks.to_ne_bytes());
            let args: [Arg; 3] = [fd.fd.into(), TFD_IOC_SET_TICKS.into(), word.into()];
            let what = format!("set expirations of timerfd {} (needs CONFIG_CHECKPOINT_RESTORE)", fd.fd);
            program.call_ok(libc::SYS_ioctl, &args, what);
        }
        Ok(())
    }
}

const TFD_TIMER_ABSTIME: i32 = 1;
/// `TFD_TIMER_ABSTIME` and `TFD_TIMER_CANCEL_ON_SET`.
const TFD_SETTIME_FLAGS: i32 = 3;

impl Timerfd {
    fn read(info: &FdInfo) -> Option<Self> {
        let pair = |name: &str| {
            let (seconds, nanos) =
                info.field(name)?.strip_prefix('(')?.strip_suffix(')')?.split_once(", ")?;
            seconds.parse::<u64>().ok()?.checked_mul(NANOS)?.checked_add(nanos.parse().ok()?)
        };
        Some(Timerfd {
            clock: info.field("clockid")?.parse().ok()?,
            ticks: info.field("ticks")?.parse().ok()?,
            flags: i32::from_str_radix(info.field("settime flags")?, 8).ok()?,
            setting: Setting { value: pair("it_value")?, interval: pair("it_interval")? },
            first: None,
        })
    }

    /// No time left and not expired: disarmed, or overdue.
    fn seems_disarmed(&self) -> bool {
        self.setting.value == 0 && self.ticks == 0
    }

    /// Whether it has expired and the kernel has not counted that, because interrupts are delayed
    /// on its CPU, a virtual one that does not run for example. `was_armed` before: then it did not
    /// count as expired, and nothing has changed it.
    fn is_overdue(&self, was_armed: bool) -> bool {
        let is_periodic_and_counted = self.ticks != 0 && self.setting.interval != 0;
        self.setting.value == 0 && (is_periodic_and_counted || self.ticks == 0 && was_armed)
    }

    fn is_absolute(&self) -> bool {
        self.flags & TFD_TIMER_ABSTIME != 0
    }

    /// Whether the next read fails with ECANCELED because the clock was set: a one-shot timer that
    /// has expired has no time left (fs/timerfd.c, `timerfd_clock_was_set`).
    fn clock_was_set(&self) -> bool {
        self.setting.interval == 0 && self.setting.value != 0 && self.ticks != 0
    }

    /// Current time of its clock, in nanoseconds.
    fn now(&self) -> u64 {
        let now = rustix::time::clock_gettime(match self.clock {
            libc::CLOCK_REALTIME | CLOCK_REALTIME_ALARM => ClockId::Realtime,
            libc::CLOCK_MONOTONIC => ClockId::Monotonic,
            _ => ClockId::Boottime,
        });
        now.tv_sec as u64 * NANOS + now.tv_nsec as u64
    }

    /// The state to set by timerfd_settime(2), and the expirations to add afterwards.
    fn to_arm(&self) -> Self {
        /// Minimum time to the first expiration, so that setting the count does not overwrite it.
        const MARGIN: u64 = NANOS / 10;
        let mut armed = self.clone();
        let Setting { value, interval } = self.setting;
        if self.ticks == 0 || interval == 0 || value == 0 {
            return armed;
        }
        if self.is_absolute() {
            // Start that many periods earlier: the kernel counts from there.
            let earlier = interval.saturating_mul(self.ticks);
            armed.setting.value = value.saturating_sub(earlier).max(1);
            armed.ticks = 0;
        } else {
            armed.setting.value = value.max(MARGIN);
        }
        armed
    }
}

const NANOS: u64 = 1_000_000_000;

/// Reads the state. The kernel updates the expiration count of a periodic timer only in
/// timerfd_gettime(2); remaining time and count are not read atomically, and have to be consistent.
fn settled(descriptor: &Descriptor, fd: &OwnedFd) -> Result<Timerfd> {
    const ATTEMPTS: usize = 100;
    // With the clock time of the reading.
    let look = || -> Result<(Timerfd, u64)> {
        rustix::time::timerfd_gettime(fd).context(|| format!("{}: read timer", descriptor.at()))?;
        let unknown = || {
            let what = "cannot read the state of a timerfd (needs CONFIG_CHECKPOINT_RESTORE)";
            Error::unsupported(format!("{}: {what}", descriptor.at()))
        };
        let timer = Timerfd::read(&descriptor.info()?).ok_or_else(unknown)?;
        let now = timer.now();
        Ok((timer, now))
    };
    let (mut timer, mut now) = look()?;
    // Bounded for timers that expire faster than they can be read: there one expiration more or
    // less does not matter.
    for _ in 0..ATTEMPTS {
        let (later, then) = look()?;
        let is_armed = |timer: &Timerfd| timer.setting.value != 0;
        // No expiration in between: only time has passed.
        if later.ticks == timer.ticks && is_armed(&later) == is_armed(&timer) {
            break;
        }
        (timer, now) = (later, then);
    }
    // An absolute timer expires at the same clock time even if the clock is set, or time passes
    // between checkpoint and restart.
    if timer.is_absolute() && timer.setting.value != 0 {
        timer.setting.value += now;
    }
    Ok(timer)
}

/// Waits until the kernel has counted every timer that had expired before `at`. A timer that is
/// overdue looks like a disarmed one in /proc (fs/timerfd.c, `timerfd_get_remaining`).
///
/// All timers have been looked at before the first is captured, so that one wait is enough for all.
fn await_expired_before(at: Instant) -> io::Result<()> {
    /// When the last wait began.
    static BEGUN: Mutex<Option<Instant>> = Mutex::new(None);
    let mut begun = BEGUN.lock().expect("no wait panics");
    if begun.is_some_and(|begun| begun > at) {
        return Ok(());
    }
    let now = Instant::now();
    expire_on_each_cpu()?;
    *begun = Some(now);
    Ok(())
}

/// Has a timer expire on every CPU: its interrupt also runs all other timers that have expired
/// there (kernel/time/hrtimer.c, `hrtimer_interrupt`). The sleep of a running thread is timed by
/// its own CPU (`get_nohz_timer_target`).
fn expire_on_each_cpu() -> io::Result<()> {
    /// For CPUs that we may not run on.
    const LONG: Duration = Duration::from_millis(1);
    const SHORT: Timespec = Timespec { tv_sec: 0, tv_nsec: 1 };
    let online = std::fs::read_to_string("/sys/devices/system/cpu/online")?;
    let sleep = move || -> io::Result<()> {
        sys::prctl(libc::PR_SET_TIMERSLACK, [1, 0, 0, 0])?;
        let mut all = true;
        for cpu in cpus(&online) {
            let mut one = CpuSet::new();
            if cpu < CpuSet::MAX_CPU {
                one.set(cpu);
            }
            match sched_setaffinity(None, &one) {
                // Interrupted or not, its timer has been started.
                Ok(()) => drop(clock_nanosleep_relative(ClockId::Monotonic, &SHORT)),
                Err(_) => all = false,
            }
        }
        if !all {
            std::thread::sleep(LONG);
        }
        Ok(())
    };
    std::thread::scope(|scope| scope.spawn(sleep).join().expect("it does not panic"))
}

/// The numbers in a list such as `0-3,8`.
fn cpus(list: &str) -> impl Iterator<Item = usize> {
    list.trim().split(',').flat_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        match (first.parse(), last.parse::<usize>()) {
            (Ok(first), Ok(last)) => first..last + 1,
            _ => 0..0,
        }
    })
}

#[cfg(feature = "planted-faults")]
pub(super) const FAULTS: &[crate::resource::fault::Fault] = &[
    crate::resource::fault::Fault {
        name: "timerfd-disarmed",
        what: "timerfds are not armed",
        commit: |r| each(r, |timer| timer.setting = Setting::default()),
    },
    crate::resource::fault::Fault {
        name: "timerfd-expirations-lost",
        what: "unread expirations of timerfds are lost",
        commit: |r| each(r, |timer| timer.ticks = 0),
    },
];

#[cfg(feature = "planted-faults")]
fn each(records: &mut crate::resource::Records, change: impl Fn(&mut Timerfd)) {
    for inode in &mut records.inodes {
        if let Kind::Timerfd(timer) = &mut inode.kind {
            change(timer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const SECOND: u64 = NANOS;

    fn timer(flags: i32, ticks: u64, value: u64, interval: u64) -> Timerfd {
        let setting = Setting { value, interval };
        Timerfd { clock: libc::CLOCK_MONOTONIC, flags, ticks, setting, first: None }
    }

    #[rstest]
    #[case::expired(timer(0, 1, 0, 0), false)]
    #[case::running(timer(0, 0, SECOND, 0), false)]
    #[case::periodic(timer(0, 2, SECOND, SECOND), false)]
    #[case::set(timer(TFD_SETTIME_FLAGS, 1, SECOND, 0), true)]
    fn a_clock_that_was_set_shows(#[case] timer: Timerfd, #[case] was_set: bool) {
        assert_eq!(timer.clock_was_set(), was_set);
    }

    #[rstest]
    #[case::disarmed(timer(0, 0, 0, 0), false, false)]
    #[case::disarmed_with_an_interval(timer(0, 0, 0, SECOND), false, false)]
    #[case::armed(timer(0, 0, 5, 0), true, false)]
    #[case::overdue(timer(0, 0, 0, 0), true, true)]
    #[case::overdue_and_periodic(timer(0, 0, 0, SECOND), true, true)]
    #[case::expired_once(timer(0, 1, 0, 0), true, false)]
    #[case::overdue_again(timer(0, 4, 0, SECOND), false, true)]
    fn an_overdue_timer_is_armed(#[case] timer: Timerfd, #[case] was_armed: bool, #[case] is: bool) {
        assert_eq!(timer.is_overdue(was_armed), is);
    }

    #[test]
    fn a_list_of_cpus() {
        assert_eq!(cpus("0-3,8,10-11\n").collect::<Vec<_>>(), [0, 1, 2, 3, 8, 10, 11]);
        assert_eq!(cpus("0\n").collect::<Vec<_>>(), [0]);
        assert_eq!(cpus("").count(), 0);
    }

    #[test]
    fn what_had_expired_is_counted_after_the_wait() {
        let soon = rustix::time::Timespec { tv_sec: 0, tv_nsec: 1 };
        let never = rustix::time::Timespec { tv_sec: 0, tv_nsec: 0 };
        let spec = rustix::time::Itimerspec { it_value: soon, it_interval: never };
        for _ in 0..200 {
            let fd = rustix::time::timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC).unwrap();
            rustix::time::timerfd_settime(&fd, rustix::time::TimerfdTimerFlags::empty(), &spec).unwrap();
            await_expired_before(Instant::now()).unwrap();
            let number = std::os::fd::AsRawFd::as_raw_fd(&fd);
            let info = FdInfo::read(std::process::id() as i32, number).unwrap();
            assert_eq!(Timerfd::read(&info).unwrap().ticks, 1);
        }
    }

    #[test]
    fn the_state_is_read_as_the_kernel_prints_it() {
        let fd = rustix::time::timerfd_create(TimerfdClockId::Boottime, TimerfdFlags::CLOEXEC).unwrap();
        let set = |value, interval, flags| {
            let time = |seconds| rustix::time::Timespec { tv_sec: seconds, tv_nsec: 0 };
            let spec = rustix::time::Itimerspec { it_value: time(value), it_interval: time(interval) };
            rustix::time::timerfd_settime(&fd, flags, &spec).unwrap();
        };
        let pid = std::process::id() as i32;
        let descriptor = Descriptor {
            process: sys::task::Seen::by_leader(pid),
            fd: std::os::fd::AsRawFd::as_raw_fd(&fd),
            flags: libc::O_RDWR,
        };
        set(1000, 7, rustix::time::TimerfdTimerFlags::empty());
        let read = settled(&descriptor, &fd).unwrap();
        assert_eq!(
            (read.clock, read.flags, read.ticks, read.setting.interval),
            (libc::CLOCK_BOOTTIME, 0, 0, 7 * SECOND)
        );
        assert!((999 * SECOND..=1000 * SECOND).contains(&read.setting.value), "{read:?}");
        // Started at the clock's epoch.
        set(1, 1_000_000, rustix::time::TimerfdTimerFlags::ABSTIME);
        let read = settled(&descriptor, &fd).unwrap();
        assert_eq!((read.flags, read.ticks), (TFD_TIMER_ABSTIME, 1));
        let next = 1_000_001 * SECOND;
        assert!((next..next + SECOND).contains(&read.setting.value), "{read:?}");
    }

    #[rstest]
    #[case::running(timer(0, 0, 5 * SECOND, SECOND), (5 * SECOND, 0))]
    #[case::expired_once(timer(0, 1, 0, 0), (0, 1))]
    #[case::periodic_and_not_read(timer(0, 3, SECOND, 2 * SECOND), (SECOND, 3))]
    #[case::about_to_expire_again(timer(0, 3, 5, 2 * SECOND), (SECOND / 10, 3))]
    #[case::absolute(timer(TFD_TIMER_ABSTIME, 0, 90 * SECOND, SECOND), (90 * SECOND, 0))]
    #[case::absolute_and_not_read(timer(TFD_TIMER_ABSTIME, 3, 90 * SECOND, 20 * SECOND), (30 * SECOND, 0))]
    #[case::absolute_from_before_the_clock(timer(TFD_TIMER_ABSTIME, 9, 90 * SECOND, 20 * SECOND), (1, 0))]
    fn how_it_is_armed(#[case] timer: Timerfd, #[case] (value, ticks): (u64, u64)) {
        let armed = timer.to_arm();
        assert_eq!((armed.setting.value, armed.ticks), (value, ticks));
        assert_eq!(armed.setting.interval, timer.setting.interval);
    }
}
