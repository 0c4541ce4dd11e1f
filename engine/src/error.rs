//! The engine's errors, by kind: the kind decides the exit code.

use std::collections::HashMap;
use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

/// Result with the engine's [`enum@Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failed operation of the engine. Messages are fragments that name the action, the object and
/// the pid; the kernel's error, if there is one, is the source.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The target has something that cairn cannot save or restore; nothing was changed.
    #[error("unsupported: {}", .0.lines().join("\nunsupported: "))]
    Unsupported(Problems),
    /// The context file is damaged, truncated, not a context file, or of a later version.
    #[error("{}", .path.display())]
    Malformed {
        /// The context file.
        path: PathBuf,
        /// What is wrong with it.
        source: crate::image::Error,
    },
    /// We lack the permission.
    #[error("{what}")]
    Denied {
        /// Action and object.
        what: String,
        /// EPERM or EACCES.
        source: io::Error,
    },
    /// The target exited or changed during the operation.
    #[error("{0}")]
    Vanished(String),
    /// A restart cannot get what it needs: a PID is in use, a path is gone or differs.
    #[error("{0}")]
    Conflict(String),
    /// Any other error of the kernel.
    #[error("{what}")]
    Failed {
        /// Action and object.
        what: String,
        /// The kernel's error.
        source: io::Error,
    },
    /// Interrupted by a signal.
    #[error("interrupted; the target runs on")]
    Interrupted,
}

/// A reason to refuse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Pid and object, if others may have the same problem: `pid 4711: fd 7`. Otherwise empty.
    pub at: String,
    /// Rest of the message: the problem, and what the user can do.
    pub why: String,
}

impl Problem {
    /// A problem of one object among many.
    pub fn of(at: impl Into<String>, why: impl Into<String>) -> Self {
        Problem { at: at.into(), why: why.into() }
    }

    /// A problem of a thread, `what` being a predicate: `runs 32-bit code`.
    pub fn of_thread(pid: i32, tid: i32, what: &str) -> Self {
        Problem::of(format!("pid {pid}: thread {tid}"), format!(" {what}"))
    }
}

impl From<String> for Problem {
    fn from(why: String) -> Self {
        Problem { at: String::new(), why }
    }
}

impl From<&str> for Problem {
    fn from(why: &str) -> Self {
        why.to_owned().into()
    }
}

/// Reasons why the target cannot be saved.
#[derive(Debug, Default)]
pub struct Problems {
    /// In the order in which they were found.
    pub reasons: Vec<Problem>,
    /// Whether any of them is not transient.
    pub lasting: bool,
}

impl Problems {
    /// Adds a lasting problem.
    pub fn push(&mut self, problem: impl Into<Problem>) {
        self.reasons.push(problem.into());
        self.lasting = true;
    }

    /// Adds all of `others`.
    pub fn extend(&mut self, others: Problems) {
        self.reasons.extend(others.reasons);
        self.lasting |= others.lasting;
    }

    /// Succeeds if there are none.
    ///
    /// # Errors
    /// *unsupported* with all of them.
    pub fn none(self) -> Result<()> {
        if self.reasons.is_empty() { Ok(()) } else { Err(Error::Unsupported(self)) }
    }

    /// One line for each cause: the first object that has it, and the others.
    pub fn lines(&self) -> Vec<String> {
        /// Further objects with the same cause are only counted.
        const NAMED: usize = 3;
        let mut causes: Vec<(&Problem, Vec<&str>)> = Vec::new();
        let mut known: HashMap<&str, usize> = HashMap::new();
        for problem in &self.reasons {
            match known.get(problem.why.as_str()) {
                Some(index) if !problem.at.is_empty() => causes[*index].1.push(&problem.at),
                _ => {
                    known.insert(&problem.why, causes.len());
                    causes.push((problem, Vec::new()));
                }
            }
        }
        let line = |(Problem { at, why }, others): (&Problem, Vec<&str>)| {
            let named = others[..others.len().min(NAMED)].join(", ");
            match others.len() {
                0 => format!("{at}{why}"),
                1..=NAMED => format!("{at}{why} (likewise {named})"),
                all => format!("{at}{why} (likewise {named} and {} more)", all - NAMED),
            }
        };
        causes.into_iter().map(line).collect()
    }
}

impl Error {
    /// A single lasting reason not to checkpoint.
    pub fn unsupported(problem: impl Into<Problem>) -> Self {
        Error::Unsupported(Problems { reasons: vec![problem.into()], lasting: true })
    }

    /// A single transient reason not to checkpoint.
    pub fn unsupported_now(problem: impl Into<Problem>) -> Self {
        Error::Unsupported(Problems { reasons: vec![problem.into()], lasting: false })
    }

    /// An error of the context file at `path`: a failure to read or write it, or invalid contents.
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

/// Adds action and object to a failed system call.
pub trait Context<T> {
    /// Wraps the error; the text is built only in case of an error. EPERM and EACCES become
    /// *denied*, ESRCH *vanished*.
    ///
    /// # Errors
    /// The wrapped error.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_cause_is_one_line() {
        let mut problems = Problems::default();
        problems.push(Problem::of("pid 7: mapping 0x1000-0x2000", ": an I/O ring"));
        problems.push("pid 7: traces process 9".to_owned());
        problems.push(Problem::of("pid 7: fd 3", " is a socket"));
        problems.push(Problem::of("pid 7: mapping 0x3000-0x4000", ": an I/O ring"));
        problems.push(Problem::of("pid 8: mapping 0x1000-0x2000", ": an I/O ring"));
        assert_eq!(
            problems.lines(),
            [
                "pid 7: mapping 0x1000-0x2000: an I/O ring (likewise pid 7: mapping 0x3000-0x4000, pid 8: mapping 0x1000-0x2000)",
                "pid 7: traces process 9",
                "pid 7: fd 3 is a socket"
            ]
        );
        for fd in 4..9 {
            problems.push(Problem::of(format!("pid 7: fd {fd}"), " is a socket"));
        }
        let last = "pid 7: fd 3 is a socket (likewise pid 7: fd 4, pid 7: fd 5, pid 7: fd 6 and 2 more)";
        assert_eq!(problems.lines()[2], last);
    }
}
