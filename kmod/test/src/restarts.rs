//! Restarts by an unprivileged user: the user's processes come back, and a forged context file
//! gives no privilege.

use super::Check;
use super::child::{self, Living, OTHER, USER};
use super::rules::{as_user, refused};
use anyhow::{Context, Result, bail, ensure};
use cairn::image::{FrameSum, MAX_FRAME, Origin, Reader, Sync, Writer};
use cairn::resource::Records;
use cairn::resource::bytes::PathBytes;
use cairn::resource::fd::Kind;
use cairn::resource::fd::description::OpenFile;
use cairn::resource::fd::inode::Inode;
use cairn::resource::fd::table::Fd;
use cairn::resource::process::{Alive, Life};
use cairn_kmod_abi::{DEVICE, Device};
use rustix::fs::CWD;
use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

pub const CHECKS: &[Check] = &[
    ("a user restarts what was the user's", own),
    ("a user without the device restarts nothing", without_the_device),
    ("who gave up privileges gets none", given_up),
    ("the right to restart opens no process", opens_nothing),
    ("another user's process is not saved", save_of_another),
    ("how a child ended is not made up", ended_undumpable),
    ("a forged file asks for root's ids", || forged(DENIED, |records| thread(records).creds.uid = [0; 4])),
    ("a forged file asks for another user's ids", || {
        forged(DENIED, |records| thread(records).creds.uid = [USER, OTHER, USER, USER])
    }),
    ("a forged file asks for root's group", || forged(DENIED, |records| thread(records).creds.gid = [0; 4])),
    ("a forged file asks for more groups", || {
        forged(DENIED, |records| thread(records).creds.groups = vec![0])
    }),
    ("a forged file asks for capabilities", || {
        const CAP_SYS_ADMIN: u64 = 1 << 21;
        forged(DENIED, |records| {
            let capabilities = &mut thread(records).creds.capabilities;
            (capabilities.permitted, capabilities.effective) = (CAP_SYS_ADMIN, CAP_SYS_ADMIN);
        })
    }),
    ("a forged file asks for a set of inheritable capabilities", || {
        forged(DENIED, |records| thread(records).creds.capabilities.inheritable = 1)
    }),
    ("a forged file asks for securebits", || forged(DENIED, |records| thread(records).creds.securebits = 1)),
    ("a forged file asks for a higher limit", || {
        forged(DENIED, |records| {
            let stack = &mut alive(records).rlimits[libc::RLIMIT_MEMLOCK as usize];
            *stack = (u64::MAX, u64::MAX);
        })
    }),
    ("a forged file asks for a better nice value", || {
        forged(DENIED, |records| thread(records).sched.nice = -20)
    }),
    ("a forged file asks for real time", || {
        forged(DENIED, |records| {
            let sched = &mut thread(records).sched;
            (sched.policy, sched.priority) = (libc::SCHED_FIFO as u32, 50);
        })
    }),
    ("a forged file asks for less chance to be killed", || {
        forged(DENIED, |records| alive(records).oom_score_adj = -1000)
    }),
    ("a forged file asks for another root directory", || {
        forged(DENIED, |records| {
            let process = alive(records);
            process.root = Some(process.cwd);
        })
    }),
    ("a forged file asks for root's file", roots_file),
    ("a forged file asks for a PID in use", pid_in_use),
    ("a forged file asks for the PID of init", || forged(CONFLICT, |records| renumber(records, 1))),
    ("a forged file asks for a PID that cannot be", || forged(ANY, |records| renumber(records, i32::MAX))),
    ("a forged file asks for memory of the kernel", || {
        forged(ANY, |records| {
            let vmas = &mut alive(records).memory.vmas;
            let last = vmas.last_mut().expect("it has memory");
            (last.start, last.end) = (0xffff_8880_0000_0000, 0xffff_8880_0000_1000);
        })
    }),
    ("a set-uid program in the place of its own gets nobody anything", set_uid_program),
    ("a file is exchanged between check and use", exchanged),
    ("a file that is made anew is exchanged meanwhile", exchanged_anew),
    ("a damaged file is refused", damaged),
];

/// Exit codes of `cairn`.
const MALFORMED: Option<u8> = Some(4);
const DENIED: Option<u8> = Some(5);
const CONFLICT: Option<u8> = Some(7);
/// Any exit code.
const ANY: Option<u8> = None;

