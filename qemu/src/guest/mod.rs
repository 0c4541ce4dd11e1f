//! A running guest: starts QEMU and merges its output into one stream of events.
//!
//! A guest has three outputs, each with its own socket: the result port (QEMU's standard input, as
//! a socket), the console (its standard output, as a socket), and QEMU's own messages (standard
//! error). The sockets are passed as standard descriptors, so no other child of this process can
//! inherit them by accident.
//!
//! A guest never outlives its [`Guest`]: dropping it kills QEMU, and QEMU is killed when this
//! process dies.

mod command;
mod stream;

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

pub use command::command_line;

use crate::accel::Accel;
use crate::initramfs;
use crate::job::{GuestJob, InitEnd, InitEvent};
use crate::kernels::Kernel;
use crate::machine::Machine;
use crate::splat::{Kind, Splat};
use stream::{Raw, Running};

/// Parameters of a boot. Times are those for hardware; under emulation they are scaled by
/// [`Boot::scaled`].
#[derive(Clone, Debug)]
pub struct Boot<'a> {
    /// The kernel to boot.
    pub kernel: &'a Kernel,
    /// Path of the base file system ([`initramfs::Builder::build`]).
    pub base: &'a Path,
    /// The job to run.
    pub job: &'a GuestJob,
    /// Directory for `console.log`, `qemu.cmd` and the initramfs; created if it is missing.
    pub dir: &'a Path,
    /// Hardware virtualisation or emulation.
    pub accel: Accel,
    /// Virtual CPUs.
    pub cpus: u32,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// The raw image of a disk (virtio-blk, `/dev/vda`), which the guest may write to. Its contents
    /// are undefined afterwards: writes need not be flushed to it.
    pub disk: Option<&'a Path>,
    /// Time limit until PID 1 reports that it is up.
    pub boot_timeout: Duration,
    /// Time limit without a line on the result port.
    pub idle_timeout: Duration,
    /// Time limit of the whole run.
    pub total_timeout: Duration,
    /// Additional kernel parameters.
    pub extra_cmdline: String,
}

impl<'a> Boot<'a> {
    /// A boot with the default size and time limits: 2 CPUs, 1 GiB, 60 s to boot, 120 s of silence,
    /// one hour in total.
    pub fn new(
        kernel: &'a Kernel,
        base: &'a Path,
        job: &'a GuestJob,
        dir: &'a Path,
        accel: Accel,
    ) -> Boot<'a> {
        Boot {
            kernel,
            base,
            job,
            dir,
            accel,
            cpus: 2,
            memory_mib: 1024,
            disk: None,
            boot_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(120),
            total_timeout: Duration::from_secs(3600),
            extra_cmdline: String::new(),
        }
    }

    /// The same boot with all time limits multiplied by `factor`.
    #[must_use]
    pub fn scaled(mut self, factor: f64) -> Self {
        for timeout in [&mut self.boot_timeout, &mut self.idle_timeout, &mut self.total_timeout] {
            *timeout = timeout.mul_f64(factor);
        }
        self
    }
}

/// Why a guest could not be started at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The initramfs cannot be written.
    #[error(transparent)]
    Initramfs(#[from] initramfs::Error),
    /// The emulator is not installed.
    #[error("{program} is not installed (Debian package {package})")]
    NoQemu {
        /// Name of the program.
        program: &'static str,
        /// The package that contains it.
        package: &'static str,
    },
    /// Another local failure.
    #[error("guest: {action}")]
    Io {
        /// The failed action.
        action: String,
        /// The I/O error.
        source: io::Error,
    },
}

pub(crate) fn io_error(action: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
    let action = action.into();
    move |source| Error::Io { action, source }
}

/// An event of a guest.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// PID 1 is up and is about to start the job.
    Booted(BootInfo),
    /// A line of the job's standard output, without the newline.
    Line(String),
    /// A line of the console, without the newline. All of them are also in `console.log`.
    Console(String),
    /// A complete kernel splat.
    Splat(Splat),
    /// The guest has ended. Always the last event.
    Ended(End),
}

