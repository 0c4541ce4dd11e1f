//! Sleeps that a stop has interrupted and the kernel continues: they are in restart_syscall(2), and
//! their own number is not in the registers. None may end before a handler runs.

use super::helpers;
use crate::framework::prelude::*;
use std::sync::atomic::{AtomicBool, Ordering};

pub const WORKLOAD: Workload = Workload {
    purpose: "nanosleep, futex and poll with a timeout that were stopped and continued before",
    needs: &[],
    // A checkpoint interrupts the calls once more, and the kernel then writes the remaining time
    // into memory.
    active: true,
    statik: true,
    run,
};

static HANDLED: AtomicBool = AtomicBool::new(false);

extern "C" fn handle(_: i32, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
    HANDLED.store(true, Ordering::SeqCst);
}

/// Waits until the process sleeps in any system call: which one depends on the libc, and on
/// earlier interruptions.
fn wait_asleep(child: &Child) -> Outcome {
    sync::wait_until(&format!("{} ({}) to sleep", child.name, child.pid), || {
        expect(procfs::Stat::of(child.pid)?.state != 'Z', || format!("{} has ended", child.name))?;
        let text = std::fs::read_to_string(format!("/proc/{}/syscall", child.pid)).context("read syscall")?;
        let number = text.split_whitespace().next().and_then(|word| word.parse::<i64>().ok());
        Ok(number.is_some_and(|nr| nr >= 0) && procfs::Stat::of(child.pid)?.state == 'S')
    })
}

/// The expected result of such a sleep: EINTR, once the handler has run.
fn expect_interrupted(what: &str, rc: libc::c_long) -> Outcome {
    expect_eq(&format!("errno of {what}"), sys::errno_of(rc), Some(libc::EINTR))?;
    expect(HANDLED.load(Ordering::SeqCst), || format!("{what} ended before the handler ran"))
}

fn run(cx: &mut Ctx) -> Outcome {
    signal::handle(libc::SIGUSR1, handle, 0, &[])?;
    let long = helpers::timespec(helpers::LONG);
    let sleeps = fork("the process in nanosleep", || {
        let mut left = helpers::timespec(std::time::Duration::ZERO);
        // SAFETY: both live through the call.
        let rc = unsafe { libc::nanosleep(&long, &mut left) };
        expect_interrupted("nanosleep", rc.into())
    })?;
    let waits = fork("the process in futex", || {
        let word = std::cell::Cell::new(0u32);
        let wait = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
        // SAFETY: word and time live through the call.
        let rc = unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), wait, 0, &long) };
        expect_interrupted("futex", rc)
    })?;
    let polls = fork("the process in poll", || {
        // SAFETY: no descriptors.
        let rc = unsafe { libc::poll(std::ptr::null_mut(), 0, helpers::LONG.as_millis() as i32) };
        expect_interrupted("poll", rc.into())
    })?;
    let children = [&sleeps, &waits, &polls];
    for child in children {
        wait_asleep(child)?;
        child.kill(libc::SIGSTOP)?;
        let mut status = 0;
        // SAFETY: the status lives through the call.
        sys::check("waitpid", unsafe { libc::waitpid(child.pid, &mut status, libc::WUNTRACED) })?;
        expect(libc::WIFSTOPPED(status), || format!("status {status:#x} is no stop"))?;
        child.kill(libc::SIGCONT)?;
        wait_asleep(child)?;
    }

    cx.ready()?;

    for child in children {
        wait_asleep(child)?;
        child.kill(libc::SIGUSR1)?;
    }
    sleeps.join()?;
    waits.join()?;
    polls.join()
}
