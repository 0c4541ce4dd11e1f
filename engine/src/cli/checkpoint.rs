//! `cairn checkpoint`

use super::args::CheckpointArgs;
use super::{count, out, worker};
use anyhow::{Context, bail};
use cairn::checkpoint::{Options, Then, checkpoint};
use cairn::image::{Input, Sink, Stream};
use cairn::tree::Scope;
use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

pub fn run(args: CheckpointArgs) -> anyhow::Result<u8> {
    let to = match args.output.as_deref() {
        Some(path) if path == Path::new(STREAM) => standard_output(Duration::from_secs(args.target.time))?,
        Some(path) => absolute(path)?,
        None => absolute(Path::new(&format!("context.{}", args.target.id)))?,
    };
    let patience = Duration::from_secs(args.target.time);
    let partial = to.clone();
    worker::run(
        patience,
        || {
            if let Sink::File(file) = partial {
                // If this fails, the next checkpoint to that path removes the file.
                let _ = cairn::image::remove_partial(&file);
            }
        },
        |cancelled| {
            let bar = Progress::new("copied");
            let progress = |done, all| bar.at(done, all);
            let options = Options {
                target: (&args.target).into(),
                to,
                then: match (args.kill, args.stop) {
                    (true, _) => Then::Kill,
                    (_, true) => Then::Stop,
                    _ => Then::Run,
                },
                sync: args.sync.into(),
                progress: &progress,
                cancelled,
            };
            let report = checkpoint(&options)?;
            bar.done();
            let done = || {
                format!("the checkpoint is complete, in {}; only its report failed", report.file.display())
            };
            let told = if args.json {
                format!("{}\n", serde_json::to_string(&report)?)
            } else {
                let what = match options.target.scope {
                    Scope::Tree(pid) | Scope::Process(pid) => format!("process {pid}"),
                    Scope::Group(id) => format!("process group {id}"),
                    Scope::Session(id) => format!("session {id}"),
                };
                format!(
                    "{what}: {} in {}, {}; paused {:.1} ms, {:.1} ms in total, by {}\n",
                    count(report.tasks, "task"),
                    report.file.display(),
                    HumanBytes(report.bytes),
                    report.pause_ns as f64 / 1e6,
                    report.total_ns as f64 / 1e6,
                    report.source,
                )
            };
            match options.to {
                Sink::File(_) => out(&told).with_context(done)?,
                Sink::Stream(_) => eprint!("{told}"),
            }
            Ok(0)
        },
    )
}

/// The name that stands for standard input or output.
pub const STREAM: &str = "-";

fn absolute(path: &Path) -> anyhow::Result<Sink> {
    Ok(std::path::absolute(path).with_context(|| format!("resolve {}", path.display()))?.into())
}

fn standard_output(patience: Duration) -> anyhow::Result<Sink> {
    let stdout = std::io::stdout();
    if stdout.is_terminal() {
        bail!(
            "refusing to write a context file to a terminal; redirect standard output, or name a file with -o"
        );
    }
    let fd = stdout.as_fd().try_clone_to_owned().context("duplicate standard output")?;
    Ok(Sink::Stream(Arc::new(Stream::new(fd, "standard output").with_patience(patience))))
}

/// The context file that an argument names.
pub fn input(file: &Path) -> anyhow::Result<Input> {
    if file != Path::new(STREAM) {
        return Ok(file.into());
    }
    let fd = std::io::stdin().as_fd().try_clone_to_owned().context("duplicate standard input")?;
    Ok(Input::Stream(Arc::new(Stream::new(fd, "standard input"))))
}

/// A progress bar on a terminal, shown after one second.
pub struct Progress {
    bar: ProgressBar,
    begin: Instant,
    shown: AtomicBool,
}

impl Progress {
    /// A hidden bar of bytes that are being `verb`.
    pub fn new(verb: &str) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        let style =
            format!("{{bar:30}} {{bytes}} of {{total_bytes}} {verb}, {{bytes_per_sec}}, {{eta}} left");
        bar.set_style(ProgressStyle::with_template(&style).expect("a valid template"));
        Progress { bar, begin: Instant::now(), shown: AtomicBool::new(false) }
    }

    /// Updates the position.
    pub fn at(&self, done: u64, all: u64) {
        const PATIENCE: Duration = Duration::from_secs(1);
        if self.begin.elapsed() > PATIENCE && !self.shown.swap(true, Ordering::Relaxed) {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        self.bar.set_length(all);
        self.bar.set_position(done);
    }

    /// Removes the bar.
    pub fn done(&self) {
        self.bar.finish_and_clear();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.done();
    }
}
