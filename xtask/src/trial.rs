//! A guest whose program prints a line for each thing it checks, `ok …` or `FAIL …`, and what became of them.

use anyhow::{Context, Result};
use cairn_qemu::guest::{Boot, Cause, Event, Guest};

/// How often the emulator may fail before its failures count as the module's.
const EMULATOR_FAILURES: u32 = 3;

/// What became of the checks on one kernel.
#[derive(Default)]
pub struct Verdict {
    ok: usize,
    complaints: Vec<String>,
    emulator_failed: bool,
}

/// Makes a trial, and makes it again where the emulator failed. `name` is what the kernel is called.
pub fn again_if_emulator_fails(name: &str, attempt: impl Fn() -> Result<Verdict>) -> Result<Verdict> {
    let attempt = || attempt().with_context(|| name.to_owned());
    let mut verdict = attempt()?;
    for _ in 0..EMULATOR_FAILURES {
        if verdict.emulator_failed {
            eprintln!("{name}: the emulator failed, once more");
            verdict = attempt()?;
        }
    }
    Ok(verdict)
}

impl Verdict {
    /// Boots a guest and listens until it is gone. What it prints is shown as it comes.
    pub fn of(boot: &Boot<'_>) -> Result<Verdict> {
        eprintln!("{}/{}: {}", boot.kernel.label(), boot.kernel.arch, boot.kernel.release);
        let mut guest = Guest::boot(boot).context("boot")?;
        let mut verdict = Verdict::default();
        while let Some(event) = guest.next() {
            match event {
                Event::Line(line) => {
                    eprintln!("  {line}");
                    verdict.hear(&line);
                }
                Event::Splat(splat) => {
                    splat.text.lines().for_each(|line| eprintln!("  | {line}"));
                    verdict.complaints.push(format!("the kernel: {}", splat.title));
                }
                Event::Booted(_) | Event::Console(_) => {}
                Event::Ended(end) => {
                    verdict.emulator_failed = matches!(end.cause, Cause::Emulator(_));
                    if !matches!(end.init.as_ref().and_then(|init| init.code), Some(0 | 1)) {
                        verdict.complaints.push(format!("the guest ended early: {:?}", end.cause));
                    }
                }
            }
        }
        if verdict.ok == 0 {
            verdict.complaints.push("nothing was checked".to_owned());
        }
        Ok(verdict)
    }

    /// Takes in a line of the program.
    fn hear(&mut self, line: &str) {
        if line.starts_with("ok ") {
            self.ok += 1;
        } else if line.starts_with("FAIL") {
            self.complaints.push(line.to_owned());
        }
    }

    /// Whether nothing was wrong.
    pub fn is_good(&self) -> bool {
        self.complaints.is_empty()
    }

    /// The summary: a line for the kernel, and one for each complaint.
    pub fn rows(&self, name: &str) -> Vec<String> {
        let mut rows = vec![format!("{name}: {} ok, {} not", self.ok, self.complaints.len())];
        rows.extend(self.complaints.iter().map(|complaint| format!("  {complaint}")));
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_by_how_they_begin() {
        let mut verdict = Verdict::default();
        for line in
            ["ok loads", "# seed 1: 400 requests", "FAIL fuzz: EIO, which is not documented", "oklahoma"]
        {
            verdict.hear(line);
        }
        assert!(!verdict.is_good());
        let rows = verdict.rows("6.1/x86_64");
        assert_eq!(rows, ["6.1/x86_64: 1 ok, 1 not", "  FAIL fuzz: EIO, which is not documented"]);
    }
}
