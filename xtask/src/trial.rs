//! A guest whose program prints a line for each check, `ok …` or `FAIL …`, and the results.

use anyhow::{Context, Result};
use cairn_qemu::guest::{Boot, Cause, End, Guest, Said};
use cairn_testsuite::driver::StopFlag;
use cairn_testsuite::report::ModuleReport;

/// How often the emulator may fail before its failures count as the module's.
const EMULATOR_FAILURES: u32 = 3;

/// Result of one guest.
pub struct Trial {
    report: ModuleReport,
    emulator_failed: bool,
}

/// Runs a trial, and reruns it if the emulator failed; `say` gets its output.
pub fn again_if_emulator_fails(
    say: &mut dyn FnMut(&str),
    mut attempt: impl FnMut(&mut dyn FnMut(&str)) -> Result<Trial>,
) -> Result<ModuleReport> {
    let mut outcome = attempt(say)?;
    for _ in 0..EMULATOR_FAILURES {
        if outcome.emulator_failed {
            say("the emulator failed, retrying");
            outcome = attempt(say)?;
        }
    }
    Ok(outcome.report)
}

/// Boots a guest and reads its output until it exits; kills it when `stop` is raised. Output is
/// shown as it arrives.
pub fn listen(boot: &Boot<'_>, stop: &StopFlag, say: &mut dyn FnMut(&str)) -> Result<Trial> {
    let guest = Guest::boot(boot).context("boot")?;
    let mut report = ModuleReport::default();
    let heard = guest.listen(&|| stop.raised(), &mut |said| match said {
        Said::Line(line) => {
            say(line);
            report.hear(line);
        }
        // One of the checks exceeds the memory limit of a control group on purpose.
        Said::Splat(splat) if splat.title.starts_with("Memory cgroup out of memory") => {}
        Said::Splat(splat) => {
            splat.text.lines().for_each(|line| say(&format!("| {line}")));
            report.complain("the kernel", &splat.title);
        }
    });
    let emulator_failed = heard.end.as_ref().is_some_and(|end| matches!(end.cause, Cause::Emulator(_)));
    if let Some(how) = heard.end.as_ref().and_then(early_end) {
        heard.last_words.iter().for_each(|line| say(&format!("| {line}")));
        report.complain("the guest", &how);
    }
    if report.checks.iter().all(|check| check.failure.is_some()) {
        report.complain("everything", "nothing was checked");
    }
    Ok(Trial { report, emulator_failed })
}

/// How the guest ended, if its program did not exit normally.
fn early_end(end: &End) -> Option<String> {
    let init = end.init.as_ref();
    match init.map(|init| (init.code, init.signal)) {
        Some((Some(0 | 1), _)) => None,
        Some((Some(code), _)) => Some(format!("its program exited early with code {code}")),
        Some((None, signal)) => Some(format!("its program was killed by signal {}", signal.unwrap_or(0))),
        None => Some(format!("it exited early: {:?}", end.cause)),
    }
}

/// The summary: a line for the kernel, and one per failure.
pub fn rows(name: &str, report: &ModuleReport) -> Vec<String> {
    let failures = report.failures().map(|(what, why)| format!("  FAIL {what}: {why}"));
    std::iter::once(format!("{name}: {}", report.count())).chain(failures).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_names_what_failed() {
        let mut report = ModuleReport::default();
        ["ok loads", "FAIL fuzz: EIO, which is not documented"].iter().for_each(|line| report.hear(line));
        assert_eq!(
            rows("6.1/x86_64", &report),
            ["6.1/x86_64: 1 ok, 1 not", "  FAIL fuzz: EIO, which is not documented"]
        );
    }

    #[test]
    fn the_emulator_gets_its_chances_and_no_more() {
        for (failures, wanted) in [(0, 1), (2, 3), (100, EMULATOR_FAILURES + 1)] {
            let mut made = 0;
            let attempt = |_: &mut dyn FnMut(&str)| {
                made += 1;
                Ok(Trial { report: ModuleReport::default(), emulator_failed: made <= failures })
            };
            again_if_emulator_fails(&mut |_| {}, attempt).unwrap();
            assert_eq!(made, wanted);
        }
    }
}
