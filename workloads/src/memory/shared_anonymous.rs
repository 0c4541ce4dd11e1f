//! MAP_SHARED | MAP_ANONYMOUS: internally an object of the shmem file system, shared with later
//! children.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "shared anonymous memory of one process",
    needs: &[],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let mut memory = Mapping::shared(16 * page_size())?;
    for index in [0, 1, 7, 15] {
        pattern::fill(memory.page_mut(index), cx.seed + index as u64);
    }

    cx.ready()?;

    for index in 0..16 {
        let what = format!("page {index}");
        match index {
            0 | 1 | 7 | 15 => pattern::verify(&what, memory.page(index), cx.seed + index as u64)?,
            _ => pattern::verify_zero(&what, memory.page(index))?,
        }
    }
    expect_eq("protection", procfs::vma_at(memory.start())?.perms.as_str(), "rw-s")?;
    fork("writing child", || {
        let mut view = Mapping::adopt(memory.start(), memory.len());
        pattern::fill(view.page_mut(3), 99);
        Ok(())
    })?
    .join()?;
    pattern::verify("page that a child wrote", memory.page(3), 99)
}
