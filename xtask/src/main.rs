//! `cargo xtask`: the driver. One file per command, in `cmd/`; shared modules are beside it.

mod circles;
mod cmd;
mod corpora;
mod cross;
mod kernels;
mod module;
mod out;
mod places;
mod programs;
mod progress;
mod run;
mod run_args;
mod source;
mod trial;
mod usage;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use cairn_testsuite::report::terminal::printable;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, about = "Test, check and measure cairn")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the corpus on kernels and judge every cell
    Test(cmd::test::Args),
    /// Run the project's own checks: format, lints, tests, house rules
    Check(cmd::check::Args),
    /// List the kernels that are available today, and what is cached
    Kernels(cmd::kernels::Args),
    /// Build the debugging kernel, which `--kernel debug` boots
    Kernel(cmd::kernel::Args),
    /// Build the kernel module for kernels of the matrix
    Kmod(cmd::kmod::Args),
    /// Test the kernel module in guests
    KmodTest(cmd::kmod_test::Args),
    /// Test the installation of the module by DKMS in guests
    Dkms(cmd::dkms::Args),
    /// Compare the module's user ABI with its Rust mirror
    HeaderCheck(cmd::header_check::Args),
    /// Check that docs/what-is-saved.md is complete
    SavedCheck(cmd::saved_check::Args),
    /// List the workloads of the corpus
    Workloads(cmd::workloads::Args),
    /// Run one cell again
    Repro(cmd::repro::Args),
    /// Open a shell in a guest, with engine and corpus on the PATH
    Shell(cmd::shell::Args),
    /// Render a past run again, or compare two
    Report(cmd::report::Args),
    /// Run the corpus against planted faults: each must be caught
    Sensitivity(cmd::sensitivity::Args),
    /// Measure pause, time and size of checkpoint and restart
    Bench(cmd::bench::Args),
}

fn main() -> ExitCode {
    match carry_out(&Cli::parse().command) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("error: {}", printable(&usage::told(&error)));
            ExitCode::from(usage::exit_code(&error))
        }
    }
}

/// Returns the exit code: 0 or 1 as the result of a command, others as defined by [`usage`] and
/// [`Conclusion`](cairn_testsuite::report::Conclusion).
fn carry_out(command: &Command) -> Result<u8> {
    let good = match command {
        Command::Test(args) => return Ok(cmd::test::run(args)?.exit_code()),
        Command::Repro(args) => return Ok(cmd::repro::run(args)?.exit_code()),
        Command::Report(args) => return Ok(cmd::report::run(args)?.exit_code()),
        Command::Check(args) => cmd::check::run(args),
        Command::Kernels(args) => cmd::kernels::run(args),
        Command::Kernel(args) => cmd::kernel::run(args),
        Command::Kmod(args) => cmd::kmod::run(args),
        Command::KmodTest(args) => cmd::kmod_test::run(args),
        Command::Dkms(args) => cmd::dkms::run(args),
        Command::HeaderCheck(args) => cmd::header_check::run(args),
        Command::SavedCheck(args) => cmd::saved_check::run(args),
        Command::Shell(args) => cmd::shell::run(args),
        Command::Workloads(args) => cmd::workloads::run(args),
        Command::Sensitivity(args) => cmd::sensitivity::run(args),
        Command::Bench(args) => cmd::bench::run(args),
    }?;
    Ok(if good { 0 } else { 1 })
}
