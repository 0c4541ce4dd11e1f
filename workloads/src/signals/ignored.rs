//! Ignored signals stay ignored: they do not become pending and kill no process.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "ignored signals, in the process and in a program that it executes",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let ignored = [libc::SIGTERM, libc::SIGHUP, libc::SIGTSTP, libc::SIGPIPE, 35];
    for number in ignored {
        signal::ignore(number)?;
    }

    cx.ready()?;

    for number in ignored {
        expect_eq(&format!("action of {number}"), signal::action(number)?.handler, libc::SIG_IGN)?;
        signal::kill(sys::getpid(), number)?;
    }
    expect_eq("pending", signal::pending()?, 0u64)?;
    let shown = procfs::bits(sys::getpid(), "SigIgn")?;
    expect_eq("SigIgn", shown & signal::bits(&ignored), signal::bits(&ignored))?;
    let (path, argv) = helper::command("pause", &[])?;
    let child = fork("an executed program", || Err(helper::exec(&path, &argv)))?;
    child.wait_blocked_in(arch::PAUSE)?;
    let shown = procfs::bits(child.pid, "SigIgn")?;
    child.kill(libc::SIGTERM)?;
    child.kill(libc::SIGKILL)?;
    child.join_killed(libc::SIGKILL)?;
    expect_eq("SigIgn after exec", shown & signal::bits(&ignored), signal::bits(&ignored))
}
