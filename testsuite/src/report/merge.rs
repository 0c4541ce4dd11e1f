//! Merges the parts of a split run into one, or reports why they do not belong together.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::results::{Expected, KernelInfo, Results};
use crate::cell::Cell;
use crate::partition::{ListDigest, Partition};

/// Why parts cannot be merged.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum MergeError {
    /// Two parts differ in a value that must be equal.
    #[error("{what} differs: {first_value} in {first}, {other_value} in {other}")]
    Differs {
        /// Name of the value.
        what: String,
        /// Directory of one part.
        first: PathBuf,
        /// Its value.
        first_value: String,
        /// Directory of the other part.
        other: PathBuf,
        /// Its value.
        other_value: String,
    },
    /// A part was given twice.
    #[error("duplicate part {part}: {first} and {other}")]
    Twice {
        /// The part.
        part: Partition,
        /// Its first directory.
        first: PathBuf,
        /// Its second directory.
        other: PathBuf,
    },
    /// Parts are missing.
    #[error("missing of {parts} parts: {missing}")]
    Missing {
        /// Number of parts of the run.
        parts: usize,
        /// Numbers of the missing parts.
        missing: String,
    },
    /// A cell is in two parts.
    #[error("{0} is in two parts: were they split by the same durations?")]
    Overlap(Cell),
    /// The parts do not contain all cells of the list.
    #[error(
        "the parts have {found} cells, but their common list has {wanted}, or different ones: were they split by the same durations?"
    )]
    Incomplete {
        /// Number of cells in the parts.
        found: usize,
        /// Number of cells in the list.
        wanted: usize,
    },
}

/// Merges parts, each given with its directory, in which its bundles stay.
///
/// # Errors
/// [`MergeError`].
///
/// # Panics
/// If there are no parts.
pub fn merge(parts: Vec<(PathBuf, Results)>) -> Result<Results, MergeError> {
    let (first_dir, first) = parts.first().expect("the caller passes parts");
    for (dir, part) in &parts[1..] {
        same((first_dir, dir), "the list of cells", &first.run.list.sha256, &part.run.list.sha256)?;
        let count = |results: &Results| results.run.part.parts().to_string();
        same((first_dir, dir), "the number of parts", &count(first), &count(part))?;
        same((first_dir, dir), "the seed", &first.run.seed.to_string(), &part.run.seed.to_string())?;
        let scale = |results: &Results| results.run.timeout_scale.to_string();
        same((first_dir, dir), "the factor on time limits", &scale(first), &scale(part))?;
        let retries = |results: &Results| results.run.retries.to_string();
        same((first_dir, dir), "the number of retries", &retries(first), &retries(part))?;
        let digest = |results: &Results| results.run.expectations_sha256.clone().unwrap_or_default();
        same((first_dir, dir), "expectations.toml", &digest(first), &digest(part))?;
    }
    let count = first.run.part.parts();
    let mut given: BTreeMap<usize, &PathBuf> = BTreeMap::new();
    for (dir, part) in &parts {
        if let Some(other) = given.insert(part.run.part.number(), dir) {
            return Err(MergeError::Twice { part: part.run.part, first: other.clone(), other: dir.clone() });
        }
    }
    let missing: Vec<String> =
        (1..=count).filter(|k| !given.contains_key(k)).map(|k| k.to_string()).collect();
    if !missing.is_empty() {
        return Err(MergeError::Missing { parts: count, missing: missing.join(", ") });
    }

    let (mut dir, mut whole) = (first_dir.clone(), first.clone());
    at_home(&dir, &mut whole);
    for (other_dir, mut other) in parts.into_iter().skip(1) {
        at_home(&other_dir, &mut other);
        for kernel in other.kernels {
            match whole.kernels.iter_mut().find(|known| known.name() == kernel.name()) {
                Some(known) => add_kernel((&dir, &other_dir), known, kernel)?,
                None => whole.kernels.push(kernel),
            }
        }
        whole.absent.extend(other.absent);
        for entry in other.expectations {
            match whole.expectations.iter_mut().find(|known| known.entry == entry.entry) {
                Some(Expected { cells, met, passed, .. }) => {
                    (*cells, *met, *passed) =
                        (*cells + entry.cells, *met + entry.met, *passed + entry.passed);
                }
                None => whole.expectations.push(entry),
            }
        }
        whole.cells.extend(other.cells);
        whole.run.started = whole.run.started.min(other.run.started);
        whole.run.wall_ms = whole.run.wall_ms.max(other.run.wall_ms);
        whole.run.interrupted |= other.run.interrupted;
        dir = other_dir;
    }
    whole.absent.sort();
    whole.absent.dedup();
    let mut seen = BTreeSet::new();
    if let Some(twice) = whole.cells.iter().find(|result| !seen.insert(&result.cell)) {
        return Err(MergeError::Overlap(twice.cell.clone()));
    }
    let cells: Vec<&Cell> = seen.into_iter().collect();
    if ListDigest::of(&cells) != whole.run.list {
        return Err(MergeError::Incomplete { found: cells.len(), wanted: whole.run.list.cells });
    }
    let order: BTreeMap<String, usize> =
        whole.kernels.iter().enumerate().map(|(index, kernel)| (kernel.name(), index)).collect();
    whole.cells.sort_by_cached_key(|result| {
        let Cell { kernel, arch, .. } = &result.cell;
        (order.get(&format!("{kernel}/{arch}")).copied(), result.cell.clone())
    });
    whole.run.part = Partition::WHOLE;
    // The command of the merged run, not of its first part.
    let mut words = std::mem::take(&mut whole.run.command).into_iter();
    while let Some(word) = words.next() {
        if word == "--partition" {
            words.next();
        } else if !word.starts_with("--partition=") {
            whole.run.command.push(word);
        }
    }
    Ok(whole)
}

