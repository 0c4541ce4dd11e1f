//! A program of four ranks in collective operations, for any implementation of MPI.

use super::helpers::{Talk, command, keep_asking};
use crate::framework::prelude::*;

/// Builds it by the compiler of an implementation, and asks it for sums across [`Ctx::ready`].
pub fn sums(cx: &mut Ctx, implementation: &str, options: &[&str]) -> Outcome {
    std::fs::write("sum.c", TEXT).context("write the program")?;
    let built = command(&format!("mpicc.{implementation}"))?.args(["-o", "sum", "sum.c"]).status();
    expect(built.context("mpicc")?.success(), || "the program cannot be built".into())?;
    let mut launcher = command(&format!("mpirun.{implementation}"))?;
    launcher.args(options).args(["-n", "4", "./sum"]);
    let mut talk = Talk::with(launcher)?;
    keep_asking(cx, move |number| {
        talk.say(&number.to_string())?;
        expect_eq("sum of all ranks", talk.hear()?, (4 * number + 6).to_string())
    })
}

const TEXT: &str = r#"
#include <mpi.h>
#include <stdio.h>
int main(int argc, char **argv) {
    int rank, number;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    for (;;) {
        long mine, sum;
        if (rank == 0 && scanf("%d", &number) != 1) number = -1;
        MPI_Bcast(&number, 1, MPI_INT, 0, MPI_COMM_WORLD);
        if (number < 0) break;
        for (int i = 0; i < 20; i++) {
            mine = number + rank;
            MPI_Allreduce(&mine, &sum, 1, MPI_LONG, MPI_SUM, MPI_COMM_WORLD);
            MPI_Barrier(MPI_COMM_WORLD);
        }
        if (rank == 0) { printf("%ld\n", sum); fflush(stdout); }
    }
    MPI_Finalize();
    return 0;
}
"#;
