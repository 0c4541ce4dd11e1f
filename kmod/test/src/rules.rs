//! Requests that must be refused, by the rules of the ABI or for lack of permission. The target
//! must be unchanged afterwards.

use super::Check;
use super::child::{self, Living, OTHER, PATIENCE, USER};
use anyhow::{Context, Result, bail, ensure};
use cairn_kmod_abi::{Continue, Device, FREEZE_TRACED, SLEEP_CALL, SLEEP_NANO};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::time::Instant;

pub const CHECKS: &[Check] = &[
    // The first, as refusals in the log are rate-limited.
    ("what is refused is in the log, and seldom", refusals_are_logged),
    ("unloading under use is refused", unload_under_use),
    ("what is no process cannot be held", no_process),
    ("oneself cannot be held", oneself),
    ("kernel threads cannot be held", kernel_thread),
    ("a thread is no process", thread_is_no_process),
    ("unknown flags are refused", unknown_flags),
    ("what is not held tells nothing", not_held),
    ("what is traced is held only on request", traced),
    ("what a debugger traces is saved only on request", debugged),
    ("a sleep is given only by the tracer", sleep_of_a_stranger),
    ("a sleep is given only by the thread that traces", sleep_of_another_thread),
    ("another user's process", another_user),
    ("root's process", roots_process),
    ("a process of one's own", own_process),
    ("a set-uid program", set_uid),
    ("a process that may not be dumped", undumpable),
    ("a process with a thread of another user", mixed),
    ("a process with a capability more", more_capable),
    ("a PID of another namespace", other_namespace),
];

/// Checks that a call fails with `errno`.
pub fn refused<T>(result: io::Result<T>, errno: i32) -> Result<()> {
    match result {
        Ok(_) => bail!("it was granted"),
        Err(err) if err.raw_os_error() == Some(errno) => Ok(()),
        Err(err) => bail!("{err}, wanted {}", io::Error::from_raw_os_error(errno)),
    }
}

fn unload_under_use() -> Result<()> {
    let _device = Device::open()?;
    match rustix::system::delete_module(c"cairn", libc::O_NONBLOCK) {
        Err(rustix::io::Errno::AGAIN) => Ok(()),
        other => bail!("{other:?}"),
    }
}

fn refusals_are_logged() -> Result<()> {
    /// The module's limit for a minute.
    const MOST: usize = 5;
    let began = Instant::now();
    let mut log = File::options().read(true).custom_flags(libc::O_NONBLOCK).open("/dev/kmsg")?;
    log.seek(SeekFrom::End(0))?;
    let living = Living::new("count")?;
    for _ in 0..1000 {
        refused(by_user(USER, living.pid()), libc::EPERM)?;
    }
    // Each read returns one record.
    let (mut records, mut buffer) = (Vec::new(), [0; 8192]);
    while let Some(len) = some(log.read(&mut buffer))? {
        records.push(String::from_utf8_lossy(&buffer[..len]).into_owned());
    }
    let wanted = format!("cairn: refused: to freeze {}, asked by PID ", living.pid());
    let by_whom = format!(" of user {USER}");
    let told =
        |record: &&String| record.contains(&wanted) && record.lines().any(|line| line.ends_with(&by_whom));
    let count = records.iter().filter(told).count();
    let minutes = began.elapsed().as_secs() as usize / 60 + 1;
    ensure!((1..=MOST * minutes).contains(&count), "{count} of 1000 refusals are in the log: {records:#?}");
    living.runs_on()
}

/// Result of a non-blocking read; `None` for EWOULDBLOCK.
fn some(read: io::Result<usize>) -> io::Result<Option<usize>> {
    match read {
        Err(err) if err.kind() == io::ErrorKind::WouldBlock => Ok(None),
        other => other.map(Some),
    }
}

fn no_process() -> Result<()> {
    let device = Device::open()?;
    for pid in [0, -1, i32::MIN, i32::MAX] {
        refused(device.freeze(pid, 0, PATIENCE), libc::ESRCH).with_context(|| format!("pid {pid}"))?;
    }
    Ok(())
}

