//! The root process of the tree has another root directory, with its working directory and a file
//! inside.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "another root directory of the tree's first process",
    needs: &[Need::Root],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    std::fs::create_dir_all("jail/room").context("mkdir")?;
    for fifo in ["ready", "go"] {
        std::fs::hard_link(fifo, format!("jail/{fifo}")).context("link the gate into the jail")?;
    }
    helpers::make("jail/inside", 100, cx.seed)?;
    nix::unistd::chroot("jail").context("chroot")?;
    std::env::set_current_dir("/room").context("chdir")?;
    let open = fd::open("/inside", libc::O_RDONLY, 0)?;
    cx.gate.set_dir("/");

    cx.ready()?;

    helpers::verify("the open file", &open, 100, cx.seed)?;
    helpers::verify("the file by its name", &fd::open("/inside", libc::O_RDONLY, 0)?, 100, cx.seed)?;
    expect_eq("current directory", std::env::current_dir()?.as_os_str(), "/room")?;
    helpers::expect_no_name("../../stdout")
}
