//! The bounds that the kernel keeps per address space and shows in /proc/self/stat. Only
//! prctl(PR_SET_MM) sets them.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "where code, data, break, stack, arguments and environment start and end",
    needs: &[],
    active: false,
    statik: true,
    run,
};

/// Fields of proc(5) and their names.
const FIELDS: [(usize, &str); 10] = [
    (26, "startcode"),
    (27, "endcode"),
    (28, "startstack"),
    (45, "start_data"),
    (46, "end_data"),
    (47, "start_brk"),
    (48, "arg_start"),
    (49, "arg_end"),
    (50, "env_start"),
    (51, "env_end"),
];

fn run(cx: &mut Ctx) -> Outcome {
    let before = procfs::Stat::of(sys::getpid())?;
    for (field, name) in FIELDS {
        expect(before.field(field)? != 0, || format!("{name} is hidden from the process itself"))?;
    }

    cx.ready()?;

    let after = procfs::Stat::of(sys::getpid())?;
    for (field, name) in FIELDS {
        expect_eq(name, after.field(field)?, before.field(field)?)?;
    }
    Ok(())
}
