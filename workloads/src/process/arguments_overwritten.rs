//! Programs show their status by writing over their own argument list, and change their
//! environment: /proc/self/cmdline follows the memory, environ(7) follows setenv.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "an argument list that was overwritten in place, and a changed environment",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stat = procfs::Stat::of(sys::getpid())?;
    // Fields 48 and 49 of proc(5): half-open range of the argument strings.
    let (start, end) = (stat.field(48)? as usize, stat.field(49)? as usize);
    expect(end > start + 8, || format!("argument range {start:x}-{end:x}"))?;
    let title = pattern::bytes(end - start - 1, cx.seed).iter().map(|b| b'a' + b % 26).collect::<Vec<_>>();
    // SAFETY: the range is the initial stack's argument strings, writable for ever; nothing in this
    // program borrows them while this runs: the arguments were copied when the command line was
    // parsed.
    unsafe { std::slice::from_raw_parts_mut(start as *mut u8, title.len()) }.copy_from_slice(&title);
    // SAFETY: the only thread of this process runs this.
    unsafe {
        std::env::set_var("CAIRN_CHANGED", "new value");
        std::env::remove_var("PATH");
    }

    cx.ready()?;

    let cmdline = std::fs::read("/proc/self/cmdline").context("read cmdline")?;
    expect_bytes("/proc/self/cmdline", cmdline.get(..title.len()).unwrap_or(&cmdline), &title)?;
    expect_eq("changed variable", std::env::var("CAIRN_CHANGED").ok().as_deref(), Some("new value"))?;
    expect_eq("removed variable", std::env::var_os("PATH"), None::<std::ffi::OsString>)
}
