//! `cr_run`: starts a program with libcr, or so that it is left out of checkpoints.

use super::{RELEASE, parse};
use clap::Parser;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Start a program so that it can be checkpointed
#[derive(Debug, Parser)]
#[command(name = "cr_run", version = RELEASE)]
struct Args {
    /// Leave its processes out of checkpoints
    #[arg(long, overrides_with = "run")]
    omit: bool,
    /// Negates --omit (default)
    #[arg(long)]
    run: bool,
    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

pub fn main() -> u8 {
    let args: Args = match parse() {
        Ok(args) => args,
        Err(code) => return code,
    };
    let library = if args.omit { "libcr_omit.so.0" } else { "libcr_run.so.0" };
    let before = std::env::var("LD_PRELOAD").unwrap_or_default();
    let others = before.split([':', ' ']).filter(|name| {
        let file = name.rsplit('/').next().unwrap_or_default();
        !name.is_empty() && !file.starts_with("libcr_run.so") && !file.starts_with("libcr_omit.so")
    });
    let preload: Vec<&str> = std::iter::once(library).chain(others).collect();
    let (program, rest) = args.command.split_first().expect("one is required");
    let err = Command::new(program).args(rest).env("LD_PRELOAD", preload.join(":")).exec();
    eprintln!("cr_run: {}: {err}", program.to_string_lossy());
    if err.kind() == std::io::ErrorKind::NotFound { 127 } else { 126 }
}
