//! Target processes: this program, started with the name of a behaviour.

use anyhow::{Context, Result, ensure};
use std::os::fd::AsRawFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// First argument of a target process.
pub const FLAG: &str = "--live";

/// Thread name that a child sets when it begins its behaviour. Before that, the runtime may have
/// files of /proc open, which cannot be saved.
const NAME: &std::ffi::CStr = c"living";

/// Timeout for freezing a process.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// UID of an unprivileged user.
pub const USER: u32 = 1000;
/// UID of another unprivileged user.
pub const OTHER: u32 = 1001;

/// Polls for a condition. Half a minute is for slow emulation.
pub fn wait_for(mut there: impl FnMut() -> bool) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !there() {
        ensure!(Instant::now() < deadline, "it does not come about");
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Kills the child when its parent exits.
fn tie() {
    // SAFETY: a plain number goes to the kernel.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
}

/// Runs the behaviour `kind`.
pub fn live(kind: &str) -> ! {
    tie();
    // SAFETY: the name lives for the call.
    unsafe { libc::prctl(libc::PR_SET_NAME, NAME.as_ptr()) };
    match kind {
        "count" => count(),
        "threads" => {
            for _ in 0..8 {
                std::thread::spawn(|| count());
            }
            count()
        }
        "sleep" => idle(),
        // Waits in a system call with a timeout, and prints how long.
        "sigtimedwait" | "semtimedop" | "epoll_wait" | "epoll_pwait" | "sigwait" => {
            let begin = Instant::now();
            let ended = wait(kind);
            match ended {
                Ok(()) => println!("{}", begin.elapsed().as_millis()),
                Err(err) => println!("{err}"),
            }
            idle()
        }
        // Exits in a handler of SIGUSR1.
        "handler" => {
            extern "C" fn end(_: libc::c_int) {
                // SAFETY: async-signal-safe.
                unsafe { libc::_exit(0) };
            }
            // SAFETY: the handler does nothing that a handler may not.
            unsafe { libc::signal(libc::SIGUSR1, end as *const () as libc::sighandler_t) };
            println!("ready");
            count()
        }
        // Creates threads, which exit at once, and executes itself, forever.
        "churn" => {
            let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(|| {})).collect();
            threads.into_iter().for_each(|thread| thread.join().expect("an empty thread ends well"));
            become_oneself("churn")
        }
        // The same, by a thread that is not the leader: execve() gives it the leader's TID.
        "churn-by-thread" => {
            std::thread::spawn(|| count());
            std::thread::spawn(|| become_oneself("churn-by-thread"));
            count()
        }
        "undumpable" => {
            // SAFETY: plain numbers go to the kernel.
            unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0) };
            println!("ready");
            idle()
        }
        // Has a zombie child that was not dumpable.
        "parent-of-undumpable" => {
            // SAFETY: the process has one thread; the child makes async-signal-safe calls only.
            unsafe {
                if libc::fork() == 0 {
                    libc::prctl(libc::PR_SET_DUMPABLE, 0);
                    libc::_exit(3)
                }
            }
            count()
        }
        // The leader changes to a user's ids, another thread keeps root's: permission differs
        // between the threads of one process.
        "mixed" => {
            std::thread::spawn(|| count());
            // SAFETY: plain numbers go to the kernel.
            unsafe {
                libc::syscall(libc::SYS_setresgid, USER, USER, USER);
                libc::syscall(libc::SYS_setresuid, USER, USER, USER);
                libc::prctl(libc::PR_SET_DUMPABLE, 1);
            }
            println!("ready");
            count()
        }
        // Creates threads that exit at once, as fast as it can.
        "ending-threads" => loop {
            let threads: Vec<_> = (0..8).map(|_| std::thread::spawn(|| {})).collect();
            threads.into_iter().for_each(|thread| thread.join().expect("an empty thread ends well"));
        },
        // Has an unlinked file open.
        "unlinked" => {
            use std::os::unix::fs::FileExt;
            let path = "/tmp/kmod-test-restarts/gone";
            let file = std::fs::File::options().read(true).write(true).create_new(true).open(path);
            let file = file.expect("the directory is ours");
            file.write_all_at(b"without a name", 0).expect("there is room");
            std::fs::remove_file(path).expect("it was there");
            // SAFETY: one descriptor is owned, the other unused.
            unsafe { libc::dup2(file.as_raw_fd(), 100) };
            drop(file);
            count()
        }
        // Has memory with data in every page, and memory of zeros; prints the addresses.
        "patterns" => {
            let full: Vec<u64> = (1..=(1 << 20) / 8 + 1024).collect();
            let mut zeros = vec![1u8; 1 << 18];
            zeros.fill(0);
            let whole = |at: u64, len: usize| {
                let from = at.next_multiple_of(4096);
                format!("{from} {}", (at + len as u64 - from) / 4096 * 4096)
            };
            let full_at = whole(full.as_ptr() as u64, full.len() * 8);
            println!("{full_at} {}", whole(zeros.as_ptr() as u64, zeros.len()));
            std::hint::black_box((&full, &zeros));
            idle()
        }
        // Has shared memory that a child writes to all the time; prints the address.
        "written" => {
            let len = cairn_kmod_abi::SAVE_MAX;
            let prot = libc::PROT_READ | libc::PROT_WRITE;
            // SAFETY: an owned mapping; the process has one thread, and the child writes only.
            unsafe {
                let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
                let shared = libc::mmap(std::ptr::null_mut(), len, prot, flags, -1, 0);
                assert_ne!(shared, libc::MAP_FAILED);
                if libc::fork() == 0 {
                    tie();
                    let words = shared.cast::<u64>();
                    for number in 1.. {
                        (0..len / 8).for_each(|at| words.add(at).write_volatile(number));
                    }
                }
                println!("{}", shared as u64);
            }
            idle()
        }
        // Has a handler of SIGCONT.
        "continued" => {
            extern "C" fn nothing(_: libc::c_int) {}
            // SAFETY: the handler does nothing.
            unsafe { libc::signal(libc::SIGCONT, nothing as *const () as libc::sighandler_t) };
            println!("ready");
            count()
        }
        // Has as many cheap children as it reads from standard input; prints their PIDs.
        "parent" => {
            let count: usize = line().parse().expect("a number");
            let children: Vec<String> = (0..count).map(|_| cheap_child().to_string()).collect();
            println!("{}", children.join(" "));
            idle()
        }
        // Freezes the process whose PID it reads from standard input, until it is killed.
        "hold" => {
            let device = cairn_kmod_abi::Device::open().expect("the module is loaded");
            device.freeze(line().parse().expect("a number"), 0, PATIENCE).expect("it is held");
            println!("ready");
            idle()
        }
        // The same, and then blocks in an ioctl on a page fault.
        "hold-and-wait" => {
            use cairn_kmod_abi::{Actions, Device, IOC_GET_ACTIONS};
            let pid = line().parse().expect("a number");
            let device = Device::open().expect("the module is loaded");
            device.freeze(pid, 0, PATIENCE).expect("it is held");
            let addr = page_that_never_comes();
            let mut actions = Actions { size: size_of::<Actions>() as u32, pid, addr };
            println!("ready");
            // SAFETY: the argument is live, and the address in it is a page of this process.
            let result = unsafe { libc::ioctl(device.as_raw_fd(), IOC_GET_ACTIONS, &raw mut actions) };
            panic!("the answer has been stored: {result}");
        }
        // Opens sessions and freezes the process with each, until the memory is used up.
        "hold-much" => {
            let pid = line().parse().expect("a number");
            let most = rustix::process::Rlimit { current: Some(1 << 20), maximum: Some(1 << 20) };
            rustix::process::setrlimit(rustix::process::Resource::Nofile, most).expect("root may");
            let mut sessions = Vec::new();
            loop {
                let device = cairn_kmod_abi::Device::open().expect("a session, until we are killed");
                // Only the first succeeds; the task works of the others stay queued after its own.
                let patience = if sessions.is_empty() { PATIENCE } else { Duration::ZERO };
                match device.freeze(pid, 0, patience) {
                    Ok(_) => println!("ready"),
                    Err(err) if err.raw_os_error() == Some(libc::ETIMEDOUT) => {}
                    Err(err) => panic!("it is there to be held: {err}"),
                }
                sessions.push(device);
            }
        }
        // Freezes a process and saves its memory in several threads, until it is killed.
        "save-much" => {
            use cairn_kmod_abi::{Device, RANGE_ZEROS, Range};
            use std::os::fd::AsFd;
            let pid: i32 = line().parse().expect("a number");
            let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).expect("it is there");
            let stack = maps.lines().find(|line| line.ends_with("[stack]")).expect("it has a stack");
            let end = stack.split(['-', ' ']).nth(1).expect("a range");
            let from = u64::from_str_radix(end, 16).expect("an address") - 8192;
            let device = Device::open().expect("the module is loaded");
            device.freeze(pid, 0, PATIENCE).expect("it is held");
            let file =
                rustix::fs::memfd_create("save-much", rustix::fs::MemfdFlags::CLOEXEC).expect("a file");
            let again = || loop {
                rustix::fs::seek(&file, rustix::fs::SeekFrom::Start(0)).expect("a file has a position");
                let ranges = [Range { from, len: 8192, flags: RANGE_ZEROS }; 128];
                device.save(pid, file.as_fd(), &ranges, &mut [0; 4]).expect("it can be saved");
            };
            std::thread::scope(|scope| {
                (0..3).for_each(|_| drop(scope.spawn(again)));
                println!("ready");
                again()
            })
        }
        "save" => {
            let line = line();
            let (pid, file) = line.split_once(' ').expect("a PID and a file");
            say(save(pid.parse().expect("a PID"), file.into()).map(|_| "saved"));
            idle()
        }
        "restart" => {
            say(restart(line().into()).map(|_| "restarted"));
            idle()
        }
        other => panic!("no way to live is called {other}"),
    }
}

