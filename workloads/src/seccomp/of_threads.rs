//! Filters belong to threads: some have more than others. Where all have the same ones, inherited,
//! a thread can give another filter to all of them at once (`SECCOMP_FILTER_FLAG_TSYNC`).

use super::helpers::{bind, deny, seen, shown};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "seccomp filters that differ between threads, and filters that can be synchronized",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let different = stage.fork("the process of different threads", different)?;
    let alike = stage.fork("the process of like threads", alike)?;

    cx.ready()?;

    stage.release();
    different.join()?;
    alike.join()
}

fn different(stage: &Stage) -> Outcome {
    static GO: Cell = Cell::new();
    bind()?;
    let threads = [(0, 0), (45, 0), (46, 47)].map(|(pgid, sid)| {
        let thread = thread::spawn(move || {
            for (nr, errno) in [(libc::SYS_getpgid, pgid), (libc::SYS_getsid, sid)] {
                if errno != 0 {
                    deny(nr, errno, 0)?;
                }
            }
            let before = shown()?;
            GO.block_until(1);
            expect_eq("mode and filters", shown()?, before)?;
            expect_eq("errno of getpgid and getsid", seen(), [i32::from(pgid), i32::from(sid)])
        })?;
        thread.wait_blocked_in(libc::SYS_futex)?;
        Ok(thread)
    });
    deny(libc::SYS_getsid, 48, 0)?;
    stage.hold();
    expect_eq("errno of getpgid and getsid of the first thread", seen(), [0, 48])?;
    GO.set(1);
    threads.into_iter().try_for_each(|thread: anyhow::Result<Thread>| thread?.join())
}

fn alike(stage: &Stage) -> Outcome {
    static SEEN: Cell = Cell::new();
    bind()?;
    deny(libc::SYS_getpgid, 49, 0)?;
    let threads = [(); 3].map(|()| {
        let thread = thread::spawn(|| {
            SEEN.block_until(1);
            expect_eq("errno of getpgid and getsid", seen(), [49, 50])
        })?;
        thread.wait_blocked_in(libc::SYS_futex)?;
        Ok(thread)
    });
    stage.hold();
    expect_eq("errno of getpgid and getsid before", seen(), [49, 0])?;
    deny(libc::SYS_getsid, 50, libc::SECCOMP_FILTER_FLAG_TSYNC)?;
    SEEN.set(1);
    threads.into_iter().try_for_each(|thread: anyhow::Result<Thread>| thread?.join())
}
