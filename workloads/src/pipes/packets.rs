//! A pipe in packet mode: each read gives one packet, whatever its length.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "packet boundaries of a pipe with O_DIRECT",
    needs: &[],
    active: false,
    statik: true,
    run,
};

const LENGTHS: [usize; 9] = [1, 4096, 2, 100, 4095, 1, 1, 3000, 17];

fn run(cx: &mut Ctx) -> Outcome {
    let (reader, writer) = fd::pipe(libc::O_DIRECT | libc::O_NONBLOCK)?;
    for (index, len) in LENGTHS.into_iter().enumerate() {
        fd::write_all(&writer, &pattern::bytes(len, cx.seed + index as u64))?;
    }
    let flags = (fd::flags(&reader)?, fd::flags(&writer)?);
    expect_eq("mode of the writer", flags.1 & libc::O_DIRECT, libc::O_DIRECT)?;

    cx.ready()?;

    expect_eq("flags", (fd::flags(&reader)?, fd::flags(&writer)?), flags)?;
    for (index, len) in LENGTHS.into_iter().enumerate() {
        let packet = fd::read_some(&reader, 8192).with_context(|| format!("packet {index}"))?;
        expect_eq(&format!("length of packet {index}"), packet.len(), len)?;
        pattern::verify(&format!("packet {index}"), &packet, cx.seed + index as u64)?;
    }
    expect_eq("errno of read", fd::errno("read", fd::read_some(&reader, 1))?, libc::EAGAIN)?;
    fd::write_all(&writer, b"one")?;
    fd::write_all(&writer, b"two")?;
    expect_bytes("first new packet, cut short", &fd::read_some(&reader, 2)?, b"on")?;
    expect_bytes("second new packet", &fd::read_some(&reader, 10)?, b"two")
}
