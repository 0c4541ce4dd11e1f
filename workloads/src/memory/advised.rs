//! madvise(2): not in core dumps, read ahead, read randomly, mergeable, never or always huge. The
//! kernel shows each as a letter pair in VmFlags.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "ranges with the flags that madvise leaves behind",
    needs: &[],
    active: false,
    statik: false,
    run,
};

const ADVICE: [(i32, &str); 6] = [
    (libc::MADV_DONTDUMP, "dd"),
    (libc::MADV_SEQUENTIAL, "sr"),
    (libc::MADV_RANDOM, "rr"),
    (libc::MADV_MERGEABLE, "mg"),
    (libc::MADV_HUGEPAGE, "hg"),
    (libc::MADV_NOHUGEPAGE, "nh"),
];

fn run(cx: &mut Ctx) -> Outcome {
    let mut ranges = Vec::new();
    for (advice, flag) in ADVICE {
        let mut memory = Mapping::private(4 * page_size())?;
        match memory.advise(advice) {
            // Not built into this kernel.
            Err(error) if sys::errno_in(&error) == Some(libc::EINVAL) => continue,
            other => other?,
        }
        pattern::fill(memory.bytes_mut(), cx.seed);
        let flags = procfs::vma_at(memory.start())?.flags;
        expect(flags.contains(flag), || format!("advice {advice} does not show in {flags:?}"))?;
        ranges.push((memory, flag, flags));
    }

    cx.ready()?;

    for (memory, flag, flags) in &ranges {
        let now = procfs::vma_at(memory.start())?.flags;
        expect(now.contains(*flag), || format!("{flag} is gone: {now:?}, want {flags:?}"))?;
        pattern::verify("contents", memory.bytes(), cx.seed)?;
    }
    Ok(())
}
