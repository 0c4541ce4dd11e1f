//! The ends of a pipe are open in two siblings; their parent has neither.

use crate::framework::prelude::*;
use std::os::fd::AsRawFd as _;

pub const WORKLOAD: Workload = Workload {
    purpose: "a pipe between two children that the parent has closed, with bytes in flight",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let (reader, writer) = fd::pipe(0)?;
    let (read_end, write_end) = (reader.as_raw_fd(), writer.as_raw_fd());
    let sender = {
        let body = |stage: &Stage| {
            // SAFETY: the copy of the parent's descriptor belongs to this process and is not used
            // again.
            unsafe { libc::close(read_end) };
            fd::write_all(&write_end, &pattern::bytes(3000, cx.seed))?;
            stage.hold();
            fd::write_all(&write_end, &pattern::bytes(100_000, cx.seed + 1))
        };
        stage.fork("the sender", body)?
    };
    drop(writer);
    let receiver = stage.fork("the receiver", |stage| {
        stage.hold();
        pattern::verify("before", &fd::read_all(&read_end, 3000)?, cx.seed)?;
        pattern::verify("after", &fd::read_all(&read_end, 100_000)?, cx.seed + 1)?;
        expect_bytes("end of file", &fd::read_some(&read_end, 1)?, b"")
    })?;
    drop(reader);

    cx.ready()?;

    expect(!fd::is_open(read_end) && !fd::is_open(write_end), || "the parent has an end again".into())?;
    stage.release();
    sender.join()?;
    receiver.join()
}
