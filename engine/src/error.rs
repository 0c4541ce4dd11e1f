//! The engine's errors, by kind: the kind decides the exit code.

use serde::Serialize;
use std::collections::HashMap;
use std::fmt::{self, Display};
use std::io;
use std::ops::Range;
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
    #[error("interrupted; the target continues")]
    Interrupted,
}

/// The part of a job that a problem is about. Displayed as `pid 4711: fd 7 (/tmp/log)`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Subject {
    /// The process.
    pub pid: i32,
    /// What of it; absent for the process as a whole.
    #[serde(flatten)]
    pub part: Option<Part>,
    /// What a descriptor or link leads to, or a mapping is of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// A part of a process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// The thread with this id.
    Thread(i32),
    /// The descriptor with this number.
    Fd(i32),
    /// The mapping of these addresses.
    Mapping(Range<u64>),
    /// A link in /proc/PID: `cwd`, `root`, `exe`.
    Link(&'static str),
}

impl Subject {
    /// A process as a whole.
    pub fn process(pid: i32) -> Self {
        Subject { pid, part: None, path: None }
    }

    /// A part of a process.
    pub fn part(pid: i32, part: Part) -> Self {
        Subject { part: Some(part), ..Subject::process(pid) }
    }

    /// A descriptor.
    pub fn fd(pid: i32, fd: i32) -> Self {
        Subject::part(pid, Part::Fd(fd))
    }

    /// The same, with what it leads to.
    pub fn leading_to(&self, path: impl Display) -> Self {
        Subject { path: Some(path.to_string()), ..self.clone() }
    }
}

impl Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pid {}", self.pid)?;
        match &self.part {
            None => {}
            Some(Part::Thread(tid)) => write!(f, ": thread {tid}")?,
            Some(Part::Fd(fd)) => write!(f, ": fd {fd}")?,
            Some(Part::Mapping(range)) => write!(f, ": mapping {:#x}-{:#x}", range.start, range.end)?,
            Some(Part::Link(name)) => write!(f, ": {name}")?,
        }
        match (&self.part, &self.path) {
            (Some(Part::Mapping(_)), Some(path)) => write!(f, " of {path}"),
            (_, Some(path)) => write!(f, " ({path})"),
            (_, None) => Ok(()),
        }
    }
}

/// How a job is bound to something outside of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum External {
    /// A process outside has the same open file description.
    OpenFile,
    /// A process outside has the same shared memory mapped.
    SharedMemory,
    /// A process outside shares an address space, descriptor table or the like.
    SharedState,
    /// A process outside has the other end of a pipe.
    PipeEnd,
    /// A process outside has the other end of a connection.
    SocketPeer,
    /// A terminal.
    Terminal,
    /// A process that an open file refers to.
    Task,
    /// A process outside receives the signals of asynchronous I/O.
    SignalOwner,
    /// A process outside is traced by one of the job's.
    Tracee,
}

impl External {
    /// Whether the job can be saved all the same: after a restart it has copies of its own.
    pub fn is_severable(self) -> bool {
        matches!(self, External::OpenFile | External::SharedMemory | External::SharedState)
    }
}

/// A reason to refuse.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// What it is about, if that is a part of the job; begins the message.
    #[serde(flatten)]
    pub at: Option<Subject>,
    /// What lies outside, if that is the reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external: Option<External>,
    /// Rest of the message: the problem, and what the user can do.
    pub why: String,
}

impl Problem {
    /// A problem of a part of the job.
    pub fn of(at: Subject, why: impl Into<String>) -> Self {
        Problem { at: Some(at), external: None, why: why.into() }
    }

    /// A problem of a thread, `what` being a predicate: `runs 32-bit code`.
    pub fn of_thread(pid: i32, tid: i32, what: &str) -> Self {
        Problem::of(Subject::part(pid, Part::Thread(tid)), format!(" {what}"))
    }

    /// A problem of a part of the job, because of something outside.
    pub fn external(at: Subject, external: External, why: impl Into<String>) -> Self {
        Problem { external: Some(external), ..Problem::of(at, why) }
    }
}

impl Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.at {
            Some(at) => write!(f, "{at}{}", self.why),
            None => f.write_str(&self.why),
        }
    }
}

