//! What BLCR's users know: `cr_run`, `cr_checkpoint`, `cr_restart`, by which name this program is
//! called, and the other end of `libcr.so.0`.

mod checkpoint;
mod coordinator;
mod peer;
mod request;
mod restart;
mod run;
mod wire;

pub use request::{RequestArgs, run as request};

use std::path::Path;
use std::process::ExitCode;

/// The release of BLCR whose interface this is.
const RELEASE: &str = "0.8.6";

/// Runs one of BLCR's programs, if that is what this program is called.
pub fn main() -> Option<ExitCode> {
    let called = std::env::args_os().next()?;
    let code = match Path::new(&called).file_name()?.to_str()? {
        "cr_checkpoint" => checkpoint::main(),
        "cr_restart" => restart::main(),
        "cr_run" => run::main(),
        _ => return None,
    };
    Some(ExitCode::from(code))
}

/// What a command line that is wrong exits with.
const USAGE: u8 = 255;

/// Parses the command line; the exit code if that ends the program.
fn parse<Args: clap::Parser>() -> Result<Args, u8> {
    Args::try_parse().map_err(|err| {
        // If the stream is closed, there is nothing else to do.
        let _ = err.print();
        if err.use_stderr() { USAGE } else { 0 }
    })
}
