//! /proc/self/coredump_filter, a property of the address space.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "which kinds of mappings a core dump would hold",
    needs: &[],
    active: false,
    statik: false,
    run,
};

const PATH: &str = "/proc/self/coredump_filter";

fn run(cx: &mut Ctx) -> Outcome {
    if !std::path::Path::new(PATH).exists() {
        return skip("the kernel has no coredump_filter (CONFIG_ELF_CORE)");
    }
    std::fs::write(PATH, "0x5b").context("write coredump_filter")?;

    cx.ready()?;

    let now = std::fs::read_to_string(PATH).context("read coredump_filter")?;
    expect_eq("coredump_filter", u32::from_str_radix(now.trim(), 16)?, 0x5b)
}
