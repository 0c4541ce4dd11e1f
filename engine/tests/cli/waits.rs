//! What cairn waits for may never come: it gives up in time, at once when it is told to, says what
//! it waited for, and the job runs on.

use super::*;
use rstest::rstest;
use rustix::process::Signal;
use std::process::{Child, Stdio};

/// A command of cairn's on its way; ended when it is dropped.
pub struct Begun<'job> {
    front: Child,
    job: &'job Job,
}

impl Begun<'_> {
    /// What it says goes to the file `said` in the job's directory.
    fn command<'job>(job: &'job Job, args: &[&str]) -> Begun<'job> {
        let said = std::fs::File::create(job.path("said")).expect("a file");
        let twin = said.try_clone().expect("one more");
        let front = std::process::Command::new(CAIRN)
            .args(args)
            .stdin(Stdio::null())
            .stdout(said)
            .stderr(twin)
            .spawn()
            .expect("cairn starts");
        Begun { front, job }
    }

    /// A checkpoint into `context`.
    pub fn checkpoint<'job>(job: &'job Job, more: &[&str]) -> Begun<'job> {
        let file = job.path("context").display().to_string();
        Begun::command(job, &[&["checkpoint", &job.pid(), "-o", &file], more].concat())
    }

    /// The process that works, once there is one.
    pub fn worker(&self) -> i32 {
        wait_for("the worker", || harm::child_of(self.front.id()))
    }

    pub fn interrupt(&self) {
        harm::kill(self.front.id() as i32, Signal::INT);
    }

    /// Exit code and words of one that ends in this time.
    pub fn ends_within(mut self, limit: Duration) -> (i32, String) {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.front.try_wait().expect("it is our child") {
                let said = std::fs::read_to_string(self.job.path("said")).expect("the file is there");
                return (status.code().expect("it is not killed"), said);
            }
            assert!(begin.elapsed() < limit, "it has not ended in {limit:?}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        if let Ok(None) = self.front.try_wait() {
            if let Some(worker) = harm::child_of(self.front.id()) {
                harm::kill(worker, Signal::KILL);
            }
            // It may have ended meanwhile.
            let _ = self.front.kill();
            let _ = self.front.wait();
        }
    }
}

fn is_untouched(job: &Job) {
    assert_eq!(status_field(job.pid, "TracerPid").as_deref(), Some("0"));
    assert!(!job.path("context").exists());
}

/// How control groups of one version are frozen.
#[derive(Clone, Copy)]
enum Version {
    One,
    Two,
}

/// Control groups of their own, one in the other; taken away at the end.
struct Groups {
    outer: PathBuf,
    inner: PathBuf,
    version: Version,
}

impl Groups {
    /// Nothing where there is no such hierarchy.
    fn make(version: Version) -> Option<Groups> {
        let text = std::fs::read_to_string("/proc/self/mountinfo").expect("/proc is there");
        let mount = text.lines().find_map(|line| {
            let (mount, file_system) = line.split_once(" - ")?;
            let right = match version {
                Version::One => {
                    file_system.starts_with("cgroup ")
                        && file_system.split([' ', ',']).any(|word| word == "freezer")
                }
                Version::Two => file_system.starts_with("cgroup2 "),
            };
            right.then(|| PathBuf::from(mount.split(' ').nth(4).expect("proc_pid_mountinfo(5)")))
        });
        let Some(mount) = mount else {
            eprintln!("skipped: no such control groups");
            return None;
        };
        static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let outer = mount.join(format!("cairn-test-{}-{number}", std::process::id()));
        let inner = outer.join("inner");
        let groups = Groups { outer, inner, version };
        if let Err(err) = std::fs::create_dir_all(&groups.inner) {
            eprintln!("skipped: no control group can be made: {err}");
            return None;
        }
        let (file, ..) = groups.words();
        if !groups.inner.join(file).exists() {
            eprintln!("skipped: control groups without {file}");
            return None;
        }
        Some(groups)
    }

    /// The file that freezes, the text that freezes and the text that thaws.
    fn words(&self) -> (&'static str, &'static str, &'static str) {
        match self.version {
            Version::One => ("freezer.state", "FROZEN", "THAWED"),
            Version::Two => ("cgroup.freeze", "1", "0"),
        }
    }

