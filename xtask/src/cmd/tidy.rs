//! Project rules that the compiler does not check. Part of `cargo xtask check`.
//!
//! - `unsafe` only in the allowed files;
//! - no absolute path of a development machine, no host name of a package archive or registry;
//! - every source file begins with a description of its contents;
//! - architecture-specific code of the engine is in its `arch/`;
//! - the commands of `xtask` use its modules, never the reverse;
//! - comments and documents fit the line width (`rustfmt` wraps neither);
//! - modules do not use each other in a circle;
//! - the dependencies between packages;
//! - the licences of dependencies.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use serde::Deserialize;

use crate::circles::{self, Sources};
use crate::workspace::Workspace;

/// Where `unsafe` is allowed.
const UNSAFE: &[&str] = &[
    "engine/src/sys/",
    "engine/src/arch/",
    // The interface of a C library, and system calls in signal handlers.
    "engine/libcr/src/ffi.rs",
    "engine/libcr/src/sys.rs",
    // Ioctls of the kernel module.
    "kmod/abi/src/argument.rs",
    "kmod/abi/src/device.rs",
    // Tests of the kernel module make raw system calls, also wrong ones.
    "kmod/test/",
    "testsuite/src/runner/sys.rs",
    // The corpus makes the raw calls whose effects are to be saved.
    "workloads/",
];

/// Where the engine may contain architecture-specific code.
const ARCH_ROOM: (&str, &str) = ("engine/src/", "engine/src/arch/");

/// Architecture-specific words: conditions and registers.
const ARCH_WORDS: &[&str] = &[
    "target_arch",
    "rax",
    "rbx",
    "rcx",
    "rdx",
    "rip",
    "rsp",
    "rbp",
    "eflags",
    "fs_base",
    "gs_base",
    "mxcsr",
    "xsave",
    "pstate",
    "nzcv",
    "fpsr",
    "fpcr",
    "svcr",
    "tpidr",
    "nip",
    "gpr",
    "msr",
    "xer",
    "fpscr",
    "vscr",
    "vrsave",
];

/// Words that must not appear anywhere, each with the reason. Split so that this file does not
/// contain them.
const FORBIDDEN: &[(&[&str], &str)] = &[
    (&["deb.", "debian.org"], "the archive's address must come from the machine"),
    (&["security.", "debian.org"], "the archive's address must come from the machine"),
    (&["snapshot.", "debian.org"], "the archive's address must come from the machine"),
    (&["index.", "crates.io"], "registry addresses belong to the toolchain"),
    (&["static.", "crates.io"], "registry addresses belong to the toolchain"),
    (&["/wo", "rk/"], "an absolute path of a development machine"),
    (&["/ro", "ot/"], "an absolute path of a development machine"),
    (&["/ho", "me/"], "an absolute path of a development machine"),
];

/// Which of our packages a package may depend on. Absent from the list: none.
const EDGES: &[(&str, &[&str])] = &[
    ("xtask", &["cairn-testsuite", "cairn-qemu"]),
    ("cairn-testsuite", &["cairn-qemu"]),
    ("cairn-qemu", &["cairn-kernels"]),
    ("cairn", &["cairn-kmod-abi"]),
    ("cairn-kmod-test", &["cairn", "cairn-kmod-abi"]),
];

/// What only the entry point and the commands themselves may use.
const COMMANDS: (&str, &[&str]) = ("xtask/src/", &["xtask/src/cmd/", "xtask/src/main.rs"]);

/// Maximum width of comments and documents, in characters.
const TEXT_WIDTH: usize = 100;

/// Licences compatible with ours.
const LICENCES: &[&str] = &[
    "Apache-2.0",
    "MIT",
    "MIT-0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "0BSD",
    "Unlicense",
    "Unicode-3.0",
    "BSL-1.0",
];

/// Our packages, by directory.
const PACKAGES: &[(&str, &str)] = &[
    ("engine", "cairn"),
    ("kmod/abi", "cairn-kmod-abi"),
    ("kmod/test", "cairn-kmod-test"),
    ("workloads", "cairn-workloads"),
    ("testsuite", "cairn-testsuite"),
    ("qemu", "cairn-qemu"),
    ("qemu/kernels", "cairn-kernels"),
    ("xtask", "xtask"),
];

/// Checks everything and prints what is wrong.
pub fn run(workspace: &Workspace, offline: bool) -> Result<bool> {
    let mut complaints = Vec::new();
    let mut crates: BTreeMap<String, Sources> = BTreeMap::new();
    for path in tracked(workspace)? {
        let Ok(text) = fs::read_to_string(workspace.root.join(&path)) else { continue };
        let name = path.to_string_lossy().into_owned();
        complaints.extend(judge(&name, &text).into_iter().map(|c| format!("{name}:{c}")));
        if let Some((dir, file)) = name.split_once("/src/").filter(|(_, file)| file.ends_with(".rs")) {
            let sources = crates.entry(dir.to_owned()).or_default();
            sources.insert(circles::module_of(Path::new(file)), text);
        }
    }
    for (dir, sources) in &crates {
        for circle in circles::find(sources).with_context(|| format!("look for circles in {dir}"))? {
            let modules: Vec<&str> = circle.into_iter().collect();
            complaints.push(format!("{dir}: modules use each other in a circle: {}", modules.join(", ")));
        }
    }
    for (dir, package) in PACKAGES {
        let path = workspace.root.join(dir).join("Cargo.toml");
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        complaints
            .extend(forbidden_edges(package, &text).into_iter().map(|c| format!("{dir}/Cargo.toml: {c}")));
    }
    complaints.extend(bad_licences(workspace, offline)?);
    for complaint in &complaints {
        eprintln!("{complaint}");
    }
    Ok(complaints.is_empty())
}