/// Executes this program with a behaviour.
fn become_oneself(kind: &str) -> ! {
    let own = std::env::current_exe().expect("there is /proc");
    let failed = Command::new(own).args([FLAG, kind]).exec();
    panic!("exec: {failed}");
}

/// Creates a process that shares memory with this one (CLONE_VM) and pauses.
fn cheap_child() -> i32 {
    extern "C" fn wait(_: *mut libc::c_void) -> libc::c_int {
        // SAFETY: plain numbers go to the kernel.
        unsafe {
            libc::syscall(libc::SYS_prctl, libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            loop {
                libc::pause();
            }
        }
    }
    const STACK: usize = 16 << 10;
    let stack = Box::leak(vec![0u128; STACK / 16].into_boxed_slice());
    // SAFETY: the stack is leaked, for the child only.
    let pid = unsafe {
        let end = stack.as_mut_ptr().add(stack.len());
        libc::clone(wait, end.cast(), libc::CLONE_VM | libc::SIGCHLD, std::ptr::null_mut())
    };
    assert!(pid > 0, "clone: {}", std::io::Error::last_os_error());
    pid
}

/// Timeout of the system calls with a timeout.
pub const WAIT: Duration = Duration::from_millis(2500);
/// A timeout that does not expire during a check.
pub const LONG_WAIT: Duration = Duration::from_secs(4000);

/// The signal set of one signal.
fn only(signal: i32) -> libc::sigset_t {
    // SAFETY: the set is owned; all zeros are the empty set.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigaddset(&mut set, signal);
        set
    }
}

