//! A checkpoint: freeze, inspect, refuse or query, copy, thaw, write.

mod ask;
mod capture;
mod contents;
mod inspection;
mod options;
mod remains;

pub use options::{Checked, Options, Report, Target, Then};

use crate::activity;
use crate::caller::CallerState;
use crate::error::{Error, Result};
use crate::image::{self, Location, Origin, Writer};
use crate::phase::Checkpoint as Phase;
use crate::resource::Records;
use crate::restart;
use crate::source::{self, Source};
use crate::sys::kmod::Device;
use crate::tree::freeze::Waiting;
use crate::tree::{Frozen, Holder, left_behind};
use capture::Complete;
use inspection::Inspection;
use remains::Remains;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Checkpoints the target.
///
/// # Errors
/// Every kind; the target runs on and no file is left, unless the final kill is what failed.
pub fn checkpoint(options: &Options<'_>) -> Result<Report> {
    let begin = Instant::now();
    let _caller = CallerState::save()?;
    source::acquire_checkpoint_capability()?;
    options.target.source.attempt(|device| attempt(options, device, begin))
}

/// Undoes what a checkpoint or an inspection that was killed has left in the processes: for the
/// front end, once its worker is gone.
pub fn clean_up(target: &Target) {
    let waiting = Waiting { patience: target.patience.min(LONGEST_CLEANING), cancelled: &|| false };
    // Whoever has exited needs nothing, and an extra mapping harms nobody.
    let _ = left_behind::remove(target.scope, &waiting);
}

/// How long a thread that does not stop is waited for when its worker was killed, perhaps for the
/// same reason.
const LONGEST_CLEANING: Duration = Duration::from_secs(1);

fn attempt(options: &Options<'_>, device: Option<Arc<Device>>, begin: Instant) -> Result<Report> {
    // What was written to a stream cannot be taken back.
    let mut locks_first = options.then != Then::Run || matches!(options.to, Location::Stream(_));
    loop {
        match once(options, device.clone(), begin, locks_first)? {
            Some(report) => return Ok(report),
            None => locks_first = true,
        }
    }
}

/// With `locks_first` the file locks must be known before the job resumes. Otherwise `None` is
/// returned when a lock is found afterwards: the job may have taken it since.
fn once(
    options: &Options<'_>,
    device: Option<Arc<Device>>,
    begin: Instant,
    locks_first: bool,
) -> Result<Option<Report>> {
    let source = Source::of(device.as_ref());
    let pid = options.target.scope.id();
    let failed = |source| Error::of_image(options.to.path(), source);
    let writer = Writer::create(options.to.clone(), Origin::here(), source.frame_sum()).map_err(failed)?;
    let (mut frozen, inspection) = stop_and_look(&options.target, options.then, device, options.cancelled)?;
    let mut notices = inspection.notices.clone();
    inspection.refuse_own_file(&options.to).map_err(|err| frozen.attribute(err))?;
    let saved = save(options, inspection, &mut frozen, &writer).map_err(|err| frozen.attribute(err))?;
    let Complete { mut records, locks, lock, shared_number } = saved;
    if let (Then::Kill, Some(why)) = (options.then, shared_number) {
        return Err(frozen.attribute(Error::unsupported(why)));
    }
    let late = if locks_first || locks.is_done() {
        locks.settle(&mut records).none().map_err(|err| frozen.attribute(err))?;
        None
    } else {
        Some(locks)
    };
    let since = frozen.since;
    let (written, pause) = if options.then == Then::Run {
        enter(Phase::Thaw);
        frozen.thaw()?;
        let pause = since.elapsed();
        if late.is_some_and(|locks| !locks.unexplained().is_empty()) {
            return Ok(None);
        }
        (finish(&mut records, writer, options)?, pause)
    } else {
        let written = finish(&mut records, writer, options)?;
        let pause = since.elapsed();
        enter(Phase::Thaw);
        match options.then {
            Then::Kill => {
                let remains = Remains::hold(&records, &frozen).map_err(|err| frozen.attribute(err))?;
                frozen.kill()?;
                remains.forget();
                if let Some(lock) = lock {
                    let (many, file) = (lock.connections, options.to.path().display());
                    notices.push(format!(
                        "TCP connections to outside that are locked: {many}. Their peers get no answer until the restart, or `cairn unlock {file}`"
                    ));
                    lock.keep();
                }
            }
            Then::Stop | Then::Run => frozen.thaw_stopped()?,
        }
        (written, pause)
    };
    Ok(Some(Report {
        file: options.to.path().to_path_buf(),
        pid,
        source,
        tasks: records.tasks(),
        bytes: written.bytes,
        pause_ns: nanos(pause),
        total_ns: nanos(begin.elapsed()),
        notices,
    }))
}

