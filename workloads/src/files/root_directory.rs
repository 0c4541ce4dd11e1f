//! Processes with another root directory; the working directory of one is outside it.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "the root directory of each process (chroot), with the current directory inside and outside",
    needs: &[Need::Root],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    std::fs::create_dir_all("jail/room").context("mkdir")?;
    helpers::make("jail/inside", 100, cx.seed)?;
    helpers::make("outside", 100, cx.seed + 1)?;
    let jailed = stage.fork("the jailed process", |stage| {
        nix::unistd::chroot("jail").context("chroot")?;
        std::env::set_current_dir("/room").context("chdir")?;
        let open = fd::open("/inside", libc::O_RDONLY, 0)?;
        stage.hold();
        helpers::verify("the open file", &open, 100, cx.seed)?;
        helpers::verify("the file by its name", &fd::open("/inside", libc::O_RDONLY, 0)?, 100, cx.seed)?;
        expect_eq("current directory", std::env::current_dir()?.as_os_str(), "/room")?;
        helpers::expect_no_name("/outside")?;
        helpers::expect_no_name("../../outside")
    })?;
    let outside = stage.fork("the process outside of its root", |stage| {
        nix::unistd::chroot("jail").context("chroot")?;
        stage.hold();
        helpers::verify("the file inside", &fd::open("/inside", libc::O_RDONLY, 0)?, 100, cx.seed)?;
        helpers::verify("the file outside", &fd::open("outside", libc::O_RDONLY, 0)?, 100, cx.seed + 1)
    })?;

    cx.ready()?;

    let roots = [&jailed, &outside].map(|child| std::fs::read_link(format!("/proc/{}/root", child.pid)).ok());
    expect_eq("roots", roots, [Some(cx.dir.join("jail")), Some(cx.dir.join("jail"))])?;
    stage.release();
    jailed.join()?;
    outside.join()
}
