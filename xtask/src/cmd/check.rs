//! `cargo xtask check`: the project's own checks, the fastest first.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Parser;

use super::{header_check, saved_check, tidy};
use crate::workspace::Workspace;

#[derive(Parser)]
pub struct Args {
    /// Do not access the network
    #[arg(long)]
    offline: bool,
    /// Continue after the first failure
    #[arg(long)]
    keep_going: bool,
}

pub fn run(args: &Args) -> Result<bool> {
    let workspace = Workspace::find()?;
    let mut failed: Vec<&str> = Vec::new();
    let mut step = |name: &'static str, run: &mut dyn FnMut() -> Result<bool>| -> Result<bool> {
        eprintln!("check: {name}");
        let clock = Instant::now();
        let good = run()?;
        let word = if good { "ok" } else { "FAILED" };
        eprintln!("check: {name}: {word} ({:.1} s)", clock.elapsed().as_secs_f64());
        if !good {
            failed.push(name);
        }
        Ok(good || args.keep_going)
    };
    let cargo = |words: &[&str]| -> Result<bool> {
        let mut command = workspace.cargo();
        command.args(words);
        if args.offline {
            command.arg("--offline");
        }
        succeeds(&mut command)
    };
    let lints = |extra: &[&str]| -> Vec<String> {
        let mut words = vec!["clippy", "--quiet", "--workspace", "--all-targets"];
        words.extend(extra);
        words.iter().map(|w| (*w).to_owned()).collect()
    };
    // Lints follow `--`, so `--offline` must precede it.
    let clippy = |extra: &[&str]| -> Result<bool> {
        let mut command = workspace.cargo();
        command.args(lints(extra));
        if args.offline {
            command.arg("--offline");
        }
        succeeds(command.args(["--", "--deny", "warnings"]))
    };
    let go_on = step("format", &mut || succeeds(&mut formatted(&workspace)?))?
        && step("house rules", &mut || tidy::run(&workspace, args.offline))?
        && step("saved-check", &mut || saved_check::check(&workspace, args.offline))?
        && step("lints", &mut || clippy(&[]))?
        && step("engine library alone", &mut || {
            cargo(&["check", "--quiet", "--package", "cairn", "--lib", "--no-default-features"])
        })?
        && step("module header", &mut || header_check::check(&workspace, args.offline))?
        && step("lints, with planted faults", &mut || clippy(&["--features", "cairn/planted-faults"]))?
        && step("tests", &mut || {
            ensure_nextest(&workspace, args.offline)?;
            cargo(&["nextest", "run", "--workspace", "--no-fail-fast"])
        })?
        && step("documentation tests", &mut || cargo(&["test", "--quiet", "--workspace", "--doc"]))?;
    if !failed.is_empty() {
        eprintln!("check: failed: {}", failed.join(", "));
    } else if go_on {
        eprintln!("check: everything passed");
    }
    Ok(failed.is_empty())
}

/// Checks that every file is formatted. `cargo fmt` does not follow a `mod` inside a macro (a
/// `corpus!` list, the table of kinds of open files), so all files are passed explicitly.
fn formatted(workspace: &Workspace) -> Result<Command> {
    let mut command = workspace.cargo();
    command.args(["fmt", "--all", "--check", "--"]);
    for file in tidy::tracked(workspace)? {
        let rust = file.extension().is_some_and(|extension| extension == "rs");
        // A deleted file is tracked until the deletion is committed.
        if rust && workspace.root.join(&file).exists() {
            command.arg(file);
        }
    }
    Ok(command)
}

fn succeeds(command: &mut Command) -> Result<bool> {
    let status = command.status().with_context(|| format!("start {}", command.get_program().display()))?;
    Ok(status.success())
}

/// Installs cargo-nextest where it is missing; it runs every test in its own process, which
/// our tests require.
fn ensure_nextest(workspace: &Workspace, offline: bool) -> Result<()> {
    let mut version = workspace.cargo();
    version.args(["nextest", "--version"]);
    if version.output().is_ok_and(|output| output.status.success()) {
        return Ok(());
    }
    eprintln!("check: installing cargo-nextest");
    let mut install = workspace.cargo();
    // Without optimisation: it is the tests that are waited for afterwards.
    install.args(["install", "cargo-nextest", "--locked", "--debug"]);
    // It builds in a separate directory.
    install.env_remove("CARGO_TARGET_DIR");
    if offline {
        install.arg("--offline");
    }
    if !succeeds(&mut install)? {
        anyhow::bail!("cargo-nextest is missing: run `cargo install cargo-nextest --locked`");
    }
    Ok(())
}
