//! Splitting a run over several machines: `--partition k/n`, balanced by what each cell took the last time.
//!
//! The split is a pure function of the cells and the durations, so n machines with the same inputs agree without talking.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::str::FromStr;

/// Part `k` of `n`, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partition {
    k: usize,
    n: usize,
}

/// Text that is no `k/n`.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is no partition: wanted k/n with 1 ≤ k ≤ n")]
pub struct BadPartition(String);

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

/// Chooses this part's items, keeping their order. `durations` are milliseconds by item; an item without one is taken
/// to need the median of those that are known.
pub fn select<T: ToString>(items: Vec<T>, part: Partition, durations: &BTreeMap<String, u64>) -> Vec<T> {
    let mut known: Vec<u64> = durations.values().copied().collect();
    known.sort_unstable();
    let median = known.get(known.len() / 2).copied().unwrap_or(1).max(1);

    let mut order: Vec<(u64, String, usize)> = items
        .iter()
        .enumerate()
        .map(|(index, item)| {
            let key = item.to_string();
            (durations.get(&key).copied().unwrap_or(median).max(1), key, index)
        })
        .collect();
    // Longest first, each to the part that has the least so far; names break ties so that every machine agrees.
    order.sort_by(|a, b| (Reverse(a.0), &a.1).cmp(&(Reverse(b.0), &b.1)));
    let mut load = vec![0u64; part.n];
    let mut mine = vec![false; items.len()];
    for (cost, _, index) in order {
        let lightest = (0..part.n).min_by_key(|&p| (load[p], p)).unwrap_or(0);
        load[lightest] += cost;
        mine[index] = lightest == part.k - 1;
    }
    items.into_iter().zip(mine).filter_map(|(item, keep)| keep.then_some(item)).collect()
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

    proptest! {
        #[test]
        fn parts_are_disjoint_complete_and_balanced(
            costs in prop::collection::vec(1u64..1000, 1..60), n in 1usize..6,
        ) {
            let items: Vec<String> = (0..costs.len()).map(|i| format!("cell-{i}")).collect();
            let durations: BTreeMap<String, u64> = items.iter().cloned().zip(costs.iter().copied()).collect();
            let mut seen = Vec::new();
            let mut loads = Vec::new();
            for k in 1..=n {
                let part = select(items.clone(), Partition { k, n }, &durations);
                loads.push(part.iter().map(|i| durations[i]).sum::<u64>());
                seen.extend(part);
            }
            seen.sort();
            let mut all = items.clone();
            all.sort();
            prop_assert_eq!(seen, all);
            // Greedy longest-first: no part exceeds the lightest by more than the dearest item.
            let spread = loads.iter().max().unwrap() - loads.iter().min().unwrap();
            prop_assert!(spread <= *costs.iter().max().unwrap());
        }

        #[test]
        fn order_of_input_does_not_change_the_split(seed in any::<u64>()) {
            let items: Vec<String> = (0..20).map(|i| format!("cell-{i}")).collect();
            let durations: BTreeMap<String, u64> =
                items.iter().enumerate().map(|(i, s)| (s.clone(), seed.rotate_left(i as u32) % 97)).collect();
            let part = Partition { k: 1, n: 3 };
            let mut forward = select(items.clone(), part, &durations);
            let mut backward = select(items.into_iter().rev().collect(), part, &durations);
            forward.sort();
            backward.sort();
            prop_assert_eq!(forward, backward);
        }
    }
}
