//! `cairn-runner`: executes cells on the machine it is started on. It is started by the driver and
//! by itself, not by users.

use std::path::PathBuf;

use cairn_testsuite::runner;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cairn-runner", version, about = "Execute cells of the test suite on this machine")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a job to its end
    Run {
        /// The job, as JSON
        #[arg(long)]
        job: PathBuf,
        /// File, pipe or port that events are written to; - is standard output
        #[arg(long, default_value = "-")]
        events: PathBuf,
        /// Directory with nothing but the cells in it; names in it and the table of mounts are
        /// compared at the end
        #[arg(long, value_name = "DIR")]
        unchanged: Vec<PathBuf>,
        /// Stop and clean up when standard input ends
        #[arg(long)]
        watch_stdin: bool,
    },
    /// Supervise one cell; its order comes on standard input
    Supervise,
}

fn main() -> anyhow::Result<()> {
    runner::close_inherited()?;
    match Cli::parse().command {
        Command::Run { job, events, unchanged, watch_stdin } => {
            Ok(runner::run(&runner::Options { job, events, unchanged, watch_stdin })?)
        }
        Command::Supervise => runner::supervise(),
    }
}