impl From<String> for Problem {
    fn from(why: String) -> Self {
        Problem { at: None, external: None, why }
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
        let mut causes: Vec<(&Problem, Vec<String>)> = Vec::new();
        let mut known: HashMap<&str, usize> = HashMap::new();
        for problem in &self.reasons {
            match (known.get(problem.why.as_str()), &problem.at) {
                (Some(index), Some(at)) => causes[*index].1.push(at.to_string()),
                _ => {
                    known.insert(&problem.why, causes.len());
                    causes.push((problem, Vec::new()));
                }
            }
        }
        let line = |(first, others): (&Problem, Vec<String>)| {
            let named = others[..others.len().min(NAMED)].join(", ");
            match others.len() {
                0 => first.to_string(),
                1..=NAMED => format!("{first} (likewise {named})"),
                all => format!("{first} (likewise {named} and {} more)", all - NAMED),
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

    /// Why a recorded path cannot be opened: *conflict* if it leads elsewhere.
    pub fn of_path(path: &Path, err: io::Error) -> Self {
        match err.raw_os_error() {
            Some(libc::ENOENT) => Error::Conflict(format!("{}: no such file; put it back", path.display())),
            Some(libc::ENOTDIR) => Error::Conflict(format!(
                "{}: a component of the path is no longer a directory",
                path.display()
            )),
            Some(libc::ELOOP) => Error::Conflict(format!(
                "{}: now leads through a symbolic link that was not there at the checkpoint; put the directory back",
                path.display()
            )),
            _ => Err::<(), _>(err).context(|| format!("open {}", path.display())).expect_err("it is one"),
        }
    }

    /// An error of the context file at `path`: a failure to read or write it, or invalid contents.
    pub fn of_image(path: &Path, source: crate::image::Error) -> Self {
        if let crate::image::Error::Taken { path, what, advice } = source {
            let what = format!("{} is {what}, which a context file does not replace", path.display());
            return Error::Failed { what, source: io::Error::other(advice) };
        }
        let Some(errno) = source.errno() else {
            return match source {
                crate::image::Error::Io { action, path, source } => {
                    Error::Failed { what: format!("{action} {}", path.display()), source }
                }
                source => Error::Malformed { path: path.to_path_buf(), source },
            };
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
                Some(libc::ESRCH) => Error::Vanished(format!("{what}: the process has exited")),
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
        let mapping = |pid, start: u64| Subject::part(pid, Part::Mapping(start..start + 0x1000));
        let mut problems = Problems::default();
        problems.push(Problem::of(mapping(7, 0x1000), ": an I/O ring"));
        problems.push("pid 7: traces process 9".to_owned());
        problems.push(Problem::of(Subject::fd(7, 3), " is a socket"));
        problems.push(Problem::of(mapping(7, 0x3000), ": an I/O ring"));
        problems.push(Problem::of(mapping(8, 0x1000), ": an I/O ring"));
        assert_eq!(
            problems.lines(),
            [
                "pid 7: mapping 0x1000-0x2000: an I/O ring (likewise pid 7: mapping 0x3000-0x4000, pid 8: mapping 0x1000-0x2000)",
                "pid 7: traces process 9",
                "pid 7: fd 3 is a socket"
            ]
        );
        for fd in 4..9 {
            problems.push(Problem::of(Subject::fd(7, fd), " is a socket"));
        }
        let last = "pid 7: fd 3 is a socket (likewise pid 7: fd 4, pid 7: fd 5, pid 7: fd 6 and 2 more)";
        assert_eq!(problems.lines()[2], last);
    }

    #[test]
    fn a_problem_is_data_as_well() {
        let at = Subject::fd(7, 3).leading_to("pipe:[12]");
        let problem = Problem::external(at, External::PipeEnd, " is half a pipe");
        insta::assert_json_snapshot!(problem, @r#"
        {
          "pid": 7,
          "fd": 3,
          "path": "pipe:[12]",
          "external": "pipe-end",
          "why": " is half a pipe"
        }
        "#);
        assert_eq!(problem.to_string(), "pid 7: fd 3 (pipe:[12]) is half a pipe");
    }
}
