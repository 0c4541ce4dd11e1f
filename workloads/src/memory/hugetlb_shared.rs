//! MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB: one object of hugetlbfs, seen by parent and child.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "shared memory of explicit huge pages in two processes",
    needs: &[Need::Hugepages],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let huge = super::helpers::huge_page()?;
    let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_HUGETLB;
    let mut memory = Mapping::new(2 * huge, libc::PROT_READ | libc::PROT_WRITE, flags, None)?;
    super::helpers::mark(&mut memory.bytes_mut()[..huge], cx.seed);
    let signal = Shared::new()?;
    let (start, seed) = (memory.start(), cx.seed);
    let child = fork("child", || {
        signal.cell(0).block_until(1);
        let mut view = Mapping::adopt(start, 2 * huge);
        super::helpers::verify_marks("child's huge page", &view.bytes()[..huge], seed)?;
        super::helpers::mark(&mut view.bytes_mut()[huge..], seed + 1);
        Ok(())
    })?;
    child.wait_blocked_in(libc::SYS_futex)?;

    cx.ready()?;

    signal.cell(0).set(1);
    child.join()?;
    super::helpers::verify_marks("first huge page", &memory.bytes()[..huge], cx.seed)?;
    super::helpers::verify_marks("huge page that the child wrote", &memory.bytes()[huge..], cx.seed + 1)
}
