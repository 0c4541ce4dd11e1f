//! Leases: whoever opens the file waits until they are given up, and a signal says so.

use super::helpers;
use crate::framework::prelude::*;
use std::os::fd::{AsRawFd as _, OwnedFd};

pub const WORKLOAD: Workload = Workload {
    purpose: "leases for reading and writing, and the signal when another process opens the file",
    needs: &[],
    active: false,
    statik: true,
    run,
};

const F_SETSIG: i32 = 10;
const SIGNAL: i32 = 41;

fn lease(path: &str, kind: i32, flags: i32) -> anyhow::Result<OwnedFd> {
    let file = fd::open(path, flags, 0)?;
    fd::fcntl(&file, F_SETSIG, SIGNAL)?;
    match fd::fcntl(&file, libc::F_SETLEASE, kind) {
        Err(err) if sys::errno_in(&err) == Some(libc::EINVAL) => skip("the file system has no leases"),
        leased => leased.map(|_| file),
    }
}

fn run(cx: &mut Ctx) -> Outcome {
    signal::block(&[SIGNAL])?;
    drop((helpers::make("read", 100, cx.seed)?, helpers::make("written", 100, cx.seed)?));
    let read = lease("read", libc::F_RDLCK, libc::O_RDONLY)?;
    let again = lease("read", libc::F_RDLCK, libc::O_RDONLY)?;
    let written = lease("written", libc::F_WRLCK, libc::O_RDWR)?;
    let copy = fd::dup_to(&written, 77, 0)?;
    // Whoever takes a lease becomes the owner; of this one there is none.
    drop(helpers::make("silent", 100, cx.seed)?);
    let silent = lease("silent", libc::F_RDLCK, libc::O_RDONLY)?;
    fd::fcntl(&silent, libc::F_SETOWN, 0)?;
    let leases = || [&read, &again, &written, &copy].map(|file| fd::fcntl(file, libc::F_GETLEASE, 0).ok());
    let before = leases();
    expect_eq("leases", before, [libc::F_RDLCK, libc::F_RDLCK, libc::F_WRLCK, libc::F_WRLCK].map(Some))?;

    cx.ready()?;

    expect_eq("leases", leases(), before)?;
    expect_eq("owner of the one without", fd::fcntl(&silent, libc::F_GETOWN, 0)?, 0)?;
    expect_eq("lease of the one without", fd::fcntl(&silent, libc::F_GETLEASE, 0)?, libc::F_RDLCK)?;
    let reader = fd::open("read", libc::O_RDONLY, 0)?;
    helpers::verify("read", &reader, 100, cx.seed)?;
    for (path, flags, holders) in
        [("read", libc::O_WRONLY, vec![&read, &again]), ("written", libc::O_RDONLY, vec![&written])]
    {
        let refused = fd::open(path, flags | libc::O_NONBLOCK, 0);
        expect_eq(path, fd::errno("open", refused)?, libc::EWOULDBLOCK)?;
        let mut numbers = Vec::new();
        for holder in &holders {
            numbers.push(signal::take(&[SIGNAL])?.context("no signal")?.descriptor());
            fd::fcntl(*holder, libc::F_SETLEASE, libc::F_UNLCK)?;
        }
        numbers.sort_unstable();
        let mut want: Vec<_> = holders.iter().map(|holder| holder.as_raw_fd()).collect();
        want.sort_unstable();
        expect_eq("descriptors of the signals", numbers, want)?;
        fd::open(path, flags | libc::O_NONBLOCK, 0)?;
    }
    Ok(())
}