fn oneself() -> Result<()> {
    refused(Device::open()?.freeze(std::process::id() as i32, 0, PATIENCE), libc::EDEADLK)
}

fn kernel_thread() -> Result<()> {
    /// PID of kthreadd.
    const KTHREADD: i32 = 2;
    refused(Device::open()?.freeze(KTHREADD, 0, PATIENCE), libc::EOPNOTSUPP)
}

fn thread_is_no_process() -> Result<()> {
    let living = Living::new("threads")?;
    let pid = living.pid();
    let mut other = None;
    child::wait_for(|| {
        let tids = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        let tids = tids.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        other = tids.filter(|tid| *tid != pid).max();
        other.is_some()
    })?;
    refused(Device::open()?.freeze(other.context("it has a second thread")?, 0, PATIENCE), libc::EINVAL)?;
    living.runs_on()
}

fn unknown_flags() -> Result<()> {
    let living = Living::new("count")?;
    refused(Device::open()?.freeze(living.pid(), !FREEZE_TRACED, PATIENCE), libc::EINVAL)?;
    living.runs_on()
}

fn not_held() -> Result<()> {
    let living = Living::new("count")?;
    let (device, pid) = (Device::open()?, living.pid());
    refused(device.thread(pid), libc::ESRCH)?;
    refused(device.regset(pid, 1, &mut [0; 64]), libc::ESRCH)?;
    refused(device.pending(pid, false), libc::ESRCH)?;
    refused(device.process(pid), libc::ESRCH)?;
    refused(device.actions(pid), libc::ESRCH)?;
    refused(device.timer(pid, 0), libc::ESRCH)?;
    refused(device.thaw(pid), libc::ESRCH)
}

/// Runs `act` with a traced child in a ptrace stop.
pub fn while_traced(act: impl FnOnce(&Living) -> Result<()>) -> Result<()> {
    use cairn::sys::ptrace;
    let living = Living::new("count")?;
    ptrace::seize(living.pid(), 0)?;
    while_stopped(&living, || act(&living))
}

/// Stops a traced child, runs `act`, and detaches.
fn while_stopped(living: &Living, act: impl FnOnce() -> Result<()>) -> Result<()> {
    use cairn::sys::{ptrace, wait};
    ptrace::interrupt(living.pid())?;
    wait::wait(living.pid())?;
    let done = act();
    ptrace::detach(living.pid())?;
    done?;
    living.runs_on()
}

fn traced() -> Result<()> {
    while_traced(|living| {
        let device = Device::open()?;
        refused(device.freeze(living.pid(), 0, PATIENCE), libc::EBUSY)?;
        ensure!(device.freeze(living.pid(), FREEZE_TRACED, PATIENCE)? == 1, "it has one thread");
        ensure!(device.thread(living.pid())?.state == cairn_kmod_abi::STATE_TRACED, "it is traced");
        Ok(device.thaw(living.pid())?)
    })
}

fn debugged() -> Result<()> {
    use cairn::checkpoint::{Options, Target, Then, check, checkpoint};
    use cairn::sys::ptrace;
    let living = Living::apart("count")?;
    let target = |traced| Target {
        source: cairn::source::Wanted::Kmod,
        traced,
        ..Target::of(cairn::tree::Scope::Process(living.pid()))
    };
    let save = |traced| {
        checkpoint(&Options {
            target: target(traced),
            to: "/tmp/kmod-test.context".into(),
            then: Then::Run,
            sync: cairn::image::Sync::None,
            progress: &|_, _| {},
            cancelled: &|| false,
        })
    };
    // Traced, but not stopped.
    ptrace::seize(living.pid(), 0)?;
    let unsupported = |err: cairn::error::Error| err.exit_code() == 3;
    ensure!(check(&target(false), &|| false).is_err_and(unsupported), "nothing is said to stand in the way");
    ensure!(save(false).is_err_and(unsupported), "it is saved without being asked to");
    check(&target(true), &|| false)?;
    save(true)?;
    living.runs_on()?;
    std::fs::remove_file("/tmp/kmod-test.context").context("it has been saved")?;
    while_stopped(&living, || {
        ensure!(save(true).is_err_and(unsupported), "it is saved when its tracer has stopped it");
        Ok(())
    })
}