/// A directory of the user, for the files of a check.
struct Place(PathBuf);

impl Place {
    fn new() -> Result<Self> {
        let path = PathBuf::from("/tmp/kmod-test-restarts");
        std::fs::create_dir(&path).with_context(|| format!("make {}", path.display()))?;
        std::os::unix::fs::chown(&path, Some(USER), Some(USER))?;
        Ok(Place(path))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // If this fails, the next check cannot create it, and reports that.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The only process of a context file.
fn alive(records: &mut Records) -> &mut Alive {
    match &mut records.processes[0].life {
        Life::Alive(alive) => alive,
        Life::Zombie(_) => unreachable!("it was saved alive"),
    }
}

fn thread(records: &mut Records) -> &mut cairn::resource::thread::Thread {
    &mut alive(records).threads[0]
}

fn renumber(records: &mut Records, pid: i32) {
    records.root = pid;
    records.processes[0].pid = pid;
    (records.processes[0].pgid, records.processes[0].sid) = (pid, pid);
    thread(records).tid = pid;
}

/// Has the user checkpoint a process of the user, which is killed. Returns its PID.
fn saved(file: &Path) -> Result<i32> {
    saved_as("count", file)
}

fn saved_as(kind: &str, file: &Path) -> Result<i32> {
    let living = Living::apart_of(kind, Some(USER))?;
    let pid = living.pid();
    let mut saver = Living::of_user("save", USER)?;
    saver.tell(&format!("{pid} {}", file.display()))?;
    let said = saver.hear()?;
    ensure!(said == "saved", "{said}");
    // Killed by the checkpoint.
    living.ended_by(libc::SIGKILL)?;
    Ok(pid)
}

/// Writes a copy of a context file with changed records.
fn change(from: &Path, to: &Path, change: impl FnOnce(&mut Records)) -> Result<()> {
    let reader = Reader::open(from)?;
    let mut records: Records = reader.records()?;
    change(&mut records);
    let writer = Writer::create(to, Origin::here(), FrameSum::Xxh3)?;
    let range = reader.page_range();
    let mut at = range.start;
    while at < range.end {
        let mut piece = vec![0; (range.end - at).min(MAX_FRAME as u64) as usize];
        reader.read_pages(at, &mut piece)?;
        ensure!(writer.pages().append(&piece)? == at, "pages have moved");
        at += piece.len() as u64;
    }
    writer.finish(&records, Sync::None)?;
    std::os::unix::fs::chown(to, Some(USER), Some(USER))?;
    Ok(())
}

/// Result of a restart by the user.
enum Outcome {
    /// The processes run, as descendants of this process.
    Runs(Living),
    /// The exit code of `cairn`, and the message.
    Refused(u8, String),
}

fn restart(file: &Path) -> Result<Outcome> {
    restart_by(Living::of_user("restart", USER)?, file)
}

fn restart_by(mut restarter: Living, file: &Path) -> Result<Outcome> {
    restarter.tell(&file.display().to_string())?;
    let said = restarter.hear()?;
    match said.split_once(' ') {
        Some(("refused", rest)) => {
            let (code, why) = rest.split_once(' ').context("a refusal says why")?;
            Ok(Outcome::Refused(code.parse()?, why.to_owned()))
        }
        _ if said == "restarted" => Ok(Outcome::Runs(restarter)),
        _ => bail!("the restart says {said:?}"),
    }
}

/// Checks that a process is gone.
fn nobody(pid: i32) -> Result<()> {
    child::wait_for(|| !Path::new(&format!("/proc/{pid}")).exists())
        .with_context(|| format!("process {pid} is gone"))
}

/// Checks that a restart is refused with the exit code, and leaves no process behind.
fn is_refused(file: &Path, pid: i32, code: Option<u8>) -> Result<()> {
    match restart(file)? {
        Outcome::Runs(_) => bail!("it was granted"),
        Outcome::Refused(got, why) => {
            ensure!(code.is_none_or(|code| code == got), "exit code {got}: {why}");
            nobody(pid)
        }
    }
}

/// Checks that a restart from a changed file is refused, and one from the original works.
fn forged(code: Option<u8>, how: impl FnOnce(&mut Records)) -> Result<()> {
    let place = Place::new()?;
    let (real, forged) = (place.file("context"), place.file("forged"));
    let pid = saved(&real)?;
    change(&real, &forged, how)?;
    is_refused(&forged, pid, code)?;
    comes_back(&real, pid)
}

/// Checks that a restart works, and that the process has no more privileges than before.
fn comes_back(file: &Path, pid: i32) -> Result<()> {
    let Outcome::Runs(_restarter) = restart(file)? else { bail!("the unchanged file is refused") };
    child::runs_on(pid)?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let ids = format!("\t{USER}\t{USER}\t{USER}\t{USER}");
    for (field, value) in [
        ("Uid:", ids.as_str()),
        ("Gid:", ids.as_str()),
        ("CapPrm:", "\t0000000000000000"),
        ("CapEff:", "\t0000000000000000"),
    ] {
        let line = status.lines().find_map(|line| line.strip_prefix(field)).context("a status")?;
        ensure!(line == value, "{field}{line}");
    }
    Ok(())
}

fn own() -> Result<()> {
    let place = Place::new()?;
    let file = place.file("context");
    let pid = saved(&file)?;
    nobody(pid)?;
    comes_back(&file, pid)?;
    // Killed with the process that restarted it.
    nobody(pid)
}

fn without_the_device() -> Result<()> {
    let place = Place::new()?;
    let file = place.file("context");
    let pid = saved(&file)?;
    std::fs::set_permissions(DEVICE, Permissions::from_mode(0o600))?;
    let done = is_refused(&file, pid, DENIED);
    std::fs::set_permissions(DEVICE, Permissions::from_mode(0o666))?;
    done
}

fn given_up() -> Result<()> {
    const CAP_CHECKPOINT_RESTORE: libc::c_ulong = 40;
    for (what, option, value) in [
        ("no_new_privs", libc::PR_SET_NO_NEW_PRIVS, 1),
        ("a bounding set without it", libc::PR_CAPBSET_DROP, CAP_CHECKPOINT_RESTORE),
    ] {
        // A thread gives it up as root, before it changes to the user's ids.
        let attempt = || -> Result<()> {
            // SAFETY: plain numbers go to the kernel.
            let done = unsafe { libc::prctl(option, value, 0, 0, 0) };
            ensure!(done == 0, "give up: {}", io::Error::last_os_error());
            as_user(USER, || refused(Device::open()?.acquire_checkpoint_capability(), libc::EPERM))?
        };
        std::thread::scope(|scope| scope.spawn(attempt).join().expect("the thread does not panic"))
            .context(what)?;
    }
    Ok(())
}

fn opens_nothing() -> Result<()> {
    let living = Living::of_user("count", OTHER)?;
    let pid = living.pid();
    as_user(USER, || -> Result<()> {
        let device = Device::open()?;
        device.acquire_checkpoint_capability()?;
        refused(device.freeze(pid, 0, child::PATIENCE), libc::EPERM).context("hold")?;
        refused(cairn::sys::ptrace::seize(pid, 0), libc::EPERM).context("trace")?;
        refused(std::fs::read_dir(format!("/proc/{pid}/map_files")), libc::EACCES)
            .context("look behind mappings")?;
        refused(std::fs::read(format!("/proc/{pid}/mem")), libc::EACCES).context("read memory")?;
        refused(std::fs::read("/etc/cairn/cairn.ko"), libc::EACCES).context("read root's file")
    })??;
    living.runs_on()
}

fn save_of_another() -> Result<()> {
    let place = Place::new()?;
    let living = Living::apart_of("count", Some(OTHER))?;
    let mut saver = Living::of_user("save", USER)?;
    saver.tell(&format!("{} {}", living.pid(), place.file("context").display()))?;
    let said = saver.hear()?;
    ensure!(said.starts_with("refused 5 "), "{said}");
    ensure!(!place.file("context").exists(), "there is a file");
    living.runs_on()
}

/// Since Linux 7.1 the exit status of an undumpable process is hidden without trace permission.
fn ended_undumpable() -> Result<()> {
    let place = Place::new()?;
    let file = place.file("context");
    let living = Living::apart_of("parent-of-undumpable", Some(USER))?;
    let children = format!("/proc/{0}/task/{0}/children", living.pid());
    child::wait_for(|| {
        let children = std::fs::read_to_string(&children).unwrap_or_default();
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", children.trim_end()));
        stat.is_ok_and(|stat| stat.contains(") Z "))
    })?;
    let mut saver = Living::of_user("save", USER)?;
    saver.tell(&format!("{} {}", living.pid(), file.display()))?;
    let said = saver.hear()?;
    if said == "saved" {
        let records: Records = Reader::open(&file)?.records()?;
        let statuses = records.processes.iter().filter_map(|process| match &process.life {
            Life::Zombie(zombie) => Some(zombie.status),
            Life::Alive(_) => None,
        });
        ensure!(statuses.eq([3 << 8]), "{:?}", records.processes);
        return living.ended_by(libc::SIGKILL);
    }
    ensure!(said.starts_with("refused 3 ") && said.contains("visible only to root"), "{said}");
    ensure!(!file.exists(), "there is a file");
    child::runs_on(living.pid())
}

fn roots_file() -> Result<()> {
    let place = Place::new()?;
    let secret = place.file("secret");
    std::fs::write(&secret, "only for root")?;
    std::fs::set_permissions(&secret, Permissions::from_mode(0o600))?;
    let (real, forged) = (place.file("context"), place.file("forged"));
    let pid = saved(&real)?;
    for flags in [libc::O_RDONLY, libc::O_RDWR] {
        change(&real, &forged, |records| {
            let path = PathBytes::from(secret.as_path());
            records.inodes.push(Inode { path, kind: Kind::Regular, identity: None, unlinked: None });
            records.files.push(OpenFile {
                inode: records.inodes.len() - 1,
                flags,
                offset: 0,
                owner: None,
                locks: Vec::new(),
            });
            let file = records.files.len() - 1;
            alive(records).fds.push(Fd { fd: 100, file, cloexec: false });
        })?;
        is_refused(&forged, pid, DENIED)?;
    }
    ensure!(std::fs::read(&secret)? == b"only for root", "it was written to");
    comes_back(&real, pid)
}

fn pid_in_use() -> Result<()> {
    let place = Place::new()?;
    let (real, forged) = (place.file("context"), place.file("forged"));
    let pid = saved(&real)?;
    let living = Living::of_user("count", OTHER)?;
    change(&real, &forged, |records| renumber(records, living.pid()))?;
    is_refused(&forged, pid, CONFLICT)?;
    living.runs_on()?;
    comes_back(&real, pid)
}

fn set_uid_program() -> Result<()> {
    let place = Place::new()?;
    let program = child::set_uid_copy()?;
    let (real, forged) = (place.file("context"), place.file("forged"));
    let pid = saved(&real)?;
    change(&real, &forged, |records| {
        let path = PathBytes::from(program.as_path());
        records.inodes.push(Inode { path, kind: Kind::Regular, identity: None, unlinked: None });
        let inode = records.inodes.len() - 1;
        records.files.push(OpenFile {
            inode,
            flags: libc::O_RDONLY,
            offset: 0,
            owner: None,
            locks: Vec::new(),
        });
        let file = records.files.len() - 1;
        alive(records).memory.exe = file;
    })?;
    // PR_SET_MM_EXE_FILE may accept it: only execve() changes credentials.
    let done = comes_back(&forged, pid);
    std::fs::remove_file(&program)?;
    done
}

/// Restarts many times while another thread exchanges files. `runs` checks the restarted process;
/// a refusal must have one of the codes; `holds` checks what must not change.
fn while_exchanged(
    exchange: impl Fn() + std::marker::Sync,
    pid: i32,
    restart: impl Fn() -> Result<Outcome>,
    runs: impl Fn() -> Result<()>,
    codes: &[Option<u8>],
    holds: impl Fn() -> Result<()>,
) -> Result<()> {
    const TIMES: u32 = 20;
    let stop = AtomicBool::new(false);
    let (mut granted, mut refused) = (0, 0);
    let mut attempts = || -> Result<()> {
        for _ in 0..TIMES {
            match restart()? {
                Outcome::Runs(restarter) => {
                    runs()?;
                    granted += 1;
                    drop(restarter);
                }
                Outcome::Refused(code, why) => {
                    ensure!(codes.contains(&Some(code)), "exit code {code}: {why}");
                    refused += 1;
                }
            }
            nobody(pid)?;
            holds()?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                exchange();
            }
        });
        let done = attempts();
        stop.store(true, Ordering::Relaxed);
        done
    })?;
    println!("# {granted} restarts granted, {refused} refused");
    Ok(())
}

