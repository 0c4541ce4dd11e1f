//! Kernel error reports in a console log: panics, oopses, warnings, lockups. Pure.
//!
//! A *splat* is one such report: a first line with the message, and the dump that follows
//! (registers, call trace, `---[ end trace` …). [`Scanner`] takes lines as they arrive and returns
//! a splat once its last line is known; [`scan`] does the same for a whole log.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The kind of a splat, the most severe first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A kernel panic.
    Panic,
    /// A fault or an assertion in the kernel; the current task was killed.
    Oops,
    /// `BUG:`: broken invariants that the kernel survives (bad page state, sleeping while atomic
    /// …).
    Bug,
    /// A CPU that does not schedule or does not handle interrupts.
    Lockup,
    /// A task blocked for longer than the hung task timeout.
    HungTask,
    /// A CPU or task that stalls RCU.
    RcuStall,
    /// A sanitizer's report (KASAN, KCSAN, KFENCE, UBSAN, KMSAN, kmemleak).
    Sanitizer,
    /// A lockdep report.
    Lockdep,
    /// `WARN_ON` and its variants.
    Warn,
    /// The OOM killer killed a task.
    OutOfMemory,
}

impl Kind {
    /// Whether the guest's output after this cannot be trusted.
    pub fn is_fatal(self) -> bool {
        matches!(self, Kind::Panic)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Panic => "panic",
            Kind::Oops => "oops",
            Kind::Bug => "bug",
            Kind::Lockup => "lockup",
            Kind::HungTask => "hung-task",
            Kind::RcuStall => "rcu-stall",
            Kind::Sanitizer => "sanitizer",
            Kind::Lockdep => "lockdep",
            Kind::Warn => "warn",
            Kind::OutOfMemory => "out-of-memory",
        })
    }
}

/// One report of a kernel error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Splat {
    /// Its kind.
    pub kind: Kind,
    /// The line with the message, without time stamps.
    pub title: String,
    /// The number of that line in the log, counted from 1.
    pub line: usize,
    /// All lines of the report, without time stamps.
    pub text: String,
}

impl Splat {
    /// Whether an x86 processor trapped on a breakpoint instruction that is not in its memory: it
    /// executed stale code.
    ///
    /// Hardware does not do that. QEMU before 8.1 does when its translator reads code that another
    /// virtual processor is changing (accel/tcg/translate-all.c: pages were locked only after
    /// translation), and kernels patch their code all the time. The byte before the one in angle
    /// brackets is where the breakpoint was.
    pub fn is_of_stale_code(&self) -> bool {
        const INT3: &str = "cc";
        let code = self.text.lines().find_map(|line| line.strip_prefix("Code: "));
        let before =
            code.and_then(|code| code.split_once('<')).and_then(|(head, _)| head.split_whitespace().last());
        self.kind == Kind::Oops && self.title.contains("int3: ") && before.is_some_and(|byte| byte != INT3)
    }
}

/// Substrings of first lines. The first match wins, so special ones precede general ones.
const OPENERS: &[(&str, Kind)] = &[
    ("Kernel panic - not syncing", Kind::Panic),
    ("BUG: soft lockup", Kind::Lockup),
    ("watchdog: BUG: ", Kind::Lockup),
    ("Watchdog detected hard LOCKUP", Kind::Lockup),
    // powerpc has its own CPU watchdog (arch/powerpc/kernel/watchdog.c).
    ("self-detected hard LOCKUP", Kind::Lockup),
    ("detected hard LOCKUP on other CPUs", Kind::Lockup),
    ("BUG: workqueue lockup", Kind::Lockup),
    ("BUG: KASAN", Kind::Sanitizer),
    ("BUG: KCSAN", Kind::Sanitizer),
    ("BUG: KMSAN", Kind::Sanitizer),
    ("BUG: KFENCE", Kind::Sanitizer),
    ("UBSAN: ", Kind::Sanitizer),
    // A kmemleak report, as printed by PID 1; the kernel itself logs only the number of leaks.
    ("unreferenced object 0x", Kind::Sanitizer),
    ("kmemleak: Kernel memory leak detector disabled", Kind::Sanitizer),
    ("BUG: unable to handle", Kind::Oops),
    ("BUG: kernel NULL pointer dereference", Kind::Oops),
    // powerpc (arch/powerpc/mm/fault.c, bad_page_fault); its others say `Unable to handle kernel`,
    // as arm64 does.
    ("BUG: Kernel NULL pointer dereference", Kind::Oops),
    ("kernel BUG at ", Kind::Oops),
    ("Unable to handle kernel ", Kind::Oops),
    ("general protection fault", Kind::Oops),
    ("Internal error: ", Kind::Oops),
    ("Oops: ", Kind::Oops),
    // Without the word before it until 6.9 (arch/x86/kernel/dumpstack.c).
    ("int3: 0000 [#", Kind::Oops),
    ("rcu: INFO: rcu_", Kind::RcuStall),
    ("INFO: rcu_", Kind::RcuStall),
    ("blocked for more than", Kind::HungTask),
    ("WARNING: possible circular locking", Kind::Lockdep),
    ("WARNING: possible recursive locking", Kind::Lockdep),
    ("WARNING: inconsistent lock state", Kind::Lockdep),
    ("WARNING: suspicious RCU usage", Kind::Lockdep),
    ("INFO: possible circular locking", Kind::Lockdep),
    ("INFO: inconsistent lock state", Kind::Lockdep),
    ("INFO: trying to register non-static key", Kind::Lockdep),
    ("[ BUG: ", Kind::Lockdep),
    ("WARNING: ", Kind::Warn),
    ("BUG: ", Kind::Bug),
    // `BUG kmalloc-64 (Not tainted): Poison overwritten` (mm/slub.c).
    ("BUG ", Kind::Bug),
    ("Out of memory: Killed", Kind::OutOfMemory),
    ("Memory cgroup out of memory: Killed", Kind::OutOfMemory),
];

