//! Processes that share a descriptor table (CLONE_FILES): what one opens, closes or changes is so
//! in the other. In it are files that a restart opens before there are processes and some that it
//! opens afterwards, and a lock, which the kernel holds for the table.

use super::helpers;
use crate::events::helpers as events;
use crate::framework::prelude::*;
use std::os::fd::{AsRawFd as _, IntoRawFd as _, OwnedFd};
use std::sync::atomic::Ordering;

pub const WORKLOAD: Workload = Workload {
    purpose: "a descriptor table that processes share",
    needs: &[],
    active: false,
    statik: false,
    run,
};

/// Numbers: placed by the child, placed by the parent and closed by the child, placed by the parent
/// after the checkpoint.
const BY_CHILD: i32 = 200;
const CLOSED: i32 = 201;
const AFTERWARDS: i32 = 202;

/// F_SETLK or F_GETLK of the first byte; returns what that leaves in `l_type` and `l_pid`.
fn lock(file: &OwnedFd, command: i32) -> anyhow::Result<(i32, libc::pid_t)> {
    // SAFETY: all zeros is a `flock`.
    let mut flock: libc::flock = unsafe { std::mem::zeroed() };
    flock.l_type = libc::F_WRLCK as _;
    flock.l_len = 1;
    // SAFETY: the kernel reads and writes the struct.
    sys::check("fcntl", unsafe { libc::fcntl(file.as_raw_fd(), command, &raw mut flock) })?;
    Ok((i32::from(flock.l_type), flock.l_pid))
}

/// Sets the soft limit of descriptor numbers.
fn set_limit(soft: u64) -> Outcome {
    let limit = libc::rlimit { rlim_cur: soft, rlim_max: sys::rlimit(libc::RLIMIT_NOFILE)?.1 };
    // SAFETY: the kernel reads the struct.
    sys::check("setrlimit", unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) })?;
    Ok(())
}

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let file = helpers::make("file", 5000, cx.seed)?;
    fd::place(&file, CLOSED, 0)?;
    let (from, to) = fd::pipe(0)?;
    let turn = |n: u32| stage.shared().cell(1).wait("the other process", n);
    let child = stage.fork_sharing(libc::CLONE_FILES, "the other process", |stage| {
        fd::place(&file, BY_CHILD, libc::O_CLOEXEC)?;
        fd::close(CLOSED)?;
        lock(&file, libc::F_SETLK)?;
        set_limit(150)?;
        stage.hold();
        turn(1)?;
        expect(!fd::is_open(BY_CHILD), || "what the parent has closed is open".into())?;
        expect(fd::is_open(AFTERWARDS), || "what the parent has placed is missing".into())?;
        expect(fd::cloexec(&file)?, || "the parent's close-on-exec is missing".into())?;
        expect_eq("offset", fd::offset(&file)?, 77)?;
        expect_eq("limit of the child", sys::rlimit(libc::RLIMIT_NOFILE)?.0, 150)?;
        let (end, other) = fd::pipe(libc::O_CLOEXEC)?;
        stage.shared().number(0).store(end.into_raw_fd() as u64, Ordering::SeqCst);
        fd::write_all(&other, b"x")?;
        fd::close(AFTERWARDS)?;
        stage.shared().cell(1).set(2);
        turn(3)
    })?;
    expect(fd::is_open(BY_CHILD) && !fd::is_open(CLOSED), || "it is not one table".into())?;
    let watched = events::pidfd(child.pid, 0)?;
    let epoll = events::epoll()?;
    events::watch(&epoll, &from, libc::EPOLLIN, 7)?;

    cx.ready()?;

    expect(fd::is_open(BY_CHILD) && fd::cloexec(&BY_CHILD)?, || "the child's descriptor is missing".into())?;
    expect(!fd::is_open(CLOSED), || "what the child has closed is open".into())?;
    expect(!fd::cloexec(&file)?, || "close-on-exec is set".into())?;
    fork("a process that asks for the lock", || {
        let held = (libc::F_WRLCK, child.pid);
        expect_eq("lock, and who has taken it", lock(&file, libc::F_GETLK)?, held)
    })?
    .join()?;
    fd::seek(&file, 77, libc::SEEK_SET)?;
    fd::place(&file, AFTERWARDS, 0)?;
    // It releases the lock of the table: all of it goes with the first descriptor.
    fd::close(BY_CHILD)?;
    fd::fcntl(&file, libc::F_SETFD, libc::FD_CLOEXEC)?;
    stage.release();
    stage.shared().cell(1).set(1);
    turn(2)?;
    let number = stage.shared().number(0).load(Ordering::SeqCst) as i32;
    expect_eq("what the child has written", fd::read_some(&number, 8)?, b"x".to_vec())?;
    expect(!fd::is_open(AFTERWARDS), || "what the child has closed is open".into())?;
    expect_eq("events of an empty pipe", events::events(&epoll, 0)?, [])?;
    fd::write_all(&to, b"y")?;
    expect_eq("events", events::events(&epoll, 0)?, [(7, libc::EPOLLIN)])?;
    expect_eq("process of the pidfd", events::refers_to(&watched)?, child.pid)?;
    stage.shared().cell(1).set(3);
    sync::wait_until("the end of the child", || events::has_ended(&watched))?;
    child.join()
}
