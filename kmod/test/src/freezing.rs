//! Freezing and thawing, and what can happen to both processes in between.

use super::Check;
use super::child::{self, Living, PATIENCE};
use super::rules::{refused, while_traced};
use anyhow::{Context, Result, ensure};
use cairn::sys::{ptrace, wait};
use cairn_kmod_abi::{Device, FREEZE_TRACED, SLEEP_CALL, SLEEP_NONE, STATE_FROZEN, STATE_STOPPED};
use rustix::mount::MountFlags;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

pub const CHECKS: &[Check] = &[
    ("a held process stands still and goes on", freeze_and_thaw),
    ("all threads are held", all_threads),
    ("the last close lets go", close),
    ("the holder is killed", owner_killed),
    ("the held process is killed", target_killed),
    ("a signal that would end it ends it", fatal_signal),
    ("a stopped process stays stopped", stopped),
    ("a stopped process that goes on tells nothing any more", resumed_stopped),
    ("a traced process that goes on tells nothing any more", resumed_traced),
    ("a signal waits for the release", signal_waits),
    ("two holders", two_sessions),
    ("a wait for a signal ends when it would have ended", || restarted_wait("sigtimedwait")),
    ("a wait for a semaphore ends when it would have ended", || restarted_wait("semtimedop")),
    ("a wait for an epoll ends when it would have ended", || restarted_wait("epoll_wait")),
    ("a wait with a mask ends when it would have ended", || restarted_wait("epoll_pwait")),
    ("a wait goes on that is held again and again", || frozen_repeatedly("sigtimedwait")),
    ("a wait with a mask goes on that is held again and again", || frozen_repeatedly("epoll_pwait")),
    ("two hold a wait", wait_frozen_twice),
    ("a wait gets what it waits for", wait_receives),
    ("threads come and go, programs are replaced", || churn("churn")),
    ("threads replace the program, and take the first one's place", || churn("churn-by-thread")),
    ("threads end while they are asked for", ending_threads),
    ("many sessions", many_sessions),
    ("thousands of processes", many_processes),
    ("a held process can be frozen", frozen),
    ("the holder waits for memory that nobody gives", owner_blocked),
    ("the holder runs out of memory", owner_out_of_memory),
];

fn freeze_and_thaw() -> Result<()> {
    let living = Living::new("count")?;
    let device = Device::open()?;
    living.runs_on()?;
    ensure!(device.freeze(living.pid(), 0, PATIENCE)? == 1, "it has one thread");
    refused(device.freeze(living.pid(), 0, PATIENCE), libc::EALREADY)?;
    let before = living.ticks()?;
    // A hundred ticks on an idle CPU.
    std::thread::sleep(Duration::from_secs(1));
    ensure!(living.ticks()? <= before + 1, "it has run while it was held");
    ensure!(device.thread(living.pid())?.state == STATE_FROZEN, "it is in the module");
    device.thaw(living.pid())?;
    living.runs_on()
}

/// Starts a process that waits in a system call, and waits until it is in it.
fn waiting(kind: &str) -> Result<Living> {
    let living = Living::new(kind)?;
    let nr = match kind {
        "semtimedop" => libc::SYS_semtimedop,
        "epoll_wait" => libc::SYS_epoll_wait,
        "epoll_pwait" => libc::SYS_epoll_pwait,
        _ => libc::SYS_rt_sigtimedwait,
    };
    let file = format!("/proc/{}/syscall", living.pid());
    let begins = format!("{nr} ");
    child::wait_for(|| std::fs::read_to_string(&file).is_ok_and(|text| text.starts_with(&begins)))?;
    Ok(living)
}

/// Reads how long the system call of [`waiting`] took.
fn waited(mut living: Living) -> Result<Duration> {
    let said = living.hear()?;
    Ok(Duration::from_millis(said.parse().with_context(|| format!("it said {said:?}"))?))
}

