//! The read-only part of a checkpoint: what is visible from outside, and reasons to refuse it.

use super::{Target, Then};
use crate::error::{Context, Error, External, Part, Problem, Problems, Result, Subject};
use crate::image::Location;
use crate::proc::fdinfo::FdInfo;
use crate::proc::{notify, status};
use crate::remote::Stopped;
use crate::resource::cgroup;
use crate::resource::fd::Kind;
use crate::resource::fd::description::Files;
use crate::resource::fd::inode::{Found, Inodes};
use crate::resource::fd::io_uring;
use crate::resource::fd::job::{Established, Job};
use crate::resource::fd::lock::{self, Locks};
use crate::resource::fd::socket::lock::Lock;
use crate::resource::fd::table::{self, Fd};
use crate::resource::ipc::queue::Queue;
use crate::resource::ipc::semaphores::Semaphores;
use crate::resource::ipc::{self, ById, Name, is_absent};
use crate::resource::mm::Range;
use crate::resource::mm::capture::{self, Tables};
use crate::resource::mm::dump::Owner;
use crate::resource::mm::pagemap::{self, PagemapMethod};
use crate::resource::mm::shared::ObjectId;
use crate::resource::mm::vma::{Backing, Vma, VmaFlag};
use crate::resource::process::{self, Zombie};
use crate::resource::refused::{self, SemaphoreUsers};
use crate::resource::thread::creds::Creds;
use crate::resource::thread::landlock::Peers;
use crate::resource::thread::rings::Ring;
use crate::resource::timer::{self, PosixTimer};
use crate::sys::task::Seen;
use crate::tree::{Frozen, ObjectUse, Outside, Task, shared_state};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io;
use std::path::Path;
use std::thread::JoinHandle;

/// What is visible without touching the target.
pub struct Inspection {
    pub tables: Tables,
    pub found: Vec<Inspected>,
    pub problems: Problems,
    /// System V objects that are used by their ids only.
    pub sysv: Vec<ById>,
    /// What is not saved, and is no reason to refuse.
    pub notices: Vec<String>,
    /// A shared mapping, or a descriptor, of each object that only the job has by rights.
    used: HashMap<Object, ObjectUse>,
    /// The lock of TCP connections to outside.
    pub lock: Option<Lock>,
    /// Whether sharing with processes outside is allowed.
    shared: bool,
    /// The control groups that processes are in.
    pub cgroups: cgroup::Seen,
    /// What threads look at to find out whether they are restricted.
    pub peers: Peers,
    /// Thread that inspects processes outside in the meantime.
    outside: Option<JoinHandle<Outside>>,
    /// Thread that scans file locks in the meantime.
    locks: Option<Locks>,
}

/// What a shared mapping or a descriptor shows, by its index in the records.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Object {
    /// Anonymous memory.
    Memory(usize),
    /// A file.
    File(usize),
}

/// What is visible of one process.
pub enum Inspected {
    Zombie,
    Alive(Box<InspectedProcess>),
}

pub struct InspectedProcess {
    /// As in the records.
    pub leader: Option<Zombie>,
    pub vmas: Vec<(Vma, bool)>,
    pub pages: Owner,
    pub tagged: Vec<Range>,
    pub fds: Vec<Fd>,
    /// As in the records.
    pub files_of: Option<i32>,
    pub cwd: usize,
    pub root: Option<usize>,
    /// As in the records.
    pub fs_of: Option<i32>,
    /// As in the records.
    pub memory_of: Option<i32>,
    /// As in the records.
    pub actions_of: Option<i32>,
    pub exe: usize,
    pub timers: Vec<PosixTimer>,
    pub rings: Vec<Ring>,
    /// Control groups of each thread.
    pub cgroups: Vec<Vec<usize>>,
}

/// What is visible of an address space.
#[derive(Default)]
struct InspectedMemory {
    /// Mappings, each with whether it may have populated pages.
    vmas: Vec<(Vma, bool)>,
    /// Pages with memory tags.
    tagged: Vec<Range>,
}

