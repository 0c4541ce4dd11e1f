//! The program break: what lies below it stays, the next sbrk(2) starts where the last one ended.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "the heap of brk(2): contents, end, and growth from there",
    needs: &[],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let growth = 5 * page_size() + 123;
    let start = sbrk(growth as isize)?;
    // SAFETY: sbrk just gave this range to us; malloc keeps away from what it did not get itself.
    let ours = unsafe { std::slice::from_raw_parts_mut(start as *mut u8, growth) };
    pattern::fill(ours, cx.seed);
    let end = sbrk(0)?;
    expect_eq("break after growth", end, start + growth)?;

    cx.ready()?;

    expect_eq("break, from the kernel", raw_break(), end)?;
    expect_eq("break, from libc", sbrk(0)?, end)?;
    pattern::verify("heap", ours, cx.seed)?;
    let more = sbrk((2 * page_size()) as isize)?;
    expect_eq("start of new growth", more, end)?;
    // SAFETY: as above, for the new growth.
    let fresh = unsafe { std::slice::from_raw_parts_mut(more as *mut u8, 2 * page_size()) };
    pattern::verify_zero("new growth", fresh)?;
    pattern::fill(fresh, cx.seed + 1);
    pattern::verify("heap after growth", ours, cx.seed)?;
    let heap =
        procfs::maps()?.into_iter().find(|v| v.name == "[heap]").context("no mapping is named [heap]")?;
    expect(heap.start <= start && more + 2 * page_size() <= heap.end, || {
        format!("[heap] is {:x}-{:x}", heap.start, heap.end)
    })
}

fn sbrk(by: isize) -> anyhow::Result<usize> {
    // SAFETY: growing the break, or asking for it, touches no existing memory.
    let at = unsafe { libc::sbrk(by) };
    Ok(sys::check("sbrk", at as isize)? as usize)
}

fn raw_break() -> usize {
    // SAFETY: brk(0) changes nothing and returns the present break.
    unsafe { libc::syscall(libc::SYS_brk, 0) as usize }
}
