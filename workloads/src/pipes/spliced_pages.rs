//! A pipe that holds pages of a file, put there by splice(2), with the file changed since.

use crate::framework::prelude::*;
use std::os::fd::AsRawFd as _;

pub const WORKLOAD: Workload = Workload {
    purpose: "pages of a file in a pipe, sixteen small pieces",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let file = fd::open("source", libc::O_RDWR | libc::O_CREAT, 0o600)?;
    fd::write_all(&file, &pattern::bytes(64 << 10, cx.seed))?;
    let (reader, writer) = fd::pipe(0)?;
    let mut want = Vec::new();
    for piece in 0..16i64 {
        let (mut offset, len) = (piece * 4000 + 7, 10 + piece as usize);
        want.extend(fd::read_at(&file, len, offset)?);
        // SAFETY: the offset lives through the call; no offset for the pipe.
        let done = sys::check("splice", unsafe {
            libc::splice(file.as_raw_fd(), &mut offset, writer.as_raw_fd(), std::ptr::null_mut(), len, 0)
        })?;
        expect_eq("bytes spliced", done, len as isize)?;
    }

    cx.ready()?;

    expect_eq("bytes available", fd::available(&reader)?, want.len() as i32)?;
    expect_bytes("pipe", &fd::read_all(&reader, want.len())?, &want)?;
    pattern::verify("file", &fd::read_at(&file, 64 << 10, 0)?, cx.seed)
}
