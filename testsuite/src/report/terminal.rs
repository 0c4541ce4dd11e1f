//! The summary printed at the end of a run: the matrix, then noteworthy cells, then one line.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::results::{CellResult, Column, Conclusion, Expected, Results};
use crate::cell::Cell;
use crate::partition::Partition;
use crate::verdict::{Stage, Verdict};

/// Number of red cells described individually; the rest is counted.
const SHOWN: usize = 20;

/// The matrix and the summary. `colour` uses ANSI escapes.
pub fn render(results: &Results, colour: bool) -> String {
    let mut out = matrix(results, colour);
    let paint = Paint(colour);
    for (verdict, head) in [(Verdict::Flaky, "flaky"), (Verdict::Xpass, "expected to fail, but passed")] {
        let list: Vec<&CellResult> = results.cells.iter().filter(|c| c.verdict == verdict).collect();
        if !list.is_empty() {
            put(&mut out, format_args!("\n{head}:\n"));
            for cell in list.iter().take(SHOWN) {
                put(&mut out, format_args!("  {}: {}\n", cell.cell, printable(&cell.reason)));
            }
            more(&mut out, list.len());
        }
    }
    skips(&mut out, results);
    expectations(&mut out, results);
    module(&mut out, results, &paint);
    complaints(&mut out, results, &paint);
    let causes = results.causes();
    if !causes.is_empty() {
        out.push_str("\nred:\n");
        for cells in causes.iter().take(SHOWN) {
            let [cell, others @ ..] = cells.as_slice() else { continue };
            let stage = cell.stage.map(|stage| format!(" at {stage}")).unwrap_or_default();
            let verdict = paint.red(cell.verdict.name());
            let others = match others.len() {
                0 => String::new(),
                count => format!(", and {count} more for the same reason"),
            };
            put(&mut out, format_args!("  {verdict}{stage}  {}{others}\n", cell.cell));
            put(&mut out, format_args!("      {}\n      {}\n", printable(&cell.reason), cell.repro));
        }
        more(&mut out, causes.len());
    }
    put(&mut out, format_args!("\n{}\n", line(results, &paint)));
    out
}

/// `250 cells in 61.2 s: 240 pass, 3 fail …; pause median 1.2 ms`.
fn line(results: &Results, paint: &Paint) -> String {
    let counts = results.counts();
    let words: Vec<String> = Verdict::ALL
        .into_iter()
        .filter_map(|v| counts.get(&v).map(|n| format!("{n} {v}")))
        .map(|text| if text.ends_with("pass") { paint.green(&text) } else { text })
        .collect();
    let conclusion = results.conclusion();
    let end = match conclusion {
        Conclusion::Green => paint.green(conclusion.name()),
        _ => paint.red(conclusion.name()),
    };
    let part = match results.run.part {
        Partition::WHOLE => String::new(),
        part => format!(" (part {part} of {})", results.run.list.cells),
    };
    let seconds = results.run.wall_ms as f64 / 1000.0;
    let mut pauses: Vec<u64> = results
        .cells
        .iter()
        .flat_map(|cell| &cell.measured)
        .filter(|m| m.stage == Stage::Checkpoint)
        .filter_map(|m| m.pause_ns)
        .collect();
    pauses.sort_unstable();
    let pause = match pauses.get(pauses.len() / 2) {
        Some(median) => format!("; pause median {:.1} ms", *median as f64 / 1e6),
        None => String::new(),
    };
    let counts = if words.is_empty() { String::new() } else { format!(": {}", words.join(", ")) };
    format!("{end}: {} cells{part} in {seconds:.1} s{counts}{pause}", results.cells.len())
}

