//! membarrier(2): the registrations of an address space. Private barriers of a process are refused
//! with EPERM without them (`membarrier_private_expedited`, kernel/sched/membarrier.c).

use crate::framework::prelude::*;
use anyhow::Result;

pub const WORKLOAD: Workload = Workload {
    purpose: "registrations for expedited memory barriers, in processes that have different ones",
    needs: &[],
    active: false,
    statik: false,
    run,
};

/// include/uapi/linux/membarrier.h, since Linux 6.3
const GET_REGISTRATIONS: i32 = 1 << 9;

/// The command that registers for a barrier, and the barrier.
const COMMANDS: [(i32, i32); 4] = [
    (libc::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED),
    (
        libc::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE,
        libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE,
    ),
    (libc::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ, libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ),
    (libc::MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, libc::MEMBARRIER_CMD_GLOBAL_EXPEDITED),
];

fn run(cx: &mut Ctx) -> Outcome {
    let has = match membarrier(libc::MEMBARRIER_CMD_QUERY) {
        Err(error) if sys::errno_in(&error) == Some(libc::ENOSYS) => {
            return skip("the kernel has no membarrier");
        }
        other => other?,
    };
    let stage = Stage::new()?;
    // A child inherits the registrations of its parent, which makes its own last.
    let sets = (0..COMMANDS.len()).map(|one| vec![one]).chain([vec![], vec![0, 3], vec![1, 2]]);
    let mut children = Vec::new();
    for set in sets {
        children.push(stage.fork("a registered process", |stage| {
            let before = register(has, &set)?;
            stage.hold();
            verify(has, &set, before)
        })?);
    }
    let all: Vec<_> = (0..COMMANDS.len()).collect();
    let before = register(has, &all)?;

    cx.ready()?;

    verify(has, &all, before)?;
    stage.release();
    children.into_iter().try_for_each(Child::join)
}

/// Registers for these of [`COMMANDS`], if the kernel has them; the registrations that it reports.
fn register(has: i32, set: &[usize]) -> Result<Option<i32>> {
    for (command, _) in set.iter().map(|one| COMMANDS[*one]).filter(|(command, _)| has & command != 0) {
        membarrier(command)?;
    }
    registrations(has)
}

fn registrations(has: i32) -> Result<Option<i32>> {
    (has & GET_REGISTRATIONS != 0).then(|| membarrier(GET_REGISTRATIONS)).transpose()
}

fn verify(has: i32, set: &[usize], before: Option<i32>) -> Outcome {
    for (index, (_, barrier)) in COMMANDS.iter().enumerate().filter(|(_, (_, barrier))| has & barrier != 0) {
        // A barrier for other processes needs no registration of the caller.
        let may = set.contains(&index) || *barrier == libc::MEMBARRIER_CMD_GLOBAL_EXPEDITED;
        let errno = membarrier(*barrier).err().map(|error| sys::errno_in(&error));
        expect_eq(
            &format!("errno of barrier {barrier:#x}, registered {set:?}"),
            errno,
            (!may).then_some(Some(libc::EPERM)),
        )?;
    }
    expect_eq(&format!("registrations of {set:?}"), registrations(has)?, before)
}

fn membarrier(command: i32) -> Result<i32> {
    // SAFETY: takes no memory.
    let done = sys::check("membarrier", unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) })
        .with_context(|| format!("command {command:#x}"))?;
    Ok(done as i32)
}
