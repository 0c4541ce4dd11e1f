//! Code made at run time: written, made executable, called before and after.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    name: "jit-code",
    group: "process",
    purpose: "machine code that was written into anonymous memory",
    needs: &[],
    moving: false,
    statik: true,
    run,
};

/// `mov eax, imm32; ret` and `mov w0, imm16; ret`: a function without arguments that returns 0x5aa5.
#[cfg(target_arch = "x86_64")]
const CODE: &[u8] = &[0xb8, 0xa5, 0x5a, 0x00, 0x00, 0xc3];
#[cfg(target_arch = "aarch64")]
const CODE: &[u8] = &[0xa0, 0x54, 0x8b, 0x52, 0xc0, 0x03, 0x5f, 0xd6];

fn run(cx: &mut Ctx) -> Outcome {
    let mut page = Mapping::private(PAGE)?;
    page.bytes_mut()[..CODE.len()].copy_from_slice(CODE);
    page.protect(0, 1, libc::PROT_READ | libc::PROT_EXEC)?;
    // SAFETY: the page holds a whole function of this type for this architecture and is executable.
    let made: extern "C" fn() -> u32 = unsafe { std::mem::transmute(page.ptr()) };
    expect_eq("made function before", made(), 0x5aa5)?;

    cx.ready()?;

    expect_eq("made function", made(), 0x5aa5)?;
    let vma = procfs::vma_at(page.start())?;
    expect_eq("protection", vma.perms.as_str(), "r-xp")
}
