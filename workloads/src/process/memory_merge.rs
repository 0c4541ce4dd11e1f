//! prctl(PR_SET_MEMORY_MERGE) (Linux 6.4): all anonymous memory may be merged with equal pages,
//! also in later mappings, unless it was excluded by MADV_UNMERGEABLE.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "all memory of a process mergeable, but for a range; of another only a range",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    match sys::prctl(libc::PR_GET_MEMORY_MERGE, [0; 4]) {
        Err(error) if sys::errno_in(&error) == Some(libc::EINVAL) => {
            return skip("the kernel has no PR_SET_MEMORY_MERGE");
        }
        set => expect_eq("PR_GET_MEMORY_MERGE at the beginning", set?, 0)?,
    }
    let stage = Stage::new()?;
    let advised = stage.fork("the process with a mergeable range", |stage| {
        let (merged, other) = (memory(1)?, memory(2)?);
        merged.advise(libc::MADV_MERGEABLE)?;
        let verify = || {
            expect_eq("PR_GET_MEMORY_MERGE", sys::prctl(libc::PR_GET_MEMORY_MERGE, [0; 4])?, 0)?;
            expect_eq("ranges", (mergeable(&merged)?, mergeable(&other)?), (true, false))?;
            expect_eq("a new range", mergeable(&memory(3)?)?, false)
        };
        verify()?;
        stage.hold();
        verify()
    })?;
    let earlier = memory(cx.seed)?;
    let excepted = memory(cx.seed + 1)?;
    if let Err(error) = sys::prctl(libc::PR_SET_MEMORY_MERGE, [1, 0, 0, 0]) {
        anyhow::ensure!(sys::errno_in(&error) == Some(libc::EPERM), error);
        return skip("PR_SET_MEMORY_MERGE is not permitted");
    }
    excepted.advise(libc::MADV_UNMERGEABLE)?;
    let shared = Mapping::shared(4 * page_size())?;
    let verify = || {
        expect_eq("PR_GET_MEMORY_MERGE", sys::prctl(libc::PR_GET_MEMORY_MERGE, [0; 4])?, 1)?;
        expect_eq("the range from before", mergeable(&earlier)?, true)?;
        expect_eq("the excepted range", mergeable(&excepted)?, false)?;
        expect_eq("shared memory", mergeable(&shared)?, false)?;
        expect_eq("a new range", mergeable(&memory(3)?)?, true)
    };
    verify().context("before")?;

    cx.ready()?;

    verify()?;
    pattern::verify("the range from before", earlier.bytes(), cx.seed)?;
    pattern::verify("the excepted range", excepted.bytes(), cx.seed + 1)?;
    stage.release();
    advised.join()
}

/// Some private memory. An unmapped page behind it prevents merging with other mappings.
fn memory(key: u64) -> anyhow::Result<Mapping> {
    let mut memory = Mapping::private(5 * page_size())?;
    memory.punch(4, 1)?;
    let start = memory.start();
    pattern::fill(&mut memory.bytes_mut()[..4 * page_size()], key);
    memory.leak();
    Ok(Mapping::adopt(start, 4 * page_size()))
}

/// Whether the kernel shows the mapping as one that may be merged.
fn mergeable(memory: &Mapping) -> anyhow::Result<bool> {
    Ok(procfs::vma_at(memory.start())?.has("mg"))
}
