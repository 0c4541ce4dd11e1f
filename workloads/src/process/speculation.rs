//! prctl(PR_SET_SPECULATION_CTRL): which kinds of speculation are disabled for a thread. One state
//! cannot be left, and one lasts until the next exec.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "speculation switched off, in threads that differ, where the processor leaves the choice",
    needs: &[],
    active: false,
    statik: false,
    run,
};

/// include/uapi/linux/prctl.h; the libc crate has these for some architectures only.
const PR_GET_SPECULATION_CTRL: libc::c_int = 52;
const PR_SET_SPECULATION_CTRL: libc::c_int = 53;
/// Bit of the result: the setting can be changed per thread.
const PR_SPEC_PRCTL: libc::c_int = 1 << 0;

/// Store bypass, indirect branches, and a flush of the first-level cache.
const KINDS: [libc::c_ulong; 3] = [0, 1, 2];

/// PR_SPEC_ENABLE, PR_SPEC_DISABLE, PR_SPEC_FORCE_DISABLE and PR_SPEC_DISABLE_NOEXEC.
const STATES: [libc::c_ulong; 4] = [1 << 1, 1 << 2, 1 << 3, 1 << 4];

fn run(cx: &mut Ctx) -> Outcome {
    static GO: Cell = Cell::new();
    let mut able = Vec::new();
    for (kind, state) in KINDS.iter().flat_map(|kind| STATES.map(|state| (*kind, state))) {
        // Tried in a child: not every kind has every state, and some states cannot be left.
        if fork("a trial", || tried(kind, state))?.wait()? == 0 {
            able.push((kind, state));
        }
    }
    if able.is_empty() {
        return skip("no kind of speculation can be switched by a thread here");
    }
    let mut threads = Vec::new();
    for (kind, state) in able {
        let thread = thread::spawn(move || {
            set(kind, state)?;
            let want = all()?;
            GO.block_until(1);
            expect_eq(&format!("kinds in the thread of kind {kind}, state {state:#x}"), all()?, want)
        })?;
        thread.wait_blocked_in(libc::SYS_futex)?;
        threads.push(thread);
    }
    let want = all()?;

    cx.ready()?;

    expect_eq("kinds in the main thread", all()?, want)?;
    GO.set(1);
    threads.into_iter().try_for_each(Thread::join)
}

/// In a child: fails if `kind` cannot be brought into `state`.
fn tried(kind: libc::c_ulong, state: libc::c_ulong) -> Outcome {
    if get(kind)?.is_none_or(|told| told & PR_SPEC_PRCTL == 0) || set(kind, state).is_err() {
        child::exit(1);
    }
    Ok(())
}

/// The state of each kind.
fn all() -> anyhow::Result<Vec<Option<libc::c_int>>> {
    KINDS.into_iter().map(get).collect()
}

fn set(kind: libc::c_ulong, state: libc::c_ulong) -> Outcome {
    sys::prctl(PR_SET_SPECULATION_CTRL, [kind, state, 0, 0]).map(drop)
}

/// The state, unless the kernel does not know the kind.
fn get(kind: libc::c_ulong) -> anyhow::Result<Option<libc::c_int>> {
    match sys::prctl(PR_GET_SPECULATION_CTRL, [kind, 0, 0, 0]) {
        Err(error) if matches!(sys::errno_in(&error), Some(libc::ENODEV | libc::EINVAL)) => Ok(None),
        told => Ok(Some(told?)),
    }
}