/// Lines that match an opener but are not splats.
const INNOCENT: &[&str] = &[
    // Messages about CPU vulnerabilities at boot, which are not errors.
    "WARNING: Spectre",
    "WARNING: Unprivileged eBPF",
    // powerpc: the guest's firmware leaves the NVRAM empty.
    "WARNING: nvram corruption detected: 0-length partition",
];

/// Whether a dump follows the first line; other reports consist of that line only.
fn has_body(kind: Kind) -> bool {
    !matches!(kind, Kind::OutOfMemory)
}

/// A longer report is assumed to have lost its end.
const MAX_LINES: usize = 200;

/// Scans console lines one by one.
#[derive(Debug, Default)]
pub struct Scanner {
    seen: usize,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    splat: Splat,
    lines: usize,
    /// `---[ end trace` has been seen: further lines do not belong to this report.
    ended: bool,
}

impl Scanner {
    /// A scanner at the start of a log.
    pub fn new() -> Scanner {
        Scanner::default()
    }

    /// Processes the next line; returns the report that it ends, if any.
    pub fn push(&mut self, line: &str) -> Option<Splat> {
        self.seen += 1;
        let text = strip_stamp(line.trim_end_matches(['\r', '\n']));
        let opener = opener(text);
        if let Some(open) = &mut self.open {
            // An `Oops:` line after a `BUG:` line is part of that dump; any other first line starts
            // a new report.
            let inner = opener == Some(Kind::Oops)
                && matches!(open.splat.kind, Kind::Oops | Kind::Bug | Kind::Sanitizer)
                && open.lines < 12;
            let own =
                !open.ended && open.lines < MAX_LINES && (opener.is_none() || inner) && belongs(open, text);
            if own {
                open.lines += 1;
                open.splat.text.push('\n');
                open.splat.text.push_str(text);
                let sanitizer_end = open.splat.kind == Kind::Sanitizer && text.starts_with("=====");
                open.ended = text.contains("---[ end ") || sanitizer_end;
                return None;
            }
        }
        let done = self.open.take().map(|open| open.splat);
        if let Some(kind) = opener {
            let splat = Splat { kind, title: text.to_owned(), line: self.seen, text: text.to_owned() };
            self.open = Some(Open { splat, lines: 1, ended: !has_body(kind) });
        }
        done
    }

    /// The report that is incomplete at the end of the log.
    pub fn finish(&mut self) -> Option<Splat> {
        self.open.take().map(|open| open.splat)
    }

    /// The kind of the report that is being read.
    pub fn inside(&self) -> Option<Kind> {
        self.open.as_ref().map(|open| open.splat.kind)
    }
}

/// Every report in a whole log, in order.
pub fn scan(log: &str) -> Vec<Splat> {
    let mut scanner = Scanner::new();
    let mut splats: Vec<Splat> = log.lines().filter_map(|line| scanner.push(line)).collect();
    splats.extend(scanner.finish());
    splats
}

