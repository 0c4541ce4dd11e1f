//! A ring whose mappings are kept from children, as liburing offers it.

use super::helpers::Ring;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "an io_uring that children do not have mapped (MADV_DONTFORK)",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let mut ring = Ring::new(8)?;
    ring.spin(12, 0)?;
    ring.keep_from_children()?;
    let child = stage.fork("the child", |stage| {
        stage.hold();
        expect_eq("mappings", procfs::maps()?.iter().filter(|vma| vma.name.contains("io_uring")).count(), 0)
    })?;

    cx.ready()?;

    ring.spin(12, 0)?;
    let later = fork("a later child", || {
        expect_eq("mappings", procfs::maps()?.iter().filter(|vma| vma.name.contains("io_uring")).count(), 0)
    })?;
    later.join()?;
    stage.release();
    child.join()
}
