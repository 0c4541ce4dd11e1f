//! A program that was started from a sealed memfd, which no process has open.

use super::helpers;
use crate::framework::prelude::*;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;

pub const WORKLOAD: Workload = Workload {
    purpose: "a program whose file is a sealed memfd",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let (path, argv) = helper::command("pause", &[])?;
    let program = std::fs::read(std::ffi::OsStr::from_bytes(path.as_bytes())).context("read the program")?;
    let file = helpers::memfd(c"program", libc::MFD_ALLOW_SEALING | libc::MFD_CLOEXEC)?;
    fd::write_all(&file, &program)?;
    helpers::seal(&file, libc::F_SEAL_WRITE | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL)?;
    let link = std::ffi::CString::new(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    let child = fork("the executed program", || Err(helper::exec(&link, &argv)))?;
    let (name, pid) = (child.name, child.pid);
    drop(file);
    let exe = || std::fs::read_link(format!("/proc/{pid}/exe"));
    sync::wait_until("the program to run", || Ok(exe()?.as_os_str() == "/memfd:program (deleted)"))?;
    stage.wait_in(&child, arch::PAUSE).context(name)?;

    cx.ready()?;

    expect_eq("program", exe()?, std::path::PathBuf::from("/memfd:program (deleted)"))?;
    let same = std::fs::read(format!("/proc/{pid}/exe")).context("read the program")? == program;
    expect(same, || "the program has other contents".into())?;
    let opened = fd::open(format!("/proc/{pid}/exe"), libc::O_RDONLY, 0)?;
    expect_eq("seals", helpers::seals(&opened)?, 0xf)?;
    child.kill(libc::SIGTERM)?;
    child.join_killed(libc::SIGTERM)
}
