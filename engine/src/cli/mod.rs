//! The command line: one file per command.

mod about;
mod args;
mod blcr;
mod check;
mod checkpoint;
mod completions;
mod info;
mod location;
mod partner;
mod pidns;
mod pty;
mod restart;
mod run;
mod terminal;
mod unlock;
mod worker;

use anyhow::Context;
use args::{Cli, Command};
use cairn::error::Error;
use cairn::sys::signals::{self, Children};
use clap::Parser;
use std::io::Write;
use std::process::ExitCode;

/// Parses and runs.
pub fn main() -> ExitCode {
    if let Some(code) = blcr::main() {
        return code;
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(err) => return usage(&err),
    };
    // An ignored SIGCHLD is inherited from the caller, and would prevent waiting for children.
    let children = match signals::set_children(Children::Waited) {
        Ok(before) => before,
        Err(err) => {
            return ExitCode::from(report(
                &anyhow::Error::new(err).context("restore the default disposition of SIGCHLD"),
            ));
        }
    };
    let result = match cli.command {
        Command::Checkpoint(args) => checkpoint::run(args),
        Command::Restart(args) => restart::run(args),
        Command::Unlock(args) => unlock::run(&args),
        Command::Run(args) => run::run(&args, children),
        Command::Info(args) => info::run(&args),
        Command::Check(args) => check::run(args),
        Command::About(args) => about::run(&args),
        Command::Completions { shell } => completions::run(shell),
        Command::Man => completions::man(),
        Command::LibcrCheckpoint(args) => blcr::request(&args),
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

/// Prints an error of the command line, with a hint for command lines of similar programs.
fn usage(err: &clap::Error) -> ExitCode {
    // If standard error is closed, there is nothing else to do.
    let _ = err.print();
    let hint = std::env::args().skip(1).find_map(|word| {
        Some(match word.as_str() {
            "dump" | "save" => "to save a job: cairn checkpoint PID",
            "restore" => "to restart a job: cairn restart FILE",
            "-t" => "the PID is an argument: cairn checkpoint PID (includes all descendants; --pid for the process alone)",
            "-D" => "a checkpoint is a single file: cairn checkpoint PID -o FILE",
            _ => return None,
        })
    });
    if let Some(hint) = hint.filter(|_| err.use_stderr()) {
        eprintln!("\n  hint: {hint}");
    }
    ExitCode::from(err.exit_code() as u8)
}

/// `1 task`, `2 tasks`, `2 processes`
pub fn count(number: usize, what: &str) -> String {
    let end = match number {
        1 => "",
        _ if what.ends_with('s') => "es",
        _ => "s",
    };
    format!("{number} {what}{end}")
}

/// Prints to standard output. A closed pipe is not a failure: the command itself has
/// succeeded.
pub fn out(text: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(err) if err.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(err).context("write to standard output")
        }
        _ => Ok(()),
    }
}

/// Prints an error and returns its exit code.
fn report(err: &anyhow::Error) -> u8 {
    eprintln!("cairn: {err:#}");
    match err.downcast_ref::<Error>() {
        Some(err) => err.exit_code(),
        None => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_told_from_several() {
        let told = [(1, "process"), (2, "process"), (1, "task"), (0, "task"), (2, "task")];
        let expected = ["1 process", "2 processes", "1 task", "0 tasks", "2 tasks"];
        assert_eq!(told.map(|(number, what)| count(number, what)), expected);
    }
}
