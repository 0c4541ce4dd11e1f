//! Strict mode: a process that may only read, write and exit answers, and dies of anything else.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a process in seccomp strict mode, which reads, writes, and dies of another system call",
    needs: &[],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let ((input, questions), (answers, output)) = (fd::pipe(0)?, fd::pipe(0)?);
    let child = fork("the restricted process", || {
        child::without_core()?;
        sys::prctl(libc::PR_SET_SECCOMP, [libc::SECCOMP_MODE_STRICT.into(), 0, 0, 0])?;
        let byte = fd::read_all(&input, 1)?[0];
        fd::write_all(&output, &[byte + 1])?;
        fd::read_all(&input, 1)?;
        sys::getpid();
        fd::write_all(&output, b"alive")
    })?;
    drop((input, output));
    child.wait_blocked_in(libc::SYS_read)?;

    cx.ready()?;

    expect_eq("mode", procfs::status(child.pid, "Seccomp")?.as_str(), "1")?;
    fd::write_all(&questions, b"a")?;
    expect_bytes("its answer", &fd::read_all(&answers, 1)?, b"b")?;
    fd::write_all(&questions, b"b")?;
    expect_bytes("its last words", &fd::read_to_end(&answers)?, b"")?;
    child.join_killed(libc::SIGKILL)
}
