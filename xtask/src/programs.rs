//! Building the programs that a run needs, and keeping a copy of each that later builds do not
//! change.

use std::collections::BTreeMap;
use std::fs::{self, File, FileTimes};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use cairn_qemu::Arch;
use cairn_qemu::kernels::fetch;
use cairn_testsuite::cell::Userland;
use cairn_testsuite::driver::guest::GuestPrograms;
use cairn_testsuite::engine;
use cairn_testsuite::report::EngineInfo;
use serde::Deserialize;

use crate::cross::{self, Toolchain};
use crate::source::KernelSource;
use crate::workspace::Workspace;

/// The programs of one build.
#[derive(Debug, Clone)]
pub struct Programs {
    /// The engine, unless it was left out.
    pub cairn: Option<PathBuf>,
    /// The corpus, one program for each userland.
    pub workloads: BTreeMap<Userland, PathBuf>,
    /// Executes cells. Static, so that it needs no other files and starts fast.
    pub runner: PathBuf,
    /// PID 1 of guests; static.
    pub init: PathBuf,
}

impl Programs {
    /// The program of each engine; engines given without a program use the one just built.
    pub fn engines(&self, asked: &BTreeMap<String, PathBuf>) -> Result<BTreeMap<String, PathBuf>> {
        let one = |(name, program): (&String, &PathBuf)| -> Result<(String, PathBuf)> {
            let program = match (program.as_os_str().is_empty(), name.as_str()) {
                (false, _) => std::path::absolute(program).context("find the engine")?,
                (true, name) if engine::ALL.contains(&name) => {
                    self.cairn.clone().context("the engine was not built")?
                }
                (true, other) => {
                    bail!("engine {other} is not part of this tree: give its program as {other}=PROGRAM")
                }
            };
            Ok((name.clone(), program))
        };
        asked.iter().map(one).collect()
    }

    /// The engines for the results; their versions are still unknown.
    pub fn about(&self, asked: &BTreeMap<String, PathBuf>) -> Result<BTreeMap<String, EngineInfo>> {
        let about = |(name, program): (String, PathBuf)| -> Result<(String, EngineInfo)> {
            let (sha256, _) = fetch::digest(&program)?;
            let info = EngineInfo { version: String::new(), program: program.display().to_string(), sha256 };
            Ok((name, info))
        };
        self.engines(asked)?.into_iter().map(about).collect()
    }

    /// The programs to pack into a guest.
    pub fn guest_programs(&self, engines: BTreeMap<String, PathBuf>) -> GuestPrograms {
        GuestPrograms {
            init: self.init.clone(),
            runner: self.runner.clone(),
            workloads: self.workloads.clone(),
            engines,
        }
    }
}

/// Build options.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted {
    /// Build the engine with its planted faults.
    pub faults: bool,
    /// Use nothing from the network.
    pub offline: bool,
    /// Do not build the engine: the one to judge was built elsewhere.
    pub no_engine: bool,
}

/// Waits for other builds in the workspace to be copied: cargo puts builds with different features
/// in one place.
fn alone(workspace: &Workspace) -> Result<File> {
    let folder = workspace.ours();
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    let path = folder.join("build.lock");
    let lock = File::create(&path).with_context(|| format!("create {}", path.display()))?;
    lock.lock().with_context(|| format!("lock {}", path.display()))?;
    Ok(lock)
}

/// Programs by architecture.
pub type PerArch = BTreeMap<Arch, Programs>;

