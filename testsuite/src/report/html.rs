//! One self-contained page: workloads as rows, kernels as columns, a square per cell, details on
//! click.

use std::collections::BTreeMap;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::results::{CellResult, Column, Results};
use crate::cell::Cell;
use crate::partition::Partition;
use crate::verdict::Verdict;

const STYLE: &str = "
:root{color-scheme:light dark;--line:#8884;--red:#c62828;--green:#2e7d32;--amber:#ef6c00;--grey:#9e9e9e;--blue:#1565c0}
body{font:14px/1.4 system-ui,sans-serif;margin:2em auto;max-width:75em;padding:0 1em}
table{border-collapse:collapse}td,th{padding:.15em .6em;border-bottom:1px solid var(--line);text-align:left;vertical-align:top}
thead th{position:sticky;top:0;background:Canvas}th.group{padding-top:1em;font-size:110%}
a.c{display:inline-block;min-width:1.3em;padding:0 .2em;margin:1px;border-radius:3px;color:#fff;text-align:center;text-decoration:none;font:12px monospace}
.pass{background:var(--green)}.fail,.timeout,.panic,.splat,.boot,.infra,.missing,.not-run{background:var(--red)}
.flaky,.xpass{background:var(--amber)}.xfail{background:var(--blue)}.skip{background:var(--grey)}
strong.good{color:var(--green)}strong.bad{color:var(--red)}
section.d{border-left:4px solid var(--line);margin:1em 0;padding:.2em 1em}section.d:target{border-color:var(--red);background:#8882}
code,pre{font:12px monospace;white-space:pre-wrap;overflow-wrap:anywhere}
";

/// Renders a run.
pub fn render(results: &Results) -> String {
    page(results).into_string()
}

fn page(results: &Results) -> Markup {
    let run = &results.run;
    let counts = results.counts();
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width";
                title { "cairn " (run.id) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { "cairn: run " (run.id) ": " strong class=(if results.is_green() { "good" } else { "bad" }) { (results.conclusion().name()) } }
                p {
                    "Started " (run.started) ", took " (format!("{:.1}", run.wall_ms as f64 / 1000.0)) " s, seed "
                    (run.seed) ", host " (run.host.name) ", " (run.host.release) " with " (run.host.cpus) " processors, " (run.compiler)
                    @if let Some(revision) = &run.revision { ", revision " code { (revision) } }
                    @if run.part != Partition::WHOLE { ". Part " (run.part) " of " (run.list.cells) " cells" }
                    @if run.interrupted { ". " strong { "Interrupted." } }
                }
                p { code { "cargo xtask " (run.command.join(" ")) } }
                p {
                    @for verdict in Verdict::ALL {
                        @if let Some(n) = counts.get(&verdict) {
                            a class={"c " (verdict.name())} { (n) " " (verdict.name()) } " "
                        }
                    }
                    @let complaints = results.kernels.iter().map(|kernel| kernel.complaints.len()).sum::<usize>();
                    @if complaints > 0 { a.c.splat href="#complaints" { (complaints) " kernel complaints while no cell was running" } }
                }
                (kernels(results))
                h2 { "Matrix" }
                p { "Modes: 1 once, 2 twice, c continue, j job, s script; + before it: the static build." }
                (matrix(results))
                (module(results))
                div id="complaints" {
                    @for kernel in results.kernels.iter().filter(|kernel| !kernel.complaints.is_empty()) {
                        h2 { (kernel.name()) " complained while no cell was running" }
                        @for said in &kernel.complaints {
                            p { (said.when()) ":" }
                            pre { (said.text) }
                            @if let Some(repro) = &said.repro { p { code { (repro) } } }
                        }
                    }
                }
                (expectations(results))
                h2 { "All results except plain passes" }
                @for cells in results.causes() { (details(&cells)) }
                @for cell in results.cells.iter().filter(|cell| !cell.verdict.is_red() && cell.verdict != Verdict::Pass) {
                    (details(&[cell]))
                }
            }
        }
    }
}

/// The anchor of a cell's details: the section of the first cell with the same cause.
fn anchors(results: &Results) -> BTreeMap<&Cell, String> {
    let causes = results.causes();
    let of_causes = causes.iter().flat_map(|cells| cells.iter().map(|cell| (&cell.cell, anchor(cells[0]))));
    let others = results.cells.iter().filter(|cell| !cell.verdict.is_red() && cell.verdict != Verdict::Pass);
    of_causes.chain(others.map(|cell| (&cell.cell, anchor(cell)))).collect()
}

fn anchor(cell: &CellResult) -> String {
    format!("d-{}", cell.cell.slug())
}

/// Entries that can be removed, and the number that did not apply.
fn expectations(results: &Results) -> Markup {
    let telling: Vec<_> =
        results.expectations.iter().filter(|entry| entry.cells == 0 || entry.passed > 0).collect();
    html! {
        @if !telling.is_empty() {
            h2 { "Expectations" }
            table {
                thead { tr { th { "entry" } th { "of" } th { "cells" } th { "failed" } th { "passed" } th {} } }
                tbody {
                    @for entry in telling {
                        tr {
                            td { (entry.entry) } td { (entry.about) } td { (entry.cells) } td { (entry.met) } td { (entry.passed) }
                            td {
                                @if entry.is_needless() { "passed everywhere: remove it" }
                                @if entry.cells == 0 { "matches no cell here" }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn kernels(results: &Results) -> Markup {
    html! {
        h2 { "Kernels" }
        table {
            thead { tr { th { "kernel" } th { "release" } th { "package" } th { "suite" } th { "sha256" } th { "run by" } th { "boots" } th { "time" } } }
            tbody {
                @for kernel in &results.kernels {
                    tr {
                        td { (kernel.label) } td { (kernel.release) " " (kernel.arch) } td { (kernel.package) }
                        td { (kernel.suite.as_deref().unwrap_or("")) }
                        td { code { (kernel.sha256.as_deref().map_or("", |sum| &sum[..sum.len().min(16)])) } }
                        td title=(kernel.no_kvm.as_deref().unwrap_or("")) { (kernel.accel) " " (kernel.qemu.as_deref().unwrap_or("")) } td { (kernel.boots) }
                        td { (format!("{:.1} s", kernel.wall_ms as f64 / 1000.0)) }
                    }
                }
                @for absent in &results.absent {
                    tr { td { (absent.kernel) } td { "unavailable " (absent.arch) } td colspan="6" { (absent.reason) } }
                }
            }
        }
    }
}

fn matrix(results: &Results) -> Markup {
    let mut rows: Vec<&str> = Vec::new();
    let mut fields: BTreeMap<(&str, Column<'_>), Vec<usize>> = BTreeMap::new();
    let columns = results.columns();
    let several = results.engines().len() > 1;
    for (index, cell) in results.cells.iter().enumerate() {
        if !rows.contains(&cell.cell.workload.as_str()) {
            rows.push(&cell.cell.workload);
        }
        fields.entry((&cell.cell.workload, Column::of(&cell.cell))).or_default().push(index);
    }
    let anchors = anchors(results);
    let mut last = "";
    html! {
        table {
            thead {
                tr {
                    th {}
                    @for column in &columns {
                        th { (column.kernel) @if results.is_mixed() { br; (column.arch) } @if several { br; (column.engine) } }
                    }
                }
            }
            tbody {
                @for row in rows {
                    @let group = crate::cell::group_of(row);
                    @if std::mem::replace(&mut last, group) != group {
                        tr { th.group colspan=(columns.len() + 1) { (group) } }
                    }
                    tr {
                        td { (row) }
                        @for &column in &columns {
                            td {
                                @for &index in fields.get(&(row, column)).into_iter().flatten() {
                                    @let cell = &results.cells[index];
                                    (square(anchors.get(&cell.cell).map_or("", String::as_str), cell))
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Table of the kernel module's checks: checks as rows, kernels as columns.
fn module(results: &Results) -> Markup {
    let tried: Vec<_> =
        results.kernels.iter().filter_map(|kernel| Some((kernel, kernel.module.as_ref()?))).collect();
    let mut names: Vec<&str> = Vec::new();
    for (_, module) in &tried {
        for check in &module.checks {
            if !names.contains(&check.name.as_str()) {
                names.push(&check.name);
            }
        }
    }
    html! {
        @if !tried.is_empty() {
            h2 { "Kernel module tests" }
            table {
                thead { tr { th {} @for (kernel, _) in &tried { th { (kernel.label) @if results.is_mixed() { br; (kernel.arch) } } } } }
                tbody {
                    @for name in names {
                        tr {
                            td { (name) }
                            @for (_, module) in &tried {
                                td {
                                    @for check in module.checks.iter().filter(|check| check.name == name) {
                                        @match &check.failure {
                                            None => { a class="c pass" { "ok" } }
                                            Some(why) => { a class="c fail" title=(why) { "not" } " " (why) }
                                        }
                                    }
                                }
                            }
                        }
                    }
                    tr { td { "remarks" } @for (_, module) in &tried { td { @for note in &module.notes { (note) br; } } } }
                }
            }
        }
    }
}

fn square(anchor: &str, cell: &CellResult) -> Markup {
    use crate::cell::{Mode, Userland};
    let mode = match cell.cell.mode {
        Mode::Once => "1",
        Mode::Twice => "2",
        Mode::Continue => "c",
        Mode::Job => "j",
        Mode::Script => "s",
        Mode::Killed => "k",
    };
    let build = if cell.cell.userland == Userland::Static { "+" } else { "" };
    let title = format!("{} {}: {} ms {}", cell.cell, cell.verdict, cell.duration_ms, cell.reason);
    let class = format!("c {}", cell.verdict);
    html! {
        @if cell.verdict == Verdict::Pass { a class=(class) title=(title) { (build) (mode) } }
        @else { a class=(class) title=(title) href={"#" (anchor)} { (build) (mode) } }
    }
}

/// Details of cells with one cause.
fn details(cells: &[&CellResult]) -> Markup {
    let [cell, others @ ..] = cells else { return html! {} };
    html! {
        section.d id=(anchor(cell)) {
            strong { a class={"c " (cell.verdict.name())} { (cell.verdict.name()) } " " (cell.cell) }
            @if !others.is_empty() { ", and " (others.len()) " more for the same reason" }
            @if let Some(stage) = cell.stage { " at " (stage) }
            @if cell.attempts > 1 { ", " (cell.attempts) " attempts" }
            @if !cell.reason.is_empty() { pre { (cell.reason) } }
            @for note in &cell.notes { p { (note) } }
            @if cell.verdict.is_red() { p { code { (cell.repro) } } }
            @if let Some(bundle) = &cell.bundle { p { a href=(bundle) { "bundle" } } }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::report::sample;

    #[test]
    fn page() {
        let page = super::render(&sample::run());
        // Reasons come from the programs under test and must be escaped.
        assert!(!page.contains("<loss>") && page.contains("&lt;loss&gt;"));
        // Self-contained: no external resources.
        for word in ["http:", "https:", "src=", "<link", "<script", "@import", "url("] {
            assert!(!page.contains(word), "{word}");
        }
        insta::assert_snapshot!(page.replace("><", ">\n<"));
    }

    #[test]
    fn what_the_module_was_put_to_is_there_when_it_was() {
        let page = super::render(&sample::with_module());
        assert!(
            page.contains("Kernel module tests") && page.contains("EIO, which is &lt;not&gt; documented"),
            "{page}"
        );
        assert!(!super::render(&sample::run()).contains("Kernel module tests"));
    }

    #[test]
    fn two_architectures_do_not_share_a_column() {
        let page = super::render(&sample::mixed());
        assert!(page.contains("<th>5.10<br>x86_64</th><th>5.10<br>aarch64</th>"), "{page}");
        let row = page.split("<td>fp/avx</td>").nth(1).and_then(|rest| rest.split("</tr>").next()).unwrap();
        assert_eq!(row.matches("c pass").count(), 1, "{row}");
        assert_eq!(row.matches("c fail").count(), 1, "{row}");
    }
}
