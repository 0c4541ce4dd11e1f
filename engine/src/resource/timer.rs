//! Interval timers and POSIX timers.

use super::signal::Pending;
use crate::error::{Error, Result};
use crate::remote::{Arg, CallId, DataId, Program, ProgramOutput};
use serde::{Deserialize, Serialize};

/// A timer's state, in nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// Period after the first expiration; 0 for one-shot.
    pub interval: u64,
    /// Time to the next expiration; 0 when disarmed.
    pub value: u64,
}

const NANOS: u64 = 1_000_000_000;

impl Setting {
    /// Decodes two pairs of (seconds, fraction), with the fraction in units of `unit` nanoseconds.
    fn decode(bytes: &[u8], unit: u64) -> Self {
        let word = |i: usize| u64::from_ne_bytes(bytes[i * 8..i * 8 + 8].try_into().expect("eight bytes"));
        Setting { interval: word(0) * NANOS + word(1) * unit, value: word(2) * NANOS + word(3) * unit }
    }

    /// Encodes it for the kernel, with the fraction in units of `unit` nanoseconds.
    pub fn encode(&self, unit: u64) -> Vec<u8> {
        // Round up: a value rounded to 0 would disarm the timer.
        let round = |ns: u64| (ns / NANOS, (ns % NANOS).div_ceil(unit));
        let (interval, value) = (round(self.interval), round(self.value));
        [interval.0, interval.1, value.0, value.1].iter().flat_map(|w| w.to_ne_bytes()).collect()
    }

    /// It has expired since it was read: moves `value` to the expiration after that, if there is
    /// one.
    fn has_fired(&mut self) {
        if self.value != 0 {
            self.value = if self.interval == 0 { 0 } else { self.value + self.interval };
        }
    }

    fn is_idle(&self) -> bool {
        *self == Setting::default()
    }
}

/// The timers of setitimer(2).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntervalTimers {
    /// `ITIMER_REAL`
    pub real: Setting,
    /// `ITIMER_VIRTUAL`
    pub virt: Setting,
    /// `ITIMER_PROF`
    pub prof: Setting,
}

/// Nanoseconds in a microsecond.
const MICRO: u64 = 1000;
const ITIMERSPEC_SIZE: usize = 32;

/// Reads a process's interval timers.
pub struct AskIntervalTimers([DataId; 3]);

impl AskIntervalTimers {
    /// Adds the calls.
    pub fn ask(program: &mut Program) -> Self {
        AskIntervalTimers([0, 1, 2].map(|which: i32| {
            let out = program.out(ITIMERSPEC_SIZE);
            program.call_ok(
                libc::SYS_getitimer,
                &[which.into(), out.into()],
                format!("read interval timer {which}"),
            );
            out
        }))
    }

    /// All three timers.
    pub fn answer(&self, outcome: &ProgramOutput) -> IntervalTimers {
        let [real, virt, prof] = self.0.map(|out| Setting::decode(outcome.data(out), MICRO));
        IntervalTimers { real, virt, prof }
    }
}

impl IntervalTimers {
    /// Arms the timers that were armed.
    pub fn rebuild(&self, program: &mut Program) {
        for (which, setting) in [self.real, self.virt, self.prof].iter().enumerate() {
            if !setting.is_idle() {
                // Between its expiration and the delivery of its signal a periodic timer has no
                // time left and is not rearmed yet (kernel/time/itimer.c); set like that, it would
                // be disarmed for good.
                let setting = Setting { value: setting.value.max(1), ..*setting };
                let spec = program.bytes(setting.encode(MICRO));
                program.call_ok(
                    libc::SYS_setitimer,
                    &[which.into(), spec.into()],
                    format!("arm interval timer {which}"),
                );
            }
        }
    }
}

/// How a POSIX timer notifies of its expiration (`sigev_notify`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Notify {
    /// Not at all.
    None,
    /// By a signal to the process.
    Signal,
    /// By a signal to the thread with this tid.
    Thread(i32),
}