/// A package in the output of `cargo metadata`.
#[derive(Deserialize)]
struct Package {
    name: String,
    license: Option<String>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

/// Dependencies whose licence cannot be met.
fn bad_licences(workspace: &Workspace, offline: bool) -> Result<Vec<String>> {
    // Dependencies for other systems are in the lock file, but are never fetched.
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let mut command = workspace.cargo();
    command.args(["metadata", "--format-version", "1", "--locked", "--filter-platform", &platform]);
    // On a new machine, not all of them have been fetched.
    if offline {
        command.arg("--offline");
    }
    let output = command.output().context("start cargo")?;
    if !output.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let all: Metadata = serde_json::from_slice(&output.stdout).context("read cargo metadata")?;
    let bad = all.packages.into_iter().filter(|p| !p.license.as_deref().is_some_and(is_fine));
    Ok(bad.map(|p| format!("{}: licence {}", p.name, p.license.unwrap_or("unknown".into()))).collect())
}

/// Whether a licence expression can be met with [`LICENCES`].
fn is_fine(licence: &str) -> bool {
    // Some packages still write the old slash for `OR`.
    let Ok(expression) = spdx::Expression::parse_mode(licence, spdx::ParseMode::LAX) else { return false };
    expression.evaluate(|wanted| {
        wanted.license.id().is_some_and(|id| LICENCES.contains(&id.name)) && wanted.addition.is_none()
    })
}

/// Files under version control, or untracked and not ignored.
pub fn tracked(workspace: &Workspace) -> Result<Vec<PathBuf>> {
    let output = Command::new("git")
        .current_dir(&workspace.root)
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .output()
        .context("start git")?;
    if !output.status.success() {
        bail!("git ls-files: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let names = output.stdout.split(|b| *b == 0).filter(|name| !name.is_empty());
    Ok(names.map(|name| PathBuf::from(String::from_utf8_lossy(name).into_owned())).collect())
}

/// `line: complaint` for everything wrong with one file.
fn judge(name: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let is_kind = |kind| Path::new(name).extension().is_some_and(|e| e == kind);
    let (rust, document) = (is_kind("rs"), is_kind("md"));
    if rust && !text.starts_with("//!") && !name.contains("/examples/") {
        found.push("1: no `//!` comment that describes the contents".to_owned());
    }
    let may = UNSAFE.iter().any(|room| name.starts_with(room));
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        if rust && !may && is_unsafe(line) {
            found.push(format!("{number}: `unsafe` is not allowed in this file"));
        }
        if rust && name.starts_with(ARCH_ROOM.0) && !name.starts_with(ARCH_ROOM.1) {
            let word = arch_word(line);
            found.extend(word.map(|word| format!("{number}: `{word}` belongs in {}", ARCH_ROOM.1)));
        }
        if rust && is_lower_module(name) && line.contains("crate::cmd") {
            found.push(format!("{number}: a shared module uses a command"));
        }
        if rust && is_wide_comment(line) {
            found.push(format!("{number}: a comment wider than {TEXT_WIDTH} characters"));
        }
        if document && is_wide_prose(line) {
            found.push(format!("{number}: a line wider than {TEXT_WIDTH} characters"));
        }
        for (parts, why) in FORBIDDEN {
            if line.contains(&parts.concat()) {
                found.push(format!("{number}: `{}`: {why}", parts.concat()));
            }
        }
    }
    found
}

/// Whether code on this line opens an unsafe block, function or impl.
fn is_unsafe(line: &str) -> bool {
    // An escaped quote does not end its literal.
    let line = line.replace("\\\"", "");
    let code = line.split("//").next().unwrap_or("");
    ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern", "#[unsafe("].iter().any(|word| {
        code.match_indices(word).any(|(at, _)| {
            let before = &code[..at];
            // Inside a string literal it is text.
            before.matches('"').count().is_multiple_of(2)
                && !before.ends_with(|c: char| c.is_alphanumeric() || c == '_')
        })
    })
}

/// Whether a file is a shared module of `xtask`.
fn is_lower_module(name: &str) -> bool {
    name.starts_with(COMMANDS.0) && !COMMANDS.1.iter().any(|allowed| name.starts_with(allowed))
}

/// Whether a line is nothing but a comment, and too wide. Rows of tables cannot be broken.
fn is_wide_comment(line: &str) -> bool {
    let text = line.trim_start();
    let is_row = text.trim_start_matches(['/', '!']).trim_start().starts_with('|');
    text.starts_with("//") && !is_row && line.chars().count() > TEXT_WIDTH
}