/// What a listener gets while a guest runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Said<'a> {
    /// A line of the job's standard output, without the newline.
    Line(&'a str),
    /// A complete kernel splat.
    Splat(&'a Splat),
}

/// Lines of the console that are kept to explain an early end.
const KEPT_LINES: usize = 20;

/// What is left when a guest has ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Heard {
    /// PID 1's report; `None` if the guest did not come up.
    pub booted: Option<BootInfo>,
    /// The last lines of the console.
    pub last_words: VecDeque<String>,
    /// How it ended; `None` only if the emulator's end was lost.
    pub end: Option<End>,
}

impl Heard {
    /// The exit code of the job, if it ended by itself.
    pub fn code(&self) -> Option<i32> {
        self.end.as_ref()?.init.as_ref()?.code
    }

    /// How the guest ended, with its last line, for messages.
    pub fn describe(&self) -> String {
        let last = self.last_words.back().map_or("", String::as_str);
        match &self.end {
            Some(end) => format!("{:?}, {:?}; {last}", end.cause, end.init),
            None => format!("without a word; {last}"),
        }
    }
}

/// PID 1's report when it is up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootInfo {
    /// `uname -r`.
    pub release: String,
    /// Time since the kernel's start, by the guest's clock.
    pub uptime: Duration,
    /// Time since the start of QEMU, by the host's clock.
    pub wall: Duration,
    /// Messages about settings of the job that could not be applied.
    pub warnings: Vec<String>,
}

/// How a guest ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct End {
    /// Why it ended.
    pub cause: Cause,
    /// PID 1's report about the job; present exactly if the cause is [`Cause::Finished`].
    pub init: Option<InitEnd>,
    /// All kernel splats, in order.
    pub splats: Vec<Splat>,
    /// Time since the start of QEMU.
    pub wall: Duration,
}

/// Why a guest ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "cause", content = "detail")]
pub enum Cause {
    /// The job ended and PID 1 reported its exit status.
    Finished,
    /// The kernel panicked; the text is its message.
    Panicked(String),
    /// The kernel panicked because the emulator executed stale code; the text is its message. See
    /// [`Splat::is_of_stale_code`].
    Emulator(String),
    /// The result port was silent for this long.
    Idle(Duration),
    /// The guest exceeded its total time limit, which is given here.
    Overtime(Duration),
    /// PID 1 never came up, or gave up; the text is the reason.
    NoBoot(String),
    /// The guest or QEMU ended before the job did; the text is what is known.
    Died(String),
    /// [`Guest::kill`] was called.
    Killed,
}

/// A running guest.
pub struct Guest {
    /// The last lines of the console, until PID 1 is up.
    last_words: VecDeque<String>,
    running: Running,
    command_line: String,
    started: Instant,
    last_line: Instant,
    deadlines: Deadlines,
    booted: bool,
    init_end: Option<InitEnd>,
    init_error: Option<String>,
    splats: Vec<Splat>,
    queue: VecDeque<Event>,
    verdict: Option<Cause>,
    over: bool,
    emulated: bool,
}

struct Deadlines {
    boot: Duration,
    idle: Duration,
    total: Duration,
}

/// Number of console lines reported for a guest that did not come up.
const LAST_WORDS: usize = 6;
/// How long a guest may take to power off once its job has ended or its kernel has panicked.
const LAST_BREATH: Duration = Duration::from_secs(20);

impl Guest {
    /// Starts a guest.
    ///
    /// # Errors
    /// When QEMU is missing or cannot be started, or the boot's files cannot be written.
    pub fn boot(boot: &Boot<'_>) -> Result<Guest, Error> {
        let (program, args) = prepare(boot, command::Console::Stream)?;
        let command_line = command::quoted(&program, &args);
        let path = boot.dir.join("qemu.cmd");
        std::fs::write(&path, format!("{command_line}\n"))
            .map_err(io_error(format!("write {}", path.display())))?;
        let log = boot.dir.join("console.log");
        let running = Running::start(&program, &args, &log)?;
        let now = Instant::now();
        Ok(Guest {
            running,
            command_line,
            started: now,
            last_line: now,
            deadlines: Deadlines {
                boot: boot.boot_timeout,
                idle: boot.idle_timeout,
                total: boot.total_timeout,
            },
            booted: false,
            init_end: None,
            init_error: None,
            splats: Vec::new(),
            last_words: VecDeque::new(),
            queue: VecDeque::new(),
            verdict: None,
            over: false,
            emulated: matches!(boot.accel, Accel::Tcg { .. }),
        })
    }

