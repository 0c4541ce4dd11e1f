//! POSIX timers that notify the process, one thread, or nothing, each with its own value.

use super::helpers;
use crate::framework::prelude::*;
use std::time::Duration;

pub const WORKLOAD: Workload = Workload {
    purpose: "whom a POSIX timer tells, by which signal, with which value",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    static GO: Cell = Cell::new();
    const SIGNALS: [i32; 4] = [libc::SIGUSR1, 41, 42, libc::SIGALRM];
    signal::block(&SIGNALS)?;
    let listener = thread::spawn(|| {
        GO.block_until(1);
        let info = signal::take_soon(&[42])?;
        let got = (info.code(), info.value());
        expect_eq("what the thread is told", got, (libc::SI_TIMER, 0xdead_beef_0000_0042))
    })?;
    listener.wait_blocked_in(libc::SYS_futex)?;
    let process = helpers::create(libc::CLOCK_MONOTONIC, helpers::Notify::Signal(libc::SIGUSR1, usize::MAX))?;
    let realtime = helpers::create(libc::CLOCK_REALTIME, helpers::Notify::Signal(41, 0))?;
    let thread = helpers::create(
        libc::CLOCK_MONOTONIC,
        helpers::Notify::Thread(listener.tid, 42, 0xdead_beef_0000_0042),
    )?;
    let nobody = helpers::create(libc::CLOCK_MONOTONIC, helpers::Notify::Nobody)?;
    let listed = helpers::listed()?;

    cx.ready()?;

    expect_eq("/proc/self/timers", helpers::listed()?, listed)?;
    let soon = (Duration::from_millis(1), Duration::ZERO);
    for id in [process, realtime, thread, nobody] {
        helpers::set(id, soon, false)?;
    }
    for (number, id, value) in [(libc::SIGUSR1, process, usize::MAX), (41, realtime, 0)] {
        let info = signal::take_soon(&[number])?;
        expect_eq(
            "code, timer, value",
            (info.code(), info.timer(), info.value()),
            (libc::SI_TIMER, id, value),
        )?;
    }
    sync::wait_until("the timer that tells nobody", || Ok(helpers::get(nobody)?.0.is_zero()))?;
    GO.set(1);
    listener.join()?;
    expect_eq("further signals", signal::take(&SIGNALS)?, None)
}
