//! gs is free in user space on x86_64: each thread points it at its own word. fs is the C
//! library's thread pointer.

use crate::fp::helpers::blocked_threads;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload =
    Workload { purpose: "the bases of fs and gs, by thread", needs: &[], active: false, statik: true, run };

/// asm/prctl.h.
const ARCH_SET_GS: i32 = 0x1001;
const ARCH_GET_FS: i32 = 0x1003;
const ARCH_GET_GS: i32 = 0x1004;

fn run(cx: &mut Ctx) -> Outcome {
    let main = Box::new(0x1111_2222_3333_4444u64);
    set_gs(&main)?;
    let before = bases()?;
    blocked_threads(cx, 3, |blocked| {
        let word = Box::new(blocked.key);
        set_gs(&word)?;
        let before = bases()?;
        blocked.through(super::over_read::sse, &crate::fp::helpers::Aligned([0; 256]))?;
        expect_eq("bases of fs and gs", bases()?, before)?;
        expect_eq("word behind gs", read_gs(), *word)
    })?;
    expect_eq("bases of fs and gs of the main thread", bases()?, before)?;
    expect_eq("word behind gs of the main thread", read_gs(), *main)
}

fn set_gs(word: &u64) -> Outcome {
    let address = std::ptr::from_ref(word) as usize;
    // SAFETY: nothing else uses gs in this program.
    sys::check("arch_prctl", unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_SET_GS, address) })?;
    Ok(())
}

fn bases() -> anyhow::Result<(usize, usize)> {
    let (mut fs, mut gs) = (0usize, 0usize);
    // SAFETY: both words live through the calls.
    unsafe {
        sys::check("arch_prctl", libc::syscall(libc::SYS_arch_prctl, ARCH_GET_FS, &mut fs))?;
        sys::check("arch_prctl", libc::syscall(libc::SYS_arch_prctl, ARCH_GET_GS, &mut gs))?;
    }
    Ok((fs, gs))
}

fn read_gs() -> u64 {
    let word: u64;
    // SAFETY: gs points to a boxed word that is alive.
    unsafe { std::arch::asm!("mov {}, gs:[0]", out(reg) word, options(nostack, readonly, preserves_flags)) };
    word
}
