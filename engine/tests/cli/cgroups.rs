//! Control groups: a restart leaves the job in ours unless it is asked for those of the job.

use super::refused_descriptors::job_that;
use super::*;
use rstest::rstest;
use std::fs;

/// Names of hierarchies, as in /proc/PID/cgroup.
const PIDS: &str = "pids";
const FREEZER: &str = "freezer";
const VERSION_2: &str = "";

/// A group of our own in a hierarchy, with a group in it; removed at the end.
struct Group {
    hierarchy: &'static str,
    directory: PathBuf,
}

impl Group {
    /// Nothing where the hierarchy is not mounted, or not to be changed.
    fn new(hierarchy: &'static str, what: &str) -> Option<Group> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("it can be read");
        let mut points = mounts.lines().filter_map(|line| {
            let (mount, kind) = line.split_once(" - ")?;
            let names: Vec<&str> = kind.split([' ', ',']).collect();
            let is_it = match hierarchy {
                VERSION_2 => names[0] == "cgroup2",
                name => names[0] == "cgroup" && names.contains(&name),
            };
            is_it.then(|| mount.split(' ').nth(4)).flatten()
        });
        let Some(point) = points.next() else {
            eprintln!("skipped: no hierarchy {hierarchy:?}");
            return None;
        };
        let directory = Path::new(point).join(format!("cairn-{what}-{}", std::process::id()));
        match fs::create_dir_all(directory.join("inner")) {
            Ok(()) => Some(Group { hierarchy, directory }),
            Err(err) => {
                eprintln!("skipped: {}: {err}", directory.display());
                None
            }
        }
    }

    fn inner(&self) -> PathBuf {
        self.directory.join("inner")
    }

    fn write(&self, file: &str, value: &str) {
        let file = self.directory.join(file);
        fs::write(&file, value).unwrap_or_else(|err| panic!("{}: {err}", file.display()));
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.directory.join(file)).expect("it can be read").trim().to_owned()
    }

    /// The name of the group that a thread is in, from the root of the hierarchy.
    fn of(&self, tid: impl std::fmt::Display) -> String {
        let text = fs::read_to_string(format!("/proc/{tid}/cgroup")).expect("it lives");
        let own = |line: &&str| line.split(':').nth(1) == Some(self.hierarchy);
        text.lines().find(own).and_then(|line| line.splitn(3, ':').nth(2)).expect("it is in one").to_owned()
    }

    /// Whether it is gone; tasks of it that were killed may not have left it yet.
    fn is_removed(&self) -> bool {
        let _ = fs::remove_dir(self.inner());
        fs::remove_dir(&self.directory).is_ok() || !self.directory.exists()
    }

    fn remove(&self) {
        wait_for("an empty group", || self.is_removed().then_some(()));
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::write(self.directory.join("cgroup.freeze"), "0");
        let _ = fs::write(self.directory.join("freezer.state"), "THAWED");
        if !std::thread::panicking() {
            self.remove();
        } else if !self.is_removed() {
            eprintln!("{} is left behind", self.directory.display());
        }
    }
}

/// Saves a job in the inner group, and kills it.
fn save(job: &Job, group: &Group) {
    group.write("inner/cgroup.procs", &job.pid());
    let output = job.checkpoint("context", &["--kill"]);
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    wait_for("the end of the job", || job.is_gone().then_some(()));
}

fn restart(job: &Job, mode: &str) -> Output {
    let file = job.path("context");
    // The job writes a file, and another job goes on from the same context.
    cmd!(
        "timeout",
        "-s",
        "KILL",
        "60",
        CAIRN,
        "restart",
        "--detach",
        "--ignore-changes",
        "--cgroups",
        mode,
        file
    )
    .stdin_null()
    .stdout_capture()
    .stderr_capture()
    .unchecked()
    .run()
    .expect("timeout starts")
}

fn restarts(job: &Job, mode: &str) {
    let output = restart(job, mode);
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    job.await_progress();
}

/// A refusal that says why, after which nothing is there.
fn conflicts(job: &Job, mode: &str, words: &[&str]) {
    let output = restart(job, mode);
    assert_eq!(exit_code(&output), 7, "{}", complaint(&output));
    for word in words {
        assert!(complaint(&output).contains(word), "no word of {word}: {}", complaint(&output));
    }
    assert!(job.is_gone());
}

fn end(job: &Job) {
    job.kill();
    wait_for("the end of the job", || job.is_gone().then_some(()));
}

#[rstest]
#[case::version_1(PIDS)]
#[case::version_2(VERSION_2)]
fn a_job_goes_back_into_its_groups_on_demand(#[case] hierarchy: &'static str) {
    let Some(group) = Group::new(hierarchy, "demand") else { return };
    let job = Job::counter();
    save(&job, &group);
    restarts(&job, "leave");
    assert_eq!(group.of(job.pid), group.of("self"));
    end(&job);
    restarts(&job, "join");
    assert!(group.of(job.pid).ends_with("/inner"), "{}", group.of(job.pid));
    end(&job);
}