/// Whether a line of a document is too wide. Rows of tables and indented code cannot be broken.
fn is_wide_prose(line: &str) -> bool {
    !line.starts_with('|') && !line.starts_with("    ") && line.chars().count() > TEXT_WIDTH
}

/// The first word of one architecture in the code of this line.
fn arch_word(line: &str) -> Option<&'static str> {
    let code = line.split("//").next().unwrap_or("");
    let words: Vec<&str> = code.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    ARCH_WORDS.iter().find(|arch| words.iter().any(|word| word == *arch)).copied()
}

/// Dependencies between our packages that the architecture does not allow.
fn forbidden_edges(package: &str, manifest: &str) -> Vec<String> {
    let allowed = EDGES.iter().find(|(name, _)| *name == package).map_or(&[] as &[&str], |(_, to)| to);
    PACKAGES
        .iter()
        .map(|(_, name)| *name)
        .filter(|name| *name != package && !allowed.contains(name))
        .filter(|name| {
            manifest
                .lines()
                .any(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '=', '.'])))
        })
        .map(|name| format!("{package} must not depend on {name}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("    unsafe { f() }", true)]
    #[case("pub unsafe fn f() {}", true)]
    #[case("// unsafe { f() }", false)]
    #[case("let text = \"unsafe { f() }\";", false)]
    #[case("#![deny(unsafe_code)]", false)]
    fn unsafe_lines(#[case] line: &str, #[case] wanted: bool) {
        assert_eq!(is_unsafe(line), wanted);
    }

    #[test]
    fn a_file_is_judged_by_its_place() {
        let text = "//! Head.\nfn f() { unsafe { g() } }\n";
        assert_eq!(judge("xtask/src/x.rs", text), ["2: `unsafe` is not allowed in this file"]);
        assert!(judge("engine/src/sys/x.rs", text).is_empty());
        assert_eq!(
            judge("xtask/src/x.rs", "fn f() {}\n"),
            ["1: no `//!` comment that describes the contents"]
        );
        let path = ["see /ho", "me/me/x\n"].concat();
        assert_eq!(judge("README.md", &path).len(), 1);
    }

    #[test]
    fn modules_do_not_use_commands() {
        let text = "//! Head.\nuse crate::cmd::test;\n";
        assert_eq!(judge("xtask/src/x.rs", text), ["2: a shared module uses a command"]);
        assert!(judge("xtask/src/cmd/x.rs", text).is_empty());
        assert!(judge("xtask/src/main.rs", text).is_empty());
        assert!(judge("engine/src/x.rs", text).is_empty());
    }

    #[rstest]
    #[case("// ", 97, false)]
    #[case("    // ", 94, true)]
    #[case("//! | ", 97, false)]
    #[case("let wide = 1; // ", 97, false)]
    fn wide_comments(#[case] start: &str, #[case] more: usize, #[case] wanted: bool) {
        assert_eq!(is_wide_comment(&format!("{start}{}", "x".repeat(more))), wanted);
    }

    #[rstest]
    #[case("", 101, true)]
    #[case("", 100, false)]
    #[case("| ", 100, false)]
    #[case("    $ ", 100, false)]
    fn wide_lines_of_documents(#[case] start: &str, #[case] more: usize, #[case] wanted: bool) {
        let line = format!("{start}{}", "x".repeat(more));
        assert_eq!(judge("docs/x.md", &line).len(), usize::from(wanted));
        assert!(judge("x.toml", &line).is_empty());
    }

    #[rstest]
    #[case("#[cfg(target_arch = \"x86_64\")]", Some("target_arch"))]
    #[case("regs.rip = 0;", Some("rip"))]
    #[case("let stripe = 1; // rip", None)]
    fn words_of_one_architecture(#[case] line: &str, #[case] word: Option<&str>) {
        assert_eq!(arch_word(line), word);
        let text = format!("//! Head.\n{line}\n");
        assert_eq!(judge("engine/src/remote/x.rs", &text).len(), usize::from(word.is_some()));
        assert!(judge("engine/src/arch/x86_64/mod.rs", &text).is_empty());
        assert!(judge("workloads/src/fp/x.rs", &text).is_empty());
    }

    #[rstest]
    #[case("MIT OR Apache-2.0", true)]
    #[case("Unlicense/MIT", true)]
    #[case("(MIT OR Apache-2.0) AND Unicode-3.0", true)]
    #[case("Apache-2.0 WITH LLVM-exception OR MIT", true)]
    #[case("MIT AND GPL-3.0-only", false)]
    #[case("Proprietary", false)]
    fn licences(#[case] text: &str, #[case] wanted: bool) {
        assert_eq!(is_fine(text), wanted);
    }

    #[test]
    fn edges_follow_the_architecture() {
        assert_eq!(
            forbidden_edges("cairn", "[dependencies]\ncairn-qemu = { path = \"../qemu\" }\n"),
            ["cairn must not depend on cairn-qemu"]
        );
        assert!(forbidden_edges("xtask", "cairn-testsuite = { path = \"../testsuite\" }\n").is_empty());
    }
}