/// Prefixes bundle paths with the part's directory.
fn at_home(dir: &Path, results: &mut Results) {
    for bundle in results.cells.iter_mut().filter_map(|result| result.bundle.as_mut()) {
        *bundle = dir.join(&*bundle).display().to_string();
    }
}

fn add_kernel(dirs: (&Path, &Path), known: &mut KernelInfo, other: KernelInfo) -> Result<(), MergeError> {
    let name = known.name();
    let digest = |kernel: &KernelInfo| kernel.sha256.clone().unwrap_or_default();
    same(dirs, &format!("kernel {name}"), &digest(known), &digest(&other))?;
    for (engine, info) in other.engines {
        match known.engines.get(&engine) {
            Some(first) => same(dirs, &format!("engine {engine} on {name}"), &first.sha256, &info.sha256)?,
            None => drop(known.engines.insert(engine, info)),
        }
    }
    known.absent.extend(other.absent);
    known.complaints.extend(other.complaints);
    known.module = match (known.module.take(), other.module) {
        (Some(mut first), Some(second)) => {
            first.checks.extend(second.checks);
            first.notes.extend(second.notes);
            Some(first)
        }
        (first, second) => first.or(second),
    };
    known.boots += other.boots;
    known.wall_ms += other.wall_ms;
    Ok(())
}

fn same(
    (first, other): (&Path, &Path),
    what: &str,
    first_value: &str,
    other_value: &str,
) -> Result<(), MergeError> {
    if first_value == other_value {
        return Ok(());
    }
    Err(MergeError::Differs {
        what: what.to_owned(),
        first: first.to_owned(),
        first_value: first_value.to_owned(),
        other: other.to_owned(),
        other_value: other_value.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::partition;
    use crate::report::sample;

    /// The sample run as two parts, and the whole run.
    fn halves() -> (Vec<(PathBuf, Results)>, Results) {
        let mut whole = sample::run();
        let cells: Vec<Cell> = whole.cells.iter().map(|result| result.cell.clone()).collect();
        whole.run.list = ListDigest::of(&cells);
        let part = |k: usize| {
            let mut part = whole.clone();
            part.run.part = format!("{k}/2").parse().unwrap();
            let mine = partition::select(cells.clone(), part.run.part, None);
            part.cells.retain(|result| mine.contains(&result.cell));
            (PathBuf::from(format!("part-{k}")), part)
        };
        (vec![part(1), part(2)], whole)
    }

    #[test]
    fn parts_make_the_whole() {
        let (parts, whole) = halves();
        let merged = merge(parts).unwrap();
        assert_eq!(merged.counts(), whole.counts());
        assert_eq!(merged.kernels.len(), 2);
        assert_eq!(merged.kernels[0].boots, 2);
        assert!(merged.red().all(|red| red.bundle.as_ref().is_some_and(|at| at.starts_with("part-"))));
    }

    type Damage = fn(&mut Vec<(PathBuf, Results)>);

    #[test]
    fn what_are_no_parts_of_one_run() {
        let damages: &[(Damage, &str)] = &[
            (|parts| drop(parts.pop()), "missing of 2 parts: 2"),
            (|parts| parts[1] = parts[0].clone(), "duplicate part 1/2: part-1 and part-1"),
            (|parts| parts[1].1.run.list.sha256 = "cd".into(), "the list of cells differs: "),
            (
                |parts| parts[1].1.run.part = "2/3".parse().unwrap(),
                "the number of parts differs: 2 in part-1, 3 in part-2",
            ),
            (|parts| parts[1].1.run.seed = 7, "the seed differs: 1 in part-1, 7 in part-2"),
            (
                |parts| drop(parts.iter_mut().find(|part| !part.1.cells.is_empty()).unwrap().1.cells.pop()),
                "the parts have 6 cells",
            ),
            (
                |parts| {
                    let (a, b) = parts.split_at_mut(1);
                    a[0].1.cells.extend(b[0].1.cells.clone())
                },
                " is in two parts",
            ),
            (
                |parts| parts[1].1.kernels[0].sha256 = Some("dd".into()),
                "kernel 5.10/x86_64 differs: 00ff in part-1, dd in part-2",
            ),
            (
                |parts| parts[1].1.kernels[0].engines.get_mut("cairn").unwrap().sha256 = "1".into(),
                "engine cairn on 5.10/x86_64 differs",
            ),
        ];
        for (damage, why) in damages {
            let (mut parts, _) = halves();
            damage(&mut parts);
            let error = merge(parts).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn a_part_that_was_interrupted_leaves_the_whole_so() {
        let (mut parts, _) = halves();
        parts[0].1.run.interrupted = true;
        assert!(merge(parts).unwrap().run.interrupted);
    }
}
