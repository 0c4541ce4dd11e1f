//! MPICH: four ranks, in the middle of collective operations.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "four ranks of MPICH that sum up in collective operations",
    needs: &[Need::Installed],
    active: true,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    super::mpi::sums(cx, "mpich", &[])
}
