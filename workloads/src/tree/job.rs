//! A shell job `a | b | c`: a group of three with pipes between; the first has exited already.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a job of three processes with pipes, its leader a zombie",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let (stage, seed) = (Stage::new()?, cx.seed);
    let (out1, in1) = fd::pipe(0)?;
    let (out2, in2) = fd::pipe(0)?;
    let first = fork("the first of the job", || {
        helpers::set_group(0, 0)?;
        fd::write_all(&in1, &pattern::bytes(6000, seed))?;
        helpers::exit(0)
    })?;
    helpers::wait_zombie(first.pid)?;
    drop(in1);
    let second = fork("the second of the job", || {
        helpers::set_group(0, first.pid)?;
        stage.hold();
        fd::write_all(&in2, &fd::read_to_end(&out1)?)?;
        helpers::exit(2)
    })?;
    stage.wait_held(&second)?;
    drop((out1, in2));
    let third = fork("the third of the job", || {
        helpers::set_group(0, first.pid)?;
        pattern::verify("what came through", &fd::read_to_end(&out2)?, seed)?;
        helpers::exit(3)
    })?;
    stage.wait_in(&third, libc::SYS_read)?;
    drop(out2);

    cx.ready()?;

    for process in [&first, &second, &third] {
        expect_eq("group", helpers::family(process.pid)?.1, first.pid)?;
    }
    stage.release();
    // Wait for the group, as a shell does.
    let mut found = Vec::new();
    for _ in 0..3 {
        found.extend(
            helpers::waitid(libc::P_PGID, first.pid, libc::WEXITED)?.map(|(_, code, pid)| (pid, code)),
        );
    }
    found.sort_unstable();
    let mut want = vec![(first.pid, 0), (second.pid, 2), (third.pid, 3)];
    want.sort_unstable();
    expect_eq("pids and codes", found, want)
}
