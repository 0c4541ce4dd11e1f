//! `cairn restart`

use super::args::{Place, RestartArgs};
use super::checkpoint::Progress;
use super::location::input;
use super::out;
use super::partner::{Front, Message, Partner, Side};
use super::pidns::{self, Stay};
use super::pty;
use super::terminal::{Loan, Terminal};
use anyhow::Context;
use cairn::error::Error;
use cairn::resource::fd::external::Replacement;
use cairn::resource::fd::terminal::{self, own_group};
use cairn::resource::tty::Settings;
use cairn::restart::changes::{Changes, Which};
use cairn::restart::{Options, Report, Session, carry_out, prepare};
use cairn::sys::guard;
use cairn::sys::session::close_given;
use cairn::sys::signals::{self, Heard};
use cairn::sys::wait::{self, Stop};
use cairn::tree::outside;
use signal_hook::consts::{
    SIGALRM, SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGTTIN, SIGTTOU, SIGUSR1, SIGUSR2, SIGWINCH,
};
use std::collections::HashSet;
use std::ffi::OsString;
use std::process::{Child, ExitStatus};
use std::sync::Arc;
use std::time::Duration;

/// Signals that are forwarded to the job; SIGTSTP as SIGSTOP.
const FORWARDED: [i32; 10] =
    [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM, SIGCONT, SIGTSTP, SIGWINCH];

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
    let changes = Changes { truncate: which(&args.truncate)?, ignore: which(&args.ignore_changes)? };
    let (mut terminal, mut leader) = (None, None);
    if let Some(path) = args.pty.as_deref() {
        let fd = pty::open(path)?;
        match pty::enter()? {
            Side::Front(front) => return leave(&front, &args),
            Side::Partner(partner) => {
                args.notify_fd.into_iter().for_each(close_given);
                (terminal, leader) = (Some(Arc::new(pty::take(fd, path)?)), Some(partner));
            }
        }
    }
    let stays = !args.detach || leader.is_some();
    let session = args.session.map_or(if stays { Session::Join } else { Session::New }, Session::from);
    let is_attached = stays && session == Session::Join;
    let terminal = terminal.or_else(|| Terminal::of_caller().filter(|_| is_attached).map(Arc::new));
    let init = match args.new_pidns.then(pidns::enter).transpose()? {
        None => None,
        Some(Side::Front(front)) => return follow(&front, &args, terminal, leader),
        Some(Side::Partner(init)) => {
            args.notify_fd.filter(|_| leader.is_none()).into_iter().for_each(close_given);
            if terminal.as_ref().is_some_and(|terminal| !terminal.is_lent()) {
                signals::set_ignored(SIGINT, true).context("leave the terminal alone")?;
            }
            Some(init)
        }
    };
    let bar = Progress::new("verified");
    let options = Options {
        from: input(&args.file)?,
        detach: !stays,
        session,
        own_pidns: init.is_some(),
        patience: Duration::from_secs(args.time),
        cgroups: args.cgroups.into(),
        ignore_clocks: args.ignore_clocks,
        changes,
        tcp_close: args.tcp_close,
        map_ip: args.map_ip.clone(),
        external,
        terminal: terminal.as_ref().map(|terminal| terminal.descriptor()),
        progress: &|done, all| bar.at(done, all),
        tell: &|what| eprintln!("cairn: {what}"),
    };
    // Orphans of the job are reparented to us while we run.
    cairn::sys::set_subreaper(stays).context("become subreaper")?;
    let prepared = prepare(&options)?;
    bar.done();
    if args.plan {
        out(&prepared.plan.describe(&prepared.records))?;
        return Ok(0);
    }
    let of_job = terminal::of_job(&prepared.records).map(|terminal| terminal.settings.clone());
    let is_given = |terminal: &Terminal| options.external.iter().any(|(_, place)| terminal.is(place));
    let terminal = terminal.filter(|terminal| of_job.is_some() || is_given(terminal));
    if let (Some(path), None) = (&args.pty, &terminal) {
        return Err(Error::Conflict(format!("--pty {}: the job had no terminal", path.display())).into());
    }
    let settings = of_job.flatten();
    if let Some(init) = init {
        let stops = terminal.is_some();
        init.say(&Message::Prepared { terminal: stops, settings })?;
        let report = carry_out(prepared)?;
        let lets_go = leader.is_some();
        drop((options, terminal, leader));
        let stay = if stays { Stay::Attended { stops, lets_go } } else { Stay::Detached };
        return pidns::attend(init, report, stay);
    }
    let _loan = terminal.clone().map(|terminal| Loan::of(terminal, settings.as_ref()));
    let report = carry_out(prepared)?;
    if stays {
        begin(&report, terminal.as_ref());
    }
    tell(&report, &args, leader)?;
    if !stays {
        return Ok(0);
    }
    attend(&report, terminal.as_deref())
}

