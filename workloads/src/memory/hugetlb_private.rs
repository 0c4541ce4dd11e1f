//! MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB: pages from the pool, one written, one not.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "private memory of explicit huge pages",
    needs: &[Need::Hugepages],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let huge = super::helpers::huge_page()?;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_HUGETLB;
    let mut memory = Mapping::new(2 * huge, libc::PROT_READ | libc::PROT_WRITE, flags, None)?;
    super::helpers::mark(&mut memory.bytes_mut()[..huge], cx.seed);

    cx.ready()?;

    super::helpers::verify_marks("first huge page", &memory.bytes()[..huge], cx.seed)?;
    let vma = procfs::vma_at(memory.start())?;
    expect(vma.has("ht"), || format!("the range is not of huge pages: {:?}", vma.flags))?;
    expect_eq("size of a page", vma.kib("KernelPageSize")? as usize, huge / 1024)?;
    expect_eq("range", (vma.start, vma.end), (memory.start(), memory.end()))?;
    super::helpers::mark(&mut memory.bytes_mut()[huge..], cx.seed + 1);
    super::helpers::verify_marks("second huge page", &memory.bytes()[huge..], cx.seed + 1)
}