/// Creates a file of root with the size and the mtime of a file of the user.
fn secret_like(file: &Path, secret: &Path) -> Result<()> {
    let meta = std::fs::metadata(file)?;
    std::fs::write(secret, vec![b'?'; meta.len() as usize])?;
    File::options().write(true).open(secret)?.set_modified(meta.modified()?)?;
    Ok(std::fs::set_permissions(secret, Permissions::from_mode(0o600))?)
}

/// The user's process has a file open, whose path alternates between that file and a link to
/// root's.
fn exchanged() -> Result<()> {
    let place = Place::new()?;
    let (mine, link, context) = (place.file("mine"), place.file("link"), place.file("context"));
    std::fs::write(&mine, "the user's own")?;
    std::os::unix::fs::chown(&mine, Some(USER), Some(USER))?;
    let inode = std::fs::metadata(&mine)?.ino();
    secret_like(&mine, Path::new("/tmp/kmod-test-secret"))?;
    symlink("/tmp/kmod-test-secret", &link)?;
    let real = place.file("real");
    let pid = saved(&real)?;
    change(&real, &context, |records| {
        let path = PathBytes::from(mine.as_path());
        records.inodes.push(Inode { path, kind: Kind::Regular, identity: None, unlinked: None });
        let inode = records.inodes.len() - 1;
        records.files.push(OpenFile {
            inode,
            flags: libc::O_RDWR,
            offset: 0,
            owner: None,
            locks: Vec::new(),
        });
        let file = records.files.len() - 1;
        alive(records).fds.push(Fd { fd: 100, file, cloexec: false });
    })?;
    let exchange = || {
        let flags = rustix::fs::RenameFlags::EXCHANGE;
        rustix::fs::renameat_with(CWD, &mine, CWD, &link, flags).expect("both are there");
    };
    let is_mine = || {
        let opened = std::fs::metadata(format!("/proc/{pid}/fd/100"))?.ino();
        ensure!(opened == inode, "what it has open is inode {opened}, not {inode}");
        Ok(())
    };
    while_exchanged(exchange, pid, || restart(&context), is_mine, &[DENIED, CONFLICT], || Ok(()))?;
    ensure!(std::fs::read("/tmp/kmod-test-secret")? == vec![b'?'; 14], "root's file was written to");
    std::fs::remove_file("/tmp/kmod-test-secret")?;
    comes_back(&real, pid)
}