/// Lends a job that runs the terminal, and forwards signals to it.
fn begin(report: &Report, terminal: Option<&Arc<Terminal>>) {
    if let (Some(terminal), Some(group)) = (terminal, group_of(report.pid)) {
        // What stops for want of it is continued by `attend`.
        let _ = terminal.lend(group);
    }
    forward(report.pid, terminal.cloned());
}

/// Tells that the job runs: our front end if we stay behind as `leader`, else the user.
fn tell(report: &Report, args: &RestartArgs, leader: Option<Partner>) -> anyhow::Result<()> {
    if let Some(leader) = leader {
        leader.release(report)?;
        return leader.go_on();
    }
    if let Some(fd) = args.notify_fd {
        cairn::sys::notify(fd, b"released\n").with_context(|| format!("write to descriptor {fd}"))?;
    }
    if args.json {
        out(&format!("{}\n", serde_json::to_string(report)?))?;
    } else if args.detach {
        out(&format!("{}\n", report.pid))?;
    }
    Ok(())
}

/// The front end of a partner that stays with the job: ends once the job runs.
fn leave(front: &Front, args: &RestartArgs) -> anyhow::Result<u8> {
    let Some(report) = front.released(|_, _| ())? else { return front.end() };
    match front.left()? {
        None => tell(&report, args, None).map(|()| 0),
        Some(code) => Ok(code),
    }
}