#[rstest]
#[case::version_1(PIDS)]
#[case::version_2(VERSION_2)]
fn a_group_that_is_gone_is_created_on_demand(#[case] hierarchy: &'static str) {
    let Some(group) = Group::new(hierarchy, "gone") else { return };
    if hierarchy == PIDS {
        group.write("pids.max", "999");
        group.write("inner/pids.max", "99");
    }
    let job = Job::counter();
    save(&job, &group);
    group.remove();
    conflicts(&job, "join", &["does not exist", "--cgroups create"]);
    assert!(!group.directory.exists());
    restarts(&job, "create");
    assert!(group.of(job.pid).ends_with("/inner"), "{}", group.of(job.pid));
    if hierarchy == PIDS {
        assert_eq!((group.read("pids.max"), group.read("inner/pids.max")), ("999".into(), "99".into()));
    }
    end(&job);
}

/// A limit below the number of processes is none for those that are moved there, but for a fork.
#[test]
fn a_restart_that_fails_leaves_no_group() {
    let Some(group) = Group::new(PIDS, "fails") else { return };
    let wait = "while [ ! -e go ]; do read x < /dev/null; done; sleep 600 &";
    let job = Job::script(&format!("{wait} i=0; while :; do i=$((i+1)); echo $i > count; done"));
    group.write("inner/cgroup.procs", &job.pid());
    fs::write(job.path("go"), "").expect("written");
    job.await_progress();
    group.write("inner/pids.max", "1");
    save(&job, &group);
    group.remove();
    let output = restart(&job, "create");
    assert_eq!(exit_code(&output), 1, "{}", complaint(&output));
    assert!(!group.directory.exists());
    wait_for("the end of all processes", || job.is_gone().then_some(()));
}

#[rstest]
#[case::version_1(FREEZER, "freezer.state", "FROZEN", "THAWED")]
#[case::version_2(VERSION_2, "cgroup.freeze", "1", "0")]
fn a_frozen_group_is_a_conflict(
    #[case] hierarchy: &'static str,
    #[case] file: &str,
    #[case] frozen: &str,
    #[case] thawed: &str,
) {
    let Some(group) = Group::new(hierarchy, "frozen") else { return };
    let job = Job::counter();
    save(&job, &group);
    // Of the one above: it holds for those below.
    group.write(file, frozen);
    conflicts(&job, "join", &["is frozen; thaw it"]);
    restarts(&job, "leave");
    end(&job);
    group.write(file, thawed);
    restarts(&job, "join");
    end(&job);
}

#[test]
fn a_group_without_room_is_a_conflict() {
    let Some(group) = Group::new(PIDS, "room") else { return };
    let job = Job::counter();
    save(&job, &group);
    group.write("pids.max", "0");
    conflicts(&job, "join", &["room for 0 more tasks, and 1 would enter it (pids.max)"]);
    group.write("pids.max", "1");
    restarts(&job, "join");
    end(&job);
}

/// Each thread goes into its own group: any in version 1, a threaded one in version 2.
#[rstest]
#[case::version_1(PIDS, "tasks")]
#[case::version_2(VERSION_2, "cgroup.threads")]
fn threads_go_back_into_groups_of_their_own(#[case] hierarchy: &'static str, #[case] entrance: &str) {
    let Some(group) = Group::new(hierarchy, "threads") else { return };
    if hierarchy == VERSION_2 {
        group.write("inner/cgroup.type", "threaded");
    }
    let text = "
threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
while len(os.listdir('/proc/self/task')) < 2: time.sleep(0.01)";
    let Some(job) = job_that(text) else { return };
    group.write("cgroup.procs", &job.pid());
    let tids = || {
        let tasks = fs::read_dir(format!("/proc/{}/task", job.pid)).expect("it lives");
        let numbers = tasks.map(|task| task.expect("it lives").file_name().to_string_lossy().parse::<i32>());
        numbers.map(|number| number.expect("a number")).find(|tid| *tid != job.pid).expect("another thread")
    };
    let other = tids();
    group.write(&format!("inner/{entrance}"), &other.to_string());
    let groups = || [group.of(job.pid), group.of(format!("{}/task/{other}", job.pid))];
    let before = groups();
    assert_ne!(before[0], before[1]);
    let output = job.checkpoint("context", &["--kill"]);
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    wait_for("the end of the job", || job.is_gone().then_some(()));
    group.remove();
    let output = restart(&job, "create");
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    assert_eq!(groups(), before);
    end(&job);
}
