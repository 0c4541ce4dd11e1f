//! Processes that share working directory and umask (CLONE_FS): what one changes, all see.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a working directory and a umask that processes share",
    needs: &[],
    active: false,
    statik: true,
    run,
};

/// Sets the umask, and returns what it was.
fn set_mask(mask: u32) -> u32 {
    // SAFETY: umask has no preconditions.
    unsafe { libc::umask(mask) }
}

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    for name in ["before", "after", "apart"] {
        std::fs::create_dir(name).with_context(|| format!("mkdir {name}"))?;
    }
    let turn = |n: u32| stage.shared().cell(1).wait("the other process", n);
    let go = |path: &str| std::env::set_current_dir(path).with_context(|| format!("chdir to {path}"));
    let apart = stage.fork("a process with directories of its own", |stage| {
        go("apart")?;
        set_mask(0o55);
        stage.hold();
        turn(2)?;
        expect_eq("directory apart", std::env::current_dir()?, cx.dir.join("apart"))?;
        expect_eq("umask apart", set_mask(0), 0o55)
    })?;
    let sharing = stage.fork_sharing(libc::CLONE_FS, "a process that shares them", |stage| {
        go("before")?;
        set_mask(0o27);
        stage.hold();
        turn(1)?;
        expect_eq("directory that the parent left", std::env::current_dir()?, cx.dir.join("after"))?;
        expect_eq("umask that the parent left", set_mask(0o13), 0o71)?;
        go("..")?;
        stage.shared().cell(1).set(2);
        Ok(())
    })?;
    expect_eq("directory that the child left", std::env::current_dir()?, cx.dir.join("before"))?;

    cx.ready()?;

    expect_eq("directory", std::env::current_dir()?, cx.dir.join("before"))?;
    expect_eq("umask", set_mask(0o71), 0o27)?;
    go("../after")?;
    stage.release();
    stage.shared().cell(1).set(1);
    sharing.join()?;
    apart.join()?;
    expect_eq("directory in the end", std::env::current_dir()?, cx.dir.to_path_buf())?;
    expect_eq("umask in the end", set_mask(0o22), 0o13)
}