/// Builds everything for one architecture.
pub fn build(workspace: &Workspace, toolchain: &Toolchain, wanted: Wanted) -> Result<Programs> {
    let _alone = alone(workspace)?;
    let mut args = vec!["--package", "cairn-workloads"];
    if !wanted.no_engine {
        args.extend(["--package", "cairn"]);
    }
    if wanted.faults {
        args.extend(["--features", "cairn/planted-faults"]);
    }
    let arch = toolchain.arch;
    let folder = workspace.ours().join(if wanted.faults { "programs-with-faults" } else { "programs" });
    let folder = folder.join(arch.name());
    let keep = |built: &BTreeMap<String, PathBuf>, name: &str, kind: &str| -> Result<PathBuf> {
        let from = built.get(name).with_context(|| format!("cargo built no {kind} {name}"))?;
        copy(from, &folder.join(kind).join(format!("{name}.d")))
    };
    let built = cargo_build(workspace, toolchain, wanted, &args, &[])?;
    // Copied at once: cargo may put the static build of a program where the dynamic one is.
    let cairn = if wanted.no_engine { None } else { Some(keep(&built, "cairn", "dynamic")?) };
    let dynamic = keep(&built, "cairn-workloads", "dynamic")?;
    let mut args = vec!["--no-default-features", "--features", "cairn-qemu/init"];
    args.extend(["--package", "cairn-workloads", "--package", "cairn-testsuite", "--package", "cairn-qemu"]);
    args.extend(["--bin", "cairn-workloads", "--bin", "cairn-runner", "--bin", "cairn-init"]);
    let built = build_static(workspace, toolchain, wanted, &args)?;
    Ok(Programs {
        cairn,
        workloads: BTreeMap::from([
            (Userland::Dynamic, dynamic),
            (Userland::Static, keep(&built, "cairn-workloads", "static")?),
        ]),
        runner: keep(&built, "cairn-runner", "static")?,
        init: keep(&built, "cairn-init", "static")?,
    })
}

/// Builds everything for several architectures.
pub fn build_all(
    workspace: &Workspace,
    archs: &[Arch],
    source: &KernelSource,
    wanted: Wanted,
) -> Result<PerArch> {
    let toolchains: Vec<Toolchain> =
        archs.iter().map(|&arch| Toolchain::find(workspace, arch, source)).collect::<Result<_>>()?;
    let build_one = |toolchain: &Toolchain| {
        if toolchain.foreign {
            eprintln!("building for {}", toolchain.arch);
        }
        let built = build(workspace, toolchain, wanted);
        built.with_context(|| format!("build for {}", toolchain.arch)).map(|built| (toolchain.arch, built))
    };
    toolchains.iter().map(build_one).collect()
}

/// Programs for a guest with its own system, independent of its C library.
#[derive(Debug, Clone)]
pub struct Standalone {
    /// The engine; static.
    pub cairn: PathBuf,
    /// PID 1; static.
    pub init: PathBuf,
}

/// Builds programs that run in any system.
pub fn build_standalone(workspace: &Workspace, toolchain: &Toolchain, wanted: Wanted) -> Result<Standalone> {
    let _alone = alone(workspace)?;
    let mut args = vec!["--no-default-features", "--features", "cairn-qemu/init"];
    args.extend(["--package", "cairn-qemu", "--package", "cairn", "--bin", "cairn-init", "--bin", "cairn"]);
    let built = build_static(workspace, toolchain, wanted, &args)?;
    let folder = workspace.ours().join("programs").join(toolchain.arch.name()).join("static");
    let keep = |name: &str| -> Result<PathBuf> {
        let from = built.get(name).with_context(|| format!("cargo built no static {name}"))?;
        copy(from, &folder.join(format!("{name}.d")))
    };
    Ok(Standalone { cairn: keep("cairn")?, init: keep("cairn-init")? })
}

fn build_static(
    workspace: &Workspace,
    toolchain: &Toolchain,
    wanted: Wanted,
    args: &[&str],
) -> Result<BTreeMap<String, PathBuf>> {
    let mut words = Vec::new();
    if !toolchain.foreign {
        // With an explicit target, the flags below do not apply to build scripts.
        words.extend(["--target", cross::triple(toolchain.arch)]);
    }
    words.extend(args);
    let flags = cross::target_variable(toolchain.arch, "RUSTFLAGS");
    cargo_build(workspace, toolchain, wanted, &words, &[(&flags, "-C target-feature=+crt-static")])
}