/// Waits in a system call until it times out; "sigwait" until SIGUSR2.
fn wait(kind: &str) -> std::io::Result<()> {
    let time = |time: Duration| libc::timespec {
        tv_sec: time.as_secs() as i64,
        tv_nsec: i64::from(time.subsec_nanos()),
    };
    let sigwait = |time: libc::timespec| {
        // SAFETY: the set and the time are live; no information is asked for.
        unsafe {
            let set = only(libc::SIGUSR2);
            libc::sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
            libc::syscall(libc::SYS_rt_sigtimedwait, &set, 0usize, &time, 8usize)
        }
    };
    let result = match kind {
        "sigtimedwait" => sigwait(time(WAIT)),
        "sigwait" => sigwait(time(LONG_WAIT)),
        // SAFETY: an owned semaphore that no process raises; operation and time are live.
        "semtimedop" => unsafe {
            let id = libc::semget(libc::IPC_PRIVATE, 1, 0o600);
            let mut lower = libc::sembuf { sem_num: 0, sem_op: -1, sem_flg: 0 };
            let ended = libc::syscall(libc::SYS_semtimedop, id, &mut lower, 1usize, &time(WAIT));
            let err = std::io::Error::last_os_error();
            libc::semctl(id, 0, libc::IPC_RMID);
            if ended == -1 && err.raw_os_error() == Some(libc::EAGAIN) {
                return Ok(());
            }
            return Err(err);
        },
        // With a temporary mask; the original one must be restored afterwards.
        // SAFETY: as below; the masks are live.
        "epoll_pwait" => unsafe {
            let (own, meanwhile) = (only(libc::SIGUSR2), only(libc::SIGUSR1));
            let mut after: libc::sigset_t = std::mem::zeroed();
            libc::sigprocmask(libc::SIG_SETMASK, &own, std::ptr::null_mut());
            let fd = libc::epoll_create1(libc::EPOLL_CLOEXEC);
            let mut event: libc::epoll_event = std::mem::zeroed();
            let ended = libc::epoll_pwait(fd, &mut event, 1, WAIT.as_millis() as i32, &meanwhile);
            libc::sigprocmask(libc::SIG_BLOCK, std::ptr::null(), &mut after);
            let has = [libc::SIGUSR1, libc::SIGUSR2].map(|signal| libc::sigismember(&after, signal) == 1);
            if has != [false, true] {
                return Err(std::io::Error::other(format!("USR1 and USR2 are blocked afterwards: {has:?}")));
            }
            ended.into()
        },
        // SAFETY: an empty epoll instance, and a buffer for one event.
        _ => unsafe {
            let fd = libc::epoll_create1(libc::EPOLL_CLOEXEC);
            let mut event: libc::epoll_event = std::mem::zeroed();
            libc::syscall(libc::SYS_epoll_wait, fd, &mut event, 1, WAIT.as_millis() as i32)
        },
    };
    let err = std::io::Error::last_os_error();
    let as_it_should = match kind {
        "sigtimedwait" => result == -1 && err.raw_os_error() == Some(libc::EAGAIN),
        "sigwait" => result == i64::from(libc::SIGUSR2),
        _ => result == 0,
    };
    if as_it_should { Ok(()) } else { Err(std::io::Error::other(format!("{kind}: {result}, {err}"))) }
}