impl Inspection {
    /// Inspects the job.
    ///
    /// # Errors
    /// *vanished*, *denied*, or what the kernel reports; reasons to refuse are collected in the
    /// result instead.
    pub fn of(frozen: &Frozen, target: &Target, then: Then) -> Result<Self> {
        let shared = target.shared;
        let locks = lock::Look::begin();
        let alive = frozen.tasks.iter().filter(|task| !task.threads.is_empty()).map(Task::seen);
        let processes: Vec<Seen> = alive.collect();
        let established = match (target.tcp_established, then) {
            (false, _) => Established::Refused,
            (true, Then::Kill) => Established::Locked,
            (true, Then::Run | Then::Stop) => Established::Saved,
        };
        let job = Job::new(processes.clone(), target.external.clone(), established);
        let mut inspection = Inspection {
            tables: Tables { inodes: Inodes::of(processes), files: Files::of(job), ..Tables::default() },
            found: Vec::new(),
            problems: Problems::default(),
            sysv: Vec::new(),
            notices: Vec::new(),
            used: HashMap::new(),
            lock: None,
            shared,
            cgroups: cgroup::Seen::new()?,
            peers: Peers::new()?,
            outside: None,
            locks: None,
        };
        refuse_own_servers(&frozen.tasks)?;
        // Before processes outside are looked at, of which these are none.
        let problems = shared_state::problems(&frozen.tasks, &mut inspection.peers)?;
        inspection.problems.extend(problems);
        let common = shared_state::Shared::of(&frozen.tasks)?;
        inspection.tables.files.set_shared_tables(common.files.clone());
        // Before any file is looked at: it must not change afterwards.
        for task in frozen.tasks.iter().filter(|task| task.has_workers) {
            inspection.problems.extend(io_uring::in_flight(task.seen())?);
        }
        let (method, users) = (PagemapMethod::probe(), SemaphoreUsers::look());
        // By PID of the first process that has the descriptor table.
        let mut rings: HashMap<i32, Vec<Ring>> = HashMap::new();
        for task in &frozen.tasks {
            let seen = if task.threads.is_empty() {
                inspection.look_at_zombie(task);
                Inspected::Zombie
            } else {
                match inspection.look_at(task, method, &users, &common) {
                    Ok(mut seen) => {
                        // Any of its processes may have registered one, which only that can tell.
                        let table = seen.files_of.unwrap_or(task.pid);
                        seen.rings = rings.entry(table).or_insert(seen.rings).clone();
                        Inspected::Alive(Box::new(seen))
                    }
                    Err(Error::Unsupported(why)) => {
                        inspection.problems.extend(why);
                        Inspected::Zombie
                    }
                    Err(other) => return Err(other),
                }
            };
            inspection.found.push(seen);
        }
        let inside: HashSet<i32> = frozen.tasks.iter().map(|task| task.pid).collect();
        inspection.look_at_sysv(&target.sysv)?;
        let unnamed =
            ipc::used_last(&inside, &users.all).into_iter().filter(|name| !target.sysv.contains(name));
        inspection.notices.extend(unnamed.map(|name| {
            format!(
                "System V object {name} was last used by the job, and is not saved: it stays where it is; --sysv {name} saves it"
            )
        }));
        let tids = frozen.tasks.iter().flat_map(|task| task.threads.iter().map(Stopped::tid));
        let tids: HashSet<i32> = tids.chain(inside.iter().copied()).collect();
        inspection.tables.files.refuse_owners(&tids, &mut inspection.problems);
        inspection.tables.files.refuse_unknown(&inspection.tables.inodes, &mut inspection.problems);
        inspection.tables.files.refuse_leases(&inspection.tables.inodes, &mut inspection.problems);
        let saved = inspection.tables.files.take_locks();
        let users = inspection.tables.inodes.nodes();
        let users = users.map(|(node, (inode, user))| (node, (inode, user.clone()))).collect();
        inspection.locks = Some(locks.among(users, saved, tids.clone()));
        if shared {
            inspection.tables.files.allow_sharing();
        }
        let links = inspection.tables.files.shared_links();
        let known = inside.into_iter().chain(inspection.peers.pids()).collect();
        inspection.outside = Some(std::thread::spawn(move || Outside::look(&known, &links)));
        if inspection.refuse_rings(&frozen.tasks) {
            return Ok(inspection);
        }
        let tables = frozen.tasks.iter().zip(&inspection.found).filter_map(|(task, seen)| match seen {
            Inspected::Alive(process) => Some((task.pid, &process.fds[..])),
            Inspected::Zombie => None,
        });
        let captured = inspection.tables.files.capture(&mut inspection.tables.inodes, tables.collect());
        match captured {
            Ok(lock) => inspection.lock = lock,
            Err(errors) => {
                for err in errors {
                    match err {
                        Error::Unsupported(why) => inspection.problems.extend(why),
                        other => return Err(other),
                    }
                }
            }
        }
        let tables = &inspection.tables;
        tables.files.refuse_references(&tables.inodes, &tids, &mut inspection.problems);
        Ok(inspection)
    }

