//! A process waits in read(2) for an empty eventfd, another in write(2) for a full one, a third in
//! poll(2).

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "processes blocked in reading, writing and polling eventfds get what comes afterwards",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let (empty, full, polled) = (helpers::eventfd(0, 0)?, helpers::eventfd(0, 0)?, helpers::eventfd(0, 0)?);
    helpers::add(&full, u64::MAX - 1)?;
    let reader = fork("the reader", || expect_eq("read", helpers::take(&empty)?, 41u64))?;
    let writer = fork("the writer", || helpers::add(&full, 9))?;
    let poller = fork("the poller", || {
        helpers::await_input(&polled)?;
        expect_eq("polled", helpers::take(&polled)?, 7u64)
    })?;
    stage.wait_in(&reader, libc::SYS_read)?;
    stage.wait_in(&writer, libc::SYS_write)?;
    stage.wait_in(&poller, libc::SYS_ppoll)?;

    cx.ready()?;

    stage.wait_in(&reader, libc::SYS_read)?;
    stage.wait_in(&writer, libc::SYS_write)?;
    stage.wait_in(&poller, libc::SYS_ppoll)?;
    helpers::add(&empty, 41)?;
    reader.join()?;
    expect_eq("what was full", helpers::take(&full)?, u64::MAX - 1)?;
    writer.join()?;
    expect_eq("what the writer added", helpers::take(&full)?, 9u64)?;
    helpers::add(&polled, 7)?;
    poller.join()
}
