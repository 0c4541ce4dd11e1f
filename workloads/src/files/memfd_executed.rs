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
    // As memfd_create(2) has returned it, it may stay open for writing while it is executed.
    let kept = helpers::memfd(c"kept", 0)?;
    fd::write_all(&kept, &program)?;
    let kept_link = std::ffi::CString::new(format!("/proc/self/fd/{}", kept.as_raw_fd()))?;
    let other = fork("the program that has its own file open", || Err(helper::exec(&kept_link, &argv)))?;
    stage.wait_in(&other, arch::PAUSE).context(other.name)?;
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
    expect_eq("flags of the kept one", fd::flags(&kept)? & libc::O_ACCMODE, libc::O_RDWR)?;
    let other_exe = std::fs::read_link(format!("/proc/{}/exe", other.pid)).context("readlink")?;
    expect_eq("the other program", other_exe, std::path::PathBuf::from("/memfd:kept (deleted)"))?;
    for child in [child, other] {
        child.kill(libc::SIGTERM)?;
        child.join_killed(libc::SIGTERM)?;
    }
    Ok(())
}
