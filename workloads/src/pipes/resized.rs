//! Pipes made smaller and larger than usual, each full.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "the size of a pipe set by F_SETPIPE_SZ, one page and 1 MiB, with the bytes in it",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let mut pipes = Vec::new();
    for (index, asked) in [4096, 8192, 128 << 10, 1 << 20].into_iter().enumerate() {
        let (reader, writer) = fd::pipe(libc::O_NONBLOCK)?;
        let size = match fd::fcntl(&writer, libc::F_SETPIPE_SZ, asked) {
            Err(e) if sys::errno_in(&e) == Some(libc::EPERM) => {
                return skip("pipes may not grow to 1 MiB here");
            }
            other => other?,
        };
        fd::write_all(&writer, &pattern::bytes(size as usize, cx.seed + index as u64))?;
        pipes.push((reader, writer, size));
    }

    cx.ready()?;

    for (index, (reader, writer, size)) in pipes.iter().enumerate() {
        expect_eq("size", fd::fcntl(reader, libc::F_GETPIPE_SZ, 0)?, *size)?;
        expect_eq("errno of write", fd::errno("write", fd::write_some(writer, b"x"))?, libc::EAGAIN)?;
        let what = format!("pipe of {size} bytes");
        pattern::verify(&what, &fd::read_all(reader, *size as usize)?, cx.seed + index as u64)?;
        expect_eq("bytes left", fd::available(reader)?, 0)?;
        fd::write_all(writer, &vec![1; *size as usize])?;
        expect_eq("room afterwards", fd::available(reader)?, *size)?;
    }
    Ok(())
}
