//! The corpus: one program, many workloads, one file per kernel behaviour.
//!
//! A workload builds some kernel state, says `ready`, waits for `go` and then verifies from the
//! inside that all of it is unchanged. It knows nothing of the engine that may have saved and
//! restored it in between, and also passes if nothing happened at all.

mod apps;
mod bench;
mod creds;
mod events;
mod files;
mod fp;
mod framework;
mod ipc;
mod memory;
mod pipes;
mod process;
mod rings;
mod seccomp;
mod signals;
mod tcp;
mod terminals;
mod threads;
mod timers;
mod tree;
mod udp;
mod unix;

use clap::{Parser, Subcommand};
use framework::{Entry, runner};
use std::process::ExitCode;

/// Every group of the corpus, in the order in which `list` prints them.
const GROUPS: &[&[Entry]] = &[
    process::WORKLOADS,
    threads::WORKLOADS,
    memory::WORKLOADS,
    fp::WORKLOADS,
    signals::WORKLOADS,
    timers::WORKLOADS,
    files::WORKLOADS,
    pipes::WORKLOADS,
    events::WORKLOADS,
    tree::WORKLOADS,
    creds::WORKLOADS,
    seccomp::WORKLOADS,
    ipc::WORKLOADS,
    terminals::WORKLOADS,
    rings::WORKLOADS,
    unix::WORKLOADS,
    tcp::WORKLOADS,
    udp::WORKLOADS,
    apps::WORKLOADS,
];

#[derive(Parser)]
#[command(name = "cairn-workloads", version, about = "Programs that prove that their state survived")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print every workload with its purpose and what it needs
    List {
        /// Print a JSON array instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Run one workload in the current directory, which holds the FIFOs `ready` and `go`
    Run {
        /// The workload, as `list` names it: group/name
        name: String,
        /// Where the pseudo-random contents start from
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Be a helper program that a workload executes; not for the command line
    #[command(hide = true)]
    Helper {
        /// Which helper
        name: String,
        /// Its arguments
        args: Vec<String>,
    },
    /// Build state of a given size, print `ready PID`, and wait for ever: the target of the
    /// benchmarks
    BenchTarget(bench::Size),
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::List { json } => runner::list(GROUPS, json),
        Command::Run { name, seed } => runner::run(GROUPS, &name, seed),
        Command::Helper { name, args } => framework::helper::run(&name, &args),
        Command::BenchTarget(size) => bench::run(&size),
    }
}
