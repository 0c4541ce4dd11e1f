//! The command line: one file a command.

mod about;
mod args;
mod check;
mod checkpoint;
mod completions;
mod info;
mod restart;
mod run;
mod worker;

use args::{Cli, Command};
use cairn::error::Error;
use clap::Parser;
use std::process::ExitCode;

/// Parses and runs.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Checkpoint(args) => checkpoint::run(args),
        Command::Restart(args) => restart::run(args),
        Command::Run(args) => run::run(&args),
        Command::Info(args) => info::run(&args),
        Command::Check(args) => check::run(args),
        Command::About(args) => about::run(&args),
        Command::Completions { shell } => completions::run(shell),
        Command::Man => completions::man(),
        #[cfg(feature = "planted-faults")]
        Command::Faults { json } => return faults(json),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(err) => ExitCode::from(report(&err)),
    }
}

#[cfg(feature = "planted-faults")]
fn faults(json: bool) -> ExitCode {
    println!("{}", cairn::fault::list(json));
    ExitCode::SUCCESS
}

/// Prints an error and tells its exit code.
fn report(err: &anyhow::Error) -> u8 {
    eprintln!("cairn: {err:#}");
    match err.downcast_ref::<Error>() {
        Some(err) => err.exit_code(),
        None => 1,
    }
}