    /// Refuses if there is a reason, and then also lists the reasons found outside the job, which
    /// are otherwise not waited for here.
    ///
    /// # Errors
    /// *unsupported*
    pub fn accept(mut self, frozen: &Frozen) -> Result<Self> {
        if self.problems.reasons.is_empty() {
            return Ok(self);
        }
        let mut problems = std::mem::take(&mut self.problems);
        let (_, more) = self.look_around(&frozen.tasks)?;
        problems.extend(more);
        Err(Error::Unsupported(problems))
    }

    /// Refuses to replace a file that the job itself has open: the job would keep an unlinked file.
    /// Nor can it be a stream of the job's: stopped, the job reads nothing.
    ///
    /// # Errors
    /// *unsupported*
    pub fn refuse_own_file(&self, to: &Location) -> Result<()> {
        // A path that does not exist cannot be one of the job's files.
        let Some((user, path)) = to.node().and_then(|node| self.tables.inodes.user_of(node)) else {
            return Ok(());
        };
        Err(Error::unsupported(match to {
            Location::File(_) => format!(
                "{user}: {path} is in use by the job itself and would be replaced by the context file; choose another name with -o"
            ),
            Location::Stream(stream) => format!(
                "{user}: is the stream that the context file would be written to ({}); a job cannot receive its own checkpoint",
                stream.path().display()
            ),
        }))
    }

    /// Waits for the inspection of processes outside; returns them and the reasons to refuse that
    /// they are.
    ///
    /// # Errors
    /// kcmp(2) is not available.
    pub fn look_around(&mut self, tasks: &[Task]) -> Result<(Outside, Problems)> {
        let looking = self.outside.take().expect("taken only once");
        let outside = looking.join().expect("the inspection thread does not panic");
        let mut problems = Problems::default();
        outside.traced(tasks, &mut problems);
        self.look_for_sharers(&outside, tasks, &mut problems)?;
        Ok((outside, problems))
    }

    /// The file lock scan, which may still be running.
    pub fn take_locks(&mut self) -> Locks {
        self.locks.take().expect("taken only once")
    }

    /// Refuses an io_uring of a process that the module holds: in the middle of a call, it keeps
    /// the ring from being looked at, and whether a thread has registered it is visible only to
    /// code in the thread.
    fn refuse_rings(&mut self, tasks: &[Task]) -> bool {
        let mut any = false;
        for (task, seen) in tasks.iter().zip(&self.found) {
            if task.device.is_some() && matches!(seen, Inspected::Alive(process) if !process.rings.is_empty())
            {
                let why =
                    ": has an io_uring, which the module cannot look at; save it by ptrace (--source ptrace)";
                self.problems.push(Problem::of(Subject::process(task.pid), why));
                any = true;
            }
        }
        any
    }

    /// Reads the System V objects that the user counts as the job's.
    fn look_at_sysv(&mut self, names: &[Name]) -> Result<()> {
        let Tables { shared, dump_plan, .. } = &mut self.tables;
        for name in names.iter().collect::<BTreeSet<_>>() {
            let found = match *name {
                Name::Segment(id) => shared.add_unattached(id, dump_plan).map(|()| None),
                Name::Semaphores(id) => Semaphores::capture(id).map(|found| Some(ById::Semaphores(found))),
                Name::Queue(id) => Queue::capture(id).map(|found| Some(ById::Queue(found))),
            };
            match found {
                Ok(found) => self.sysv.extend(found),
                Err(Error::Unsupported(why)) => self.problems.extend(why),
                Err(Error::Failed { source, .. }) if is_absent(&source) => {
                    self.problems.push(format!("there is no System V object {name}; `ipcs` shows all"));
                }
                Err(other) => return Err(other),
            }
        }
        Ok(())
    }

