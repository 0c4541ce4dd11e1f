//! Open MPI: four ranks, in the middle of collective operations.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "four ranks of Open MPI that sum up in collective operations",
    needs: &[Need::Installed],
    active: true,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    // As root, and with more ranks than processors.
    super::mpi::sums(cx, "openmpi", &["--allow-run-as-root", "--oversubscribe"])
}
