//! Handlers that were installed before run afterwards, with their masks and flags in effect.

use crate::framework::prelude::*;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

pub const WORKLOAD: Workload = Workload {
    purpose: "handlers run after a restart, with SA_NODEFER, SA_RESETHAND and the mask in force",
    needs: &[],
    active: false,
    statik: true,
    run,
};

static RUNS: AtomicU64 = AtomicU64::new(0);
static VALUE: AtomicU64 = AtomicU64::new(0);
static INSIDE: AtomicU64 = AtomicU64::new(0);

extern "C" fn note(_: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel passes a whole siginfo to a handler with SA_SIGINFO.
    let info = unsafe { &*info.cast::<signal::Info>() };
    VALUE.store(info.value() as u64, SeqCst);
    INSIDE.store(signal::mask().unwrap_or(0), SeqCst);
    RUNS.fetch_add(1, SeqCst);
}

fn run(cx: &mut Ctx) -> Outcome {
    let me = sys::getpid();
    let rt = libc::SIGRTMIN() + 3;
    signal::handle(libc::SIGUSR1, note, 0, &[libc::SIGHUP, rt])?;
    signal::handle(libc::SIGUSR2, note, libc::SA_NODEFER, &[libc::SIGTERM])?;
    signal::handle(rt, note, libc::SA_RESETHAND, &[])?;
    signal::queue(me, libc::SIGUSR1, 5)?;
    expect_eq("runs before", RUNS.load(SeqCst), 1u64)?;
    signal::block(&[libc::SIGWINCH])?;

    cx.ready()?;

    let outside = signal::bit(libc::SIGWINCH);
    let cases = [
        (libc::SIGUSR1, signal::bits(&[libc::SIGUSR1, libc::SIGHUP, rt])),
        (libc::SIGUSR2, signal::bit(libc::SIGTERM)),
        (rt, signal::bit(rt)),
    ];
    for (number, blocked) in cases {
        let before = RUNS.load(SeqCst);
        signal::queue(me, number, 0x1234_5678_0000 + number as usize)?;
        expect_eq(&format!("runs of signal {number}"), RUNS.load(SeqCst) - before, 1u64)?;
        expect_eq("value", VALUE.load(SeqCst), 0x1234_5678_0000 + number as u64)?;
        expect_eq(&format!("mask in the handler of {number}"), INSIDE.load(SeqCst), blocked | outside)?;
        expect_eq("mask after the handler", signal::mask()?, outside)?;
    }
    expect_eq("handler after SA_RESETHAND", signal::action(rt)?.handler, libc::SIG_DFL)?;
    expect(signal::action(libc::SIGUSR1)?.handler == note as *const () as usize, || {
        "SIGUSR1 lost its handler".into()
    })
}
