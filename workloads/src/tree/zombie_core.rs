//! Children were killed by signals that dump core, under a limit that prevented it. Killed in the
//! same way without the limit, they would leave a file.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "zombies that died of core-dumping signals without a core dump, below a parent that may have one",
    needs: &[],
    active: false,
    statik: false,
    run,
};

const SIGNALS: [i32; 4] = [libc::SIGSEGV, libc::SIGABRT, libc::SIGQUIT, libc::SIGSYS];

fn run(cx: &mut Ctx) -> Outcome {
    let hard = sys::rlimit(libc::RLIMIT_CORE)?.1;
    if hard == 0 {
        return skip("no core dumps are allowed here");
    }
    let limit = libc::rlimit { rlim_cur: hard, rlim_max: hard };
    // SAFETY: the kernel reads the struct.
    sys::check("setrlimit", unsafe { libc::setrlimit(libc::RLIMIT_CORE, &limit) })?;
    let mut zombies = Vec::new();
    for number in SIGNALS {
        let zombie = fork("a victim", || {
            child::without_core()?;
            signal::default(number)?;
            signal::kill(sys::getpid(), number)?;
            Err(anyhow!("survived signal {number}"))
        })?;
        helpers::wait_zombie(zombie.pid)?;
        if look(&zombie)? == Some((libc::CLD_DUMPED, number, zombie.pid)) {
            return skip("core dumps go to a program here, whatever the limit");
        }
        zombies.push(zombie);
    }
    let before = names(&cx.dir)?;

    cx.ready()?;

    expect_eq("limit of the parent", sys::rlimit(libc::RLIMIT_CORE)?, (hard, hard))?;
    for (zombie, number) in zombies.iter().zip(SIGNALS) {
        expect_eq("state", procfs::Stat::of(zombie.pid)?.state, 'Z')?;
        expect_eq("how it died", look(zombie)?, Some((libc::CLD_KILLED, number, zombie.pid)))?;
    }
    for (zombie, number) in zombies.into_iter().zip(SIGNALS) {
        // Exactly: the bit of a core dump is 0x80.
        expect_eq("wait status", zombie.wait()?, number)?;
    }
    let new: Vec<_> = names(&cx.dir)?.into_iter().filter(|name| !before.contains(name)).collect();
    expect(!new.iter().any(|name| name.contains("core")), || format!("new files: {new:?}"))
}

/// Code, status and pid of the zombie, which is not reaped.
fn look(zombie: &Child) -> anyhow::Result<Option<(i32, i32, libc::pid_t)>> {
    helpers::waitid(libc::P_PID, zombie.pid, libc::WEXITED | libc::WNOWAIT)
}

fn names(dir: &std::path::Path) -> anyhow::Result<Vec<String>> {
    let entries = std::fs::read_dir(dir).with_context(|| format!("read {}", dir.display()))?;
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}