/// The user's process has an unlinked file, which root creates in a directory of the user, while
/// the user replaces it by a link to root's file.
fn exchanged_anew() -> Result<()> {
    let place = Place::new()?;
    let (context, secret) = (place.file("context"), PathBuf::from("/tmp/kmod-test-secret"));
    let gone = place.file("gone");
    let pid = saved_as("unlinked", &context)?;
    std::fs::write(&secret, "only for root")?;
    std::fs::set_permissions(&secret, Permissions::from_mode(0o600))?;
    let link = place.file("link");
    let exchange = || match std::fs::symlink_metadata(&gone) {
        // Errors are expected: the restart removes the name concurrently.
        Ok(meta) if meta.is_file() => {
            let _ = rustix::fs::renameat(CWD, &link, CWD, &gone);
        }
        Ok(_) => {
            let _ = std::fs::remove_file(&gone);
        }
        Err(_) => {
            let _ = symlink(&secret, &link);
        }
    };
    let by_root = || restart_by(Living::new("restart")?, &context);
    let is_without_a_name = || {
        let opened = std::fs::read(format!("/proc/{pid}/fd/100"))?;
        ensure!(opened == b"without a name", "what it has open is another file");
        Ok(())
    };
    let is_unchanged = || {
        let meta = std::fs::metadata(&secret)?;
        let same = (meta.uid(), meta.gid(), meta.mode() & 0o7777) == (0, 0, 0o600);
        ensure!(same && std::fs::read(&secret)? == b"only for root", "root's file is another one");
        Ok(())
    };
    while_exchanged(exchange, pid, by_root, is_without_a_name, &[CONFLICT], is_unchanged)?;
    std::fs::remove_file(&secret)?;
    let Outcome::Runs(_restarter) = by_root()? else { bail!("it is refused when nobody exchanges anything") };
    child::runs_on(pid)
}

fn damaged() -> Result<()> {
    let place = Place::new()?;
    let file = place.file("context");
    let pid = saved(&file)?;
    let mut bytes = std::fs::read(&file)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes)?;
    is_refused(&file, pid, MALFORMED)
}
