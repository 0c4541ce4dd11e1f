//! Jobs in Python: what a shell cannot do, by the calls of the C library.

use super::*;

/// What all of them have in common. A job that meets something that this kernel or machine has not
/// says so in `skip`.
const PRELUDE: &str = r#"
import ctypes, errno, os, select, signal, socket, struct, sys, threading

C = ctypes.CDLL(None, use_errno=True)
MACHINE = os.uname().machine
X86 = MACHINE == "x86_64"

# A file with this text, as a whole.
def say(name, text):
    with open(name + ".new", "w") as file:
        file.write(str(text))
    os.rename(name + ".new", name)

def trouble(kind, value, trace):
    say("trouble", repr(value) + " in line " + str(trace.tb_lineno))
    os._exit(1)

sys.excepthook = trouble
threading.excepthook = lambda args: trouble(args.exc_type, args.exc_value, args.exc_traceback)

def skip(why):
    say("skip", why)
    os._exit(0)

# A function of the C library, without more; -1 is an error.
def plain(name, *args):
    function = getattr(C, name)
    function.restype = ctypes.c_long
    done = function(*[ctypes.c_long(arg) if isinstance(arg, int) else arg for arg in args])
    # An int comes without its upper half.
    return -1 if ctypes.c_int(done).value == -1 else done

# The same. An errno of `absent` says that there is no such thing here.
def call(name, *args, absent=()):
    done = plain(name, *args)
    error = ctypes.get_errno()
    if done == -1 and error in absent:
        skip(name + ": " + os.strerror(error))
    if done == -1:
        raise OSError(error, os.strerror(error), name)
    return done
"#;

/// Starts a job with this text, in a directory of its own.
pub fn start(text: &str) -> Job {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("job.py"), format!("{PRELUDE}\n{text}\n")).expect("written");
    let run = cmd!(CAIRN, "run", "--detach", "--", "python3", "job.py").dir(dir.path()).stdin_null();
    let pid = run.read().expect("the job starts").trim().parse().expect("its number");
    Job { dir, pid }
}

/// What the job says in `up`, once it is there; nothing where it cannot be.
pub fn up(job: &Job) -> Option<String> {
    let found = wait_for("the job", || {
        let trouble = said(job, "trouble").map(|why| panic!("the job has failed: {why}"));
        trouble.or_else(|| said(job, "skip").map(Err)).or_else(|| said(job, "up").map(Ok))
    });
    found.map_err(|why| eprintln!("skipped: {why}")).ok()
}

/// What is in a file of the job's, if there is one.
pub fn said(job: &Job, name: &str) -> Option<String> {
    std::fs::read_to_string(job.path(name)).ok()
}

/// Does something in the directory of a job, by a program of its own.
pub fn aside(job: &Job, text: &str) -> Output {
    let run = cmd!("python3", "-c", format!("{PRELUDE}\n{text}\n")).dir(job.dir.path());
    run.stdout_capture().stderr_capture().unchecked().run().expect("python3 starts")
}

/// Something to be done when a test ends: there are kernel objects that outlive their users.
pub struct Afterwards<'job>(pub &'job Job, pub &'static str);

impl Drop for Afterwards<'_> {
    fn drop(&mut self) {
        if !self.1.is_empty() {
            // There may be nothing to do: the job said that it cannot be, or it has been done.
            aside(self.0, self.1);
        }
    }
}
