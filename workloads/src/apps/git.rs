//! git answers questions about objects, and packs them.

use super::helpers::{Talk, command, keep_asking};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "git cat-file in the middle of its questions",
    needs: &[Need::Installed],
    active: true,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let init = command("git")?.args(["init", "-q", "repository"]).status();
    expect(init.context("git init")?.success(), || "no repository".into())?;
    let git = |args: &[&str]| -> anyhow::Result<Talk> {
        let mut git = command("git")?;
        git.args(["-C", "repository"]).args(args);
        Talk::with(git)
    };
    let mut hash = git(&["hash-object", "-w", "--stdin-paths"])?;
    let mut objects = git(&["cat-file", "--batch"])?;
    let file = cx.dir.join("content");
    keep_asking(cx, move |number| {
        let content = format!("content number {number}");
        std::fs::write(&file, &content).context("write it")?;
        hash.say(&file.display().to_string())?;
        let object = hash.hear()?;
        objects.say(&object)?;
        expect_eq("what it is", objects.hear()?, format!("{object} blob {}", content.len()))?;
        expect_eq("content", objects.hear()?, content)
    })
}
