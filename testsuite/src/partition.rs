//! Splitting a run over several machines: `--partition k/n`.
//!
//! A cell's part depends on its name only, so n machines agree without communicating. If all of
//! them are given the same durations of an earlier run, these are used to balance the parts.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use cairn_qemu::kernels::fetch::sha256_hex;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// Part `k` of `n`, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Partition {
    k: usize,
    n: usize,
}

/// Text that is not of the form `k/n`.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not a partition: expected k/n with 1 ≤ k ≤ n")]
pub struct BadPartition(String);

impl Partition {
    /// The whole run.
    pub const WHOLE: Partition = Partition { k: 1, n: 1 };

    /// The number of this part, from 1.
    pub fn number(self) -> usize {
        self.k
    }

    /// The number of parts.
    pub fn parts(self) -> usize {
        self.n
    }
}

impl FromStr for Partition {
    type Err = BadPartition;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || BadPartition(text.to_owned());
        let (k, n) = text.split_once('/').ok_or_else(bad)?;
        let (k, n) = (k.parse().map_err(|_| bad())?, n.parse().map_err(|_| bad())?);
        if k == 0 || k > n {
            return Err(bad());
        }
        Ok(Partition { k, n })
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.k, self.n)
    }
}

impl From<Partition> for String {
    fn from(part: Partition) -> Self {
        part.to_string()
    }
}

impl TryFrom<String> for Partition {
    type Error = BadPartition;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// Selects this part's items, keeping their order. Without durations an item's part is a hash of
/// its name only. With durations, in milliseconds by item, the parts take about the same time; an
/// item without one is assumed to take the median.
pub fn select<T: ToString>(
    items: Vec<T>,
    part: Partition,
    durations: Option<&BTreeMap<String, u64>>,
) -> Vec<T> {
    let names: Vec<String> = items.iter().map(T::to_string).collect();
    let owners = match durations {
        None => names.iter().map(|name| (xxh3_64(name.as_bytes()) % part.n as u64) as usize).collect(),
        Some(durations) => balanced(&names, part.n, durations),
    };
    let mine = owners.into_iter().map(|owner| owner == part.k - 1);
    items.into_iter().zip(mine).filter_map(|(item, keep)| keep.then_some(item)).collect()
}

/// The part of each item, counted from 0.
fn balanced(names: &[String], parts: usize, durations: &BTreeMap<String, u64>) -> Vec<usize> {
    let mut known: Vec<u64> = durations.values().copied().collect();
    known.sort_unstable();
    let median = known.get(known.len() / 2).copied().unwrap_or(1);
    let cost = |name: &String| durations.get(name).copied().unwrap_or(median).max(1);
    // Longest first, each to the part with the smallest sum so far; names break ties so that every
    // machine agrees.
    let mut order: Vec<usize> = (0..names.len()).collect();
    order.sort_by_key(|&index| (Reverse(cost(&names[index])), &names[index]));
    let mut load = vec![0u64; parts];
    let mut owners = vec![0; names.len()];
    for index in order {
        let lightest = (0..parts).min_by_key(|&part| (load[part], part)).unwrap_or(0);
        load[lightest] += cost(&names[index]);
        owners[index] = lightest;
    }
    owners
}

/// Identifies the list that was split: its length, and SHA-256 over its names in alphabetical
/// order, each followed by a newline. Parts of different lists do not belong to one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ListDigest {
    /// Number of cells in the list.
    pub cells: usize,
    /// The hash in hexadecimal.
    pub sha256: String,
}

impl ListDigest {
    /// The digest of these names, in any order.
    pub fn of<T: ToString>(items: &[T]) -> Self {
        let mut names: Vec<String> = items.iter().map(|item| item.to_string() + "\n").collect();
        names.sort();
        ListDigest { cells: names.len(), sha256: sha256_hex(names.concat().as_bytes()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    #[rstest]
    #[case("1/1", true)]
    #[case("3/4", true)]
    #[case("0/4", false)]
    #[case("5/4", false)]
    #[case("4", false)]
    #[case("a/b", false)]
    fn parse(#[case] text: &str, #[case] good: bool) {
        assert_eq!(text.parse::<Partition>().is_ok(), good);
    }

    /// A change here changes the parts of every split run.
    #[test]
    fn a_cell_is_in_the_same_part_everywhere_and_always() {
        let items =
            ["6.12/x86_64/dynamic/cairn/pipes/full/once", "6.12/x86_64/dynamic/cairn/fp/avx/twice", "x"];
        let parts: Vec<Vec<&str>> =
            (1..=2).map(|k| select(items.to_vec(), Partition { k, n: 2 }, None)).collect();
        insta::assert_debug_snapshot!(parts);
    }

    /// A kernel that only one machine has must not change the parts: cells common to both run once.
    #[test]
    fn what_is_not_in_both_lists_moves_nothing() {
        let long: Vec<String> = (0..500).map(|i| format!("cell-{i}")).collect();
        let short: Vec<String> = long.iter().filter(|name| !name.ends_with('7')).cloned().collect();
        let first = select(long, Partition { k: 1, n: 2 }, None);
        let second = select(short.clone(), Partition { k: 2, n: 2 }, None);
        assert!(short.iter().all(|name| first.contains(name) != second.contains(name)));
    }

    #[test]
    fn a_list_is_known_by_its_names() {
        let digest = ListDigest::of(&["b", "a"]);
        assert_eq!(digest, ListDigest::of(&["a", "b"]));
        assert_ne!(digest, ListDigest::of(&["a", "c"]));
        assert_ne!(ListDigest::of(&["a\nb"]), ListDigest::of(&["a"]));
        assert_eq!(ListDigest::of::<&str>(&[]).cells, 0);
    }

    proptest! {
        #[test]
        fn parts_are_disjoint_complete_and_balanced(
            costs in prop::collection::vec(1u64..1000, 1..60), n in 1usize..6, by_durations in any::<bool>(),
        ) {
            let items: Vec<String> = (0..costs.len()).map(|i| format!("cell-{i}")).collect();
            let durations: BTreeMap<String, u64> = items.iter().cloned().zip(costs.iter().copied()).collect();
            let mut seen = Vec::new();
            let mut loads = Vec::new();
            for k in 1..=n {
                let part = select(items.clone(), Partition { k, n }, by_durations.then_some(&durations));
                loads.push(part.iter().map(|i| durations[i]).sum::<u64>());
                seen.extend(part);
            }
            seen.sort();
            let mut all = items.clone();
            all.sort();
            prop_assert_eq!(seen, all);
            // Greedy longest-first: no part exceeds the shortest by more than the longest item.
            let spread = loads.iter().max().unwrap() - loads.iter().min().unwrap();
            prop_assert!(!by_durations || spread <= *costs.iter().max().unwrap());
        }

        #[test]
        fn order_of_input_does_not_change_the_split(seed in any::<u64>()) {
            let items: Vec<String> = (0..20).map(|i| format!("cell-{i}")).collect();
            let durations: BTreeMap<String, u64> =
                items.iter().enumerate().map(|(i, s)| (s.clone(), seed.rotate_left(i as u32) % 97)).collect();
            let part = Partition { k: 1, n: 3 };
            let mut forward = select(items.clone(), part, Some(&durations));
            let mut backward = select(items.into_iter().rev().collect(), part, Some(&durations));
            forward.sort();
            backward.sort();
            prop_assert_eq!(forward, backward);
        }
    }
}