/// Checks that a wait ended at its original deadline: with its full timeout after the thaw it would
/// have taken [`WAITED_BEFORE`] longer.
fn took_its_time(waited: Duration) -> Result<()> {
    let range = child::WAIT..child::WAIT + WAITED_BEFORE;
    ensure!(range.contains(&waited), "a wait of {:?} took {waited:?}", child::WAIT);
    Ok(())
}

/// Time of the wait before it is frozen.
const WAITED_BEFORE: Duration = Duration::from_millis(2000);

fn restarted_wait(kind: &str) -> Result<()> {
    let living = waiting(kind)?;
    std::thread::sleep(WAITED_BEFORE);
    let device = Device::open()?;
    device.freeze(living.pid(), 0, PATIENCE)?;
    let told = device.thread(living.pid())?;
    if kind == "semtimedop" && told.sleep == SLEEP_NONE && before_5_16() {
        // It sleeps with schedule_timeout() there (ipc/sem.c), and is restarted with its full
        // timeout.
        return living.kill();
    }
    ensure!(told.sleep == SLEEP_CALL, "the sleep told is {}", told.sleep);
    let left = Duration::from_nanos(told.sleep_left);
    ensure!(left <= child::WAIT - WAITED_BEFORE, "{left:?} are left of {:?}", child::WAIT);
    device.thaw(living.pid())?;
    took_its_time(waited(living)?)
}

fn frozen_repeatedly(kind: &str) -> Result<()> {
    let living = waiting(kind)?;
    std::thread::sleep(WAITED_BEFORE);
    let device = Device::open()?;
    for _ in 0..20 {
        device.freeze(living.pid(), 0, PATIENCE)?;
        let told = device.thread(living.pid())?.sleep;
        // It may have timed out.
        ensure!([SLEEP_CALL, SLEEP_NONE].contains(&told), "the sleep told is {told}");
        device.thaw(living.pid())?;
        std::thread::sleep(Duration::from_millis(5));
    }
    took_its_time(waited(living)?)
}

/// Checks that a process that waits for a signal receives it.
fn gets_its_signal(living: Living) -> Result<()> {
    living.signal(libc::SIGUSR2);
    let said = waited(living)?;
    ensure!(said < child::LONG_WAIT, "it waited for {said:?}");
    Ok(())
}

/// The second freezes the process as soon as the first thaws it, also in a restarted call.
fn wait_frozen_twice() -> Result<()> {
    let living = waiting("sigwait")?;
    let pid = living.pid();
    for _ in 0..10 {
        let first = Device::open()?;
        let second = std::thread::spawn(move || -> Result<()> {
            let device = Device::open()?;
            device.freeze(pid, 0, PATIENCE)?;
            Ok(())
        });
        first.freeze(pid, 0, PATIENCE)?;
        drop(first);
        second.join().expect("a check does not panic").context("the second holder")?;
    }
    gets_its_signal(living)
}

fn wait_receives() -> Result<()> {
    let living = waiting("sigwait")?;
    let device = Device::open()?;
    device.freeze(living.pid(), 0, PATIENCE)?;
    device.thaw(living.pid())?;
    gets_its_signal(living)
}

/// A thread that has exited has no stack.
fn ending_threads() -> Result<()> {
    const TIMES: u32 = 400;
    let living = Living::new("ending-threads")?;
    for _ in 0..TIMES {
        let device = Device::open()?;
        device.freeze(living.pid(), 0, PATIENCE)?;
        device.thread(living.pid())?;
    }
    living.runs_on()
}

fn all_threads() -> Result<()> {
    let living = Living::new("threads")?;
    let tasks = format!("/proc/{}/task", living.pid());
    child::wait_for(|| std::fs::read_dir(&tasks).is_ok_and(|dir| dir.count() == 9))?;
    let device = Device::open()?;
    ensure!(device.freeze(living.pid(), 0, PATIENCE)? == 9, "it has nine threads");
    for entry in std::fs::read_dir(&tasks)? {
        let tid: i32 = entry?.file_name().to_string_lossy().parse()?;
        device.thread(tid)?;
    }
    device.thaw(living.pid())?;
    living.runs_on()
}

