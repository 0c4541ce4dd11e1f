//! prctl(PR_SET_VMA_ANON_NAME), 5.17 on: shown as `[anon:NAME]` in /proc/PID/maps; C libraries use
//! it for their heaps.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload =
    Workload { purpose: "anonymous memory with a name", needs: &[], active: false, statik: false, run };

/// include/uapi/linux/prctl.h.
const PR_SET_VMA: i32 = 0x5356_4d41;

fn run(cx: &mut Ctx) -> Outcome {
    let mut memory = Mapping::private(4 * page_size())?;
    pattern::fill(memory.bytes_mut(), cx.seed);
    let name = c"cairn heap (1)";
    // SAFETY: the range is ours, the name is a C string that the kernel copies. 0 is
    // PR_SET_VMA_ANON_NAME.
    let rc = unsafe { libc::prctl(PR_SET_VMA, 0, memory.start(), memory.len(), name.as_ptr()) };
    if rc != 0 || !procfs::vma_at(memory.start())?.name.starts_with("[anon:") {
        return skip("the kernel has no names for anonymous memory");
    }

    cx.ready()?;

    let vma = procfs::vma_at(memory.start())?;
    expect_eq("name", vma.name.as_str(), "[anon:cairn heap (1)]")?;
    expect_eq("range", (vma.start, vma.end), (memory.start(), memory.end()))?;
    pattern::verify("contents", memory.bytes(), cx.seed)
}