/// Asks to continue a sleep of one nanosecond.
fn nanosleep(living: &Living) -> Continue {
    Continue {
        size: size_of::<Continue>() as u32,
        tid: living.pid(),
        sleep: SLEEP_NANO,
        clock: libc::CLOCK_MONOTONIC,
        left: 1,
        args: [0; 4],
        reserved: 0,
    }
}

fn sleep_of_a_stranger() -> Result<()> {
    let living = Living::new("count")?;
    let how = nanosleep(&living);
    let device = Device::open()?;
    refused(device.proceed(how), libc::EPERM)?;
    refused(device.proceed(Continue { tid: i32::MAX, ..how }), libc::ESRCH)?;
    for wrong in [
        Continue { sleep: 77, ..how },
        Continue { clock: 77, ..how },
        Continue { left: u64::MAX, ..how },
        Continue { reserved: 1, ..how },
        Continue { sleep: SLEEP_CALL, args: [1, 0, 0, 0], ..how },
        Continue { sleep: SLEEP_CALL, clock: libc::CLOCK_REALTIME, ..how },
    ] {
        refused(device.proceed(wrong), libc::EINVAL)?;
    }
    while_traced(|living| Ok(device.proceed(Continue { tid: living.pid(), ..how })?))?;
    // A thread that is not in such a call is not affected.
    while_traced(|living| {
        let how = Continue { tid: living.pid(), sleep: SLEEP_CALL, left: 1 << 40, ..how };
        (0..3).try_for_each(|_| Ok(device.proceed(how)?))
    })
}

/// Only the tracing thread can resume the tracee, and does not during its own ioctl.
fn sleep_of_another_thread() -> Result<()> {
    while_traced(|living| {
        let how = nanosleep(living);
        let device = Device::open()?;
        let other = std::thread::scope(|scope| {
            scope.spawn(|| device.proceed(how)).join().expect("the thread does not panic")
        });
        refused(other, libc::EPERM)?;
        Ok(device.proceed(how)?)
    })
}

/// Runs `act` in a thread with the ids of a user: by raw system calls, as the functions of the C
/// library change the ids of all threads.
pub fn as_user<T: Send>(user: u32, act: impl FnOnce() -> T + Send) -> Result<T> {
    std::thread::scope(|scope| {
        scope
            .spawn(|| {
                // SAFETY: plain numbers go to the kernel, and no list of groups.
                let changed = unsafe {
                    libc::syscall(libc::SYS_setgroups, 0, std::ptr::null::<u32>()) == 0
                        && libc::syscall(libc::SYS_setresgid, user, user, user) == 0
                        && libc::syscall(libc::SYS_setresuid, user, user, user) == 0
                };
                ensure!(changed, "become user {user}: {}", io::Error::last_os_error());
                Ok(act())
            })
            .join()
            .expect("the thread does not panic")
    })
}

/// Result of freezing a process as a user.
fn by_user(user: u32, pid: i32) -> io::Result<u32> {
    as_user(user, || {
        let device = Device::open()?;
        let held = device.freeze(pid, 0, PATIENCE)?;
        device.thaw(pid).map(|()| held)
    })
    .map_err(io::Error::other)?
}

fn another_user() -> Result<()> {
    let living = Living::of_user("count", OTHER)?;
    refused(by_user(USER, living.pid()), libc::EPERM)?;
    living.runs_on()
}

fn roots_process() -> Result<()> {
    let living = Living::new("count")?;
    refused(by_user(USER, living.pid()), libc::EPERM)?;
    refused(by_user(USER, 1), libc::EPERM)?;
    living.runs_on()
}

