//! The top byte of an address is ignored by the processor; whether the kernel ignores it in system
//! calls is a per-thread setting.

use super::{mte_modes, prctl};
use crate::framework::prelude::*;
use std::os::fd::{AsRawFd as _, OwnedFd};

pub const WORKLOAD: Workload = Workload {
    purpose: "tagged addresses as arguments of system calls, by thread",
    needs: &[],
    active: false,
    statik: true,
    run,
};

static GO: Cell = Cell::new();

fn run(cx: &mut Ctx) -> Outcome {
    let without = thread::spawn(|| both(false))?;
    without.wait_blocked_in(libc::SYS_futex)?;
    match prctl(mte_modes::PR_SET_TAGGED_ADDR_CTRL, mte_modes::ENABLE, 0) {
        Err(e) if sys::errno_in(&e) == Some(libc::EINVAL) => {
            GO.set(1);
            without.join()?;
            return skip("the kernel takes no tagged addresses");
        }
        other => other?,
    };
    let with = thread::spawn(|| both(true))?;
    with.wait_blocked_in(libc::SYS_futex)?;
    round_trip()?;

    cx.ready()?;

    round_trip()?;
    GO.set(1);
    with.join()?;
    without.join()
}

/// Tested before and after. `taken`: whether the kernel accepts tagged addresses of this thread.
fn both(taken: bool) -> Outcome {
    let test = || match taken {
        true => round_trip(),
        false => expect_eq("errno", fd::errno("write", round_trip())?, libc::EFAULT),
    };
    test()?;
    GO.block_until(1);
    test()
}

/// Through a pipe and back, from and to tagged addresses.
fn round_trip() -> Outcome {
    let (reader, writer): (OwnedFd, OwnedFd) = fd::pipe(0)?;
    let (sent, mut got) = (*b"tagged", [0u8; 6]);
    let tagged = |address: usize| (address | 0x5a << 56) as *mut libc::c_void;
    // SAFETY: the addresses are those of the arrays, which live through the calls, with tags that
    // are no part of them.
    unsafe {
        let from = tagged(sent.as_ptr() as usize);
        sys::check("write", libc::write(writer.as_raw_fd(), from, sent.len()))?;
        sys::check("read", libc::read(reader.as_raw_fd(), tagged(got.as_mut_ptr() as usize), got.len()))?;
    }
    expect_bytes("what went through the pipe", &got, &sent)
}
