//! `cargo xtask saved-check`: checks `docs/what-is-saved.md` for completeness, and for proofs that
//! exist. Part of `cargo xtask check`.
//!
//! - A row has a state; saved or refused state has a proof, all other a reason.
//! - A proof is a workload or a test that exists.
//! - Every name that the kernel's newest headers have for something that sets state (an option of
//!   prctl(2), a system call, a command of fcntl(2) …) is in a row, or among those that leave
//!   nothing behind.
//! - With `--source`, so is every file of a kernel's sources that creates its own kind of
//!   descriptors.

mod headers;
mod proof;
mod sources;
mod table;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use cairn_qemu::kernels::{self, Matrix, Options};
use cairn_qemu::setup::{self, Need};
use cairn_qemu::{Cache, progress};
use clap::Parser;

use crate::cross;
use crate::source::{KernelSource, options};
use crate::workspace::Workspace;
use headers::Headers;
use table::{Document, Row, State};

/// The document, relative to the repository.
const DOCUMENT: &str = "docs/what-is-saved.md";

#[derive(Parser)]
pub struct Args {
    /// Also compare with a kernel's sources: a directory, or `newest` for those of the archive
    #[arg(long, value_name = "DIR")]
    source: Option<PathBuf>,
    #[command(flatten)]
    archive: KernelSource,
}

pub fn run(args: &Args) -> Result<bool> {
    judge(&Workspace::find()?, &args.archive, args.source.as_deref())
}

/// Checks the document and prints what is wrong.
pub fn check(workspace: &Workspace, offline: bool) -> Result<bool> {
    judge(workspace, &KernelSource { offline, mirror: None }, None)
}

fn judge(workspace: &Workspace, archive: &KernelSource, sources: Option<&Path>) -> Result<bool> {
    let text =
        fs::read_to_string(workspace.root.join(DOCUMENT)).with_context(|| format!("read {DOCUMENT}"))?;
    let document = table::parse(&text);
    let headers = Headers::find(workspace, archive)?;
    let mut complaints = document.complaints.clone();
    complaints.extend(document.rows.iter().flat_map(|row| judge_row(row, &workspace.root)));
    complaints.extend(judge_names(&document, &headers)?);
    if let Some(sources) = sources {
        let known = document.names().map(|(_, name)| name).collect();
        let makers = if sources == Path::new("newest") {
            sources::descriptor_makers(sources::fetch(workspace, archive)?.path())?
        } else {
            sources::descriptor_makers(sources)?
        };
        eprintln!("{} source files create descriptors", makers.len());
        let missing = makers.into_iter().filter(|file| !is_in(&known, file));
        complaints.extend(missing.map(|file| format!(" `{file}` creates descriptors and is in no row")));
    }
    for complaint in &complaints {
        eprintln!("{DOCUMENT}:{complaint}");
    }
    for state in State::ALL {
        eprintln!("{:4} {state}", document.rows.iter().filter(|row| row.state == Some(state)).count());
    }
    Ok(complaints.is_empty())
}

/// A package that the archive serves.
fn from_archive<T>(
    workspace: &Workspace,
    source: &KernelSource,
    get: impl FnOnce(&Matrix, &Options<'_>) -> Result<T, kernels::Error>,
) -> Result<T> {
    let progress = progress::Stderr::default();
    setup::ensure(&[Need::GPGV, Need::KEYRING], source.offline, &progress)?;
    let cache = Cache::from_env()?;
    let matrix = Matrix::load(&workspace.root.join("matrix.toml"))?;
    Ok(get(&matrix, &options(cross::host()?, source, &cache, &progress))?)
}

/// `line: problem` for every problem of one row.
fn judge_row(row: &Row, root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut complain = |what: String| found.push(format!("{}: {what}", row.line));
    match row.state {
        None => complain("neither saved, refused, reset nor not seen".into()),
        Some(State::Saved | State::Refused) if row.proofs.is_empty() => {
            complain("saved or refused state needs a workload or a test as proof".into());
        }
        Some(State::Reset | State::NotSeen) if row.reason.is_empty() => {
            complain("reset or not seen state needs a reason".into());
        }
        Some(_) => {}
    }
    for proof in &row.proofs {
        if let Err(why) = proof::find(root, proof) {
            complain(format!("`{proof}`: {why}"));
        }
    }
    found
}

/// Whether a name is in a list, literally or by prefix (`PR_RISCV_*`).
fn is_in(list: &BTreeSet<&str>, name: &str) -> bool {
    let begins = |known: &&str| known.strip_suffix('*').is_some_and(|start| name.starts_with(start));
    list.contains(name) || list.iter().any(begins)
}

/// Names in the headers that the document lacks, duplicate names in it, and names that no header
/// has any more.
fn judge_names(document: &Document, headers: &Headers) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let in_rows: BTreeSet<&str> =
        document.rows.iter().flat_map(|row| &row.names).map(String::as_str).collect();
    let stateless: BTreeSet<&str> = document.stateless.iter().map(|(_, name)| name.as_str()).collect();
    let mut known = BTreeSet::new();
    for kind in headers::KINDS {
        let names = headers.names(kind)?;
        let missing: Vec<&str> = names
            .iter()
            .map(String::as_str)
            .filter(|name| !is_in(&in_rows, name) && !is_in(&stateless, name))
            .collect();
        eprintln!("{}: {} of {} in {}", kind.what, names.len() - missing.len(), names.len(), headers.version);
        found.extend(missing.iter().map(|name| format!(" {} `{name}` is missing", kind.what)));
        known.extend(names);
    }
    for (line, name) in
        document.names().filter(|(_, name)| in_rows.contains(name) && stateless.contains(name))
    {
        found
            .push(format!("{line}: `{name}` is both in a row and among the names that leave nothing behind"));
    }
    // Headers of an older kernel are incomplete.
    if headers.newest {
        for (line, name) in &document.stateless {
            if !known.contains(name) {
                found.push(format!("{line}: `{name}` is in none of the headers"));
            }
        }
        let of_prctl = |name: &&(usize, &str)| name.1.starts_with("PR_") && !name.1.ends_with('*');
        for (line, name) in document.names().filter(|name| of_prctl(&name)) {
            if !known.contains(name) && !headers.mentions_option(name)? {
                found.push(format!("{line}: `{name}` is not an option of prctl(2)"));
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_by_itself_or_by_its_beginning() {
        let list = BTreeSet::from(["PR_SET_NAME", "PR_RISCV_*"]);
        assert!(is_in(&list, "PR_SET_NAME") && is_in(&list, "PR_RISCV_V_SET_CONTROL"));
        assert!(!is_in(&list, "PR_SET_NAM") && !is_in(&list, "PR_RISC"));
    }

    #[test]
    fn rows_need_what_their_state_asks_for() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let judged = |cells: &str| {
            let document = table::parse(&format!("{}\n{}\n{cells}\n", table::HEAD, table::RULE));
            assert!(document.complaints.is_empty(), "{:?}", document.complaints);
            judge_row(&document.rows[0], &root)
        };
        assert!(judged("| a | saved | | `memory/locked` |").is_empty());
        assert!(judged("| a | reset | nobody misses it | |").is_empty());
        assert!(judged("| a | saved | well | |")[0].contains("needs a workload"));
        assert!(judged("| a | not seen | | |")[0].contains("needs a reason"));
        assert!(judged("| a | kept | | `memory/locked` |")[0].contains("neither saved"));
        assert!(judged("| a | saved | | `memory/lockde` |")[0].contains("there is no workload"));
    }
}