/// The front end of a restart in a new PID namespace: what a plain restart does outside its job.
fn follow(
    front: &Front,
    args: &RestartArgs,
    terminal: Option<Arc<Terminal>>,
    leader: Option<Partner>,
) -> anyhow::Result<u8> {
    if args.detach && leader.is_none() {
        return leave(front, args);
    }
    let mut loan = None;
    let begins = |is_used, settings: Option<Settings>| {
        let lent = terminal.clone().filter(|_| is_used);
        loan = lent.map(|terminal| (terminal.clone(), Loan::of(terminal, settings.as_ref())));
    };
    let Some(report) = front.released(begins)? else { return front.end() };
    let terminal = loan.as_ref().map(|(terminal, _)| terminal);
    begin(&report, terminal);
    tell(&report, args, leader)?;
    let mut of_root = None;
    loop {
        match front.hear()? {
            Some((Message::Stopped(signal), _)) => {
                terminal.map_or(Ok(()), |terminal| stop_with(report.pid, signal, terminal))?;
            }
            Some((Message::Ended { code, killed_by }, _)) => of_root = Some((code, killed_by)),
            Some((Message::Alone, _)) => break,
            Some((other, _)) => anyhow::bail!("unexpected: {other:?}"),
            None => match (front.end()?, of_root) {
                (_, Some(_)) => break,
                (code, None) => return Ok(code),
            },
        }
    }
    let (code, killed_by) = of_root.context("a job that has not ended")?;
    end_as_job(terminal.map(Arc::as_ref).filter(|_| killed_by == Some(SIGINT)))?;
    Ok(code)
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
/// Returns the exit code of the root. On a terminal, this process stops when the root does, so that
/// the shell gets the terminal back.
fn attend(report: &Report, terminal: Option<&Terminal>) -> anyhow::Result<u8> {
    let mut left: HashSet<i32> = report.tops.iter().copied().collect();
    let mut code = 0;
    let mut interrupted = false;
    while !left.is_empty() {
        let (pid, stop) = wait::wait_any(terminal.is_some()).context("wait for the job")?;
        let ended = match stop {
            Stop::Exited(status) => status as u8,
            Stop::Killed(signal) => (128 + signal) as u8,
            Stop::Signal(signal) if pid == report.pid => {
                terminal.map_or(Ok(()), |terminal| stop_with(pid, signal, terminal))?;
                continue;
            }
            _ => continue,
        };
        left.remove(&pid);
        if pid == report.pid {
            code = ended;
            interrupted = stop == Stop::Killed(SIGINT);
        }
    }
    end_as_job(terminal.filter(|_| interrupted))?;
    Ok(code)
}

/// The key of this terminal has ended the job.
fn end_as_job(interrupted: Option<&Terminal>) -> anyhow::Result<()> {
    let Some(terminal) = interrupted else { return Ok(()) };
    terminal.take_back().context("take the terminal back")?;
    // The key would have interrupted the whole group, had the job been in it: a script ends.
    signals::take_with_group(SIGINT).context("end as the job did")
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

/// Stops this process group, because the root of the job has stopped by this signal. [`pass_on`]
/// continues the root.
fn stop_with(root: i32, signal: i32, terminal: &Terminal) -> anyhow::Result<()> {
    let Some(theirs) = group_of(root) else { return Ok(()) };
    if own_group() == theirs {
        // What a terminal sends to their group has come here, too.
        return Ok(());
    }
    // Nothing could continue us: in an orphaned group the kernel ignores the stop key (tty).
    let is_orphaned = outside::is_own_group_orphaned();
    let wants_terminal = [SIGTTIN, SIGTTOU].contains(&signal);
    if wants_terminal {
        // A shell does not tell that it has put us into the foreground.
        let _ = terminal.lend(theirs);
    }
    if is_orphaned && signal == libc::SIGSTOP {
        // That one it obeys: who has sent it continues the job.
        return Ok(());
    }
    if is_orphaned || wants_terminal && terminal.is_with(theirs) {
        return guard::kill(-theirs, SIGCONT).or_else(|_| Ok(()));
    }
    terminal.take_back().context("take the terminal back")?;
    signals::take_with_group(SIGTSTP).context("stop")
}

/// Forwards signals to a process while this one runs.
fn forward(pid: i32, terminal: Option<Arc<Terminal>>) {
    signals::block(&FORWARDED);
    std::thread::spawn(move || {
        loop {
            match signals::wait(&FORWARDED, Duration::from_secs(3600)) {
                Ok(Some(heard)) => pass_on(pid, heard, terminal.as_deref()),
                Ok(None) => {}
                Err(_) => return, // not waitable; they stay blocked
            }
        }
    });
}

/// The process group of a process; `None` when it is gone.
fn group_of(pid: i32) -> Option<i32> {
    cairn::sys::session::group_of(pid).ok()
}

fn pass_on(pid: i32, Heard { signal, from_kernel, from_self }: Heard, terminal: Option<&Terminal>) {
    if from_self {
        // It was for the rest of our group.
        return;
    }
    let (own, Some(theirs)) = (own_group(), group_of(pid)) else { return };
    // A job in our group has also received what a terminal sends to that group.
    let told = own == theirs && from_kernel;
    let to = if own == theirs { pid } else { -theirs };
    if let Some(terminal) = terminal.filter(|_| from_kernel && signal != SIGTSTP) {
        // The terminal is with us: a shell does not tell that it has put us into the foreground.
        let _ = terminal.lend(theirs);
    }
    // Errors are ignored: the job may have exited.
    if signal == SIGTSTP && from_kernel && outside::is_own_group_orphaned() {
        // Nothing could continue us: in an orphaned group the kernel ignores the stop key (tty).
    } else if signal == SIGTSTP {
        let _ = if told { Ok(()) } else { guard::kill(to, libc::SIGSTOP) };
        if let Some(terminal) = terminal {
            if own != theirs {
                // `attend` sees the job stop.
                return;
            }
            let _ = terminal.take_back();
        }
        let _ = guard::kill(std::process::id() as i32, libc::SIGSTOP);
    } else if signal == SIGCONT {
        let _ = terminal.map(|terminal| terminal.lend(theirs));
        let _ = guard::kill(to, signal);
    } else if !told && (signal != SIGWINCH || from_kernel) {
        let _ = guard::kill(if from_kernel { to } else { pid }, signal);
    }
}

/// Waits for a child, and forwards signals to it.
pub fn attend_child(child: &mut Child) -> anyhow::Result<ExitStatus> {
    forward(child.id() as i32, None);
    child.wait().context("wait for the command")
}
