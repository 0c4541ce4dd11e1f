//! Files of all namespaces that the process is in.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "files of namespaces, also two of one",
    needs: &[],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let mut files = Vec::new();
    for entry in std::fs::read_dir("/proc/self/ns").context("read /proc/self/ns")? {
        let path = entry.context("read /proc/self/ns")?.path();
        files.push(fd::open(&path, libc::O_RDONLY | libc::O_CLOEXEC, 0)?);
    }
    files.push(fd::dup(&files[0])?);
    files.push(fd::open("/proc/self/ns/mnt", libc::O_RDONLY, 0)?);
    let shown = || {
        let each = |file| anyhow::Ok((helpers::link_of(file)?, helpers::inode(file)?, fd::cloexec(file)?));
        files.iter().map(each).collect::<anyhow::Result<Vec<_>>>()
    };
    let before = shown()?;

    cx.ready()?;

    expect_eq("namespaces", shown()?, before)
}