/// Completes the file and waits for the disk.
fn finish(records: &mut Records, writer: Writer, options: &Options<'_>) -> Result<image::Written> {
    enter(Phase::Write);
    rehearse(records)?;
    contents::learn(records);
    activity::say_long(|| format!("write {} and sync it to disk", options.to.path().display()));
    writer.finish(records, options.sync).map_err(|source| Error::of_image(options.to.path(), source))
}

/// The longest delay before transient obstacles are checked again; half a second in all, and ten
/// attempts.
const LONGEST_NAP: Duration = Duration::from_millis(256);

/// Freezes, inspects and refuses. If all obstacles are transient, the job is thawed for a moment
/// and the freeze repeated.
fn stop_and_look(
    target: &Target,
    then: Then,
    device: Option<Arc<Device>>,
    cancelled: &(dyn Fn() -> bool + Sync),
) -> Result<(Frozen, Inspection)> {
    let holder = device.map(|device| Holder { device, traced: target.traced });
    let waiting = Waiting { patience: target.patience, cancelled };
    let mut nap = Duration::from_millis(1);
    loop {
        let passes = |err: &Error| {
            matches!(err, Error::Unsupported(problems) if !problems.lasting) && nap <= LONGEST_NAP
        };
        enter(Phase::Freeze);
        match Frozen::freeze(target.scope, holder.clone(), &waiting) {
            Err(err) if passes(&err) => {}
            Err(err) => return Err(err),
            Ok(frozen) => {
                enter(Phase::Inspect);
                match Inspection::of(&frozen, target, then).and_then(|inspection| inspection.accept(&frozen))
                {
                    Ok(inspection) => return Ok((frozen, inspection)),
                    Err(err) if passes(&err) => frozen.thaw()?,
                    Err(err) => return Err(frozen.attribute(err)),
                }
            }
        }
        std::thread::sleep(nap);
        nap *= 2;
    }
}

/// Queries and copies the state.
fn save(
    options: &Options<'_>,
    inspection: Inspection,
    frozen: &mut Frozen,
    writer: &Writer,
) -> Result<Complete> {
    enter(Phase::Ask);
    let captured = inspection.capture(frozen)?;
    enter(Phase::Copy);
    let (done, all) = (AtomicU64::new(0), captured.dump_plan().bytes());
    let progress = options.progress;
    activity::say_long(|| format!("copy and write {all} bytes of memory"));
    let copied = |bytes| {
        progress(done.fetch_add(bytes, Ordering::Relaxed) + bytes, all);
        if (options.cancelled)() { Err(Error::Interrupted) } else { Ok(()) }
    };
    let contents = captured.dump_plan().run(writer.pages(), &copied)?;
    let complete = captured.complete(frozen, options.target.scope, contents)?;
    #[cfg(feature = "planted-faults")]
    let complete = {
        let mut complete = complete;
        crate::fault::commit(&mut complete.records);
        complete
    };
    if (options.cancelled)() { Err(Error::Interrupted) } else { Ok(complete) }
}

/// Plans a restart from the records just made, so that what a restart would refuse is refused now,
/// before any process is killed.
fn rehearse(records: &Records) -> Result<()> {
    restart::rehearse(records).map_err(|err| match err {
        Error::Conflict(why) | Error::Denied { what: why, .. } => {
            Error::unsupported(format!("the job could not be restarted here: {why}"))
        }
        other => other,
    })
}

/// Finds out what would prevent a checkpoint, by doing all of it except the copy; nothing is
/// changed in the end.
///
/// # Errors
/// *unsupported* with all the reasons; otherwise as [`checkpoint`].
pub fn check(target: &Target, cancelled: &(dyn Fn() -> bool + Sync)) -> Result<Checked> {
    let _caller = CallerState::save()?;
    source::acquire_checkpoint_capability()?;
    target.source.attempt(|device| {
        let source = Source::of(device.as_ref());
        let (mut frozen, inspection) = stop_and_look(target, Then::Run, device, cancelled)?;
        let tasks = frozen.tasks.iter().map(|t| t.threads.len().max(1)).sum();
        let notices = inspection.notices.clone();
        enter(Phase::Ask);
        let captured = inspection.capture(&mut frozen).map_err(|err| frozen.attribute(err))?;
        let told = captured.without_contents(&frozen, target.scope);
        let Complete { mut records, locks, .. } = told.map_err(|err| frozen.attribute(err))?;
        locks.settle(&mut records).none().map_err(|err| frozen.attribute(err))?;
        enter(Phase::Thaw);
        frozen.thaw()?;
        rehearse(&records)?;
        Ok(Checked { source, tasks, notices })
    })
}

fn enter(phase: Phase) {
    activity::say(|| phase.to_string());
}

fn nanos(duration: Duration) -> u64 {
    duration.as_nanos().try_into().unwrap_or(u64::MAX)
}
