//! A private mapping of /dev/zero is anonymous memory with a name; a shared one is a shmem object
//! shown as `/dev/zero (deleted)`.

use crate::framework::prelude::*;
use std::os::fd::AsFd as _;

pub const WORKLOAD: Workload = Workload {
    purpose: "private and shared mappings of /dev/zero",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let zero = std::fs::File::options().read(true).write(true).open("/dev/zero").context("open /dev/zero")?;
    let prot = libc::PROT_READ | libc::PROT_WRITE;
    let mut private = Mapping::new(4 * page_size(), prot, libc::MAP_PRIVATE, Some((zero.as_fd(), 0)))?;
    let mut shared = Mapping::new(4 * page_size(), prot, libc::MAP_SHARED, Some((zero.as_fd(), 0)))?;
    drop(zero);
    pattern::fill(private.page_mut(1), cx.seed + 1);
    pattern::fill(shared.page_mut(2), cx.seed + 2);
    let signal = Shared::new()?;
    let (start, seed) = (shared.start(), cx.seed);
    let child = fork("child", || {
        signal.cell(0).block_until(1);
        let mut view = Mapping::adopt(start, 4 * page_size());
        pattern::verify("child's shared page", view.page(2), seed + 2)?;
        pattern::fill(view.page_mut(0), seed + 3);
        Ok(())
    })?;
    child.wait_blocked_in(libc::SYS_futex)?;

    cx.ready()?;

    signal.cell(0).set(1);
    child.join()?;
    pattern::verify("private page", private.page(1), cx.seed + 1)?;
    pattern::verify_zero("untouched private page", private.page(3))?;
    pattern::verify("shared page", shared.page(2), cx.seed + 2)?;
    pattern::verify("shared page that the child wrote", shared.page(0), cx.seed + 3)?;
    pattern::verify_zero("untouched shared page", shared.page(3))
}
