//! prctl(PR_SET_SPECULATION_CTRL): which kinds of speculation a thread does without. One state
//! cannot be left again, and one lasts until the next exec.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    name: "speculation",
    group: "process",
    purpose: "speculation switched off, in threads that differ, where the processor leaves the choice",
    needs: &[],
    moving: false,
    statik: false,
    run,
};

/// include/uapi/linux/prctl.h
const PR_SPEC_L1D_FLUSH: libc::c_int = 2;

const KINDS: [libc::c_int; 3] =
    [libc::PR_SPEC_STORE_BYPASS, libc::PR_SPEC_INDIRECT_BRANCH, PR_SPEC_L1D_FLUSH];

const STATES: [libc::c_uint; 4] =
    [libc::PR_SPEC_ENABLE, libc::PR_SPEC_DISABLE, libc::PR_SPEC_FORCE_DISABLE, libc::PR_SPEC_DISABLE_NOEXEC];

fn run(cx: &mut Ctx) -> Outcome {
    static GO: Cell = Cell::new();
    let mut threads = Vec::new();
    for kind in KINDS {
        for state in STATES {
            // Tried in a child: not every kind has every state, and some threads could not go back.
            if !fork("a trial", || tried(kind, state))?.wait().map(|status| status == 0)? {
                continue;
            }
            let thread = thread::spawn(move || {
                set(kind, state)?;
                let want = all()?;
                GO.block_until(1);
                expect_eq(&format!("kinds in the thread of kind {kind}, state {state:#x}"), all()?, want)
            })?;
            thread.wait_blocked_in(libc::SYS_futex)?;
            threads.push(thread);
        }
    }
    if threads.is_empty() {
        return skip("no kind of speculation can be switched by a thread here");
    }
    let want = all()?;

    cx.ready()?;

    expect_eq("kinds in the main thread", all()?, want)?;
    GO.set(1);
    threads.into_iter().try_for_each(Thread::join)
}

/// In a child: fails if `kind` cannot be brought into `state`.
fn tried(kind: libc::c_int, state: libc::c_uint) -> Outcome {
    if get(kind)?.is_none_or(|told| told & libc::PR_SPEC_PRCTL == 0) || set(kind, state).is_err() {
        child::exit(1);
    }
    Ok(())
}

/// The state of each kind.
fn all() -> anyhow::Result<Vec<Option<libc::c_uint>>> {
    KINDS.into_iter().map(get).collect()
}

fn set(kind: libc::c_int, state: libc::c_uint) -> Outcome {
    let numbers = [kind as libc::c_ulong, libc::c_ulong::from(state), 0, 0];
    sys::prctl(libc::PR_SET_SPECULATION_CTRL, numbers).map(drop)
}

/// The state, unless the kernel does not know the kind.
fn get(kind: libc::c_int) -> anyhow::Result<Option<libc::c_uint>> {
    match sys::prctl(libc::PR_GET_SPECULATION_CTRL, [kind as libc::c_ulong, 0, 0, 0]) {
        Err(error) if matches!(sys::errno_in(&error), Some(libc::ENODEV | libc::EINVAL)) => Ok(None),
        told => Ok(Some(told?.cast_unsigned())),
    }
}
