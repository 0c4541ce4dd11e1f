//! What can go wrong, by kind: the kind decides the exit code.

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

/// Result with the engine's [`enum@Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An operation of the engine that did not succeed. Messages are fragments that name the action, the object and the pid; the kernel's
/// answer, where there is one, is the source.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The target has something that cairn cannot save or bring back; nothing was changed.
    #[error("unsupported: {}", .0.reasons.join("\nunsupported: "))]
    Unsupported(Problems),
    /// The context file is damaged, truncated, foreign or from the future.
    #[error("{}", .path.display())]
    Malformed {
        /// The context file.
        path: PathBuf,
        /// What is wrong with it.
        source: crate::image::Error,
    },
    /// The kernel does not allow it to us.
    #[error("{what}")]
    Denied {
        /// Action and object.
        what: String,
        /// EPERM or EACCES.
        source: io::Error,
    },
    /// The target ended or changed while we looked.
    #[error("{0}")]
    Vanished(String),
    /// A restart cannot have what it needs: a PID in use, a path that is gone or differs.
    #[error("{0}")]
    Conflict(String),
    /// Anything else that the kernel refused.
    #[error("{what}")]
    Failed {
        /// Action and object.
        what: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Asked to stop by a signal.
    #[error("interrupted; the target runs on")]
    Interrupted,
}

/// What cannot be saved.
#[derive(Debug, Default)]
pub struct Problems {
    /// Each with pid and kind.
    pub reasons: Vec<String>,
    /// Some of them will still be there in a moment.
    pub lasting: bool,
}

impl Problems {
    /// One more that will stay.
    pub fn push(&mut self, what: String) {
        self.reasons.push(what);
        self.lasting = true;
    }

    /// All of these, too.
    pub fn extend(&mut self, others: Problems) {
        self.reasons.extend(others.reasons);
        self.lasting |= others.lasting;
    }
}

impl Error {
    /// One reason not to checkpoint.
    pub fn unsupported(what: impl Into<String>) -> Self {
        Error::Unsupported(Problems { reasons: vec![what.into()], lasting: true })
    }

    /// One reason not to checkpoint just now: programs have that for a moment only.
    pub fn unsupported_now(what: impl Into<String>) -> Self {
        Error::Unsupported(Problems { reasons: vec![what.into()], lasting: false })
    }

    /// An error with the context file at `path`: the kernel's refusal to read or write it, or what is wrong inside.
    pub fn of_image(path: &Path, source: crate::image::Error) -> Self {
        if let crate::image::Error::Taken { path, what, advice } = source {
            let what = format!("{} is {what}, which a context file does not replace", path.display());
            return Error::Failed { what, source: io::Error::other(advice) };
        }
        let Some(errno) = source.errno() else {
            return Error::Malformed { path: path.to_path_buf(), source };
        };
        let (what, source) = (source.to_string(), io::Error::from_raw_os_error(errno));
        match errno {
            libc::EPERM | libc::EACCES => Error::Denied { what, source },
            _ => Error::Failed { what, source },
        }
    }

    /// The exit code of `cairn` for this error; documented in `cairn --help`.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Failed { .. } | Error::Interrupted => 1,
            Error::Unsupported(_) => 3,
            Error::Malformed { .. } => 4,
            Error::Denied { .. } => 5,
            Error::Vanished(_) => 6,
            Error::Conflict(_) => 7,
        }
    }
}

/// Names the action and object of a failed kernel call.
pub trait Context<T> {
    /// Wraps the error; the text is only built when there is one. EPERM and EACCES become *denied*, ESRCH *vanished*.
    ///
    /// # Errors
    /// The wrapped one.
    fn context<D: Display>(self, what: impl FnOnce() -> D) -> Result<T>;
}

impl<T, E: Into<io::Error>> Context<T> for Result<T, E> {
    fn context<D: Display>(self, what: impl FnOnce() -> D) -> Result<T> {
        self.map_err(|err| {
            let source: io::Error = err.into();
            let what = what().to_string();
            match source.raw_os_error() {
                Some(libc::EPERM | libc::EACCES) => Error::Denied { what, source },
                Some(libc::ESRCH) => Error::Vanished(format!("{what}: the process has ended")),
                _ => Error::Failed { what, source },
            }
        })
    }
}
