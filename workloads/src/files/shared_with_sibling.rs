//! Four processes with two descriptor tables: a child that has its parent's, and two siblings that
//! share one, since the first of them has created the other (CLONE_PARENT).

use super::helpers;
use crate::framework::prelude::*;
use std::sync::atomic::Ordering;

pub const WORKLOAD: Workload = Workload {
    purpose: "descriptor tables that a child shares with its parent, and siblings with each other",
    needs: &[],
    active: false,
    statik: false,
    run,
};

/// A number in the table of the parent, and one in that of the siblings.
const OURS: i32 = 200;
const THEIRS: i32 = 201;
/// The same afterwards.
const OURS_AFTERWARDS: i32 = 202;
const THEIRS_AFTERWARDS: i32 = 203;

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let file = helpers::make("file", 100, cx.seed)?;
    let turn = |n: u32| stage.shared().cell(1).wait("the others", n);
    let is_open = |numbers: [i32; 4]| numbers.map(fd::is_open);
    let all = [OURS, THEIRS, OURS_AFTERWARDS, THEIRS_AFTERWARDS];
    let first = stage.fork("the first sibling", |stage| {
        fd::place(&file, THEIRS, 0)?;
        let flags = libc::CLONE_PARENT | libc::CLONE_FILES | libc::CLONE_FS;
        let second = stage.fork_sharing(flags, "the second sibling", |stage| {
            std::env::set_current_dir("/").context("chdir")?;
            stage.hold();
            turn(1)?;
            fd::place(&file, THEIRS_AFTERWARDS, 0)?;
            stage.shared().cell(1).set(2);
            turn(3)
        })?;
        stage.shared().number(0).store(second.pid as u64, Ordering::SeqCst);
        stage.hold();
        turn(2)?;
        expect_eq("descriptors of the siblings", is_open(all), [false, true, false, true])?;
        expect_eq("directory of the siblings", std::env::current_dir()?, std::path::PathBuf::from("/"))?;
        turn(3)
    })?;
    let second = stage.shared().number(0).load(Ordering::SeqCst) as libc::pid_t;
    let second = Child { pid: second, name: "the second sibling" };
    let ours = stage.fork_sharing(libc::CLONE_FILES, "the child with our table", |stage| {
        fd::place(&file, OURS, 0)?;
        stage.hold();
        turn(2)?;
        fd::place(&file, OURS_AFTERWARDS, 0)?;
        stage.shared().cell(1).set(3);
        Ok(())
    })?;

    cx.ready()?;

    expect_eq("descriptors", is_open(all), [true, false, false, false])?;
    expect_eq("directory", std::env::current_dir()?, cx.dir.to_path_buf())?;
    expect_eq("parent of the second sibling", procfs::Stat::of(second.pid)?.ppid, sys::getpid())?;
    stage.release();
    stage.shared().cell(1).set(1);
    ours.join()?;
    expect_eq("descriptors in the end", is_open(all), [true, false, true, false])?;
    first.join()?;
    second.join()
}