/// Groups as rows, kernels as columns; each field shows what is not a plain pass.
fn matrix(results: &Results, colour: bool) -> String {
    let paint = Paint(colour);
    let columns = results.columns();
    let mut groups: Vec<&str> = Vec::new();
    let mut fields: BTreeMap<(&str, Column<'_>), BTreeMap<Verdict, usize>> = BTreeMap::new();
    for cell in &results.cells {
        let group = cell.cell.group();
        if !groups.contains(&group) {
            groups.push(group);
        }
        *fields.entry((group, Column::of(&cell.cell))).or_default().entry(cell.verdict).or_insert(0) += 1;
    }
    let text = |group: &str, column: Column<'_>| -> (String, bool) {
        let Some(counts) = fields.get(&(group, column)) else { return ("-".to_owned(), false) };
        let words: Vec<String> =
            Verdict::ALL.into_iter().filter_map(|v| counts.get(&v).map(|n| format!("{n} {v}"))).collect();
        (words.join(" "), counts.keys().any(|v| v.is_red()))
    };
    let first = groups.iter().map(|g| g.len()).chain([6]).max().unwrap_or(6);
    // Header: architecture, kernel and engine, each omitted if there is only one, above its first
    // column.
    let names: Vec<[&str; 3]> = columns.iter().map(|c| [c.arch, c.kernel, c.engine]).collect();
    let several = [results.is_mixed(), true, results.engines().len() > 1];
    let over = |level: usize| -> Vec<&str> {
        let known = |n: usize| n > 0 && names[n - 1][..=level] == names[n][..=level];
        (0..names.len()).map(|n| if known(n) { "" } else { names[n][level] }).collect()
    };
    let heads: Vec<Vec<&str>> = (0..3).filter(|level| several[*level]).map(over).collect();
    let widths: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(n, &column)| {
            let fields = groups.iter().map(|g| text(g, column).0.len());
            fields.chain(heads.iter().map(|head| head[n].len())).max().unwrap_or(0)
        })
        .collect();
    let head = |names: &Vec<&str>| -> String {
        let columns = names.iter().zip(&widths).map(|(name, width)| format!("  {name:width$}"));
        format!("{:first$}", "") + &columns.collect::<String>()
    };
    let mut lines: Vec<String> = heads.iter().map(head).collect();
    for group in &groups {
        let mut line = format!("{group:first$}");
        for (&column, width) in columns.iter().zip(&widths) {
            let (text, red) = text(group, column);
            let padded = format!("{text:width$}");
            line.push_str("  ");
            line.push_str(&if red { paint.red(&padded) } else { padded });
        }
        lines.push(line);
    }
    lines.iter().fold(String::new(), |all, line| all + line.trim_end() + "\n")
}

/// Reasons of skipped cells, each listed once.
fn skips(out: &mut String, results: &Results) {
    let mut reasons: BTreeMap<(&str, &str), Vec<String>> = BTreeMap::new();
    for cell in results.cells.iter().filter(|c| c.verdict == Verdict::Skip) {
        let kernels = reasons.entry((&cell.cell.workload, &cell.reason)).or_default();
        let Cell { kernel, arch, .. } = &cell.cell;
        let name = if results.is_mixed() { format!("{kernel}/{arch}") } else { kernel.clone() };
        if !kernels.contains(&name) {
            kernels.push(name);
        }
    }
    for kernel in &results.kernels {
        for (engine, reason) in &kernel.absent {
            let kernels = reasons.entry((engine, reason)).or_default();
            kernels.push(if results.is_mixed() { kernel.name() } else { kernel.label.clone() });
        }
    }
    if !reasons.is_empty() {
        out.push_str("\nskipped:\n");
        for ((workload, reason), kernels) in reasons {
            let reason = printable(reason);
            put(out, format_args!("  {workload} on {}: {reason}\n", kernels.join(", ")));
        }
    }
}

/// Entries that can be removed, and the number that did not apply.
fn expectations(out: &mut String, results: &Results) {
    let needless = results.expectations.iter().filter(|entry| entry.is_needless());
    let idle: Vec<String> = results
        .expectations
        .iter()
        .filter(|entry| entry.cells == 0)
        .map(|entry| entry.entry.to_string())
        .collect();
    let mut lines: Vec<String> = needless
        .map(|Expected { entry, about, passed, .. }| {
            format!("entry {entry} ({about}): passed in all {passed} cells: remove it")
        })
        .collect();
    if !idle.is_empty() {
        lines.push(format!(
            "no cell here matches entries {} of {}",
            idle.join(", "),
            results.expectations.len()
        ));
    }
    if !lines.is_empty() {
        put(out, format_args!("\nexpectations:\n"));
        lines.iter().for_each(|line| put(out, format_args!("  {line}\n")));
    }
}

/// Results of the kernel module's checks.
fn module(out: &mut String, results: &Results, paint: &Paint) {
    let tried = results.kernels.iter().filter_map(|kernel| Some((kernel, kernel.module.as_ref()?)));
    for (n, (kernel, module)) in tried.enumerate() {
        if n == 0 {
            out.push_str("\nkernel module tests:\n");
        }
        let notes: String = module.notes.iter().map(|note| format!("; {}", printable(note))).collect();
        put(out, format_args!("  {}: {}{notes}\n", kernel.name(), module.count()));
        for (name, why) in module.failures() {
            put(out, format_args!("    {} {name}: {}\n", paint.red("FAIL"), printable(why)));
        }
    }
}

/// Kernel complaints while no cell was running.
fn complaints(out: &mut String, results: &Results, paint: &Paint) {
    for kernel in &results.kernels {
        for said in &kernel.complaints {
            let (name, when, text) = (kernel.name(), said.when(), printable(&said.text));
            put(out, format_args!("\n{} {name}, {when}: {text}\n", paint.red("SPLAT")));
            if let Some(repro) = &said.repro {
                put(out, format_args!("      {repro}\n"));
            }
        }
    }
}

