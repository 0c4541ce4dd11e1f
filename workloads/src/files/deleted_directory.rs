//! The working directory of a process has been removed, and it has another removed directory open.

use super::helpers;
use crate::framework::prelude::*;
use std::os::unix::fs::MetadataExt as _;

pub const WORKLOAD: Workload = Workload {
    purpose: "a removed current directory and a descriptor of a removed directory",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    std::fs::create_dir("gone").context("mkdir")?;
    std::fs::create_dir("gone too").context("mkdir")?;
    let child = stage.fork("the process in a removed directory", |stage| {
        std::env::set_current_dir("gone").context("chdir")?;
        let other = fd::open("../gone too", libc::O_RDONLY | libc::O_DIRECTORY, 0)?;
        std::fs::remove_dir("../gone").context("rmdir")?;
        std::fs::remove_dir("../gone too").context("rmdir")?;
        stage.hold();
        let cwd = std::fs::metadata(".").context("stat .")?;
        expect_eq("links of the current directory", cwd.nlink(), 0u64)?;
        expect_eq("links of the open directory", fd::stat(&other)?.st_nlink, 0)?;
        let errno = fd::errno("creating a file", fd::open("file", helpers::MAKE, 0o600))?;
        expect_eq("errno of creating a file", errno, libc::ENOENT)?;
        let errno = fd::errno("reading names", helpers::read_directory(&other, 4096))?;
        expect_eq("errno of reading names", errno, libc::ENOENT)?;
        let shown = std::fs::read_link("/proc/self/cwd").context("readlink")?;
        expect(shown.to_string_lossy().ends_with(" (deleted)"), || format!("current directory {shown:?}"))
    })?;

    cx.ready()?;

    helpers::expect_no_name("gone")?;
    helpers::expect_no_name("gone too")?;
    stage.release();
    child.join()
}
