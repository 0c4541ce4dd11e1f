//! The terminal of whoever calls `cairn restart`: lent to the job, and taken back when the job
//! stops or ends.

use cairn::resource::fd::external::Replacement;
use cairn::resource::fd::terminal::{DEV_TTY, foreground, is_ours_to_lend, own_group, set_foreground};
use cairn::resource::tty::Settings;
use cairn::sys::file::device_numbers;
use cairn::sys::session::group_of;
use rustix::fs::{Mode, OFlags, open};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The controlling terminal of this process, with the settings that it had.
pub struct Terminal {
    fd: Arc<OwnedFd>,
    settings: Settings,
    /// Whether the job may have it now.
    lent: AtomicBool,
    /// The settings of the job while it has it not.
    of_job: Mutex<Option<Settings>>,
}

impl Terminal {
    /// `None` for a process without one, and for one that has hung up.
    pub fn of_caller() -> Option<Self> {
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let by_name = |path: &str| open(path, flags, Mode::empty()).ok();
        // Only our controlling terminal tells us which group is in the foreground. Standard input,
        // output and error have its own name, for which programs ask (ttyname(3)).
        let is_ours = |fd: &OwnedFd| foreground(fd.as_fd()).is_some_and(|group| group != 0);
        let standard = (0..=2).filter_map(|fd| by_name(&format!("/proc/self/fd/{fd}"))).find(is_ours);
        Terminal::of(standard.or_else(|| by_name("/dev/tty").filter(is_ours))?)
    }

    /// The controlling terminal of this process; `None` for one that has hung up.
    pub fn of(fd: OwnedFd) -> Option<Self> {
        let settings = Settings::of(fd.as_fd()).ok()?;
        let lent = AtomicBool::new(is_ours_to_lend(fd.as_fd()));
        Some(Terminal { fd: Arc::new(fd), settings, lent, of_job: Mutex::default() })
    }

    /// Whether the job may have it from the beginning.
    pub fn is_lent(&self) -> bool {
        self.lent.load(Ordering::Relaxed)
    }

    /// Keeps settings of the job for when it gets the terminal, if it does not have it yet.
    fn remember(&self, settings: Option<&Settings>) {
        if !self.is_lent() {
            *self.of_job() = settings.cloned();
        }
    }

    fn of_job(&self) -> MutexGuard<'_, Option<Settings>> {
        self.of_job.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For the job.
    pub fn descriptor(&self) -> Arc<OwnedFd> {
        self.fd.clone()
    }

    /// Whether a replacement is this terminal.
    pub fn is(&self, replacement: &Replacement) -> bool {
        let device = |replacement: &Replacement| {
            let meta = replacement.metadata().ok().filter(|meta| meta.file_type().is_char_device())?;
            Some(device_numbers(meta.rdev()))
        };
        let own = device(&Replacement::Descriptor(self.descriptor()));
        device(replacement).is_some_and(|device| Some(device) == own || device == DEV_TTY)
    }

    /// Whether this process group is in the foreground.
    pub fn is_with(&self, group: i32) -> bool {
        foreground(self.fd.as_fd()) == Some(group)
    }

    /// Puts a process group of the job into the foreground, with the settings that it had there,
    /// unless we are in the background.
    ///
    /// # Errors
    /// The group has ended.
    pub fn lend(&self, group: i32) -> io::Result<()> {
        let fd = self.fd.as_fd();
        if !is_ours_to_lend(fd) {
            return Ok(());
        }
        if let Some(settings) = self.of_job().take() {
            settings.set(fd)?;
        }
        self.lent.store(true, Ordering::Relaxed);
        set_foreground(fd, group)
    }

    /// Puts this process into the foreground, with the settings from before, unless a shell has
    /// done so with itself.
    ///
    /// # Errors
    /// As tcsetattr(3).
    pub fn take_back(&self) -> io::Result<()> {
        let fd = self.fd.as_fd();
        let shell = rustix::process::getppid().map(|shell| shell.as_raw_nonzero().get());
        let is_shells = foreground(fd) == shell.and_then(|shell| group_of(shell).ok());
        if !self.lent.swap(false, Ordering::Relaxed) || is_shells {
            return Ok(());
        }
        *self.of_job() = Some(Settings::of(fd)?);
        set_foreground(fd, own_group())?;
        self.settings.set(fd)
    }
}

/// Takes a terminal back when it is dropped.
pub struct Loan(Arc<Terminal>);

impl Loan {
    /// Of this terminal, to a job that had these settings on its own.
    pub fn of(terminal: Arc<Terminal>, settings: Option<&Settings>) -> Self {
        terminal.remember(settings);
        Loan(terminal)
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        // A terminal that has hung up cannot be taken back.
        let _ = self.0.take_back();
    }
}
