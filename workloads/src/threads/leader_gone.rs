//! The thread group leader is a zombie: its /proc/PID/status says so, other threads run on and end
//! the process later.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a process whose main thread has ended while another lives on",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let shared = Shared::new()?;
    let child = fork("process without leader", || {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                shared.cell(1).set(sys::gettid() as u32);
                shared.cell(0).block_until(1);
                let pid = sys::getpid();
                let verdict = procfs::status(pid, "State")
                    .and_then(|state| {
                        expect(state.starts_with('Z'), || format!("the leader is in state {state}"))
                    })
                    .and_then(|()| expect_eq("threads", procfs::tids()?.len(), 2))
                    .and_then(|()| expect_eq("thread id", sys::gettid() as u32, shared.cell(1).get()));
                crate::framework::child::exit_with("thread of a process without leader", Ok(verdict))
            });
            // SAFETY: ends only this thread; its stack, which the other one borrows from, stays
            // mapped.
            unsafe { libc::syscall(libc::SYS_exit, 0) };
        });
        Ok(())
    })?;
    shared.cell(1).wait("the second thread", 1)?;
    let tid = shared.cell(1).get() as libc::pid_t;
    sync::wait_until("the leader to be gone and the other to block", || {
        Ok(procfs::Stat::of(child.pid)?.state == 'Z'
            && procfs::is_blocked_in(child.pid, tid, libc::SYS_futex)?)
    })?;

    cx.ready()?;

    shared.cell(0).set(1);
    child.join()
}
