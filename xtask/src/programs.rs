//! Building the programs that a run needs, and keeping a copy of each where a later build does not change it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use cairn_testsuite::cell::Userland;
use serde::Deserialize;

use crate::room::Room;

/// The programs of one build.
#[derive(Debug, Clone)]
pub struct Programs {
    /// The engine, unless it was left out.
    pub cairn: Option<PathBuf>,
    /// The corpus, one program for each userland.
    pub workloads: BTreeMap<Userland, PathBuf>,
    /// Executes cells. Static, so that it travels alone and starts fast.
    pub runner: PathBuf,
    /// PID 1 of guests; static.
    pub init: PathBuf,
}

/// What may differ between builds.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted {
    /// Build the engine with its planted faults.
    pub faults: bool,
    /// Use nothing from the network.
    pub offline: bool,
    /// Leave the engine out: the one to judge was built elsewhere.
    pub no_engine: bool,
}

/// The triple of a host that builds statically with its own C library.
fn static_triple() -> Result<&'static str> {
    match std::env::consts::ARCH {
        "x86_64" => Ok("x86_64-unknown-linux-gnu"),
        other => bail!("building on {other} is not supported yet; x86_64 is"),
    }
}

/// Builds everything.
pub fn build(room: &Room, wanted: Wanted) -> Result<Programs> {
    let mut args = vec!["--package", "cairn-workloads"];
    if !wanted.no_engine {
        args.extend(["--package", "cairn"]);
    }
    if wanted.faults {
        args.extend(["--features", "cairn/planted-faults"]);
    }
    let dynamic = cargo_build(room, wanted, &args, &[])?;
    let triple = static_triple()?;
    let flags = format!("CARGO_TARGET_{}_RUSTFLAGS", triple.to_uppercase().replace('-', "_"));
    let fixed = cargo_build(
        room,
        wanted,
        &[
            "--target",
            triple,
            "--no-default-features",
            "--features",
            "cairn-qemu/init",
            "--package",
            "cairn-workloads",
            "--package",
            "cairn-testsuite",
            "--package",
            "cairn-qemu",
            "--bin",
            "cairn-workloads",
            "--bin",
            "cairn-runner",
            "--bin",
            "cairn-init",
        ],
        &[(flags.as_str(), "-C target-feature=+crt-static")],
    )?;
    let folder = room.ours().join(if wanted.faults { "programs-with-faults" } else { "programs" });
    let keep = |built: &BTreeMap<String, PathBuf>, name: &str, kind: &str| -> Result<PathBuf> {
        let from = built.get(name).with_context(|| format!("cargo built no {kind} {name}"))?;
        copy(from, &folder.join(kind).join(name))
    };
    Ok(Programs {
        cairn: if wanted.no_engine { None } else { Some(keep(&dynamic, "cairn", "dynamic")?) },
        workloads: BTreeMap::from([
            (Userland::Dynamic, keep(&dynamic, "cairn-workloads", "dynamic")?),
            (Userland::Static, keep(&fixed, "cairn-workloads", "static")?),
        ]),
        runner: keep(&fixed, "cairn-runner", "static")?,
        init: keep(&fixed, "cairn-init", "static")?,
    })
}

/// Builds the corpus alone.
pub fn build_corpus(room: &Room, offline: bool) -> Result<PathBuf> {
    let wanted = Wanted { offline, ..Wanted::default() };
    let built = cargo_build(room, wanted, &["--package", "cairn-workloads"], &[])?;
    built.get("cairn-workloads").cloned().context("cargo built no cairn-workloads")
}

/// One line of cargo's JSON messages, as far as it is of interest.
#[derive(Deserialize)]
struct Message {
    reason: String,
    executable: Option<PathBuf>,
    target: Option<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

/// Runs `cargo build --release` and gives the executables it names.
fn cargo_build(
    room: &Room,
    wanted: Wanted,
    args: &[&str],
    env: &[(&str, &str)],
) -> Result<BTreeMap<String, PathBuf>> {
    let mut command = room.cargo();
    command.args(["build", "--release", "--quiet", "--message-format=json-render-diagnostics"]).args(args);
    if wanted.offline {
        command.arg("--offline");
    }
    command.envs(env.iter().copied()).stderr(Stdio::inherit());
    let output = command.output().context("start cargo")?;
    if !output.status.success() {
        bail!("cargo build {}: {}", args.join(" "), output.status);
    }
    let mut built = BTreeMap::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let message: Message = serde_json::from_str(line).context("read cargo's messages")?;
        if message.reason == "compiler-artifact"
            && let (Some(path), Some(target)) = (message.executable, message.target)
        {
            built.insert(target.name, path);
        }
    }
    Ok(built)
}

/// Copies beside and renames, so that a run that still executes the old copy is not disturbed.
fn copy(from: &Path, to: &Path) -> Result<PathBuf> {
    let folder = to.parent().context("a copy needs a directory")?;
    fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    let beside = to.with_extension(format!("{}.new", std::process::id()));
    fs::copy(from, &beside).with_context(|| format!("copy {}", from.display()))?;
    fs::rename(&beside, to).with_context(|| format!("rename {}", beside.display()))?;
    Ok(to.to_owned())
}
