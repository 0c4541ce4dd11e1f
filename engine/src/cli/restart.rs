//! `cairn restart`

use super::args::RestartArgs;
use super::checkpoint::Progress;
use anyhow::Context;
use cairn::restart::changes::{Changes, Which};
use cairn::restart::{Options, carry_out, prepare};
use cairn::sys::guard;
use cairn::sys::wait::{self, Stop};
use signal_hook::consts::{SIGALRM, SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use std::ffi::OsString;
use std::process::{Child, ExitStatus};

/// Signals that go on to the job.
const FORWARDED: [i32; 8] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM, SIGCONT];

pub fn run(args: RestartArgs) -> anyhow::Result<u8> {
    let bar = Progress::new("verified");
    let changes = Changes { truncate: which(&args.truncate)?, ignore: which(&args.ignore_changes)? };
    let options = Options { file: args.file.clone(), progress: &|done, all| bar.at(done, all), changes };
    let prepared = prepare(&options)?;
    bar.done();
    if args.plan {
        print!("{}", prepared.plan);
        return Ok(0);
    }
    let report = carry_out(prepared)?;
    if let Some(fd) = args.notify_fd {
        cairn::sys::notify(fd, b"released\n").with_context(|| format!("write to descriptor {fd}"))?;
    }
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    }
    if args.detach {
        if !args.json {
            println!("{}", report.pid);
        }
        return Ok(0);
    }
    forward(report.pid)?;
    loop {
        // Orphans of the job become our children, too: only the root's end counts.
        match wait::wait(report.pid).with_context(|| format!("wait for process {}", report.pid))? {
            Stop::Exited(code) => return Ok(code as u8),
            Stop::Killed(signal) => return Ok((128 + signal) as u8),
            _ => {}
        }
    }
}

/// Which files an option is about. Records have paths without links; what is not there shows later.
fn which(given: &[OsString]) -> anyhow::Result<Which> {
    let mut which = Which::default();
    for path in given {
        if path.is_empty() {
            which.all = true;
            continue;
        }
        let path = std::path::absolute(path).with_context(|| format!("find {}", path.display()))?;
        which.paths.push(std::fs::canonicalize(&path).unwrap_or(path));
    }
    Ok(which)
}

/// Passes signals on to a process for as long as we live.
fn forward(pid: i32) -> anyhow::Result<()> {
    let mut signals = signal_hook::iterator::Signals::new(FORWARDED).context("catch signals")?;
    std::thread::spawn(move || {
        for signal in signals.forever() {
            // A job that has ended needs no signal.
            let _ = guard::kill(pid, signal);
        }
    });
    Ok(())
}

/// Waits for a child, passing signals on to it.
pub fn attend_child(child: &mut Child) -> anyhow::Result<ExitStatus> {
    forward(child.id() as i32)?;
    child.wait().context("wait for the command")
}