    /// The command that starts this guest, quoted for a shell.
    pub fn command_line(&self) -> &str {
        &self.command_line
    }

    /// Kills the guest. Events continue up to the last, which has [`Cause::Killed`].
    pub fn kill(&mut self) {
        self.condemn(Cause::Killed);
    }

    /// Waits for the next event. `None` after [`Event::Ended`].
    #[expect(clippy::should_implement_trait, reason = "it is also the iterator's")]
    pub fn next(&mut self) -> Option<Event> {
        self.next_unless(&|| false)
    }

    /// As [`Guest::next`], and kills the guest as soon as `give_up` returns true. It is polled, as
    /// it may depend on a flag set by a signal handler.
    pub fn next_unless(&mut self, give_up: &dyn Fn() -> bool) -> Option<Event> {
        const LOOK: Duration = Duration::from_millis(100);
        loop {
            if let Some(event) = self.queue.pop_front() {
                return Some(event);
            }
            if self.over {
                return None;
            }
            if self.verdict.is_none() && give_up() {
                self.kill();
            }
            let (deadline, cause) = self.deadline();
            let left = deadline.saturating_duration_since(Instant::now());
            match self.running.receive(left.min(LOOK)) {
                Some(raw) => self.take(raw),
                None if left <= LOOK => self.condemn(cause),
                None => {}
            }
        }
    }

    /// Listens to the guest until it has ended; `hear` gets the lines of the job and the splats as
    /// they come. Kills the guest as soon as `give_up` returns true.
    pub fn listen(mut self, give_up: &dyn Fn() -> bool, hear: &mut dyn FnMut(Said<'_>)) -> Heard {
        let mut heard = Heard::default();
        while let Some(event) = self.next_unless(give_up) {
            match event {
                Event::Line(line) => hear(Said::Line(&line)),
                Event::Splat(splat) => hear(Said::Splat(&splat)),
                Event::Booted(info) => heard.booted = Some(info),
                Event::Console(line) => {
                    if heard.last_words.len() == KEPT_LINES {
                        heard.last_words.pop_front();
                    }
                    heard.last_words.push_back(line);
                }
                Event::Ended(end) => heard.end = Some(end),
            }
        }
        heard
    }

    /// The next deadline, and the cause if it passes.
    fn deadline(&self) -> (Instant, Cause) {
        if let Some(cause) = &self.verdict {
            // QEMU is being killed or the machine is powering off; this limits how long that may
            // take.
            return (self.last_line + LAST_BREATH, cause.clone());
        }
        let total = (self.started + self.deadlines.total, Cause::Overtime(self.deadlines.total));
        let idle = if self.booted {
            (self.last_line + self.deadlines.idle, Cause::Idle(self.deadlines.idle))
        } else {
            let text = format!("PID 1 was not up after {:.0?}", self.deadlines.boot);
            (self.started + self.deadlines.boot, Cause::NoBoot(text))
        };
        if idle.0 < total.0 { idle } else { total }
    }

    /// Sets the cause, unless there is one, and kills QEMU.
    fn condemn(&mut self, cause: Cause) {
        self.verdict.get_or_insert(cause);
        self.last_line = Instant::now();
        self.running.kill();
    }

    fn take(&mut self, raw: Raw) {
        match raw {
            Raw::Line(line) => {
                self.last_line = Instant::now();
                match InitEvent::parse(&line) {
                    Some(InitEvent::Start { release, uptime_ns, warnings, .. }) => {
                        self.booted = true;
                        self.queue.push_back(Event::Booted(BootInfo {
                            release,
                            uptime: Duration::from_nanos(uptime_ns),
                            wall: self.started.elapsed(),
                            warnings,
                        }));
                    }
                    Some(InitEvent::End(end)) => {
                        self.init_end = Some(end);
                        self.verdict.get_or_insert(Cause::Finished);
                    }
                    Some(InitEvent::Error { message }) => {
                        let cause = if self.booted { Cause::Died } else { Cause::NoBoot };
                        self.verdict.get_or_insert(cause(message.clone()));
                        self.init_error = Some(message);
                    }
                    // PID 1 begins its lines with a newline, which leaves empty lines.
                    None if line.is_empty() => {}
                    None => self.queue.push_back(Event::Line(line)),
                }
            }
            Raw::Console(line) => {
                if !self.booted {
                    self.last_words.push_back(line.trim_end().to_owned());
                    if self.last_words.len() > LAST_WORDS {
                        self.last_words.pop_front();
                    }
                }
                self.queue.push_back(Event::Console(line));
            }
            Raw::Splat(splat) => {
                if splat.kind == Kind::Panic {
                    // The job may have ended before: a panic at power off is still a panic.
                    self.verdict = Some(Cause::Panicked(splat.title.clone()));
                    self.last_line = Instant::now();
                }
                self.splats.push(splat.clone());
                self.queue.push_back(Event::Splat(splat));
            }
            Raw::PanicBegins => {
                // After this only the rest of the panic's output follows, and QEMU exits by itself.
                self.verdict = Some(Cause::Panicked("kernel panic".to_owned()));
                self.last_line = Instant::now();
            }
            Raw::Exited { status, said } => self.end(&status, &said),
        }
    }

    fn end(&mut self, status: &str, said: &str) {
        self.over = true;
        let cause = self.verdict.take().unwrap_or_else(|| {
            let said = said.trim();
            let text = if said.is_empty() {
                format!("QEMU ended ({status}) without a word from PID 1")
            } else {
                format!("QEMU ended ({status}): {said}")
            };
            if self.booted { Cause::Died(text) } else { Cause::NoBoot(text) }
        });
        let init = self.init_end.take().filter(|_| cause == Cause::Finished);
        let splats = std::mem::take(&mut self.splats);
        let cause = match splats.iter().find(|splat| self.emulated && splat.is_of_stale_code()) {
            Some(splat) if matches!(cause, Cause::Panicked(_)) => Cause::Emulator(splat.title.clone()),
            _ => cause,
        };
        let cause = match cause {
            Cause::NoBoot(text) => Cause::NoBoot(with_last_words(&text, &self.last_words)),
            other => other,
        };
        self.queue.push_back(Event::Ended(End { cause, init, splats, wall: self.started.elapsed() }));
    }
}

/// Why it did not come up, with the last lines of the console.
fn with_last_words(why: &str, last_words: &VecDeque<String>) -> String {
    let words: Vec<&str> =
        last_words.iter().map(String::as_str).filter(|line| !line.trim().is_empty()).collect();
    match words.as_slice() {
        [] => format!("{why}; the console said nothing"),
        words => format!("{why}; the console's last words: {}", words.join(" | ")),
    }
}

impl Iterator for Guest {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        Guest::next(self)
    }
}