/// A timer of timer_create(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PosixTimer {
    /// Its id.
    pub id: i32,
    /// `CLOCK_*`, or a CPU clock of the process or a thread.
    pub clock: i32,
    /// Notification.
    pub notify: Notify,
    /// Signal number.
    pub signal: i32,
    /// `sigev_value`
    pub value: u64,
    /// State; filled in by [`AskPosixTimers`].
    pub setting: Setting,
}

/// Parses /proc/PID/timers (fs/proc/base.c, `show_timer`): everything but the setting.
///
/// # Errors
/// *unsupported* for an unknown format.
pub fn parse(pid: i32, text: &str) -> Result<Vec<PosixTimer>> {
    let odd = |what: &str| Error::unsupported(format!("pid {pid}: POSIX timer: cannot read {what:?}"));
    let mut timers = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let id = line.strip_prefix("ID: ").and_then(|v| v.parse().ok()).ok_or_else(|| odd(line))?;
        let mut field = |name: &str| lines.next().and_then(|l| l.strip_prefix(name)).ok_or_else(|| odd(name));
        let signal = field("signal: ")?;
        let notify = field("notify: ")?;
        let clock = field("ClockID: ")?;
        let (signo, value) = signal.split_once('/').ok_or_else(|| odd(signal))?;
        let (how, whom) = notify.split_once('/').ok_or_else(|| odd(notify))?;
        let target = whom.split_once('.').ok_or_else(|| odd(notify))?;
        let notify = match (how, target.0) {
            ("none", _) => Notify::None,
            ("signal", "pid") => Notify::Signal,
            ("signal", "tid") => Notify::Thread(target.1.parse().map_err(|_| odd(notify))?),
            _ => return Err(odd(notify)),
        };
        timers.push(PosixTimer {
            id,
            clock: clock.trim().parse().map_err(|_| odd(clock))?,
            notify,
            signal: signo.parse().map_err(|_| odd(signal))?,
            value: u64::from_str_radix(value.trim_start_matches("0x"), 16).map_err(|_| odd(signal))?,
            setting: Setting::default(),
        });
    }
    timers.sort_by_key(|t| t.id);
    Ok(timers)
}

/// Reads the settings of the timers listed in /proc.
pub struct AskPosixTimers(Vec<(PosixTimer, DataId)>);

impl AskPosixTimers {
    /// Adds the calls.
    pub fn ask(program: &mut Program, timers: Vec<PosixTimer>) -> Self {
        AskPosixTimers(
            timers
                .into_iter()
                .map(|timer| {
                    let out = program.out(ITIMERSPEC_SIZE);
                    let what = format!("read POSIX timer {}", timer.id);
                    program.call_ok(libc::SYS_timer_gettime, &[timer.id.into(), out.into()], what);
                    (timer, out)
                })
                .collect(),
        )
    }

    /// The timers with their settings.
    pub fn answer(&self, outcome: &ProgramOutput) -> Vec<PosixTimer> {
        let read = |(timer, out): &(PosixTimer, DataId)| PosixTimer {
            setting: Setting::decode(outcome.data(*out), 1),
            ..*timer
        };
        self.0.iter().map(read).collect()
    }
}

/// Adjusts timers that were read between two captures of the pending signals to the second one. A
/// timer may have expired after it was read, and its signal would be sent twice. (One that expires
/// before it is read has its signal in the second capture, which is the one recorded.)
pub fn reconcile(
    before: &[Pending],
    after: &[Pending],
    interval: &mut IntervalTimers,
    posix: &mut [PosixTimer],
) {
    /// `si_code` of interval timer signals (include/uapi/asm-generic/siginfo.h).
    const SI_KERNEL: i32 = 0x80;
    for signal in after.iter().filter(|signal| !before.contains(signal)) {
        if let Some(id) = signal.timer() {
            let known = before.iter().any(|earlier| earlier.timer() == Some(id));
            posix.iter_mut().filter(|t| t.id == id && !known).for_each(|t| t.setting.has_fired());
        } else if signal.code() == SI_KERNEL {
            match signal.signal {
                libc::SIGALRM => interval.real.has_fired(),
                libc::SIGVTALRM => interval.virt.has_fired(),
                libc::SIGPROF => interval.prof.has_fired(),
                _ => {}
            }
        }
    }
    let expired = interval.real.interval == 0 && interval.real.value <= MICRO;
    if expired && after.iter().any(|signal| signal.signal == libc::SIGALRM && signal.code() == SI_KERNEL) {
        // The timer function has sent the signal but has not returned: until then the kernel
        // reports 1 µs (kernel/time/itimer.c, `itimer_get_remtime`). A second signal would be
        // dropped while the first is pending.
        interval.real.value = 0;
    }
}

