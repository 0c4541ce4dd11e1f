//! `F_OFD_SETLK`: ranges that belong to an open file description.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "record locks of open file descriptions, shared by dup and fork",
    needs: &[],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let file = helpers::make("file", 4096, cx.seed)?;
    let second = fd::open("file", libc::O_RDWR, 0)?;
    let lock = |file: &_, kind, start, len| helpers::lock(file, libc::F_OFD_SETLK, kind, start, len);
    lock(&file, libc::F_WRLCK, 0, 10)?;
    lock(&file, libc::F_RDLCK, 20, 10)?;
    lock(&second, libc::F_RDLCK, 25, 10)?;
    lock(&second, libc::F_WRLCK, i64::MAX, 0)?;
    let copy = fd::dup(&file)?;
    let child = stage.fork("the child", |stage| {
        stage.hold();
        let own = fd::open("file", libc::O_RDWR, 0)?;
        for (start, kind, free) in [
            (5, libc::F_RDLCK, false),
            (15, libc::F_WRLCK, true),
            (22, libc::F_RDLCK, true),
            (22, libc::F_WRLCK, false),
            (32, libc::F_WRLCK, false),
            (i64::MAX, libc::F_RDLCK, false),
        ] {
            let got = lock(&own, kind, start, 1).is_ok();
            expect_eq(&format!("byte {start} is free for {kind}"), got, free)?;
        }
        lock(&own, libc::F_UNLCK, 0, 0)?;
        // The same description as the root's.
        lock(&copy, libc::F_WRLCK, 0, 10)
    })?;
    stage.wait_held(&child)?;

    cx.ready()?;

    let rival = fd::open("file", libc::O_RDWR, 0)?;
    expect(lock(&rival, libc::F_RDLCK, 0, 1).is_err(), || "the range is not locked".into())?;
    stage.release();
    child.join()?;
    lock(&copy, libc::F_UNLCK, 0, 10)?;
    lock(&rival, libc::F_WRLCK, 0, 10)?;
    expect(lock(&file, libc::F_WRLCK, 0, 1).is_err(), || "two descriptions have locked a byte".into())
}
