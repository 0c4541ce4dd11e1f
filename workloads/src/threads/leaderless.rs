//! A process whose main thread has ended while another runs on.

use crate::framework::prelude::*;

/// The code that the main thread exits with.
pub const CODE: i32 = 7;

/// Its name, which the other thread does not have.
pub const NAME: &str = "has-ended";

/// Forks a process whose main thread starts one that runs `body`, and exits. Returns when that is
/// a zombie and the other thread has blocked in futex(2). The process exits as by [`fork`] when
/// `body` returns.
pub fn fork_leaderless(
    name: &'static str,
    stage: &Stage,
    body: impl FnOnce() -> Outcome + Send,
) -> anyhow::Result<Child> {
    let child = fork(name, || {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                stage.shared().cell(1).set(sys::gettid().cast_unsigned());
                let verdict = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
                child::exit_with(name, verdict)
            });
            let text = std::ffi::CString::new(NAME)?;
            // SAFETY: the kernel reads the name.
            sys::check("prctl", unsafe { libc::prctl(libc::PR_SET_NAME, text.as_ptr()) })?;
            // SAFETY: ends only this thread; its stack, which the other one borrows from, stays
            // mapped.
            unsafe { libc::syscall(libc::SYS_exit, CODE) };
            Ok(())
        })
    })?;
    stage.shared().cell(1).wait("the second thread", 1)?;
    let tid = thread_of(stage);
    sync::wait_until("the leader to be gone and the other to block", || {
        Ok(procfs::Stat::of(child.pid)?.state == 'Z'
            && procfs::is_blocked_in(child.pid, tid, libc::SYS_futex)?)
    })?;
    Ok(child)
}

/// The id of the thread that runs on.
pub fn thread_of(stage: &Stage) -> libc::pid_t {
    stage.shared().cell(1).get().cast_signed()
}

/// In that thread: the process is as it was.
pub fn verify(stage: &Stage) -> Outcome {
    let pid = sys::getpid();
    let state = procfs::status(pid, "State")?;
    expect(state.starts_with('Z'), || format!("the leader is in state {state}"))?;
    // Field 52 of proc(5), as in wait(2).
    expect_eq("exit status of the leader", procfs::Stat::of(pid)?.field(52)?, i64::from(CODE) << 8)?;
    expect_eq("name of the leader", procfs::status(pid, "Name")?, NAME.to_owned())?;
    expect_eq("threads", procfs::tids()?.len(), 2)?;
    expect_eq("thread id", sys::gettid(), thread_of(stage))
}
