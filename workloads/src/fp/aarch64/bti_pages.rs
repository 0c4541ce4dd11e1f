//! In a page mapped with PROT_BTI, an indirect call must reach a landing pad or raises SIGILL.

use super::Feature;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "machine code in a page that guards indirect branches",
    needs: &[],
    active: false,
    statik: true,
    run,
};

/// `bti c`.
const PAD: [u8; 4] = [0x5f, 0x24, 0x03, 0xd5];

fn run(cx: &mut Ctx) -> Outcome {
    if !Feature::Bti.here() {
        return skip("the processor has no branch target identification");
    }
    let mut guarded = Mapping::private(page_size())?;
    let mut open = Mapping::private(page_size())?;
    for page in [&mut guarded, &mut open] {
        page.bytes_mut()[..4].copy_from_slice(&PAD);
        page.bytes_mut()[4..4 + arch::CODE.len()].copy_from_slice(arch::CODE);
        arch::flush_code(page.ptr());
    }
    guarded.protect(0, 1, libc::PROT_READ | libc::PROT_EXEC | libc::PROT_BTI)?;
    open.protect(0, 1, libc::PROT_READ | libc::PROT_EXEC)?;
    check(&guarded, &open)?;

    cx.ready()?;

    check(&guarded, &open)
}

fn check(guarded: &Mapping, open: &Mapping) -> Outcome {
    expect_eq("call of the landing pad", call(guarded.start()), 0x5aa5)?;
    expect_eq("call behind the landing pad of the page without guard", call(open.start() + 4), 0x5aa5)?;
    expect(procfs::vma_at(guarded.start())?.has("bt"), || "the page has no guard".into())?;
    expect(!procfs::vma_at(open.start())?.has("bt"), || "the other page has a guard".into())?;
    let past = guarded.start() + 4;
    let child = fork("a child that misses the landing pad", || {
        // SAFETY: the default action replaces any handler, in this child only; no core dumps.
        unsafe {
            libc::signal(libc::SIGILL, libc::SIG_DFL);
            let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
            libc::setrlimit(libc::RLIMIT_CORE, &none);
        }
        std::hint::black_box(call(past));
        Ok(())
    })?;
    child.join_killed(libc::SIGILL)
}

/// Calls the code at an address, indirectly.
fn call(address: usize) -> u32 {
    // SAFETY: both pages hold a function of this type from these addresses on. What else happens
    // happens to a child.
    let function: extern "C" fn() -> u32 = unsafe { std::mem::transmute(std::hint::black_box(address)) };
    function()
}
