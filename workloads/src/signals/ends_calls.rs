//! A signal arrives while a process is stopped in a call: when it continues, the handler runs and
//! the call ends with EINTR, or is restarted with SA_RESTART (signal(7), "Interruption of system
//! calls"). If the call were restarted after the handler, nothing would end it any more.

use crate::framework::prelude::*;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

pub const WORKLOAD: Workload = Workload {
    purpose: "signals pending for processes that are stopped in calls, which they end",
    needs: &[],
    active: false,
    statik: false,
    run,
};

static RUNS: AtomicU64 = AtomicU64::new(0);

extern "C" fn count(_: i32, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
    RUNS.fetch_add(1, SeqCst);
}

/// Makes a call that only a signal ends.
fn call(nr: libc::c_long, arguments: [usize; 6]) -> i64 {
    let [a, b, c, d, e, f] = arguments;
    // SAFETY: what the arguments point to lives in the callers until the call has ended.
    unsafe { libc::syscall(nr, a, b, c, d, e, f) }
}

/// In a child: the call ends with EINTR, after one run of the handler.
fn ends(name: &'static str, nr: libc::c_long, arguments: [usize; 6]) -> anyhow::Result<Child> {
    let child = fork(name, || {
        signal::handle(libc::SIGUSR1, count, 0, &[])?;
        expect_eq("errno", sys::errno_of(call(nr, arguments)), Some(libc::EINTR))?;
        expect_eq("runs of the handler", RUNS.load(SeqCst), 1u64)
    })?;
    child.wait_blocked_in(nr)?;
    Ok(child)
}

/// Waits until a child, named after its call, has exited. One that sleeps after its signal was
/// handled never does.
fn leaves_call(child: &Child) -> Outcome {
    sync::wait_until("the end of a call", || {
        let taken = procfs::bits(child.pid, "ShdPnd")? == 0;
        let state = procfs::Stat::of(child.pid)?.state;
        anyhow::ensure!(!(taken && state == 'S'), "{} was made again behind the handler", child.name);
        Ok(state == 'Z')
    })
}

fn run(cx: &mut Ctx) -> Outcome {
    let (reader, writer) = fd::pipe(0)?;
    let own = std::os::fd::AsRawFd::as_raw_fd(&reader) as usize;
    let long = libc::timespec { tv_sec: 1_000_000, tv_nsec: 0 };
    let (mut byte, word, time) = (0u8, 0u32, (&raw const long) as usize);
    let (byte, word) = ((&raw mut byte) as usize, (&raw const word) as usize);
    let wait = (libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG) as usize;
    let set = signal::bit(libc::SIGUSR2);
    let set = (&raw const set) as usize;

    let restarts = fork("read with SA_RESTART", || {
        signal::handle(libc::SIGUSR1, count, libc::SA_RESTART, &[])?;
        expect_bytes("what is read", &fd::read_some(&reader, 16)?, b"after")?;
        expect_eq("runs of the handler", RUNS.load(SeqCst), 1u64)
    })?;
    restarts.wait_blocked_in(libc::SYS_read)?;
    let ended = [
        ends("read", libc::SYS_read, [own, byte, 1, 0, 0, 0])?,
        ends("ppoll", libc::SYS_ppoll, [0, 0, 0, 0, 8, 0])?,
        ends("pselect6", libc::SYS_pselect6, [0; 6])?,
        ends("nanosleep", libc::SYS_nanosleep, [time, 0, 0, 0, 0, 0])?,
        ends("futex", libc::SYS_futex, [word, wait, 0, 0, 0, 0])?,
        ends("futex with an end", libc::SYS_futex, [word, wait, 0, time, 0, 0])?,
        ends("rt_sigtimedwait", libc::SYS_rt_sigtimedwait, [set, 0, 0, 8, 0, 0])?,
    ];
    for child in ended.iter().chain([&restarts]) {
        child.kill(libc::SIGSTOP)?;
        child.wait_stopped()?;
        child.kill(libc::SIGUSR1)?;
    }

    cx.ready()?;

    for child in &ended {
        child.kill(libc::SIGCONT)?;
    }
    for child in ended {
        leaves_call(&child)?;
        child.join()?;
    }
    restarts.kill(libc::SIGCONT)?;
    sync::wait_until("the handler to have run", || Ok(procfs::bits(restarts.pid, "ShdPnd")? == 0))?;
    restarts.wait_blocked_in(libc::SYS_read)?;
    fd::write_all(&writer, b"after")?;
    restarts.join()
}
