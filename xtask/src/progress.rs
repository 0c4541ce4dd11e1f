//! Live progress: one bar for each kernel on a terminal, plain lines anywhere else.

use std::time::{Duration, Instant};

use cairn_testsuite::cell::Cell;
use cairn_testsuite::driver::Observer;
use cairn_testsuite::event::CellOutcome;
use cairn_testsuite::report::terminal::printable;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// How often a plain line reports progress.
const EVERY: Duration = Duration::from_secs(10);

/// The screen that all bars share.
#[derive(Clone)]
pub struct Screen {
    bars: MultiProgress,
    terminal: bool,
    quiet: bool,
}

impl Screen {
    /// Standard error, as a terminal or not.
    pub fn new() -> Screen {
        Screen { bars: MultiProgress::new(), terminal: console_is_terminal(), quiet: false }
    }

    /// Bars only: neither plain lines nor messages about red cells.
    pub fn quiet() -> Screen {
        Screen { quiet: true, ..Screen::new() }
    }

    /// A line above the bars.
    pub fn line(&self, text: &str) {
        if self.quiet {
            return;
        }
        // Contains output of programs under test.
        let text = &*printable(text);
        if self.terminal {
            // Printing above the bars fails only when the terminal is gone.
            let _ = self.bars.println(text);
        } else {
            eprintln!("{text}");
        }
    }

    /// A bar for one kernel.
    pub fn kernel(&self, label: &str, cells: usize) -> KernelProgress {
        let bar = if self.terminal {
            let style =
                ProgressStyle::with_template("{prefix:>18} {bar:30} {pos}/{len} {elapsed} {wide_msg}")
                    .unwrap_or_else(|_| ProgressStyle::default_bar());
            let bar =
                self.bars.add(ProgressBar::new(cells as u64).with_style(style).with_prefix(label.to_owned()));
            bar.enable_steady_tick(Duration::from_millis(250));
            bar
        } else {
            ProgressBar::hidden()
        };
        KernelProgress {
            screen: self.clone(),
            bar,
            label: label.to_owned(),
            cells,
            done: 0,
            red: 0,
            spoke: Instant::now(),
        }
    }
}

/// Whether to show bars.
fn console_is_terminal() -> bool {
    use std::io::IsTerminal;
    std::io::stderr().is_terminal()
}

/// The progress of one kernel.
pub struct KernelProgress {
    screen: Screen,
    bar: ProgressBar,
    label: String,
    cells: usize,
    done: usize,
    red: usize,
    spoke: Instant,
}

impl KernelProgress {
    /// A line of the kernel module's tests: printed if it reports a failure, otherwise only shown
    /// as progress.
    pub fn trial(&mut self, line: &str) {
        match line.strip_prefix("ok ") {
            Some(check) => self.bar.set_message(format!("{} {check}", self.count())),
            None if line.starts_with('#') => {}
            None => self.screen.line(&format!("{}: {line}", self.label)),
        }
    }

    fn count(&self) -> String {
        match self.red {
            0 => String::new(),
            red => format!("{red} red"),
        }
    }
}

impl Observer for KernelProgress {
    fn started(&mut self, cell: &Cell) {
        self.bar.set_message(format!("{} {} {}", self.count(), cell.workload, cell.mode));
    }

    fn ended(&mut self, cell: &Cell, outcome: &CellOutcome) {
        self.done += 1;
        self.bar.inc(1);
        if outcome.verdict.is_red() {
            self.red += 1;
            let stage = outcome.stage.map(|stage| format!(" at {stage}")).unwrap_or_default();
            self.screen.line(&format!("{}{stage}  {cell}: {}", outcome.verdict, outcome.reason));
        }
        if !self.screen.terminal
            && !self.screen.quiet
            && (self.spoke.elapsed() >= EVERY || self.done == self.cells)
        {
            self.spoke = Instant::now();
            eprintln!("{}: {}/{} cells, {} red", self.label, self.done, self.cells, self.red);
        }
    }

    fn note(&mut self, text: &str) {
        self.screen.line(text);
    }
}

impl Drop for KernelProgress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
