//! Each thread blocks different signals, including the two that libc reserves.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "the signal mask of each thread, all 64 bits",
    needs: &[],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    static GO: Cell = Cell::new();
    let mut rng = Rng::new(cx.seed);
    let mut threads = Vec::new();
    for index in 0..6 {
        let asked = rng.word();
        threads.push(thread::spawn(move || {
            signal::set_mask(asked)?;
            let want = signal::mask()?;
            GO.block_until(1);
            expect_eq(&format!("mask of thread {index}"), signal::mask()?, want)?;
            let shown = procfs::bits(sys::gettid(), "SigBlk")?;
            expect_eq("SigBlk", shown, want)
        })?);
    }
    for thread in &threads {
        thread.wait_blocked_in(libc::SYS_futex)?;
    }
    let asked = signal::bits(&[libc::SIGTERM, libc::SIGCHLD, 34, 64]);
    signal::set_mask(asked)?;

    cx.ready()?;

    expect_eq("mask of the main thread", signal::mask()?, asked)?;
    GO.set(1);
    threads.into_iter().try_for_each(Thread::join)
}