/// `PR_TIMER_CREATE_RESTORE_IDS`, Linux 6.15 (include/uapi/linux/prctl.h): timer_create(2) uses the
/// given id.
const PR_TIMER_CREATE_RESTORE_IDS: i32 = 77;

/// Whether this kernel has [`PR_TIMER_CREATE_RESTORE_IDS`], probed in the engine.
pub fn restore_ids_available() -> bool {
    const GET: i32 = 2;
    crate::sys::prctl(PR_TIMER_CREATE_RESTORE_IDS, [GET as u64, 0, 0, 0]).is_ok()
}

fn sigevent(timer: &PosixTimer) -> Vec<u8> {
    const SIGEV_SIZE: usize = 64;
    let (how, tid) = match timer.notify {
        Notify::Signal => (libc::SIGEV_SIGNAL, 0),
        Notify::None => (libc::SIGEV_NONE, 0),
        Notify::Thread(tid) => (libc::SIGEV_THREAD_ID, tid),
    };
    let mut bytes = timer.value.to_ne_bytes().to_vec();
    bytes.extend(timer.signal.to_ne_bytes());
    bytes.extend(how.to_ne_bytes());
    bytes.extend(tid.to_ne_bytes());
    bytes.resize(SIGEV_SIZE, 0);
    bytes
}

/// Creates the timers with their ids. Where an id cannot be given, the kernel allocates them in
/// ascending order from 0 (kernel/time/posix-timers.c, `posix_timer_add` up to 6.14): gaps are
/// filled with timers that are deleted again.
pub fn rebuild_posix(timers: &[PosixTimer], by_wish: bool, program: &mut Program) {
    if timers.is_empty() {
        return;
    }
    let wish = |program: &mut Program, on: i32| {
        let args = [PR_TIMER_CREATE_RESTORE_IDS.into(), on.into(), Arg::Imm(0), Arg::Imm(0), Arg::Imm(0)];
        program.call_ok(libc::SYS_prctl, &args, "choose POSIX timer ids");
    };
    if by_wish {
        wish(program, 1);
    }
    let mut next = 0;
    for timer in timers {
        while !by_wish && next < timer.id {
            let id = program.bytes(0i32.to_ne_bytes());
            let args = [Arg::from(libc::CLOCK_MONOTONIC), Arg::Imm(0), id.into()];
            program.call_ok(libc::SYS_timer_create, &args, format!("skip POSIX timer id {next}"));
            program.call_ok(libc::SYS_timer_delete, &[next.into()], format!("skip POSIX timer id {next}"));
            next += 1;
        }
        let event = program.bytes(sigevent(timer));
        let id = program.bytes(timer.id.to_ne_bytes());
        let args = [timer.clock.into(), event.into(), id.into()];
        program.call_ok(libc::SYS_timer_create, &args, format!("make POSIX timer {}", timer.id));
        next = timer.id + 1;
    }
    if by_wish {
        wish(program, 0);
    }
}

