//! Files and directories of /proc that stay open: of the process, its threads, its child, the
//! machine.

use crate::framework::prelude::*;
use std::os::fd::AsRawFd as _;

pub const WORKLOAD: Workload = Workload {
    purpose: "files and directories of /proc, in mid-read, shared, and about other tasks of the job",
    needs: &[],
    active: false,
    statik: false,
    run,
};

/// Where the number is in the text of a status file.
fn pid_in(status: &[u8]) -> anyhow::Result<i32> {
    let text = String::from_utf8_lossy(status);
    let line = text.lines().find_map(|line| line.strip_prefix("Pid:")).context("no Pid line")?;
    Ok(line.trim().parse()?)
}

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let secret = Shared::new()?;
    let child = stage.fork("the child", |stage| {
        let own = fd::open("/proc/self/status", libc::O_RDONLY, 0)?;
        stage.hold();
        expect_eq("pid in the child's file", pid_in(&fd::read_to_end(&own)?)?, sys::getpid())
    })?;
    stage.wait_held(&child)?;
    let read = |path: &str| fd::open(path, libc::O_RDONLY, 0);
    let (own, of_child) = (read("/proc/self/status")?, read(&format!("/proc/{}/status", child.pid))?);
    let of_thread = read("/proc/thread-self/stat")?;
    let machine = read("/proc/version")?;
    let before = fd::read_some(&machine, 10)?;
    let whole = std::fs::read("/proc/version").context("read")?;
    let begun = fd::read_some(&own, 7)?;
    let descriptors = fd::open("/proc/self/fd", libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC, 0)?;
    let all = fd::open("/proc", libc::O_RDONLY | libc::O_DIRECTORY, 0)?;
    let handle = fd::open("/proc/self", libc::O_PATH, 0)?;
    let program = fd::open("/proc/self/exe", libc::O_PATH | libc::O_NOFOLLOW, 0)?;
    let memory = fd::open("/proc/self/mem", libc::O_RDWR, 0)?;
    let copy = fd::dup(&own)?;
    let links = |fds: &[&std::os::fd::OwnedFd]| {
        fds.iter().map(|fd| super::helpers::link_of(*fd)).collect::<anyhow::Result<Vec<_>>>()
    };
    let fds = [&own, &of_child, &of_thread, &machine, &descriptors, &all, &handle, &program, &memory];
    let names = links(&fds)?;

    cx.ready()?;

    expect_eq("names", links(&fds)?, names)?;
    expect_eq("offset of the copy", fd::offset(&copy)?, 7)?;
    let mut status = begun;
    status.extend(fd::read_to_end(&copy)?);
    expect_eq("pid in its own", pid_in(&status)?, sys::getpid())?;
    expect_eq("pid in that of the child", pid_in(&fd::read_to_end(&of_child)?)?, child.pid)?;
    let stat = fd::read_to_end(&of_thread)?;
    let pid = String::from_utf8_lossy(&stat).split(' ').next().map(str::to_owned);
    expect_eq("tid in that of the thread", pid, Some(sys::gettid().to_string()))?;
    expect_bytes("the rest of the version", &fd::read_to_end(&machine)?, &whole[before.len()..])?;
    let shown = super::helpers::read_directory(&descriptors, 1 << 16)?.context("no descriptors")?;
    let number = own.as_raw_fd().to_string();
    expect(shown.contains(&number), || format!("descriptor {number} is not in {shown:?}"))?;
    expect_eq("close-on-exec", fd::cloexec(&descriptors)?, true)?;
    expect_eq("handle", fd::flags(&handle)?, libc::O_PATH)?;
    let at = std::ptr::from_ref(secret.number(3)) as i64;
    secret.number(3).store(cx.seed, std::sync::atomic::Ordering::SeqCst);
    expect_bytes("its own memory", &fd::read_at(&memory, 8, at)?, &cx.seed.to_ne_bytes())?;
    stage.release();
    child.join()
}