    /// The leader of a process that has exited while other threads run. Refuses what one that exits
    /// once more would not have.
    fn look_at_leader(&mut self, process: Seen) -> Result<Zombie> {
        let Seen { pid, by } = process;
        let leader = process::ended_leader(pid)?;
        let creds = |tid: i32| Creds::of_status(&status::of_thread(pid, tid)?, 0, 0);
        let found = [
            (
                hides_status(pid),
                "and its exit status is visible only to root: it was not dumpable, or belongs to another user; run cairn as root",
            ),
            (
                libc::WIFSIGNALED(leader.status),
                "killed without the others by a seccomp filter (SECCOMP_RET_KILL_THREAD); start the job so that main() waits for its threads",
            ),
            (
                creds(pid)? != creds(by)?,
                "with other credentials than the others have now; start the job so that main() waits for its threads",
            ),
        ];
        for (_, what) in found.into_iter().filter(|(there, _)| *there) {
            let why = format!(": its main thread has exited while others still run, {what}");
            self.problems.push(Problem::of(Subject::process(pid), why));
        }
        Ok(leader)
    }

    fn look_at_zombie(&mut self, task: &Task) {
        let (pid, ppid) = (task.pid, task.stat.ppid);
        if hides_status(pid) {
            self.problems.push(Problem::of(Subject::process(pid), format!(
                ": is a zombie that its parent {ppid} has not reaped, and its exit status is visible only to root: it was not dumpable, or belongs to another user; let its parent reap it, or run cairn as root"
            )));
        }
        if task.stat.exit_code.is_some_and(|status| libc::WIFSIGNALED(status) && libc::WCOREDUMP(status)) {
            self.problems.push(Problem::of(Subject::process(pid), format!(
                ": is a zombie that dumped core and that its parent {ppid} has not reaped; this status cannot be recreated without dumping core again"
            )));
        }
    }

    /// Sharing with processes outside that would be lost after a restart.
    fn look_for_sharers(&self, outside: &Outside, tasks: &[Task], problems: &mut Problems) -> Result<()> {
        let mut found = Problems::default();
        let files = &self.tables.files;
        let advice = if self.shared {
            outside.holders(files, &mut found);
            "; its lock would be in the way of a restart: release it, or end that process"
        } else {
            outside.sharing(tasks, &mut found)?;
            outside.holders(files, &mut found);
            let memory = self.tables.shared.identities().filter(|(id, _)| !id.is_segment);
            let memory = memory.map(|(id, index)| (id, Object::Memory(index)));
            let unlinked = self.tables.inodes.unlinked();
            let unlinked =
                unlinked.map(|(node, index)| (ObjectId { node, is_segment: false }, Object::File(index)));
            let both = memory.chain(unlinked);
            let ours = both.filter_map(|(node, object)| Some((node, self.used.get(&object)?)));
            outside.mappers(&ours.collect(), &mut found);
            "; a restart would separate them: save a tree that contains both, or pass --shared"
        };
        for mut problem in found.reasons {
            if problem.external.is_some_and(External::is_severable) {
                problem.why += advice;
            }
            problems.push(problem);
        }
        self.look_for_attached(outside, problems);
        Ok(())
    }

    /// Processes outside that are attached to System V shared memory of the job: as long as they
    /// are, a restart cannot create it.
    fn look_for_attached(&self, outside: &Outside, problems: &mut Problems) {
        let mut found = Problems::default();
        let segments = self.tables.shared.identities().filter(|(id, _)| id.is_segment);
        let ours = segments.filter_map(|(id, index)| Some((id, self.used.get(&Object::Memory(index))?)));
        outside.mappers(&ours.collect(), &mut found);
        if found.reasons.is_empty() {
            // By a process that is not visible here.
            self.tables.shared.attached_elsewhere(&mut found);
        }
        for mut problem in found.reasons {
            problem.why +=
                "; its id would be in use at a restart: save a tree that contains both, or end that process";
            problems.push(problem);
        }
    }