/// Arms the timers that were armed; they must exist.
pub fn arm_posix(timers: &[PosixTimer], program: &mut Program) -> Vec<CallId> {
    let armed = timers.iter().filter(|t| !t.setting.is_idle());
    armed
        .map(|timer| {
            let spec = program.bytes(timer.setting.encode(1));
            let args = [timer.id.into(), Arg::Imm(0), spec.into(), Arg::Imm(0)];
            program.call_ok(libc::SYS_timer_settime, &args, format!("arm POSIX timer {}", timer.id))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::bytes::Bytes;

    const SAMPLE: &str = "ID: 3\nsignal: 60/00007fff86e452a8\nnotify: signal/tid.2634\nClockID: 1\n\
                          ID: 1\nsignal: 14/0000000000000000\nnotify: none/pid.2634\nClockID: -6\n";

    #[test]
    fn proc_timers_are_read_in_order_of_id() {
        insta::assert_debug_snapshot!(parse(2634, SAMPLE).unwrap());
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        assert!(parse(1, "ID: 3\nsignal: x\n").is_err());
    }

    #[test]
    fn a_timer_about_to_fire_is_not_disarmed() {
        let setting = Setting { interval: 0, value: 300 };
        assert_eq!(Setting::decode(&setting.encode(MICRO), MICRO).value, 1000);
    }

    fn pending(signal: i32, code: i32, timer: i32) -> Pending {
        let words = [signal, 0, code, 0, timer];
        Pending { signal, siginfo: Bytes(words.iter().flat_map(|w| w.to_ne_bytes()).collect()) }
    }

    #[test]
    fn a_timer_that_fires_while_it_is_looked_at_fires_once() {
        let setting = |interval| Setting { interval, value: 5 };
        let mut posix = parse(2634, SAMPLE).unwrap();
        (posix[0].setting, posix[1].setting) = (setting(0), setting(100));
        let real = Setting { interval: 0, value: 5 * MICRO };
        let mut interval = IntervalTimers { real, ..IntervalTimers::default() };
        let (one, three, alarm) = (pending(14, -2, 1), pending(60, -2, 3), pending(libc::SIGALRM, 0x80, 0));
        let after = [one.clone(), three.clone(), alarm.clone()];

        let (mut calm, mut same) = (posix.clone(), interval);
        reconcile(&after, &after, &mut same, &mut calm);
        assert_eq!((&calm, same), (&posix, interval), "what was pending before says nothing");

        reconcile(&[], &after, &mut interval, &mut posix);
        assert_eq!((posix[0].setting.value, posix[1].setting.value, interval.real.value), (0, 105, 0));
    }

    #[test]
    fn an_alarm_that_is_just_being_rung_is_over() {
        let alarm = [pending(libc::SIGALRM, 0x80, 0)];
        let left = |setting, pending: &[Pending]| {
            let mut interval = IntervalTimers { real: setting, ..IntervalTimers::default() };
            reconcile(pending, pending, &mut interval, &mut []);
            interval.real
        };
        let once = |value| Setting { interval: 0, value };
        let periodic = Setting { interval: 100, value: MICRO };
        assert_eq!(left(once(MICRO), &alarm), once(0));
        assert_eq!(left(once(MICRO), &[]), once(MICRO), "about to fire");
        assert_eq!(left(once(2 * MICRO), &alarm), once(2 * MICRO), "armed again");
        assert_eq!(left(periodic, &alarm), periodic, "armed again when its signal is taken");
    }

    #[test]
    fn an_alarm_from_somebody_else_is_no_expiry() {
        let mut interval =
            IntervalTimers { real: Setting { interval: 0, value: 5 }, ..IntervalTimers::default() };
        reconcile(&[], &[pending(libc::SIGALRM, 0, 77)], &mut interval, &mut []);
        assert_eq!(interval.real.value, 5);
    }

    #[test]
    fn gaps_in_the_ids_are_filled_where_the_kernel_takes_no_wish() {
        let timers = parse(2634, SAMPLE).unwrap();
        let mut program = Program::new();
        rebuild_posix(&timers, false, &mut program);
        let what: Vec<_> = program.calls().iter().map(|c| c.what.as_str()).collect();
        insta::assert_debug_snapshot!(what);
    }
}
