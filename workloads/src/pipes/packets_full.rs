//! A pipe in packet mode, full of packets of one byte: slots count, not bytes.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a packet pipe whose every slot holds a packet",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let (reader, writer) = fd::pipe(libc::O_DIRECT | libc::O_NONBLOCK)?;
    let mut count = 0u8;
    while fd::write_some(&writer, &[count]).is_ok() {
        count += 1;
    }
    expect(count > 1, || format!("only {count} packets fit"))?;

    cx.ready()?;

    expect_eq("errno of write", fd::errno("write", fd::write_some(&writer, b"x"))?, libc::EAGAIN)?;
    for packet in 0..count {
        expect_bytes(&format!("packet {packet}"), &fd::read_some(&reader, 100)?, &[packet])?;
    }
    expect_eq("errno of read", fd::errno("read", fd::read_some(&reader, 1))?, libc::EAGAIN)
}
