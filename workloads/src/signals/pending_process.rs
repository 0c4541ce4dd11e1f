//! Signals pending for the process, each with its sender, code and value.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "pending signals of the process with their siginfo: kill and sigqueue, from itself and from a child",
    needs: &[],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let me = sys::getpid();
    let all =
        [libc::SIGHUP, libc::SIGINT, libc::SIGUSR1, libc::SIGUSR2, libc::SIGTERM, libc::SIGWINCH, 40, 41];
    signal::block(&all)?;
    signal::kill(me, libc::SIGHUP)?;
    signal::queue(me, libc::SIGINT, 0x1111_2222_3333_4444)?;
    signal::queue(me, 40, usize::MAX)?;
    let child = fork("a sender", || {
        signal::kill(me, libc::SIGUSR1)?;
        signal::queue(me, libc::SIGTERM, 77)?;
        signal::queue(me, 41, 78)
    })?;
    let sender = child.pid;
    child.join()?;
    let pending = signal::pending()?;

    cx.ready()?;

    expect_eq("pending set", signal::pending()?, pending)?;
    expect_eq("ShdPnd", procfs::bits(me, "ShdPnd")?, pending)?;
    expect_eq("SigPnd", procfs::bits(me, "SigPnd")?, 0u64)?;
    let want = [
        (libc::SIGHUP, libc::SI_USER, me, 0),
        (libc::SIGINT, libc::SI_QUEUE, me, 0x1111_2222_3333_4444),
        (libc::SIGUSR1, libc::SI_USER, sender, 0),
        (libc::SIGTERM, libc::SI_QUEUE, sender, 77),
        (40, libc::SI_QUEUE, me, usize::MAX),
        (41, libc::SI_QUEUE, sender, 78),
    ];
    for expected in want {
        let info = signal::take(&all)?.with_context(|| format!("signal {} is not pending", expected.0))?;
        expect_eq(
            "signal, code, sender, value",
            (info.signal(), info.code(), info.pid(), info.value()),
            expected,
        )?;
        // SAFETY: getuid has no preconditions.
        expect_eq("uid of the sender", info.uid(), unsafe { libc::getuid() })?;
    }
    expect_eq("left over", signal::take(&all)?, None)
}