fn close() -> Result<()> {
    let living = Living::new("count")?;
    let device = Device::open()?;
    device.freeze(living.pid(), 0, PATIENCE)?;
    drop(device);
    living.runs_on()
}

fn owner_killed() -> Result<()> {
    let living = Living::new("count")?;
    let mut holder = Living::new("hold")?;
    holder.tell(&living.pid().to_string())?;
    holder.ready()?;
    holder.kill()?;
    living.runs_on()
}

fn target_killed() -> Result<()> {
    let living = Living::new("threads")?;
    let (device, pid) = (Device::open()?, living.pid());
    device.freeze(pid, 0, PATIENCE)?;
    living.kill()?;
    refused(device.thread(pid), libc::ESRCH)?;
    refused(device.process(pid), libc::ESRCH)
}

/// `complete_signal` in kernel/signal.c sends SIGKILL to every thread for such a signal.
fn fatal_signal() -> Result<()> {
    let living = Living::new("threads")?;
    let device = Device::open()?;
    device.freeze(living.pid(), 0, PATIENCE)?;
    living.signal(libc::SIGTERM);
    child::wait_for(|| living.state().is_ok_and(|state| state == 'Z')).context("it ends")
}

fn stopped() -> Result<()> {
    let living = Living::new("count")?;
    living.signal(libc::SIGSTOP);
    child::wait_for(|| living.state().is_ok_and(|state| state == 'T'))?;
    let device = Device::open()?;
    device.freeze(living.pid(), 0, PATIENCE)?;
    let thread = device.thread(living.pid())?;
    ensure!((thread.state, thread.stop_signal) == (STATE_STOPPED, libc::SIGSTOP as u32), "{thread:?}");
    device.thaw(living.pid())?;
    ensure!(living.state()? == 'T', "it goes on");
    living.signal(libc::SIGCONT);
    living.runs_on()
}

/// It handles signals before it runs its task work: what was read before is out of date.
fn resumed_stopped() -> Result<()> {
    let mut living = Living::new("continued")?;
    living.ready()?;
    living.signal(libc::SIGSTOP);
    child::wait_for(|| living.state().is_ok_and(|state| state == 'T'))?;
    let device = Device::open()?;
    device.freeze(living.pid(), 0, PATIENCE)?;
    device.thread(living.pid())?;
    living.signal(libc::SIGCONT);
    child::wait_for(|| living.state().is_ok_and(|state| state != 'T'))?;
    is_stale(&device, &living)?;
    device.thaw(living.pid())?;
    living.runs_on()
}

fn resumed_traced() -> Result<()> {
    let device = Device::open()?;
    while_traced(|living| {
        device.freeze(living.pid(), FREEZE_TRACED, PATIENCE)?;
        device.thread(living.pid())?;
        ptrace::detach(living.pid())?;
        is_stale(&device, living)?;
        device.thaw(living.pid())?;
        living.runs_on()?;
        ptrace::seize(living.pid(), 0)?;
        ptrace::interrupt(living.pid())?;
        wait::wait(living.pid()).map(drop)?;
        Ok(())
    })
}

/// Checks that nothing can be read of a frozen process that was resumed.
fn is_stale(device: &Device, living: &Living) -> Result<()> {
    let pid = living.pid();
    refused(device.thread(pid), libc::ESTALE)?;
    refused(device.regset(pid, libc::NT_PRSTATUS as u32, &mut [0; 1024]), libc::ESTALE)?;
    refused(device.pending(pid, true), libc::ESTALE)?;
    refused(device.process(pid), libc::ESTALE)?;
    let file = rustix::fs::memfd_create("kmod-test", rustix::fs::MemfdFlags::CLOEXEC)?;
    refused(device.save(pid, file.as_fd(), &[], &mut []), libc::ESTALE)
}

