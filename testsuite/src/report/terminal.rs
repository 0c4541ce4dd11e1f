//! What a run prints at its end: the matrix, then everything worth a look, then one line.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::results::{CellResult, Column, Results};
use crate::cell::Cell;
use crate::verdict::{Stage, Verdict};

/// Red cells described one by one; more are counted.
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
                put(&mut out, format_args!("  {}: {}\n", cell.cell, cell.reason));
            }
            more(&mut out, list.len());
        }
    }
    skips(&mut out, results);
    module(&mut out, results, &paint);
    complaints(&mut out, results, &paint);
    let red: Vec<&CellResult> = results.red().collect();
    if !red.is_empty() {
        out.push_str("\nred:\n");
        for cell in red.iter().take(SHOWN) {
            let stage = cell.stage.map(|stage| format!(" at {stage}")).unwrap_or_default();
            let verdict = paint.red(cell.verdict.name());
            put(&mut out, format_args!("  {verdict}{stage}  {}\n", cell.cell));
            put(&mut out, format_args!("      {}\n      {}\n", cell.reason, cell.repro));
        }
        more(&mut out, red.len());
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
    let end = match (results.run.interrupted, results.is_green()) {
        (true, _) => paint.red("interrupted"),
        (false, true) => paint.green("green"),
        (false, false) => paint.red("red"),
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
    format!("{end}: {} cells in {seconds:.1} s: {}{pause}", results.cells.len(), words.join(", "))
}

/// Groups down, kernels across, in each field what is not a plain pass.
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
    // Above: the architecture, the kernel, the engine, where there are several, each over the first of its columns.
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

/// Why things were skipped, each reason once.
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
            put(out, format_args!("  {workload} on {}: {reason}\n", kernels.join(", ")));
        }
    }
}

/// What the module was put to.
fn module(out: &mut String, results: &Results, paint: &Paint) {
    let tried = results.kernels.iter().filter_map(|kernel| Some((kernel, kernel.module.as_ref()?)));
    for (n, (kernel, module)) in tried.enumerate() {
        if n == 0 {
            out.push_str("\nthe kernel module, put to the test:\n");
        }
        let notes: String = module.notes.iter().map(|note| format!("; {note}")).collect();
        put(out, format_args!("  {}: {}{notes}\n", kernel.name(), module.count()));
        for (name, why) in module.failures() {
            put(out, format_args!("    {} {name}: {why}\n", paint.red("FAIL")));
        }
    }
}

/// What kernels complained of while no cell ran.
fn complaints(out: &mut String, results: &Results, paint: &Paint) {
    for kernel in &results.kernels {
        for text in &kernel.complaints {
            put(out, format_args!("\n{} {}, while no cell ran: {text}\n", paint.red("SPLAT"), kernel.name()));
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
    use crate::report::results::sample;

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
    fn colour_only_adds_escapes() {
        let coloured = render(&sample::run(), true);
        assert!(coloured.contains("\x1b[31m"));
        let stripped = coloured.replace("\x1b[31m", "").replace("\x1b[32m", "").replace("\x1b[0m", "");
        let trim = |text: &str| text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
        assert_eq!(trim(&stripped), trim(&render(&sample::run(), false)));
    }
}
