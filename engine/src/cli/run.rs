//! `cairn run`: a command in its own session, without any open file that cannot be saved.

use super::args::RunArgs;
use anyhow::Context;
use cairn::sys::signals::Children;
use std::fs::{File, OpenOptions};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// The default output file, as nohup(1) has one.
const DEFAULT_OUTPUT: &str = "cairn.out";

pub fn run(args: &RunArgs, children: Children) -> anyhow::Result<u8> {
    let path = args.output.as_deref().unwrap_or(Path::new(DEFAULT_OUTPUT));
    let open = || OpenOptions::new().create(true).append(true).open(path);
    let file: File = open()
        .with_context(|| format!("open {} for output (choose another file with -o)", path.display()))?;
    let twin = file.try_clone().with_context(|| format!("duplicate {}", path.display()))?;
    let program = &args.command[0];
    let mut command = Command::new(program);
    command.args(&args.command[1..]).stdin(Stdio::null()).stdout(file).stderr(twin);
    cairn::sys::session::start_in_own_session(&mut command, children);
    cairn::sys::session::keep_descriptors_to_ourselves()
        .context("set close-on-exec on inherited descriptors")?;
    let mut child = command.spawn().with_context(|| format!("start {}", program.display()))?;
    if args.detach {
        super::out(&format!("{}\n", child.id()))?;
        return Ok(0);
    }
    // Closes our descriptors of the output file: only the command keeps them.
    drop(command);
    let pid = child.id();
    eprintln!(
        "cairn: running as process {pid}, output in {}; save it with: cairn checkpoint {pid}",
        path.display()
    );
    let status = super::restart::attend_child(&mut child)?;
    Ok(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)) as u8)
}
