//! Eventfds with EFD_SEMAPHORE, where a read takes one, and without, where it takes all: with a
//! count below two both look the same.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "which eventfds are semaphores (EFD_SEMAPHORE), whatever their count",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let cases: Vec<(u32, bool)> =
        [0, 1, 2, 3, 1000].into_iter().flat_map(|count| [(count, true), (count, false)]).collect();
    let mut fds = Vec::new();
    for (count, is_semaphore) in &cases {
        let flag = if *is_semaphore { libc::EFD_SEMAPHORE } else { 0 };
        fds.push(helpers::eventfd(*count, libc::EFD_NONBLOCK | flag)?);
    }

    cx.ready()?;

    for (fd, (count, is_semaphore)) in fds.iter().zip(cases) {
        // Two more distinguish the kinds.
        helpers::add(fd, 2)?;
        let all = u64::from(count) + 2;
        let (first, left) = if is_semaphore { (1, all - 1) } else { (all, 0) };
        expect_eq(&format!("first read of {count}, semaphore: {is_semaphore}"), helpers::take(fd)?, first)?;
        for _ in 0..left {
            expect_eq("a further read", helpers::take(fd)?, 1u64)?;
        }
        expect_eq("empty", fd::errno("read", helpers::take(fd))?, libc::EAGAIN)?;
    }
    Ok(())
}
