//! Each thread has signals in its own queue; the process has others in the shared one.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "pending signals of single threads, apart from those of the process",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    static GO: Cell = Cell::new();
    let me = sys::getpid();
    let all = [libc::SIGUSR1, libc::SIGUSR2, 36, 37];
    signal::block(&all)?;
    let mut threads = Vec::new();
    for index in 0..4usize {
        threads.push(thread::spawn(move || {
            GO.block_until(1);
            let private = procfs::bits(sys::gettid(), "SigPnd")?;
            let alone = if index == 3 { 0 } else { signal::bits(&[libc::SIGUSR1, 36]) };
            expect_eq(&format!("SigPnd of thread {index}"), private, alone)?;
            if index == 3 {
                return Ok(());
            }
            let first = signal::take(&[libc::SIGUSR1])?.context("SIGUSR1 is not pending")?;
            expect_eq("code and sender", (first.code(), first.pid()), (libc::SI_TKILL, me))?;
            for round in 0..3 {
                let info = signal::take(&[36])?.context("signal 36 is not pending")?;
                expect_eq("value", (info.code(), info.value()), (libc::SI_QUEUE, index * 10 + round))?;
            }
            expect_eq("left over", signal::take(&[libc::SIGUSR1, 36])?, None)
        })?);
    }
    for (index, thread) in threads.iter().enumerate().take(3) {
        signal::tgkill(me, thread.tid, libc::SIGUSR1)?;
        for round in 0..3 {
            signal::queue_thread(me, thread.tid, 36, index * 10 + round)?;
        }
    }
    signal::tgkill(me, me, 37)?;
    signal::queue(me, libc::SIGUSR2, 5)?;
    for thread in &threads {
        thread.wait_blocked_in(libc::SYS_futex)?;
    }

    cx.ready()?;

    let own = procfs::bits(me, "SigPnd")?;
    expect_eq("SigPnd of the main thread", own, signal::bit(37))?;
    let shared = procfs::bits(me, "ShdPnd")?;
    expect_eq("ShdPnd", shared, signal::bit(libc::SIGUSR2))?;
    GO.set(1);
    threads.into_iter().try_for_each(Thread::join)?;
    expect_eq("value of SIGUSR2", signal::take(&[libc::SIGUSR2])?.map(|i| i.value()), Some(5))?;
    expect_eq("code of 37", signal::take(&[37])?.map(|i| i.code()), Some(libc::SI_TKILL))
}
