//! `cairn restart`

use super::args::{Place, RestartArgs};
use super::checkpoint::Progress;
use super::location::input;
use super::out;
use anyhow::Context;
use cairn::resource::fd::external::Replacement;
use cairn::restart::changes::{Changes, Which};
use cairn::restart::{Options, Report, Session, carry_out, prepare};
use cairn::sys::guard;
use cairn::sys::signals::{self, Heard};
use cairn::sys::wait::{self, Stop};
use cairn::tree::outside;
use signal_hook::consts::{SIGALRM, SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGUSR1, SIGUSR2};
use std::collections::HashSet;
use std::ffi::OsString;
use std::process::{Child, ExitStatus};
use std::sync::Arc;
use std::time::Duration;

/// Signals that are forwarded to the job; SIGTSTP as SIGSTOP.
const FORWARDED: [i32; 9] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM, SIGCONT, SIGTSTP];

pub fn run(args: RestartArgs) -> anyhow::Result<u8> {
    // Inherited descriptors could collide with high descriptor numbers of the plan.
    let given = args.external.iter().filter_map(|(_, place)| match place {
        Place::Fd(fd) => Some(*fd),
        Place::Path(_) => None,
    });
    let kept: Vec<i32> = given.chain(args.notify_fd).collect();
    cairn::sys::session::close_inherited(&kept).context("close inherited descriptors")?;
    let external = args.external.iter().map(|(name, place)| Ok((name.clone(), replacement(place)?)));
    let external = external.collect::<anyhow::Result<_>>()?;
    let bar = Progress::new("verified");
    let changes = Changes { truncate: which(&args.truncate)?, ignore: which(&args.ignore_changes)? };
    let options = Options {
        from: input(&args.file)?,
        detach: args.detach,
        session: args.session.map_or(if args.detach { Session::New } else { Session::Join }, Session::from),
        patience: Duration::from_secs(args.time),
        ignore_clocks: args.ignore_clocks,
        changes,
        external,
        progress: &|done, all| bar.at(done, all),
        tell: &|what| eprintln!("cairn: {what}"),
    };
    // Orphans of the job are reparented to us while we run.
    cairn::sys::set_subreaper(!args.detach).context("become subreaper")?;
    let prepared = prepare(&options)?;
    bar.done();
    if args.plan {
        out(&prepared.plan.describe(&prepared.records))?;
        return Ok(0);
    }
    let report = carry_out(prepared)?;
    if !args.detach {
        forward(report.pid);
    }
    if let Some(fd) = args.notify_fd {
        cairn::sys::notify(fd, b"released\n").with_context(|| format!("write to descriptor {fd}"))?;
    }
    if args.json {
        out(&format!("{}\n", serde_json::to_string(&report)?))?;
    }
    if args.detach {
        if !args.json {
            out(&format!("{}\n", report.pid))?;
        }
        return Ok(0);
    }
    attend(&report)
}

fn replacement(place: &Place) -> anyhow::Result<Replacement> {
    Ok(match place {
        Place::Path(path) => Replacement::Path(
            std::path::absolute(path).with_context(|| format!("resolve {}", path.display()))?,
        ),
        Place::Fd(fd) => {
            let fd = cairn::sys::session::duplicate(*fd).with_context(|| format!("use descriptor {fd}"))?;
            Replacement::Descriptor(Arc::new(fd))
        }
    })
}

/// Waits until all processes without a parent in the job have exited, and reaps any other child.
/// Returns the exit code of the root.
fn attend(report: &Report) -> anyhow::Result<u8> {
    let mut left: HashSet<i32> = report.tops.iter().copied().collect();
    let mut code = 0;
    while !left.is_empty() {
        let (pid, stop) = wait::wait_any().context("wait for the job")?;
        let ended = match stop {
            Stop::Exited(status) => status as u8,
            Stop::Killed(signal) => (128 + signal) as u8,
            _ => continue,
        };
        left.remove(&pid);
        if pid == report.pid {
            code = ended;
        }
    }
    Ok(code)
}

/// The files that an option names. Recorded paths contain no symbolic links; a missing file is
/// reported later.
fn which(given: &[OsString]) -> anyhow::Result<Which> {
    let mut which = Which::default();
    for path in given {
        if path.is_empty() {
            which.all = true;
            continue;
        }
        let path = std::path::absolute(path).with_context(|| format!("resolve {}", path.display()))?;
        which.paths.push(std::fs::canonicalize(&path).unwrap_or(path));
    }
    Ok(which)
}

/// Forwards signals to a process while this one runs.
fn forward(pid: i32) {
    signals::block(&FORWARDED);
    std::thread::spawn(move || {
        loop {
            match signals::wait(&FORWARDED, Duration::from_secs(3600)) {
                Ok(Some(heard)) => pass_on(pid, heard),
                Ok(None) => {}
                Err(_) => return, // not waitable; they stay blocked
            }
        }
    });
}

fn pass_on(pid: i32, Heard { signal, from_kernel }: Heard) {
    let group = |of: i32| {
        rustix::process::getpgid(rustix::process::Pid::from_raw(of)).map(|group| group.as_raw_nonzero().get())
    };
    let (Ok(own), Ok(theirs)) = (group(0), group(pid)) else { return };
    // A job in our group has also received what a terminal sends to that group.
    let told = own == theirs && from_kernel;
    let to = if own == theirs { pid } else { -theirs };
    // Errors are ignored: the job may have exited.
    if signal == SIGTSTP && from_kernel && outside::is_own_group_orphaned() {
        // Nothing could continue us: in an orphaned group the kernel ignores the stop key (tty).
    } else if signal == SIGTSTP {
        let _ = if told { Ok(()) } else { guard::kill(to, libc::SIGSTOP) };
        let _ = guard::kill(std::process::id() as i32, libc::SIGSTOP);
    } else if signal == SIGCONT {
        let _ = guard::kill(to, signal);
    } else if !told {
        let _ = guard::kill(pid, signal);
    }
}

/// Waits for a child, and forwards signals to it.
pub fn attend_child(child: &mut Child) -> anyhow::Result<ExitStatus> {
    forward(child.id() as i32);
    child.wait().context("wait for the command")
}
