//! Code generated at run time: written, made executable, called before and after.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "machine code that was written into anonymous memory",
    needs: &[],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let mut page = Mapping::private(page_size())?;
    page.bytes_mut()[..arch::CODE.len()].copy_from_slice(arch::CODE);
    arch::flush_code(page.ptr());
    page.protect(0, 1, libc::PROT_READ | libc::PROT_EXEC)?;
    // SAFETY: the page holds a whole function of this type for this architecture and is executable.
    let made: extern "C" fn() -> u32 = unsafe { std::mem::transmute(page.ptr()) };
    expect_eq("made function before", made(), 0x5aa5)?;

    cx.ready()?;

    expect_eq("made function", made(), 0x5aa5)?;
    let vma = procfs::vma_at(page.start())?;
    expect_eq("protection", vma.perms.as_str(), "r-xp")
}