/// The time for each must not depend on the number of frozen processes.
fn many_processes() -> Result<()> {
    const MANY: usize = 4000;
    /// Allowed ratio, for a loaded machine.
    const MORE: u32 = 6;
    let mut parent = Living::new("parent")?;
    parent.tell(&MANY.to_string())?;
    let line = parent.hear()?;
    let pids = line.split(' ').map(|pid| Ok(pid.parse()?)).collect::<Result<Vec<i32>>>()?;
    let device = Device::open()?;
    // The time for the quickest of the first few, that of the last few, and for all: a loaded
    // machine makes others slower.
    let time = |each: &dyn Fn(i32) -> std::io::Result<()>| -> Result<[Duration; 3]> {
        let (begin, mut times) = (Instant::now(), Vec::new());
        for pid in &pids {
            let begin = Instant::now();
            each(*pid)?;
            times.push(begin.elapsed());
        }
        let quickest = |few: &[Duration]| few.iter().min().copied().unwrap_or_default();
        Ok([quickest(&times[..MANY / 8]), quickest(&times[MANY - MANY / 8..]), begin.elapsed()])
    };
    let held = time(&|pid| device.freeze(pid, 0, PATIENCE).map(drop))?;
    let released = time(&|pid| device.thaw(pid))?;
    println!(
        "# {MANY} processes: the quickest of the first and the last 500, and all: held {held:?}, released {released:?}"
    );
    // With a search of all frozen processes the last would take many times as long.
    ensure!(held[1] < MORE * held[0], "the last are held slower than the first: {held:?}");
    ensure!(released[0] < MORE * released[1], "the first are released slower than the last: {released:?}");
    parent.kill()
}

/// By the cgroup v1 freezer, which uses the same mechanism as suspend.
fn frozen() -> Result<()> {
    let groups = Path::new("/tmp/kmod-test-freezer");
    std::fs::create_dir_all(groups)?;
    rustix::mount::mount("freezer", groups, "cgroup", MountFlags::empty(), Some(c"freezer"))
        .context("mount the freezer")?;
    let group = groups.join("held");
    std::fs::create_dir(&group)?;
    let state = group.join("freezer.state");
    let living = Living::new("threads")?;
    std::fs::write(group.join("cgroup.procs"), living.pid().to_string())?;
    let device = Device::open()?;
    device.freeze(living.pid(), 0, PATIENCE)?;
    // A thread that is about to sleep misses the first request; suspend retries by itself.
    let is_frozen = || {
        std::fs::write(&state, "FROZEN").is_ok()
            && std::fs::read_to_string(&state).is_ok_and(|state| state == "FROZEN\n")
    };
    let done = child::wait_for(is_frozen).context("it is frozen");
    // After cairn's thaw it waits for that of the freezer.
    device.thaw(living.pid())?;
    std::fs::write(&state, "THAWED")?;
    done?;
    living.runs_on()?;
    living.kill()?;
    std::fs::remove_dir(&group)?;
    rustix::mount::unmount(groups, rustix::mount::UnmountFlags::empty())?;
    Ok(())
}

fn signal_waits() -> Result<()> {
    let mut living = Living::new("handler")?;
    living.ready()?;
    let device = Device::open()?;
    device.freeze(living.pid(), 0, PATIENCE)?;
    living.signal(libc::SIGUSR1);
    let pending = device.pending(living.pid(), true)?;
    let signals: Vec<u8> = pending.iter().map(|info| info[0]).collect();
    ensure!(signals == [libc::SIGUSR1 as u8], "pending: {signals:?}");
    ensure!(living.state()? != 'Z', "it has taken a signal while it was held");
    device.thaw(living.pid())?;
    child::wait_for(|| living.state().is_ok_and(|state| state == 'Z')).context("it takes the signal")
}

