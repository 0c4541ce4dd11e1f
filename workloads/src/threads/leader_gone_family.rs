//! A process whose leader has ended has a child, which is to be told when the thread that is its
//! parent ends: not by a leader that ends once more at a restart.

use super::leaderless::{fork_leaderless, verify};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "child, pipe and timer of a process whose main thread has ended",
    needs: &[],
    active: false,
    statik: false,
    run,
};

const EVERY: libc::timeval = libc::timeval { tv_sec: 1 << 20, tv_usec: 0 };

fn build_and_verify(stage: &Stage, text: &[u8]) -> Outcome {
    let (reader, writer) = fd::pipe(libc::O_CLOEXEC)?;
    fd::place(&reader, 40, 0)?;
    fd::write_all(&writer, text)?;
    let timer = libc::itimerval { it_interval: EVERY, it_value: EVERY };
    // SAFETY: the kernel reads the one struct, and writes no other.
    sys::check("setitimer", unsafe { libc::setitimer(libc::ITIMER_REAL, &timer, std::ptr::null_mut()) })?;
    let parent = sys::getpid();
    let child = stage.fork("the child", |stage| {
        signal::block(&[libc::SIGUSR1])?;
        // SAFETY: this prctl takes a number.
        sys::check("prctl", unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGUSR1) })?;
        stage.hold();
        expect_eq("pending signals", signal::pending()?, 0)?;
        // SAFETY: getppid has no preconditions.
        expect_eq("parent", unsafe { libc::getppid() }, parent)?;
        child::exit(17)
    })?;

    stage.hold();

    verify(stage)?;
    child.join_as(17)?;
    let mut timer = libc::itimerval { it_interval: EVERY, it_value: EVERY };
    // SAFETY: the struct lives through the call.
    sys::check("getitimer", unsafe { libc::getitimer(libc::ITIMER_REAL, &mut timer) })?;
    expect_eq("interval of the timer", timer.it_interval.tv_sec, EVERY.tv_sec)?;
    expect(timer.it_value.tv_sec > EVERY.tv_sec / 2, || "the timer is not armed".to_owned())?;
    expect(fd::is_open(40), || "the copy of the reader is gone".to_owned())?;
    expect_bytes("contents of the pipe", &fd::read_all(&reader, text.len())?, text)
}

fn run(cx: &mut Ctx) -> Outcome {
    let text = pattern::bytes(1000, cx.seed);
    let stage = Stage::new()?;
    let child = fork_leaderless("process without leader", &stage, || build_and_verify(&stage, &text))?;

    cx.ready()?;

    stage.release();
    child.join()
}
