//! Filters of a process, stacked, logged, and inherited by a child that adds one; a sibling has
//! none.

use super::helpers::{bind, deny, seen, shown};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "seccomp filters of a process and of its child, one upon the other",
    needs: &[],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let free = stage.fork("the free process", |stage| {
        stage.hold();
        expect_eq("errno of getpgid and getsid", seen(), [0, 0])?;
        // It can still have one.
        bind()?;
        deny(libc::SYS_getsid, 40, 0)?;
        expect_eq("errno of getpgid and getsid", seen(), [0, 40])
    })?;
    let bound = stage.fork("the filtered process", |stage| {
        bind()?;
        deny(libc::SYS_getpgid, 41, 0)?;
        deny(libc::SYS_getsid, 42, libc::SECCOMP_FILTER_FLAG_LOG)?;
        let child = stage.fork("its child", |stage| {
            // Of two equal actions that of the newest filter counts.
            deny(libc::SYS_getpgid, 43, 0)?;
            let before = shown()?;
            stage.hold();
            expect_eq("mode and filters", shown()?, before)?;
            expect_eq("errno of getpgid and getsid", seen(), [43, 42])
        })?;
        let before = shown()?;
        stage.hold();
        expect_eq("mode and filters", shown()?, before)?;
        expect_eq("errno of getpgid and getsid", seen(), [41, 42])?;
        deny(libc::SYS_getsid, 44, 0)?;
        expect_eq("errno with one more", seen(), [41, 44])?;
        child.join()
    })?;

    cx.ready()?;

    stage.release();
    free.join()?;
    bound.join()
}