/// The address of a page that blocks whoever accesses it: userfaultfd(2), never resolved.
fn page_that_never_comes() -> u64 {
    // include/uapi/linux/userfaultfd.h
    const UFFD_API: u64 = 0xaa;
    const UFFDIO_API: libc::Ioctl = libc::_IOWR::<[u64; 3]>(0xaa, 0x3f);
    const UFFDIO_REGISTER: libc::Ioctl = libc::_IOWR::<[u64; 4]>(0xaa, 0x00);
    const UFFDIO_REGISTER_MODE_MISSING: u64 = 1;
    let len = 1 << 16;
    // SAFETY: an owned mapping, and live structures as long as the requests say.
    unsafe {
        let prot = libc::PROT_READ | libc::PROT_WRITE;
        let page =
            libc::mmap(std::ptr::null_mut(), len, prot, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0);
        assert_ne!(page, libc::MAP_FAILED);
        let fd = libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC) as i32;
        assert!(fd >= 0, "userfaultfd: {}", std::io::Error::last_os_error());
        let mut api = [UFFD_API, 0, 0];
        assert_eq!(libc::ioctl(fd, UFFDIO_API, api.as_mut_ptr()), 0);
        let mut register = [page as u64, len as u64, UFFDIO_REGISTER_MODE_MISSING, 0];
        assert_eq!(libc::ioctl(fd, UFFDIO_REGISTER, register.as_mut_ptr()), 0);
        page as u64
    }
}

pub fn idle() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

/// Reads a line from standard input.
fn line() -> String {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).expect("it is told something");
    line.trim_end().to_owned()
}

fn say(result: cairn::error::Result<&str>) {
    match result {
        Ok(word) => println!("{word}"),
        Err(err) => {
            let code = err.exit_code();
            println!("refused {code} {}", format!("{:#}", anyhow::Error::from(err)).replace('\n', " "));
        }
    }
}

fn save(pid: i32, file: PathBuf) -> cairn::error::Result<()> {
    use cairn::checkpoint::{Options, Target, Then, checkpoint};
    let scope = cairn::tree::Scope::Tree(pid);
    checkpoint(&Options {
        target: Target { source: cairn::source::Wanted::Kmod, ..Target::of(scope) },
        to: file.into(),
        then: Then::Kill,
        sync: cairn::image::Sync::None,
        progress: &|_, _| {},
        cancelled: &|| false,
    })
    .map(drop)
}

fn restart(file: PathBuf) -> cairn::error::Result<()> {
    use cairn::restart::{Options, carry_out, prepare};
    carry_out(prepare(&Options::of(file))?).map(drop)
}

/// Uses CPU time, which /proc/PID/stat shows.
fn count() -> ! {
    loop {
        std::hint::spin_loop();
    }
}

/// A target process, killed on drop.
pub struct Living(Child);

impl Living {
    /// Starts one with the behaviour `kind`.
    pub fn new(kind: &str) -> Result<Self> {
        Self::of(&std::env::current_exe()?, kind, None)
    }

