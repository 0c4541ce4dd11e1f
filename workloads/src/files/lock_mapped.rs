//! Locks of files that are closed and still mapped, as a Java virtual machine holds one.

use super::helpers::{flock, lock};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "locks of an open file description that a mapping keeps",
    needs: &[],
    active: false,
    statik: false,
    run,
};

const F_OFD_SETLK: i32 = 37;

fn run(cx: &mut Ctx) -> Outcome {
    let open = |path| fd::open(path, libc::O_RDWR | libc::O_CREAT, 0o644);
    let mapped = |path, how: &dyn Fn(&std::os::fd::OwnedFd) -> Outcome| -> anyhow::Result<Mapping> {
        let file = open(path)?;
        fd::write_all(&file, &pattern::bytes(page_size(), 1))?;
        how(&file)?;
        let file = Some((std::os::fd::AsFd::as_fd(&file), 0));
        Mapping::new(page_size(), libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED, file)
    };
    let whole = mapped("whole", &|file| flock(file, libc::LOCK_EX).map(drop))?;
    let shared = mapped("shared", &|file| flock(file, libc::LOCK_SH).map(drop))?;
    let bytes = mapped("bytes", &|file| lock(file, F_OFD_SETLK, libc::F_WRLCK, 3, 4))?;

    cx.ready()?;

    let is_free = |path, how| {
        open(path).and_then(|rival| match flock(&rival, how | libc::LOCK_NB) {
            Err(err) if sys::errno_in(&err) == Some(libc::EWOULDBLOCK) => Ok(false),
            other => other.map(|_| true),
        })
    };
    let are_free = |start, len| {
        open("bytes").and_then(|rival| match lock(&rival, F_OFD_SETLK, libc::F_WRLCK, start, len) {
            Err(err) if sys::errno_in(&err) == Some(libc::EAGAIN) => Ok(false),
            other => other.map(|()| true),
        })
    };
    expect_eq("the whole file is free", is_free("whole", libc::LOCK_SH)?, false)?;
    expect_eq("the shared file is free to share", is_free("shared", libc::LOCK_SH)?, true)?;
    expect_eq("the shared file is free", is_free("shared", libc::LOCK_EX)?, false)?;
    expect_eq("other bytes are free", are_free(7, 10)?, true)?;
    expect_eq("the bytes are free", are_free(6, 1)?, false)?;
    for mapping in [&whole, &shared, &bytes] {
        expect_bytes("contents", mapping.bytes(), &pattern::bytes(page_size(), 1))?;
    }
    drop((whole, shared, bytes));
    expect_eq("unmapped, the whole file is free", is_free("whole", libc::LOCK_EX)?, true)?;
    expect_eq("unmapped, the shared file is free", is_free("shared", libc::LOCK_EX)?, true)?;
    expect_eq("unmapped, the bytes are free", are_free(3, 4)?, true)
}