fn opener(text: &str) -> Option<Kind> {
    if text.starts_with("---[") || INNOCENT.iter().any(|innocent| text.contains(innocent)) {
        return None;
    }
    OPENERS.iter().find_map(|&(needle, kind)| {
        let at = text.find(needle)?;
        // "WARNING: " and similar prefixes open a report only at the start of a message; user-space
        // programs print them mid-line.
        let general = matches!(kind, Kind::Warn | Kind::Bug | Kind::Lockdep) || needle == "Oops: ";
        (!general || at == 0).then_some(kind)
    })
}

/// Whether a line continues the open report.
fn belongs(open: &Open, text: &str) -> bool {
    const MARKS: &[&str] = &[
        "CPU: ",
        "Modules linked in",
        "Hardware name",
        "RIP: ",
        "RSP: ",
        "RAX: ",
        "RDX: ",
        "RBP: ",
        "R10: ",
        "R13: ",
        "FS: ",
        "CS: ",
        "CR2: ",
        "DR0: ",
        "DR3: ",
        "PKRU: ",
        "Code: ",
        "Call Trace",
        "Call trace",
        "Workqueue: ",
        "Oops: ",
        "#PF: ",
        "PGD ",
        "Comm: ",
        "Tainted: ",
        "task:",
        "Kernel Offset",
        "Sending NMI",
        "NMI backtrace",
        "Mem abort info",
        "Data abort info",
        "pc : ",
        "lr : ",
        "sp : ",
        "x29: ",
        "pstate: ",
        "Rebooting in",
        "Modules linked",
        "page:",
        "flags: ",
        "raw: ",
        "page dumped",
        "note: ",
        "invalid opcode",
        "rcu: ",
        "\"echo 0",
        "Not tainted",
        "ORIG_RAX",
        "irq event stamp",
        "hardirqs last",
        "softirqs last",
        "Kernel panic",
        "Fixing recursive",
        // arm64
        "user pgtable: ",
        "swapper pgtable: ",
        "SMP: stopping",
        "PHYS_OFFSET: ",
        "CPU features: ",
        "Memory Limit: ",
        // powerpc
        "Faulting instruction address: ",
        "LE PAGE_SIZE=",
        "NIP",
        "LR [",
        "REGS: ",
        "MSR: ",
        "CFAR: ",
        "GPR",
        "Instruction dump",
        "watchdog: CPU ",
    ];
    text.is_empty()
        || text.starts_with([' ', '\t', '<', '?', '('])
        || text.starts_with("---[")
        || text.starts_with("---")
        || text.starts_with("===")
        || MARKS.iter().any(|mark| text.starts_with(mark))
        || is_register(text)
        || is_address(text)
        || (open.splat.kind == Kind::Sanitizer && !text.is_empty())
}

/// Whether a line shows arm64's general registers: `x26: 0…`, `x9 : 0…`.
fn is_register(text: &str) -> bool {
    let Some(rest) = text.strip_prefix('x') else { return false };
    let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    rest.trim_start().starts_with(": ")
}

/// Whether a line begins with an address in brackets: powerpc's call traces, arm64's page table
/// walks.
fn is_address(text: &str) -> bool {
    let address = text.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    address.is_some_and(|(digits, _)| digits.len() == 16 && digits.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// A console line without its time stamp and caller, `[   12.345678][  T71] `.
fn strip_stamp(line: &str) -> &str {
    let mut rest = line;
    // A log level in angle brackets comes from /dev/kmsg or the serial console's raw format.
    if let Some(tail) = rest.strip_prefix('<')
        && let Some((level, tail)) = tail.split_once('>')
        && !level.is_empty()
        && level.bytes().all(|b| b.is_ascii_digit())
    {
        rest = tail;
    }
    while let Some(tail) = rest.strip_prefix('[')
        && let Some((inner, tail)) = tail.split_once(']')
        && !inner.is_empty()
        && inner.bytes().all(|b| b.is_ascii_digit() || b" .TC".contains(&b))
        // An address may consist of digits alone; it has no point and no letter.
        && inner.contains(['.', 'T', 'C'])
    {
        rest = tail.strip_prefix(' ').unwrap_or(tail);
    }
    rest
}

/// The letters the kernel prints for a taint mask, in bit order
/// (`Documentation/admin-guide/tainted-kernels.rst`, 6.12).
pub fn taint_letters(mask: u64) -> String {
    const LETTERS: &[u8] = b"PFSRMBUDAWCIOELKXTNJ";
    (0..64u32)
        .filter(|bit| mask >> bit & 1 == 1)
        .map(|bit| LETTERS.get(bit as usize).map_or('?', |&letter| char::from(letter)))
        .collect()
}

#[cfg(test)]
mod tests;
