//! The arguments of execve(2): the kernel's view in /proc/self/{cmdline,environ,auxv} and the
//! memory behind it.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "argument list, environment and auxiliary vector",
    needs: &[],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let files = ["cmdline", "environ", "auxv"];
    let read =
        |name: &str| std::fs::read(format!("/proc/self/{name}")).with_context(|| format!("read {name}"));
    let before = files.iter().map(|name| read(name)).collect::<anyhow::Result<Vec<_>>>()?;
    let random = auxv_bytes(libc::AT_RANDOM, 16)?;
    let (args, vars): (Vec<_>, Vec<_>) = (std::env::args_os().collect(), std::env::vars_os().collect());
    expect(before[0].starts_with(args[0].as_encoded_bytes()), || {
        "cmdline does not start with argv[0]".into()
    })?;

    cx.ready()?;

    for (name, want) in files.iter().zip(&before) {
        expect_bytes(&format!("/proc/self/{name}"), &read(name)?, want)?;
    }
    expect_bytes("the 16 bytes at AT_RANDOM", &auxv_bytes(libc::AT_RANDOM, 16)?, &random)?;
    expect_eq("arguments in memory", std::env::args_os().collect::<Vec<_>>(), args)?;
    expect_eq("environment in memory", std::env::vars_os().collect::<Vec<_>>(), vars)
}

/// `len` bytes at the address that auxiliary vector entry `key` holds.
fn auxv_bytes(key: libc::c_ulong, len: usize) -> anyhow::Result<Vec<u8>> {
    // SAFETY: getauxval reads the vector; AT_RANDOM points to 16 bytes on the initial stack, never
    // unmapped.
    unsafe {
        let at = libc::getauxval(key) as *const u8;
        anyhow::ensure!(!at.is_null(), "the auxiliary vector has no entry {key}");
        Ok(std::slice::from_raw_parts(at, len).to_vec())
    }
}
