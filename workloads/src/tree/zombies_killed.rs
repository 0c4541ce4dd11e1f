//! Children were killed by different signals and are not reaped yet.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload =
    Workload { purpose: "zombies that died by signals", needs: &[], active: false, statik: false, run };

const SIGNALS: [i32; 5] = [libc::SIGKILL, libc::SIGTERM, libc::SIGHUP, libc::SIGPIPE, 50];

fn run(cx: &mut Ctx) -> Outcome {
    let mut zombies = Vec::new();
    for number in SIGNALS {
        let zombie = fork("a victim", || {
            if number != libc::SIGKILL {
                signal::default(number)?;
            }
            signal::kill(sys::getpid(), number)?;
            Err(anyhow!("survived signal {number}"))
        })?;
        helpers::wait_zombie(zombie.pid)?;
        zombies.push(zombie);
    }

    cx.ready()?;

    for (zombie, number) in zombies.into_iter().zip(SIGNALS) {
        expect_eq("state", procfs::Stat::of(zombie.pid)?.state, 'Z')?;
        zombie.join_killed(number)?;
    }
    Ok(())
}