    fn look_at_memory(
        &mut self,
        task: &Task,
        method: PagemapMethod,
        pages: Owner,
    ) -> Result<InspectedMemory> {
        let tables = &mut self.tables;
        let mappings = capture::capture(task.seen(), tables)?;
        self.problems.extend(mappings.problems);
        let mut vmas = mappings.vmas;
        let mut tagged = pagemap::collect_pages(
            task.seen(),
            task.device.clone(),
            &mut vmas,
            method,
            pages,
            &mut tables.dump_plan,
        )?;
        let shared = vmas.iter().filter(|(vma, _)| vma.flags.contains(&VmaFlag::Tagged));
        tagged.extend(shared.flat_map(|(vma, _)| tables.shared.populated_in(vma)));
        tagged.sort_by_key(|range| range.start);
        Ok(InspectedMemory { vmas, tagged })
    }

    fn look_at(
        &mut self,
        task: &Task,
        method: PagemapMethod,
        users: &SemaphoreUsers,
        common: &shared_state::Shared,
    ) -> Result<InspectedProcess> {
        let process = task.seen();
        let pid = process.pid;
        let first_of = |all: &BTreeMap<i32, i32>| all.get(&pid).copied();
        let (files_of, fs_of) = (first_of(&common.files), first_of(&common.fs));
        let (memory_of, actions_of) = (first_of(&common.memory), first_of(&common.actions));
        if refused::may_undo_semaphores(started(task), &task.threads, users)? {
            self.problems.push(Problem::of(
                Subject::process(pid),
                ": may have System V semaphore operations to undo on exit (SEM_UNDO): it has a list of them, as every process that has had threads, and semaphores have been used since it started; remove the semaphores, or save it through the kernel module, which sees what is in the list (--source kmod)",
            ));
        }
        let leader = (!process.has_leader()).then(|| self.look_at_leader(process)).transpose()?;
        let pages = self.tables.dump_plan.owner();
        // An address space is looked at once, in the first process that has it.
        let InspectedMemory { vmas, tagged } = match memory_of {
            Some(_) => InspectedMemory::default(),
            None => self.look_at_memory(task, method, pages)?,
        };
        let tables = &mut self.tables;
        let pidfd = process.pidfd().context(|| format!("open pidfd of {pid}"))?;
        let mut fds = Vec::new();
        // A table is looked at once, in the first process that has it.
        let numbers = if files_of.is_some() { Vec::new() } else { table::numbers(process.by)? };
        for fd in numbers {
            use std::os::fd::AsFd;
            match tables.files.add_fd(pidfd.as_fd(), process, fd, &mut tables.inodes, &mut tables.dump_plan) {
                Ok(fd) => fds.push(fd),
                Err(Error::Unsupported(why)) => self.problems.extend(why),
                Err(other) => return Err(other),
            }
        }
        let mut opened = |name: &'static str, flags: i32| -> Result<usize> {
            let link = format!("/proc/{}/{name}", process.by);
            let who = Subject::part(pid, Part::Link(name));
            let found = Found { link: Path::new(&link), who: &who, fd: None, job: None };
            tables.files.add_found(&found, flags, &mut tables.inodes, &mut tables.dump_plan)
        };
        let cwd = opened("cwd", libc::O_PATH | libc::O_DIRECTORY)?;
        let root = if has_our_root(process.by)? {
            None
        } else {
            Some(opened("root", libc::O_PATH | libc::O_DIRECTORY)?)
        };
        let exe = opened("exe", libc::O_RDONLY)?;
        let unlinked = |file: usize| {
            let file = tables.files.get(file);
            tables.inodes.is_unlinked(file.inode).then_some(file)
        };
        let mut uses = Vec::new();
        for (vma, _) in &vmas {
            let (object, writes) = match vma.backing {
                Backing::Shared { object, private: false, .. } => (Object::Memory(object), true),
                Backing::Segment { object, read_only, .. } => (Object::Memory(object), !read_only),
                Backing::File { file, shared: true, .. } => match unlinked(file) {
                    Some(file) => (Object::File(file.inode), file.writes()),
                    None => continue,
                },
                _ => continue,
            };
            uses.push((object, Subject::part(pid, Part::Mapping(vma.start..vma.end)), writes));
        }
        for fd in &fds {
            if let Some(file) = unlinked(fd.file).filter(|file| !file.is_path()) {
                uses.push((Object::File(file.inode), Subject::fd(pid, fd.fd), file.writes()));
            }
        }
        for (object, at, writes) in uses {
            self.used.entry(object).or_insert(ObjectUse { at, writes }).writes |= writes;
        }
        let timers = std::fs::read_to_string(format!("/proc/{pid}/timers"))
            .context(|| format!("read /proc/{pid}/timers (needs CONFIG_CHECKPOINT_RESTORE)"))?;
        let is_ring =
            |fd: &Fd| matches!(tables.inodes.kind(tables.files.get(fd.file).inode), Kind::IoUring(_));
        let rings = fds.iter().filter(|fd| is_ring(fd)).map(|fd| Ring { fd: fd.fd, file: fd.file });
        let rings = rings.collect();
        let timers = timer::parse(pid, &timers)?;
        let cgroups = self.cgroups.look(pid, task.threads.iter().map(Stopped::tid))?;
        Ok(InspectedProcess {
            leader,
            vmas,
            pages,
            tagged,
            fds,
            files_of,
            cwd,
            root,
            fs_of,
            memory_of,
            actions_of,
            exe,
            timers,
            rings,
            cgroups,
        })
    }
}

