//! Paths: the repository, the target directory, the results.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use cairn_testsuite::report::file;

use crate::usage::usage;

/// The directories that every command works in.
#[derive(Debug, Clone)]
pub struct Workspace {
    /// The top of the repository.
    pub root: PathBuf,
    /// Where cargo builds.
    pub target: PathBuf,
}

impl Workspace {
    /// Finds them, from the path of this program's manifest, which cargo passes.
    pub fn find() -> Result<Workspace> {
        let manifest =
            std::env::var_os("CARGO_MANIFEST_DIR").context("start this program as `cargo xtask`")?;
        let root =
            Path::new(&manifest).parent().context("the manifest's directory has no parent")?.to_owned();
        if !root.join("matrix.toml").is_file() && !root.join("engine").is_dir() {
            bail!("{} does not look like cairn's repository", root.display());
        }
        let target = match std::env::var_os("CARGO_TARGET_DIR") {
            Some(dir) => std::path::absolute(dir).context("find the target directory")?,
            None => root.join("target"),
        };
        Ok(Workspace { root, target })
    }

    /// A cargo command in the repository.
    pub fn cargo(&self) -> Command {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(&self.root).env("CARGO_TARGET_DIR", &self.target);
        // Cargo's variables about this program must not affect the next cargo.
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|n| n.starts_with("CARGO_PKG_") || n.starts_with("CARGO_MANIFEST_"))
            {
                command.env_remove(name);
            }
        }
        command
    }

    /// Our directory below the target directory.
    pub fn ours(&self) -> PathBuf {
        self.target.join("cairn")
    }

    /// The directory of the runs' results.
    pub fn results(&self) -> PathBuf {
        self.ours().join("results")
    }

    /// Creates a directory for a new run, named after the current time. Returns its name and path.
    pub fn new_run(&self) -> Result<(String, PathBuf)> {
        let base = jiff::Zoned::now().strftime("%Y%m%d-%H%M%S").to_string();
        fs::create_dir_all(self.results())?;
        for n in 0..100 {
            let id = if n == 0 { base.clone() } else { format!("{base}-{n}") };
            let dir = self.results().join(&id);
            match fs::create_dir(&dir) {
                Ok(()) => return Ok((id, dir)),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error).context(format!("make {}", dir.display())),
            }
        }
        bail!("no free name for a run in {}", self.results().display())
    }

    /// A run's directory: by name, by path, or the newest one with results.
    pub fn find_run(&self, name: Option<&str>) -> Result<PathBuf> {
        if let Some(name) = name {
            let dirs = [PathBuf::from(name), self.results().join(name)];
            let found = dirs.into_iter().find(|dir| dir.join(file::FILE).is_file());
            let Some(dir) = found else {
                usage!("no run {name}: no results.json there or in {}", self.results().display())
            };
            return Ok(dir);
        }
        let mut runs: Vec<PathBuf> = match fs::read_dir(self.results()) {
            Ok(entries) => entries.flatten().map(|e| e.path()).collect(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error).context("list the runs"),
        };
        runs.retain(|dir| dir.join(file::FILE).is_file());
        runs.sort();
        runs.pop().with_context(|| format!("no run in {} yet", self.results().display()))
    }

    /// The version that the compiler reports.
    pub fn compiler(&self) -> Result<String> {
        let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let output = Command::new(compiler).arg("--version").current_dir(&self.root).output();
        let output = output.context("ask the compiler for its version")?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// The commit, with `+` if the tree has local changes; `None` outside a repository.
    pub fn revision(&self) -> Option<String> {
        let git = |args: &[&str]| {
            let output = Command::new("git").current_dir(&self.root).args(args).output().ok()?;
            output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        };
        let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
        let dirty = git(&["status", "--porcelain"]).is_none_or(|text| !text.is_empty());
        Some(if dirty { commit + "+" } else { commit })
    }
}
