//! `cairn checkpoint`

use super::args::CheckpointArgs;
use super::{count, out, worker};
use anyhow::Context;
use cairn::checkpoint::{Options, Then, checkpoint};
use cairn::tree::Scope;
use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

pub fn run(args: CheckpointArgs) -> anyhow::Result<u8> {
    let file = args.output.clone().unwrap_or_else(|| PathBuf::from(format!("context.{}", args.target.id)));
    let file = std::path::absolute(&file).with_context(|| format!("find {}", file.display()))?;
    let patience = Duration::from_secs(args.target.time);
    let partial = file.clone();
    worker::run(
        patience,
        // What cannot be removed now goes with the next checkpoint of that name.
        || drop(cairn::image::remove_partial(&partial)),
        |cancelled| {
            let bar = Progress::new("copied");
            let progress = |done, all| bar.at(done, all);
            let options = Options {
                target: (&args.target).into(),
                file,
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
            let done =
                || format!("the checkpoint is made, in {}; only its report is not", report.file.display());
            if args.json {
                out(&format!("{}\n", serde_json::to_string(&report)?)).with_context(done)?;
            } else {
                let what = match options.target.scope {
                    Scope::Tree(pid) | Scope::Process(pid) => format!("process {pid}"),
                    Scope::Group(id) => format!("process group {id}"),
                    Scope::Session(id) => format!("session {id}"),
                };
                let told = format!(
                    "{what}: {} in {}, {}; paused {:.1} ms, {:.1} ms in all, by {}\n",
                    count(report.tasks, "task"),
                    report.file.display(),
                    HumanBytes(report.bytes),
                    report.pause_ns as f64 / 1e6,
                    report.total_ns as f64 / 1e6,
                    report.source,
                );
                out(&told).with_context(done)?;
            }
            Ok(0)
        },
    )
}

/// A progress bar on a terminal, for what takes more than a second.
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
        bar.set_style(ProgressStyle::with_template(&style).expect("a template of ours"));
        Progress { bar, begin: Instant::now(), shown: AtomicBool::new(false) }
    }

    /// Tells how far things are.
    pub fn at(&self, done: u64, all: u64) {
        const PATIENCE: Duration = Duration::from_secs(1);
        if self.begin.elapsed() > PATIENCE && !self.shown.swap(true, Ordering::Relaxed) {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        self.bar.set_length(all);
        self.bar.set_position(done);
    }

    /// Takes the bar away.
    pub fn done(&self) {
        self.bar.finish_and_clear();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.done();
    }
}
