//! A process is blocked in read(2) on an empty pipe.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a process blocked in reading a pipe gets what comes afterwards",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let (reader, writer) = fd::pipe(0)?;
    let child =
        fork("the reader", || expect_bytes("read", &fd::read_some(&reader, 100)?, b"after the restart"))?;
    stage.wait_in(&child, libc::SYS_read)?;

    cx.ready()?;

    stage.wait_in(&child, libc::SYS_read)?;
    fd::write_all(&writer, b"after the restart")?;
    child.join()
}