fn more(out: &mut String, all: usize) {
    if all > SHOWN {
        put(out, format_args!("  and {} more, in the HTML report\n", all - SHOWN));
    }
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing to a string does not fail");
}

/// Text of a program under test, made safe for a terminal: control characters are escaped.
pub fn printable(text: &str) -> String {
    let plain = |c: char| !c.is_control() || c == '\n' || c == '\t';
    text.chars().map(|c| if plain(c) { c.to_string() } else { c.escape_default().to_string() }).collect()
}

struct Paint(bool);

impl Paint {
    fn red(&self, text: &str) -> String {
        if self.0 { format!("\x1b[31m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn green(&self, text: &str) -> String {
        if self.0 { format!("\x1b[32m{text}\x1b[0m") } else { text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Complaint;
    use crate::report::sample;

    #[test]
    fn plain() {
        insta::assert_snapshot!(render(&sample::run(), false));
    }

    #[test]
    fn what_the_module_was_put_to() {
        insta::assert_snapshot!(render(&sample::with_module(), false));
    }

    #[test]
    fn two_architectures() {
        insta::assert_snapshot!(render(&sample::mixed(), false));
    }

    #[test]
    fn engines_have_columns_and_reasons_to_be_absent() {
        let mut results = sample::run();
        let mut more = results.cells.clone();
        more.iter_mut().for_each(|cell| cell.cell.engine = "cairn-kmod".into());
        let first = results.kernels[0].label.clone();
        results.cells.extend(more.into_iter().filter(|cell| cell.cell.kernel != first));
        results.kernels[0].absent.insert("cairn-kmod".into(), "no headers".into());
        let text = render(&results, false);
        let engines: Vec<&str> = text.lines().nth(1).unwrap_or_default().split_whitespace().collect();
        assert_eq!(engines.len(), 2 * results.kernels.len(), "{text}");
        assert!(engines.chunks(2).all(|two| two == ["cairn", "cairn-kmod"]), "{text}");
        assert!(text.contains(&format!("  cairn-kmod on {first}: no headers")), "{text}");
    }

    #[test]
    fn nothing_of_a_program_reaches_the_terminal_as_it_is() {
        let mut results = sample::run();
        let evil = "\x1b]0;title\x07\u{9b}2J\r";
        results.cells.iter_mut().for_each(|cell| cell.reason.push_str(evil));
        let text = evil.to_owned();
        results.kernels[0].complaints.push(Complaint { text, after: None, repro: None });
        let text = render(&results, false);
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
        assert!(text.contains(r"\u{1b}]0;title\u{7}\u{9b}2J\r"), "{text}");
    }

    #[test]
    fn ten_blocks_of_one_cause_are_one() {
        let mut results = sample::run();
        for cell in results.cells.iter_mut().take(4) {
            (cell.verdict, cell.stage, cell.reason) = (Verdict::Boot, None, "PID 1 was not up".into());
        }
        let text = render(&results, false);
        assert_eq!(text.matches("PID 1 was not up").count(), 1, "{text}");
        assert!(text.contains("and 3 more for the same reason"), "{text}");
    }

    #[test]
    fn a_complaint_names_the_cell_before() {
        let mut results = sample::run();
        let cell = results.cells[0].cell.clone();
        let (text, repro) = ("WARNING: at mm/gup.c:1".to_owned(), Some(results.cells[0].repro.clone()));
        results.kernels[0].complaints.push(Complaint { text, after: Some(cell), repro });
        let text = render(&results, false);
        assert!(
            text.contains(
                "SPLAT 5.10/x86_64, after 5.10/x86_64/dynamic/cairn/fp/avx/once had ended: WARNING"
            ),
            "{text}"
        );
        assert!(text.contains("\n      cargo xtask repro 5.10/x86_64/dynamic/cairn/fp/avx/once\n"), "{text}");
    }

    #[test]
    fn expectations_that_can_go_are_named() {
        let mut results = sample::run();
        let entry =
            |entry, cells, met, passed| Expected { entry, about: format!("g/{entry}"), cells, met, passed };
        results.expectations = vec![entry(1, 3, 0, 3), entry(2, 3, 1, 2), entry(3, 0, 0, 0)];
        let text = render(&results, false);
        assert!(text.contains("  entry 1 (g/1): passed in all 3 cells: remove it\n"), "{text}");
        assert!(!text.contains("entry 2"), "{text}");
        assert!(text.contains("no cell here matches entries 3 of 3\n"), "{text}");
    }

    #[test]
    fn colour_only_adds_escapes() {
        let coloured = render(&sample::run(), true);
        assert!(coloured.contains("\x1b[31m"));
        let stripped = coloured.replace("\x1b[31m", "").replace("\x1b[32m", "").replace("\x1b[0m", "");
        let trim = |text: &str| text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
        assert_eq!(trim(&stripped), trim(&render(&sample::run(), false)));
    }
}