/// When a process was started, in seconds since the epoch, rounded down.
fn started(task: &Task) -> i64 {
    use rustix::time::{ClockId, clock_gettime};
    let since_boot = task.stat.starttime / procfs::ticks_per_second();
    clock_gettime(ClockId::Realtime).tv_sec - clock_gettime(ClockId::Boottime).tv_sec + since_boot as i64 - 1
}

/// Whether the exit status of a zombie is hidden from us: /proc/PID/stat shows 0 then. This link
/// has the same check (PTRACE_MODE_READ_FSCREDS, proc_pid_readlink() in fs/proc/base.c,
/// proc_ns_readlink() in fs/proc/namespaces.c). Since Linux 7.1 (31e62c2ebbfd) it stays hidden if
/// the process was not dumpable when it exited.
fn hides_status(pid: i32) -> bool {
    let link = std::fs::read_link(format!("/proc/{pid}/ns/user"));
    link.is_err_and(|err| err.kind() == io::ErrorKind::PermissionDenied)
}

/// Whether a thread has our root directory through the same mount: a bind mount of / is a
/// different one, which its path shows.
fn has_our_root(tid: i32) -> Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let link = |who: &str| format!("/proc/{who}/root");
    let (theirs, ours) = (link(&tid.to_string()), link("self"));
    let meta = |path: &str| std::fs::metadata(path).context(|| format!("stat root of {tid}"));
    let path = |path: &str| std::fs::read_link(path).context(|| format!("read root of {tid}"));
    let (there, here) = (meta(&theirs)?, meta(&ours)?);
    Ok((there.dev(), there.ino()) == (here.dev(), here.ino()) && path(&theirs)? == path(&ours)?)
}

/// Whether others wait for a fanotify group, or may do so for all that is known of it.
fn permits(by: i32, fd: i32) -> Result<bool> {
    let info = FdInfo::read(by, fd)?;
    let waits = |mark: Option<notify::Mark>| mark.is_none_or(|mark| mark.mask & notify::PERMISSION != 0);
    Ok(notify::marks(&info).any(waits))
}

/// A stopped FUSE server does not reply, and any access to its file system blocks; so does an open
/// that a stopped fanotify group would have to permit. Refuse them first, by the names of their
/// descriptors alone.
fn refuse_own_servers(tasks: &[Task]) -> Result<()> {
    for task in tasks.iter().filter(|task| !task.threads.is_empty()) {
        let by = task.seen().by;
        for fd in table::numbers(by)? {
            let link = std::fs::read_link(format!("/proc/{by}/fd/{fd}"));
            let what = match link.as_deref().map(Path::to_str) {
                Ok(Some("/dev/fuse")) => {
                    "/dev/fuse: the process serves a file system, and the kernel cannot reconnect one to a new server; unmount it first, or save a tree without this process"
                }
                Ok(Some("anon_inode:[fanotify]")) if permits(by, fd)? => {
                    "a fanotify group that others ask for permission (FAN_OPEN_PERM and the like), as would cairn; remove these marks first, or save a tree without this process"
                }
                _ => continue,
            };
            return Err(Error::unsupported(format!("pid {}: fd {fd} is {what}", task.pid)));
        }
    }
    Ok(())
}