fn two_sessions() -> Result<()> {
    let living = Living::new("count")?;
    let (first, second) = (Device::open()?, Device::open()?);
    first.freeze(living.pid(), 0, PATIENCE)?;
    // It waits in the task work of the first; that of the second runs afterwards.
    refused(second.freeze(living.pid(), 0, Duration::from_millis(50)), libc::ETIMEDOUT)?;
    refused(second.thread(living.pid()), libc::ESRCH)?;
    first.thaw(living.pid())?;
    living.runs_on()?;
    second.freeze(living.pid(), 0, PATIENCE)?;
    second.thaw(living.pid())?;
    living.runs_on()
}

fn churn(kind: &str) -> Result<()> {
    let living = Living::new(kind)?;
    let device = Device::open()?;
    let end = Instant::now() + Duration::from_secs(3);
    let mut held = 0;
    while Instant::now() < end {
        device.freeze(living.pid(), 0, PATIENCE)?;
        device.process(living.pid())?;
        device.thaw(living.pid())?;
        held += 1;
    }
    ensure!(held > 10, "held {held} times only");
    living.runs_on()
}

fn many_sessions() -> Result<()> {
    let all: Vec<Living> = (0..32).map(|_| Living::new("sleep")).collect::<Result<_>>()?;
    let devices: Vec<Device> = all.iter().map(|_| Device::open()).collect::<std::io::Result<_>>()?;
    for (living, device) in all.iter().zip(&devices) {
        device.freeze(living.pid(), 0, PATIENCE)?;
    }
    // Killed while they are frozen, before the sessions are closed.
    all.into_iter().try_for_each(Living::kill)
}

/// The ioctl blocks on a page that userfaultfd(2) is never given.
fn owner_blocked() -> Result<()> {
    let living = Living::new("threads")?;
    let mut holder = Living::new("hold-and-wait")?;
    holder.tell(&living.pid().to_string())?;
    holder.ready()?;
    let call = format!("/proc/{}/syscall", holder.pid());
    let ioctl = format!("{} ", libc::SYS_ioctl);
    // The file says `running` unless the task sleeps in a call.
    child::wait_for(|| std::fs::read_to_string(&call).is_ok_and(|call| call.starts_with(&ioctl)))
        .context("it waits for the page")?;
    // That delays requests for the same process only.
    let other = Living::new("count")?;
    let device = Device::open()?;
    device.freeze(other.pid(), 0, PATIENCE)?;
    refused(device.freeze(living.pid(), 0, Duration::from_millis(50)), libc::ETIMEDOUT)?;
    drop(device);
    holder.kill()?;
    living.runs_on()?;
    other.runs_on()
}

/// In a memory control group, sessions are opened until the OOM killer acts: their memory is
/// charged to the process that opens them.
fn owner_out_of_memory() -> Result<()> {
    const GROUPS: &str = "/sys/fs/cgroup";
    const LITTLE: &str = "1M";
    let group = std::path::Path::new(GROUPS).join("kmod-test");
    std::fs::write(format!("{GROUPS}/cgroup.subtree_control"), "+memory")
        .context("have memory controlled")?;
    std::fs::create_dir(&group).context("make a control group")?;
    std::fs::write(group.join("memory.max"), LITTLE)?;
    let living = Living::new("threads")?;
    let mut holder = Living::new("hold-much")?;
    std::fs::write(group.join("cgroup.procs"), holder.pid().to_string())?;
    holder.tell(&living.pid().to_string())?;
    holder.ready().context("it holds the process")?;
    holder.ended_by(libc::SIGKILL)?;
    let events = std::fs::read_to_string(group.join("memory.events"))?;
    ensure!(events.lines().any(|line| line == "oom_kill 1"), "nobody was killed for memory: {events}");
    std::fs::remove_dir(&group).context("remove the control group")?;
    living.runs_on()
}

/// Whether the kernel is older than Linux 5.16.
fn before_5_16() -> bool {
    let name = rustix::system::uname();
    let mut numbers = name.release().to_str().unwrap_or_default().split('.').map(|part| part.parse().ok());
    let version: (Option<u32>, Option<u32>) = (numbers.next().flatten(), numbers.next().flatten());
    version < (Some(5), Some(16))
}