fn own_process() -> Result<()> {
    let living = Living::of_user("count", USER)?;
    living.runs_on()?;
    ensure!(by_user(USER, living.pid())? == 1, "it has one thread");
    living.runs_on()
}

fn set_uid() -> Result<()> {
    let copy = child::set_uid_copy()?;
    let living = Living::of(&copy, "count", Some(USER))?;
    living.runs_on()?;
    let done = refused(by_user(USER, living.pid()), libc::EPERM);
    std::fs::remove_file(&copy)?;
    done?;
    living.runs_on()
}

fn undumpable() -> Result<()> {
    let mut living = Living::of_user("undumpable", USER)?;
    living.ready()?;
    refused(by_user(USER, living.pid()), libc::EPERM)
}

fn mixed() -> Result<()> {
    let mut living = Living::new("mixed")?;
    living.ready()?;
    refused(by_user(USER, living.pid()), libc::EPERM)?;
    living.runs_on()
}

fn more_capable() -> Result<()> {
    // A process with the user's ids and a capability: the ids alone are not enough.
    let own = std::env::current_exe()?;
    let mut command = std::process::Command::new(own);
    command.args([child::FLAG, "count"]);
    // SAFETY: only system calls are made between fork and exec.
    unsafe {
        use std::os::unix::process::CommandExt;
        command.pre_exec(|| keep_one_capability(USER));
    }
    let mut process = command.spawn()?;
    let done = refused(by_user(USER, process.id() as i32), libc::EPERM);
    process.kill()?;
    process.wait()?;
    done
}

/// Changes to a user's ids with an ambient CAP_NET_RAW.
fn keep_one_capability(user: u32) -> io::Result<()> {
    const CAP_NET_RAW: u32 = 13;
    const VERSION_3: u32 = 0x2008_0522;
    let check = |result: libc::c_long| if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) };
    let header = [VERSION_3, 0];
    let one = 1 << CAP_NET_RAW;
    let sets: [u32; 6] = [one, one, one, 0, 0, 0];
    // SAFETY: the structures of capset(2) live for the call; everything else is plain numbers.
    unsafe {
        check(libc::prctl(libc::PR_SET_KEEPCAPS, 1, 0, 0, 0).into())?;
        check(libc::syscall(libc::SYS_setresgid, user, user, user))?;
        check(libc::syscall(libc::SYS_setresuid, user, user, user))?;
        check(libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()))?;
        let raise = libc::PR_CAP_AMBIENT_RAISE;
        check(libc::prctl(libc::PR_CAP_AMBIENT, raise, CAP_NET_RAW, 0, 0).into())
    }
}

fn other_namespace() -> Result<()> {
    let outside = Living::new("count")?;
    // SAFETY: no other thread runs; the child opens the device and exits.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let code = match in_namespace(outside.pid()) {
            Ok(()) => 0,
            Err(err) => {
                println!("# {err:#}");
                1
            }
        };
        std::process::exit(code);
    }
    let mut status = 0;
    // SAFETY: the status is live.
    unsafe { libc::waitpid(child, &mut status, 0) };
    ensure!(status == 0, "in the namespace: status {status:#x}");
    outside.runs_on()
}

/// Creates a PID namespace, in which `outside` has no PID.
fn in_namespace(outside: i32) -> Result<()> {
    // SAFETY: a plain number goes to the kernel.
    ensure!(unsafe { libc::unshare(libc::CLONE_NEWPID) } == 0, "unshare: {}", io::Error::last_os_error());
    // SAFETY: as above.
    let first = unsafe { libc::fork() };
    if first == 0 {
        let device = Device::open();
        let refused = device.map(|device| refused(device.freeze(outside, 0, PATIENCE), libc::ESRCH));
        std::process::exit(if matches!(refused, Ok(Ok(()))) { 0 } else { 1 });
    }
    let mut status = 0;
    // SAFETY: the status is live.
    unsafe { libc::waitpid(first, &mut status, 0) };
    ensure!(status == 0, "a PID of outside: status {status:#x}");
    Ok(())
}