    /// Starts one without pipes to this process, so that it can be saved.
    pub fn apart(kind: &str) -> Result<Self> {
        Self::apart_of(kind, None)
    }

    /// The same, with the ids of a user.
    pub fn apart_of(kind: &str, user: Option<u32>) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args([FLAG, kind]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if let Some(user) = user {
            command.uid(user).gid(user);
        }
        let living = Living(command.spawn().context("start a child")?);
        let comm = format!("/proc/{}/comm", living.pid());
        wait_for(|| {
            std::fs::read_to_string(&comm).is_ok_and(|name| name.trim_end().as_bytes() == NAME.to_bytes())
        })
        .context("the child begins its life")?;
        Ok(living)
    }

    /// Starts one with the ids of a user.
    pub fn of_user(kind: &str, user: u32) -> Result<Self> {
        Self::of(&std::env::current_exe()?, kind, Some(user))
    }

    /// Starts a copy of this program with the ids of a user.
    pub fn of(program: &Path, kind: &str, user: Option<u32>) -> Result<Self> {
        let mut command = Command::new(program);
        command.args([FLAG, kind]).stdin(Stdio::piped()).stdout(Stdio::piped());
        if let Some(user) = user {
            command.uid(user).gid(user);
        }
        Ok(Living(command.spawn().with_context(|| format!("start {}", program.display()))?))
    }

    /// Its PID.
    pub fn pid(&self) -> i32 {
        self.0.id() as i32
    }

    /// Writes a line to its standard input.
    pub fn tell(&mut self, line: &str) -> Result<()> {
        use std::io::Write;
        let mut stdin = self.0.stdin.take().context("it has been told before")?;
        writeln!(stdin, "{line}").context("tell the child")
    }

    /// Waits until it prints `ready`.
    pub fn ready(&mut self) -> Result<()> {
        let line = self.hear()?;
        ensure!(line == "ready", "the child says {line:?}");
        Ok(())
    }

    /// Reads the only line that it prints.
    pub fn hear(&mut self) -> Result<String> {
        use std::io::{BufRead, BufReader};
        let stdout = self.0.stdout.take().context("it has spoken before")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }

    /// Waits for it, and checks that the signal killed it.
    pub fn ended_by(mut self, signal: i32) -> Result<()> {
        let status = self.0.wait().context("wait for the child")?;
        ensure!(status.signal() == Some(signal), "the child ended with {status}");
        Ok(())
    }

    /// Its state in /proc/PID/stat.
    pub fn state(&self) -> Result<char> {
        state(self.pid())
    }

    /// CPU time that it has used, in ticks.
    pub fn ticks(&self) -> Result<u64> {
        ticks(self.pid())
    }

    /// Checks that it uses CPU time.
    pub fn runs_on(&self) -> Result<()> {
        runs_on(self.pid())
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: i32) {
        // SAFETY: plain numbers go to the kernel.
        unsafe { libc::kill(self.pid(), signal) };
    }

    /// Kills it, waits for it, and checks that SIGKILL was its end.
    pub fn kill(mut self) -> Result<()> {
        self.0.kill().context("kill the child")?;
        self.ended_by(libc::SIGKILL)
    }
}

impl Drop for Living {
    fn drop(&mut self) {
        // Fails if it was waited for before.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The fields of /proc/PID/stat from the state on.
fn stat(pid: i32) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, rest) = text.rsplit_once(')').context("a stat without a name")?;
    Ok(rest.split_ascii_whitespace().map(str::to_owned).collect())
}

/// CPU time that a process has used, in ticks.
fn ticks(pid: i32) -> Result<u64> {
    let fields = stat(pid)?;
    Ok(fields[11].parse::<u64>()? + fields[12].parse::<u64>()?)
}

/// Checks that a process uses CPU time.
pub fn runs_on(pid: i32) -> Result<()> {
    let before = ticks(pid)?;
    wait_for(|| ticks(pid).is_ok_and(|now| now > before)).context("it does not run on")
}

/// State of a task in /proc/PID/stat.
pub fn state(pid: i32) -> Result<char> {
    stat(pid)?[0].chars().next().context("a state without a letter")
}

/// A set-uid copy of this program, owned by root.
pub fn set_uid_copy() -> Result<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let copy = PathBuf::from("/tmp/kmod-test-set-uid");
    std::fs::copy(std::env::current_exe()?, &copy).context("copy this program")?;
    std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(0o4755)).context("make it set-uid")?;
    Ok(copy)
}