/// Builds the tests of the kernel module.
pub fn build_kmod_test(workspace: &Workspace, toolchain: &Toolchain, wanted: Wanted) -> Result<PathBuf> {
    const NAME: &str = "kmod-test";
    let _alone = alone(workspace)?;
    let built = cargo_build(workspace, toolchain, wanted, &["--package", "cairn-kmod-test"], &[])?;
    let from = built.get(NAME).with_context(|| format!("cargo built no {NAME}"))?;
    let folder = workspace.ours().join("programs").join(toolchain.arch.name());
    copy(from, &folder.join(format!("{NAME}.d")))
}

/// Builds the corpus alone.
pub fn build_corpus(workspace: &Workspace, offline: bool) -> Result<PathBuf> {
    let wanted = Wanted { offline, ..Wanted::default() };
    let built =
        cargo_build(workspace, &Toolchain::native()?, wanted, &["--package", "cairn-workloads"], &[])?;
    built.get("cairn-workloads").cloned().context("cargo built no cairn-workloads")
}

/// The fields used of a line of cargo's JSON messages.
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

/// Runs `cargo build --release` and returns the executables it lists.
fn cargo_build(
    workspace: &Workspace,
    toolchain: &Toolchain,
    wanted: Wanted,
    args: &[&str],
    env: &[(&str, &str)],
) -> Result<BTreeMap<String, PathBuf>> {
    let mut command = workspace.cargo();
    command.args(["build", "--release", "--quiet", "--message-format=json-render-diagnostics"]);
    command.args(&toolchain.args).args(args);
    command.envs(toolchain.env.iter().map(|(name, value)| (name, value)));
    if let Some(dir) = &toolchain.target_dir {
        command.env("CARGO_TARGET_DIR", dir);
    }
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

/// How long an unused copy is kept: longer than any run takes.
const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

/// Copies a program into a directory below `folder` that is named after its contents, so that an
/// earlier run keeps using its own build. Removes old copies.
fn copy(from: &Path, folder: &Path) -> Result<PathBuf> {
    let name = from.file_name().context("a program has a name")?;
    fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    // The copy is named after what it holds, whatever becomes of the original meanwhile.
    let beside = tempfile::tempdir_in(folder).context("make a temporary directory")?;
    let new = beside.path().join(name);
    fs::copy(from, &new).with_context(|| format!("copy {}", from.display()))?;
    let (digest, _) = fetch::digest(&new)?;
    let dir = folder.join(&digest[..16]);
    fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
    let to = dir.join(name);
    if !to.is_file() {
        fs::rename(&new, &to).with_context(|| format!("rename {}", new.display()))?;
    }
    let now = SystemTime::now();
    File::open(&dir)
        .and_then(|dir| dir.set_times(FileTimes::new().set_modified(now)))
        .with_context(|| format!("set times of {}", dir.display()))?;
    for entry in fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))?.flatten() {
        let used = entry.metadata().and_then(|about| about.modified());
        let old = used.is_ok_and(|used| now.duration_since(used).is_ok_and(|age| age > KEPT));
        // Another run may remove it at the same time.
        if old
            && let Err(error) = fs::remove_dir_all(entry.path())
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error).with_context(|| format!("remove {}", entry.path().display()));
        }
    }
    Ok(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_build_leaves_the_program_of_a_run_under_way() {
        let dir = tempfile::tempdir().unwrap();
        let (built, folder) = (dir.path().join("runner"), dir.path().join("runner.d"));
        fs::write(&built, "first").unwrap();
        let first = copy(&built, &folder).unwrap();
        assert_eq!(copy(&built, &folder).unwrap(), first);
        fs::write(&built, "second").unwrap();
        let second = copy(&built, &folder).unwrap();
        assert_eq!(fs::read(&first).unwrap(), b"first");
        assert_eq!(fs::read(&second).unwrap(), b"second");
        assert_eq!(first.file_name(), built.file_name());
        // A copy unused for long is removed with the next copy.
        let old = SystemTime::now() - 2 * KEPT;
        let times = FileTimes::new().set_modified(old);
        File::open(first.parent().unwrap()).unwrap().set_times(times).unwrap();
        copy(&built, &folder).unwrap();
        assert!(!first.exists() && second.exists());
    }
}
