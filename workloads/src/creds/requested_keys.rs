//! keyctl(KEYCTL_SET_REQKEY_KEYRING): where keys go that the kernel makes on request, for each
//! thread.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "the keyring for requested keys, of two threads",
    needs: &[],
    active: false,
    statik: false,
    run,
};

// include/uapi/linux/keyctl.h
const KEYCTL_SET_REQKEY_KEYRING: i32 = 14;
const NO_CHANGE: i32 = -1;
const PROCESS_KEYRING: i32 = 2;
const USER_KEYRING: i32 = 4;

fn run(cx: &mut Ctx) -> Outcome {
    static GO: Cell = Cell::new();
    if let Err(err) = request(NO_CHANGE) {
        return skip(format!("no keyrings here: {err:#}"));
    }
    request(USER_KEYRING)?;
    let other = thread::spawn(|| {
        request(PROCESS_KEYRING)?;
        GO.block_until(1);
        expect_eq("keyring of the second thread", request(NO_CHANGE)?, PROCESS_KEYRING)
    })?;
    other.wait_blocked_in(libc::SYS_futex)?;

    cx.ready()?;

    expect_eq("keyring of the main thread", request(NO_CHANGE)?, USER_KEYRING)?;
    GO.set(1);
    other.join()
}

/// Sets it; returns the previous one.
fn request(keyring: i32) -> anyhow::Result<i32> {
    // SAFETY: numbers only.
    let before = unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_SET_REQKEY_KEYRING, keyring) };
    Ok(sys::check("keyctl(KEYCTL_SET_REQKEY_KEYRING)", before)? as i32)
}