    fn enter(&self, pid: i32) {
        std::fs::write(self.inner.join("cgroup.procs"), pid.to_string()).expect("it enters");
    }

    fn freeze(&self, group: &Path) {
        let (file, frozen, _) = self.words();
        std::fs::write(group.join(file), frozen).expect("it can be frozen");
        wait_for("the frost", || {
            let read = |name: &str| std::fs::read_to_string(self.inner.join(name)).unwrap_or_default();
            let there = match self.version {
                Version::One => read("freezer.state").trim() == "FROZEN",
                Version::Two => read("cgroup.events").lines().any(|line| line == "frozen 1"),
            };
            there.then_some(())
        });
    }

    fn thaw(&self) {
        let (file, _, thawed) = self.words();
        for group in [&self.inner, &self.outer] {
            // It need not have been frozen.
            let _ = std::fs::write(group.join(file), thawed);
        }
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        self.thaw();
        let members = std::fs::read_to_string(self.inner.join("cgroup.procs")).unwrap_or_default();
        members.lines().filter_map(|pid| pid.parse().ok()).for_each(|pid| harm::kill(pid, Signal::KILL));
        let begin = Instant::now();
        for group in [&self.inner, &self.outer] {
            // Until its members have ended.
            while group.exists() && std::fs::remove_dir(group).is_err() && begin.elapsed() < PATIENCE {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
}

#[rstest]
#[case::version_1(Version::One, false)]
#[case::version_1_from_above(Version::One, true)]
#[case::version_2(Version::Two, false)]
#[case::version_2_from_above(Version::Two, true)]
fn a_frozen_control_group_is_named(#[case] version: Version, #[case] above: bool) {
    let job = Job::counter();
    let Some(groups) = Groups::make(version) else { return };
    groups.enter(job.pid);
    groups.freeze(if above { &groups.outer } else { &groups.inner });
    let name = groups.inner.display().to_string();
    let pid = job.pid();
    // One after the other: both say it in the same file.
    for command in ["check", "checkpoint"] {
        let begun = if command == "check" {
            Begun::command(&job, &[command, &pid])
        } else {
            Begun::checkpoint(&job, &[])
        };
        let (code, said) = begun.ends_within(Duration::from_secs(10));
        assert_eq!(code, 3, "{said}");
        assert!(said.contains("frozen control group") && said.contains(&name), "{said}");
    }
    is_untouched(&job);
    groups.thaw();
    job.await_progress();
    assert_eq!(exit_code(&job.checkpoint("context", &[])), 0);
}

/// A file system of a process of its own, at `mounted` in a job's directory, with what is in
/// `beneath`.
pub struct Bound {
    server: Child,
    at: PathBuf,
}

impl Bound {
    /// Nothing without bindfs.
    pub fn mount(job: &Job) -> Option<Bound> {
        let (beneath, at) = (job.path("beneath"), job.path("mounted"));
        for dir in [&beneath, &at] {
            std::fs::create_dir(dir).expect("made");
        }
        let device = || std::os::unix::fs::MetadataExt::dev(&std::fs::metadata(&at).expect("it is there"));
        let before = device();
        let mut server = match std::process::Command::new("bindfs")
            // The kernel remembers nothing of it.
            .args(["-f", "-o", "attr_timeout=0,entry_timeout=0"])
            .args([&beneath, &at])
            .stdin(Stdio::null())
            .spawn()
        {
            Ok(server) => server,
            Err(err) => {
                eprintln!("skipped: bindfs: {err}");
                return None;
            }
        };
        let mounted = wait_for("the file system", || match server.try_wait() {
            Ok(None) => (device() != before).then_some(true),
            _ => Some(false),
        });
        if !mounted {
            eprintln!("skipped: bindfs cannot mount here");
            return None;
        }
        Some(Bound { server, at })
    }

    /// It answers no request.
    fn hang(&self) {
        harm::kill(self.server.id() as i32, Signal::STOP);
        wait_for("the stop", || {
            let state = status_field(self.server.id() as i32, "State")?;
            state.starts_with('T').then_some(())
        });
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        harm::kill(self.server.id() as i32, Signal::CONT);
        // Also while somebody is in it; with the mount its server ends, if it has not already.
        let _ = cmd!("umount", "-l", &self.at).stderr_null().unchecked().run();
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Counts once it has a file of that file system open.
fn job_on_a_hung_file_system() -> Option<(Bound, Job)> {
    let text = "while [ ! -e go ]; do read x < /dev/null; done; exec 5> mounted/log; \
                i=0; while :; do i=$((i+1)); echo $i > count; done";
    let job = Job::script(text);
    let bound = Bound::mount(&job)?;
    std::fs::write(job.path("go"), "").expect("written");
    job.await_progress();
    bound.hang();
    Some((bound, job))
}

#[test]
fn a_file_system_that_hangs_is_given_up_in_time_and_named() {
    let Some((bound, job)) = job_on_a_hung_file_system() else { return };
    let begun = Begun::checkpoint(&job, &["--time", "1"]);
    // That second, two more for the worker to say so itself, and some to end it.
    let (code, said) = begun.ends_within(Duration::from_secs(6));
    assert_ne!(code, 0, "{said}");
    assert!(said.contains("mounted/log"), "{said}");
    job.await_progress();
    is_untouched(&job);
    drop(bound);
}

/// Waits until this thread is in the same call for as long as nothing that goes on is.
fn await_standstill(pid: i32) {
    let look = || std::fs::read_to_string(format!("/proc/{pid}/syscall")).ok();
    let mut since = (Instant::now(), look());
    wait_for("the wait", || {
        let now = look();
        if now != since.1 || now.as_deref().is_none_or(|text| text.starts_with("running")) {
            since = (Instant::now(), now);
        }
        (since.0.elapsed() > Duration::from_millis(300)).then_some(())
    });
}

#[test]
fn an_interrupt_ends_a_checkpoint_that_a_file_system_hangs() {
    let Some((bound, job)) = job_on_a_hung_file_system() else { return };
    let begun = Begun::checkpoint(&job, &[]);
    await_standstill(begun.worker());
    begun.interrupt();
    let (code, said) = begun.ends_within(Duration::from_millis(1500));
    assert_ne!(code, 0, "{said}");
    assert!(said.contains("mounted/log") && said.contains("interrupted"), "{said}");
    job.await_progress();
    is_untouched(&job);
    drop(bound);
}

/// A process in vfork(2), whose child opens a FIFO that nobody writes to before it executes a
/// program: posix_spawn(3) works so.
fn long_vfork() -> Job {
    let job = python::start(
        r#"
os.mkfifo("fifo")
say("up", os.getpid())
file = os.open("/dev/null", os.O_RDONLY)
child = os.posix_spawn("/bin/true", ["true"], {}, file_actions=[(os.POSIX_SPAWN_OPEN, file, "fifo", os.O_RDONLY, 0)])
os.waitpid(child, 0)
say("ended", child)
signal.pause()
"#,
    );
    wait_for("the child's wait", || {
        let child = harm::child_of(job.pid as u32)?;
        let shares = |pid: i32| std::fs::read_link(format!("/proc/{pid}/exe")).ok();
        let state = status_field(job.pid, "State")?;
        (state.starts_with('D') && shares(child) == shares(job.pid)).then_some(())
    });
    job
}

fn vfork_ends(job: &Job) {
    is_untouched(job);
    std::fs::write(job.path("fifo"), "").expect("somebody reads");
    wait_for("the end of the vfork", || python::said(job, "ended"));
}

#[test]
fn a_long_vfork_is_given_up_in_time_and_named() {
    let job = long_vfork();
    for args in [&["check", "--time", "1", &job.pid()] as &[&str], &[]] {
        let begun = match args {
            [] => Begun::checkpoint(&job, &["--time", "1"]),
            args => Begun::command(&job, args),
        };
        let (code, said) = begun.ends_within(Duration::from_secs(4));
        assert_eq!(code, 3, "{said}");
        assert!(said.contains(&format!("pid {}: ", job.pid)) && said.contains("vfork"), "{said}");
    }
    vfork_ends(&job);
}

#[test]
fn a_vfork_that_ends_in_time_is_waited_for() {
    let job = long_vfork();
    let begun = Begun::checkpoint(&job, &[]);
    let worker = begun.worker().to_string();
    wait_for("the worker's hand on it", || {
        (status_field(job.pid, "TracerPid").as_ref() == Some(&worker)).then_some(())
    });
    std::fs::write(job.path("fifo"), "").expect("somebody reads");
    let (code, said) = begun.ends_within(Duration::from_secs(10));
    assert_eq!(code, 0, "{said}");
    assert!(job.path("context").exists());
    wait_for("the end of the vfork", || python::said(&job, "ended"));
}

#[test]
fn an_interrupt_ends_a_wait_for_a_long_vfork() {
    let job = long_vfork();
    let begun = Begun::checkpoint(&job, &[]);
    let worker = begun.worker().to_string();
    wait_for("the worker's hand on it", || {
        (status_field(job.pid, "TracerPid").as_ref() == Some(&worker)).then_some(())
    });
    begun.interrupt();
    let (code, said) = begun.ends_within(Duration::from_secs(1));
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("interrupted"), "{said}");
    vfork_ends(&job);
}

#[test]
fn an_interrupt_ends_a_copy() {
    let job = told::large_job();
    let begun = Begun::checkpoint(&job, &["--sync", "none"]);
    told::await_contents(&job, begun.worker());
    begun.interrupt();
    let (code, said) = begun.ends_within(Duration::from_secs(1));
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("interrupted"), "{said}");
    job.await_progress();
    is_untouched(&job);
    let names = std::fs::read_dir(job.dir.path()).expect("it is there").flatten();
    let names: Vec<_> = names.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    assert!(!names.iter().any(|name| name.contains("context")), "left behind: {names:?}");
}

/// Names in a directory that are of nobody's making but cairn's, or of a file system's.
fn hidden_names(directory: &Path) -> Vec<String> {
    let names = std::fs::read_dir(directory).expect("it is there").flatten();
    let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with('.')).collect()
}

/// Where a file cannot be without a name, its hidden one goes with the worker.
#[test]
fn a_killed_worker_leaves_no_hidden_name() {
    let job = told::large_job();
    let Some(bound) = Bound::mount(&job) else { return };
    let file = bound.at.join("context").display().to_string();
    let begun = Begun::command(&job, &["checkpoint", &job.pid(), "--sync", "none", "-o", &file]);
    let worker = begun.worker();
    let names = wait_for("the hidden name, or the end", || {
        let names = hidden_names(&bound.at);
        (!names.is_empty() || bound.at.join("context").exists()).then_some(names)
    });
    if names.is_empty() {
        eprintln!("skipped: files without a name are possible here");
        return;
    }
    assert!(names[0].starts_with(".cairn-") && names[0].ends_with(".partial"), "{names:?}");
    harm::kill(worker, Signal::KILL);
    let (code, said) = begun.ends_within(PATIENCE);
    assert_eq!(code, 1, "{said}");
    assert_eq!(hidden_names(&bound.at), Vec::<String>::new());
    assert!(!bound.at.join("context").exists());
    job.await_progress();
    assert_eq!(status_field(job.pid, "TracerPid").as_deref(), Some("0"));
}

/// A file without a name has one in such a file system, as long as it is open: that name ends with
/// the job, the contents do not.
#[test]
fn a_file_whose_name_the_file_system_keeps_comes_back() {
    let text = "while [ ! -e go ]; do read x < /dev/null; done
        exec 5> mounted/data 6< mounted/data; echo contents >&5; rm mounted/data; : > up
        while [ ! -e more ]; do read x < /dev/null; done
        read line <&6; echo $line > read; while :; do read x < /dev/null; done";
    let job = Job::script(text);
    let Some(bound) = Bound::mount(&job) else { return };
    std::fs::write(job.path("go"), "").expect("written");
    wait_for("the file", || job.path("up").exists().then_some(()));
    let names = hidden_names(&bound.at);
    if !names.iter().any(|name| name.starts_with(".fuse_hidden")) {
        eprintln!("skipped: it keeps no names: {names:?}");
        return;
    }
    let output = job.checkpoint("context", &["--kill"]);
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    wait_for("the end of the job", || job.is_gone().then_some(()));
    wait_for("the end of the name", || hidden_names(&bound.at).is_empty().then_some(()));
    let output = cairn(["restart", "--detach", job.path("context").to_str().expect("UTF-8")]);
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    std::fs::write(job.path("more"), "").expect("written");
    let read = || python::said(&job, "read").filter(|text| !text.is_empty());
    assert_eq!(wait_for("what it reads", read), "contents\n");
    job.kill();
    wait_for("the end of the job", || job.is_gone().then_some(()));
    wait_for("the end of all names", || hidden_names(&bound.at).is_empty().then_some(()));
}
