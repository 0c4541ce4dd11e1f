//! Comparison of two runs: newly red, healed, added and removed cells.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::results::{CellResult, Results};

/// The differences between two runs; cells are in text form.
#[derive(Debug, Default)]
pub struct Comparison {
    /// Red in the second run, and not red or absent in the first.
    pub newly_red: Vec<(String, String)>,
    /// Red in the first run and not in the second.
    pub healed: Vec<(String, String)>,
    /// Different verdicts, both red or both not.
    pub changed: Vec<(String, String)>,
    /// Only in the second run, and not red.
    pub added: Vec<String>,
    /// Only in the first run.
    pub gone: Vec<String>,
}

/// Compares an older run with a newer one.
pub fn compare(old: &Results, new: &Results) -> Comparison {
    let index = |results: &Results| -> BTreeMap<String, CellResult> {
        results.cells.iter().map(|c| (c.cell.to_string(), c.clone())).collect()
    };
    let (before, after) = (index(old), index(new));
    let mut found = Comparison::default();
    for (name, cell) in &after {
        let now = format!("{}: {}", cell.verdict, cell.reason);
        match before.get(name) {
            None if cell.verdict.is_red() => found.newly_red.push((name.clone(), now)),
            None => found.added.push(name.clone()),
            Some(then) => {
                let text = format!("{} → {now}", then.verdict);
                match (then.verdict.is_red(), cell.verdict.is_red()) {
                    (false, true) => found.newly_red.push((name.clone(), text)),
                    (true, false) => found.healed.push((name.clone(), text)),
                    _ if then.verdict != cell.verdict => found.changed.push((name.clone(), text)),
                    _ => {}
                }
            }
        }
    }
    found.gone = before.keys().filter(|name| !after.contains_key(*name)).cloned().collect();
    found
}

impl Comparison {
    /// Renders the comparison as text.
    pub fn render(&self) -> String {
        let mut out = String::new();
        let mut pairs = |head: &str, list: &[(String, String)]| {
            if !list.is_empty() {
                writeln!(out, "{head} ({}):", list.len()).expect("writing to a string does not fail");
                for (name, text) in list {
                    let text = text.trim_end_matches(": ");
                    writeln!(out, "  {name}: {text}").expect("writing to a string does not fail");
                }
            }
        };
        pairs("newly red", &self.newly_red);
        pairs("healed", &self.healed);
        pairs("changed", &self.changed);
        let counts = format!("{} cells added, {} removed\n", self.added.len(), self.gone.len());
        out + &counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;
    use crate::verdict::Verdict;

    #[test]
    fn two_runs() {
        let old = sample::run();
        let mut new = sample::run();
        new.cells[0].verdict = Verdict::Fail;
        new.cells[0].reason = "byte 3".into();
        new.cells[4].verdict = Verdict::Pass;
        new.cells[4].reason = String::new();
        new.cells[3].verdict = Verdict::Pass;
        new.cells.pop();
        insta::assert_snapshot!(compare(&old, &new).render(), @r"
        newly red (1):
          5.10/x86_64/dynamic/cairn/fp/avx/once: pass → fail: byte 3
        healed (1):
          7.3/x86_64/dynamic/cairn/fp/avx/once: fail → pass
        changed (1):
          5.10/x86_64/dynamic/cairn/pipes/full/twice: flaky → pass: first: byte 3
        0 cells added, 1 removed
        ");
    }
}
