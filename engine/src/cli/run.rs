//! `cairn run`: a command in a session of its own, with nothing open that cannot be saved.

use super::args::RunArgs;
use anyhow::Context;
use std::fs::{File, OpenOptions};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

pub fn run(args: &RunArgs) -> anyhow::Result<u8> {
    let (output, errors) = match &args.output {
        None => (Stdio::null(), Stdio::null()),
        Some(path) => {
            let open = || OpenOptions::new().create(true).append(true).open(path);
            let file: File = open().with_context(|| format!("open {}", path.display()))?;
            let twin = file.try_clone().with_context(|| format!("duplicate {}", path.display()))?;
            (file.into(), twin.into())
        }
    };
    let program = &args.command[0];
    let mut command = Command::new(program);
    command.args(&args.command[1..]).stdin(Stdio::null()).stdout(output).stderr(errors);
    cairn::sys::session::start_in_own_session(&mut command);
    cairn::sys::session::keep_descriptors_to_ourselves().context("look at our descriptors")?;
    let mut child = command.spawn().with_context(|| format!("start {}", program.display()))?;
    if args.detach {
        println!("{}", child.id());
        return Ok(0);
    }
    eprintln!("cairn: running as process {}; save it with: cairn checkpoint {}", child.id(), child.id());
    let status = super::restart::attend_child(&mut child)?;
    Ok(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)) as u8)
}
