//! Threads of one process with different users, groups and capabilities.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "credentials of single threads, set past libc",
    needs: &[Need::Root],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    static GO: Cell = Cell::new();
    let stage = Stage::new()?;
    let child = stage.fork("the process whose threads differ", |stage| {
        let mut threads = Vec::new();
        for index in 0..4u32 {
            threads.push(thread::spawn(move || {
                let id = 3000 + index;
                match index {
                    0 => {}
                    1 => helpers::set_caps(0, helpers::mask(&[helpers::cap::KILL]), 0)?,
                    2 => {
                        helpers::set_groups(&[id, 9])?;
                        helpers::set_gids(id, id, id + 10)?;
                    }
                    _ => helpers::set_uids(id, id, 0)?,
                }
                let want = helpers::all()?;
                GO.block_until(1);
                expect_eq(&format!("credentials of thread {index}"), helpers::all()?, want)
            })?);
        }
        for thread in &threads {
            thread.wait_blocked_in(libc::SYS_futex)?;
        }
        let want = helpers::all()?;
        stage.hold();
        expect_eq("credentials of the main thread", helpers::all()?, want)?;
        GO.set(1);
        threads.into_iter().try_for_each(Thread::join)
    })?;

    cx.ready()?;

    stage.release();
    child.join()
}
