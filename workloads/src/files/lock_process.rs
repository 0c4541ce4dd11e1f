//! `F_SETLK`: locks that belong to a process, and one that waits.

use super::helpers;
use crate::framework::prelude::*;
use std::os::fd::AsRawFd;
use std::sync::atomic::Ordering::SeqCst;

pub const WORKLOAD: Workload = Workload {
    purpose: "record locks of three processes, one of which waits",
    needs: &[],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let file = helpers::make("file", 4096, cx.seed)?;
    let gone = helpers::make_unlinked("gone", 100, cx.seed)?;
    let second = fd::open("file", libc::O_RDWR, 0)?;
    let lock = |file: &dyn AsRawFd, kind, start, len| helpers::lock(file, libc::F_SETLK, kind, start, len);
    lock(&file, libc::F_WRLCK, 0, 10)?;
    lock(&second, libc::F_RDLCK, 10, 5)?;
    lock(&file, libc::F_WRLCK, 1000, 0)?;
    lock(&gone, libc::F_WRLCK, 7, 1)?;
    let child = stage.fork("the child", |stage| {
        // Through a description that both have, and one of its own.
        lock(&file, libc::F_WRLCK, 100, 10)?;
        let own = fd::open("file", libc::O_RDONLY, 0)?;
        lock(&own, libc::F_RDLCK, 10, 2)?;
        stage.hold();
        expect(lock(&file, libc::F_RDLCK, 0, 1).is_err(), || "the root's lock is gone".into())?;
        lock(&file, libc::F_UNLCK, 100, 10)
    })?;
    stage.wait_held(&child)?;
    let waiter = fork("the waiter", || helpers::lock(&file, libc::F_SETLKW, libc::F_RDLCK, 2000, 10))?;
    stage.wait_in(&waiter, libc::SYS_fcntl)?;
    // What another process is told of them.
    let asked = |name| {
        let (file, told) = (&file, stage.shared());
        let ask = fork(name, || {
            for (index, start) in [0, 10, 1500].into_iter().enumerate() {
                let lock = helpers::conflict(file, libc::F_WRLCK, start, 1)?;
                let words = [i64::from(lock.l_type), lock.l_start, lock.l_len, i64::from(lock.l_pid)];
                for (at, word) in words.into_iter().enumerate() {
                    told.number(index * 4 + at).store(word as u64, SeqCst);
                }
            }
            Ok(())
        })?;
        ask.join()?;
        anyhow::Ok((0..12).map(|n| told.number(n).load(SeqCst)).collect::<Vec<_>>())
    };
    let before = asked("the asker")?;

    cx.ready()?;

    expect_eq("what another process is told", asked("the second asker")?, before)?;
    expect_eq("the child's lock", helpers::conflict(&file, libc::F_RDLCK, 105, 1)?.l_pid, child.pid)?;
    expect_eq(
        "the root's own lock",
        helpers::conflict(&gone, libc::F_WRLCK, 7, 1)?.l_type,
        libc::F_UNLCK as i16,
    )?;
    stage.wait_in(&waiter, libc::SYS_fcntl)?;
    lock(&file, libc::F_UNLCK, 1000, 0)?;
    waiter.join()?;
    stage.release();
    child.join()?;
    lock(&file, libc::F_WRLCK, 100, 10)
}
