//! A private, executable, read-only file mapping like those of the loader, of a closed file.

use crate::framework::prelude::*;
use std::os::fd::AsFd as _;

pub const WORKLOAD: Workload =
    Workload { purpose: "machine code mapped from a file", needs: &[], active: false, statik: true, run };

fn run(cx: &mut Ctx) -> Outcome {
    let path = cx.dir.join("code");
    std::fs::write(&path, [arch::CODE, &vec![0; page_size() + 904]].concat()).context("write file")?;
    let file = std::fs::File::open(&path).context("open file")?;
    let prot = libc::PROT_READ | libc::PROT_EXEC;
    let code = Mapping::new(2 * page_size(), prot, libc::MAP_PRIVATE, Some((file.as_fd(), 0)))?;
    drop(file);

    cx.ready()?;

    let vma = procfs::vma_at(code.start())?;
    expect_eq("protection and name", (vma.perms, vma.name), ("r-xp".into(), path.display().to_string()))?;
    // SAFETY: the page holds a whole function of this type for this architecture and is executable.
    let made: extern "C" fn() -> u32 = unsafe { std::mem::transmute(code.ptr()) };
    expect_eq("mapped function", made(), 0x5aa5)?;
    std::fs::remove_file(path).context("remove file")
}