/// Runs a guest with its console on this terminal until it powers off. The job's console should be
/// interactive. Returns QEMU's exit status.
///
/// # Errors
/// As [`Guest::boot`].
pub fn interactive(boot: &Boot<'_>) -> Result<i32, Error> {
    let (program, args) = prepare(boot, command::Console::Terminal)?;
    let status = stream::tied_to_us(&program)
        .args(&args)
        .status()
        .map_err(io_error(format!("run {}", program.display())))?;
    Ok(status.code().unwrap_or(1))
}

/// Writes the boot's files; returns the program and its arguments.
fn prepare(boot: &Boot<'_>, console: command::Console) -> Result<(PathBuf, Vec<String>), Error> {
    let machine = Machine::of(boot.kernel.arch);
    let program = crate::kernels::fetch::find_program(machine.qemu)
        .ok_or(Error::NoQemu { program: machine.qemu, package: machine.package })?;
    std::fs::create_dir_all(boot.dir).map_err(io_error(format!("create {}", boot.dir.display())))?;
    let initrd = boot.dir.join("initrd.cpio");
    initramfs::write_for_job(boot.base, boot.job, &initrd)?;
    Ok((program, command_line(machine, boot, &initrd, console)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_that_does_not_come_up_leaves_the_last_words_of_its_console() {
        let said = |lines: &[&str]| lines.iter().map(|&line| line.to_owned()).collect::<VecDeque<_>>();
        assert_eq!(
            with_last_words(
                "PID 1 was not up after 5s",
                &said(&["[0.1] crc error", " ", "-- System halted"])
            ),
            "PID 1 was not up after 5s; the console's last words: [0.1] crc error | -- System halted"
        );
        assert_eq!(with_last_words("QEMU ended", &said(&[])), "QEMU ended; the console said nothing");
    }
}
