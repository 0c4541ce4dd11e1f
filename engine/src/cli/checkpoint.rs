//! `cairn checkpoint`

use super::args::CheckpointArgs;
use super::{count, location, out, worker};
use anyhow::Context;
use cairn::checkpoint::{Options, Then, checkpoint};
use cairn::image::Location;
use cairn::tree::Scope;
use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

pub fn run(args: CheckpointArgs) -> anyhow::Result<u8> {
    let patience = Duration::from_secs(args.target.time);
    let default = PathBuf::from(format!("context.{}", args.target.id));
    let to = location::output(args.output.as_deref().unwrap_or(&default), patience)?;
    let partial = to.clone();
    worker::run(
        patience,
        || {
            cairn::checkpoint::clean_up(&(&args.target).into());
            if let Location::File(file) = &partial {
                // If this fails, the next checkpoint to that path removes the file.
                let _ = cairn::image::remove_partial(file);
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
            report.notices.iter().for_each(|notice| eprintln!("cairn: note: {notice}"));
            match options.to {
                Location::File(_) => out(&told).with_context(done)?,
                Location::Stream(_) => eprint!("{told}"),
            }
            Ok(0)
        },
    )
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
