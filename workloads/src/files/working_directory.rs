//! Processes with different working directories.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "the current directory of each process",
    needs: &[],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    std::fs::create_dir_all("one/a directory\nwith an odd name").context("mkdir")?;
    let mut children = Vec::new();
    for (index, path) in ["one", "one/a directory\nwith an odd name", "/"].into_iter().enumerate() {
        children.push(stage.fork("a process elsewhere", |stage| {
            std::env::set_current_dir(path).context("chdir")?;
            let want = std::env::current_dir()?;
            stage.hold();
            expect_eq("current directory", std::env::current_dir()?, want)?;
            if index < 2 {
                helpers::make("made afterwards", 10, cx.seed)?;
            }
            Ok(())
        })?);
    }
    std::env::set_current_dir("one").context("chdir")?;

    cx.ready()?;

    expect_eq("current directory", std::env::current_dir()?, cx.dir.join("one"))?;
    stage.release();
    children.into_iter().try_for_each(Child::join)?;
    for path in ["one", "one/a directory\nwith an odd name"] {
        let made = fd::open(cx.dir.join(path).join("made afterwards"), libc::O_RDONLY, 0)?;
        helpers::verify("the file made afterwards", &made, 10, cx.seed)?;
    }
    Ok(())
}
